//! Rules of the mesh's `ProxyConfig`. A field that is not written has a default that is in order.

use std::net::IpAddr;

use super::{at_most_one, port};
use crate::{
    resource::{
        destination_rule::validate::client_tls,
        mesh_config::{AuthenticationPolicy, ConnectionSettings, KeyProvider, PrivateKeyProvider, ProxyConfig, Tracing},
        workload_group::validate::readiness_probe,
    },
    validate::{
        Checks,
        rules::{key, shown},
    },
};

/// Turned on an allocation of addresses that ServiceEntries now have by themselves.
const AUTO_ALLOCATE: &str = "ISTIO_META_DNS_AUTO_ALLOCATE";

/// Stands for the node's address.
const HOST_IP: &str = "$(HOST_IP)";

/// The smallest window of HTTP/2.
const SMALLEST_WINDOW: i32 = 65_535;

pub(super) fn proxy_config(config: &ProxyConfig, checks: &mut Checks) {
    for (field, text) in [
        ("configPath", &config.config_path),
        ("binaryPath", &config.binary_path),
        ("serviceCluster", &config.service_cluster),
        ("discoveryAddress", &config.discovery_address),
    ] {
        if text.as_ref().is_some_and(String::is_empty) {
            checks.field(field, |checks| checks.error(None, "must not be empty", "set it, or leave it out"));
        }
    }
    at_most_one(
        &[("serviceCluster", config.service_cluster.is_some()), ("tracingServiceName", config.tracing_service_name.is_some())],
        checks,
    );
    checks.duration("drainDuration", config.drain_duration);
    if config.drain_duration.is_some_and(|duration| duration.get().subsec_nanos() != 0) {
        checks.field("drainDuration", |checks| {
            checks.error(config.drain_duration.map(|duration| duration.to_string()), "whole seconds only", "round it");
        });
    }
    addresses(config, checks);
    for (field, number) in [("proxyAdminPort", config.proxy_admin_port), ("statusPort", config.status_port)] {
        port(field, number, checks);
    }
    if config.control_plane_auth_policy == Some(AuthenticationPolicy::Inherit) {
        checks.field("controlPlaneAuthPolicy", |checks| checks.error(shown("INHERIT"), "not a policy of proxies", "use MUTUAL_TLS"));
    }
    if config.proxy_metadata.contains_key(AUTO_ALLOCATE) {
        checks.field(&format!("proxyMetadata{}", key(AUTO_ALLOCATE)), |checks| {
            checks.warning(None, "deprecated", "remove it: ServiceEntries are given addresses without it");
        });
    }
    if let Some(tracing) = &config.tracing {
        checks.field("tracing", |checks| trace(tracing, checks));
    }
    if let Some(provider) = &config.private_key_provider {
        checks.field("privateKeyProvider", |checks| private_key_provider(provider, checks));
    }
    if let Some(probe) = &config.readiness_probe {
        checks.field("readinessProbe", |checks| readiness_probe(probe, checks));
    }
    if let Some(settings) = &config.connection_settings {
        checks.field("connectionSettings", |checks| connection_settings(settings, checks));
    }
}

fn addresses(config: &ProxyConfig, checks: &mut Checks) {
    let remote = |service: &Option<crate::resource::mesh_config::RemoteService>| {
        service.as_ref().map(|service| service.address.clone()).unwrap_or_default()
    };
    for (field, text) in [
        ("discoveryAddress", config.discovery_address.clone().unwrap_or_default()),
        ("statsdUdpAddress", config.statsd_udp_address.clone()),
        ("envoyMetricsServiceAddress", config.envoy_metrics_service_address.clone()),
        ("envoyMetricsService.address", remote(&config.envoy_metrics_service)),
        ("envoyAccessLogService.address", remote(&config.envoy_access_log_service)),
    ] {
        if !text.is_empty() {
            address(field, &text, checks);
        }
    }
}

/// `host:port`.
fn address(field: &str, text: &str, checks: &mut Checks) {
    let problem = match split(text) {
        None => Some("not `host:port`"),
        Some((_, port)) if !port.parse::<u16>().is_ok_and(|port| port > 0) => Some("the port is not a number from 1 to 65535"),
        Some((host, _)) if host.parse::<IpAddr>().is_ok() => None,
        Some((host, _)) => return checks.field(field, |checks| checks.domain("", host, false)),
    };
    if let Some(rule) = problem {
        checks.field(field, |checks| checks.error(shown(text), rule, "write a DNS name or an IP address, and a port"));
    }
}

/// Host and port; an IPv6 address stands in brackets.
fn split(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once("]:");
    }
    text.rsplit_once(':').filter(|(host, _)| !host.contains(':'))
}

fn trace(tracing: &Tracing, checks: &mut Checks) {
    at_most_one(
        &[
            ("zipkin", tracing.zipkin.is_some()),
            ("lightstep", tracing.lightstep.is_some()),
            ("datadog", tracing.datadog.is_some()),
            ("stackdriver", tracing.stackdriver.is_some()),
            ("openCensusAgent", tracing.open_census_agent.is_some()),
        ],
        checks,
    );
    for (field, collector) in [("zipkin.address", &tracing.zipkin), ("datadog.address", &tracing.datadog)] {
        if let Some(collector) = collector {
            address(field, &collector.address.replacen(HOST_IP, "127.0.0.1", 1), checks);
        }
    }
    if let Some(lightstep) = &tracing.lightstep {
        address("lightstep.address", &lightstep.address, checks);
        if lightstep.access_token.expose().is_empty() {
            checks.field("lightstep.accessToken", |checks| checks.error(None, "an access token is required", "set it"));
        }
    }
    for (name, tag) in &tracing.custom_tags {
        let set = [("literal", tag.literal.is_some()), ("environment", tag.environment.is_some()), ("header", tag.header.is_some())];
        checks.field(&format!("customTags{}", key(name)), |checks| at_most_one(&set, checks));
    }
    if let Some(tls) = &tracing.tls_settings {
        checks.field("tlsSettings", |checks| client_tls(tls, "", checks));
    }
}

fn private_key_provider(provider: &PrivateKeyProvider, checks: &mut Checks) {
    at_most_one(&[("cryptomb", provider.cryptomb.is_some()), ("qat", provider.qat.is_some())], checks);
    if provider.cryptomb.is_none() && provider.qat.is_none() {
        checks.error(None, "no provider is set", "set cryptomb or qat, or remove privateKeyProvider");
    }
    let delay = |field: &str, provider: &Option<KeyProvider>, checks: &mut Checks| {
        if provider.as_ref().is_some_and(|provider| provider.poll_delay.is_none_or(|delay| delay.get().is_zero())) {
            checks.field(&format!("{field}.pollDelay"), |checks| {
                checks.error(None, "a delay that is not zero is required", "set it, for example 10ms");
            });
        }
    };
    delay("cryptomb", &provider.cryptomb, checks);
    delay("qat", &provider.qat, checks);
}

fn connection_settings(settings: &ConnectionSettings, checks: &mut Checks) {
    for (field, number, least) in [
        ("listenerPerConnectionBufferLimitBytes", settings.listener_per_connection_buffer_limit_bytes, 0),
        ("clusterPerConnectionBufferLimitBytes", settings.cluster_per_connection_buffer_limit_bytes, 0),
        ("httpMaxConcurrentStreams", settings.http_max_concurrent_streams, 1),
        ("http2InitialStreamWindowSize", settings.http2_initial_stream_window_size, SMALLEST_WINDOW),
        ("http2InitialConnectionWindowSize", settings.http2_initial_connection_window_size, SMALLEST_WINDOW),
        ("listenerConnectionLimit", settings.listener_connection_limit, 1),
        ("globalDownstreamConnectionLimit", settings.global_downstream_connection_limit, 1),
    ] {
        if number.is_some_and(|number| number < least) {
            checks.field(field, |checks| {
                checks.error(number.map(|number| number.to_string()), format!("must be {least} or more"), "set it so, or leave it out");
            });
        }
    }
}
