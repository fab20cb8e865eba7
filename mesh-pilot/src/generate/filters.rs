//! The chain of filters on a connection: HTTP connection managers with Istio's order of HTTP filters, TCP proxies, access logs, tracing.

use std::time::Duration;

use mesh_proto::{
    any::pack,
    envoy::{
        config::{
            accesslog::v3::{AccessLog, access_log},
            core::v3::{
                DataSource, GrpcService, SubstitutionFormatString, data_source,
                grpc_service::{EnvoyGrpc, TargetSpecifier},
                substitution_format_string::Format,
            },
            listener::v3::Filter,
            route::v3::RouteConfiguration,
            trace::v3::{OpenTelemetryConfig, tracing::Http, tracing::http},
        },
        extensions::{
            access_loggers::file::v3::{FileAccessLog, file_access_log::AccessLogFormat},
            filters::{
                http::{cors::v3::Cors, fault::v3::HttpFault, grpc_stats::v3::FilterConfig as GrpcStats, router::v3::Router},
                network::{
                    http_connection_manager::v3::{
                        HttpConnectionManager, HttpFilter, Rds,
                        http_connection_manager::{
                            ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier, SetCurrentClientCertDetails, Tracing,
                            UpgradeConfig,
                        },
                    },
                    tcp_proxy::v3::{
                        TcpProxy,
                        tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight},
                    },
                },
            },
        },
    },
    istio::ext::{alpn, peer_metadata, stats},
};

use super::{
    authz, guards,
    wire::{ads, duration, flag, http_filter, network_filter, object, percent, text},
};
use crate::{
    scope::{ProxyScope, Role},
    settings::{LogEncoding, PathNormalization},
    world::World,
};

pub(crate) const RBAC: &str = "envoy.filters.http.rbac";
pub(crate) const FAULT: &str = "envoy.filters.http.fault";
pub(crate) const CORS: &str = "envoy.filters.http.cors";
const HTTP: &str = "envoy.filters.network.http_connection_manager";
const TCP: &str = "envoy.filters.network.tcp_proxy";
const STATS: &str = "istio.stats";

/// Istio's default access log: one line of text.
const LOG_LINE: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% ",
    "%CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" ",
    "\"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ",
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
);

/// Istio's default access log as JSON: the same operators by name.
const LOG_FIELDS: [(&str, &str); 24] = [
    ("start_time", "%START_TIME%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("duration", "%DURATION%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("route_name", "%ROUTE_NAME%"),
];

/// Which way the traffic of a filter chain goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the workload.
    Inbound,
    /// From the workload.
    Outbound,
    /// Through a gateway.
    Gateway,
}

/// Where a connection manager's routes are.
pub(crate) enum Routes {
    Inline(Box<RouteConfiguration>),
    Named(String),
}

/// An HTTP connection manager.
pub(crate) fn http(world: &World, scope: &ProxyScope, direction: Direction, stat_prefix: &str, routes: Routes) -> Filter {
    let settings = world.settings();
    let mut manager = HttpConnectionManager {
        stat_prefix: stat_prefix.to_owned(),
        route_specifier: Some(match routes {
            Routes::Inline(table) => RouteSpecifier::RouteConfig(*table),
            Routes::Named(name) => RouteSpecifier::Rds(Rds { config_source: Some(ads()), route_config_name: name }),
        }),
        http_filters: http_filters(world, scope, direction),
        access_log: access_log(world),
        tracing: tracing(world, scope),
        use_remote_address: flag(direction == Direction::Gateway),
        normalize_path: flag(settings.path_normalization != PathNormalization::None),
        merge_slashes: matches!(settings.path_normalization, PathNormalization::MergeSlashes | PathNormalization::DecodeAndMergeSlashes),
        path_with_escaped_slashes_action: match settings.path_normalization {
            PathNormalization::DecodeAndMergeSlashes => PathWithEscapedSlashesAction::UnescapeAndForward,
            _ => PathWithEscapedSlashesAction::KeepUnchanged,
        }
        .into(),
        upgrade_configs: vec![UpgradeConfig { upgrade_type: "websocket".into(), ..Default::default() }],
        // Streams may be silent for long; Envoy's own limit is five minutes.
        stream_idle_timeout: duration(Duration::ZERO),
        ..Default::default()
    };
    match direction {
        Direction::Inbound => {
            manager.server_name = "istio-envoy".into();
            manager.forward_client_cert_details = ForwardClientCertDetails::AppendForward.into();
            manager.set_current_client_cert_details =
                Some(SetCurrentClientCertDetails { subject: flag(true), dns: true, uri: true, ..Default::default() });
        }
        Direction::Gateway => {
            manager.server_name = "istio-envoy".into();
            manager.forward_client_cert_details = ForwardClientCertDetails::SanitizeSet.into();
            manager.set_current_client_cert_details =
                Some(SetCurrentClientCertDetails { subject: flag(true), cert: true, dns: true, uri: true, ..Default::default() });
        }
        Direction::Outbound => {}
    }
    network_filter(HTTP, &manager)
}

/// Istio's order: who calls, whether they and their tokens may, what is counted, faults, CORS, metrics, router.
fn http_filters(world: &World, scope: &ProxyScope, direction: Direction) -> Vec<HttpFilter> {
    let mut filters = Vec::new();
    if scope.speaks_istio() {
        filters.push(http_filter("istio.peer_metadata", &exchange(direction)));
    }
    filters.extend(guards::http_denials(world, scope, direction));
    if direction != Direction::Outbound {
        let (custom, rest) = authz::http_filters(world, scope);
        filters.extend(custom);
        filters.extend(guards::tokens(world, scope));
        filters.extend(rest);
    }
    filters.push(http_filter("envoy.filters.http.grpc_stats", &GrpcStats { emit_filter_state: true, ..Default::default() }));
    if scope.speaks_istio() && direction != Direction::Inbound {
        filters.push(http_filter("istio.alpn", &alpn_overrides()));
    }
    filters.push(http_filter(FAULT, &HttpFault::default()));
    filters.push(http_filter(CORS, &Cors {}));
    if scope.speaks_istio() {
        filters.push(http_filter(STATS, &stats::PluginConfig::default()));
    }
    filters.push(http_filter("envoy.filters.http.router", &Router::default()));
    filters
}

/// Peers tell each other who they are in headers that gateways strip from outsiders.
fn exchange(direction: Direction) -> peer_metadata::Config {
    use peer_metadata::config::{
        DiscoveryMethod, IstioHeaders, PropagationMethod, discovery_method::MethodSpecifier as Discover,
        propagation_method::MethodSpecifier as Propagate,
    };
    let discover = || vec![DiscoveryMethod { method_specifier: Some(Discover::IstioHeaders(IstioHeaders::default())) }];
    let propagate = |skip_external_clusters| {
        vec![PropagationMethod { method_specifier: Some(Propagate::IstioHeaders(IstioHeaders { skip_external_clusters })) }]
    };
    match direction {
        Direction::Inbound => {
            peer_metadata::Config { downstream_discovery: discover(), downstream_propagation: propagate(false), ..Default::default() }
        }
        Direction::Outbound | Direction::Gateway => {
            peer_metadata::Config { upstream_discovery: discover(), upstream_propagation: propagate(true), ..Default::default() }
        }
    }
}

/// The version of HTTP that is spoken, told to the server before the first byte.
fn alpn_overrides() -> alpn::FilterConfig {
    use alpn::filter_config::{AlpnOverride, Protocol};
    let one = |protocol: Protocol, values: [&str; 3]| AlpnOverride {
        upstream_protocol: protocol.into(),
        alpn_override: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    alpn::FilterConfig {
        alpn_override: vec![
            one(Protocol::Http10, ["istio-http/1.0", "istio", "http/1.0"]),
            one(Protocol::Http11, ["istio-http/1.1", "istio", "http/1.1"]),
            one(Protocol::Http2, ["istio-h2", "istio", "h2"]),
        ],
    }
}

/// A TCP proxy to clusters by weight, with what runs before it.
pub(crate) fn tcp(world: &World, scope: &ProxyScope, direction: Direction, clusters: &[(String, u32)]) -> Vec<Filter> {
    let mut filters: Vec<Filter> = guards::network_denials(world, scope, direction).into_iter().collect();
    if direction != Direction::Outbound {
        filters.extend(authz::network_filters(world, scope));
    }
    if scope.speaks_istio() {
        filters.push(network_filter(STATS, &stats::PluginConfig::default()));
    }
    let (stat_prefix, specifier) = match clusters {
        [(only, _)] => (only.clone(), ClusterSpecifier::Cluster(only.clone())),
        several => {
            let weigh = |(name, weight): &(String, u32)| ClusterWeight { name: name.clone(), weight: *weight, ..Default::default() };
            let prefix = several.first().map_or_else(String::new, |(name, _)| name.clone());
            (prefix, ClusterSpecifier::WeightedClusters(WeightedCluster { clusters: several.iter().map(weigh).collect() }))
        }
    };
    let proxy = TcpProxy { stat_prefix, cluster_specifier: Some(specifier), access_log: access_log(world), ..Default::default() };
    filters.push(network_filter(TCP, &proxy));
    filters
}

/// The mesh's access log, if there is one.
pub(crate) fn access_log(world: &World) -> Vec<AccessLog> {
    let settings = world.settings();
    if settings.access_log_file.is_empty() {
        return Vec::new();
    }
    let line = if settings.access_log_format.is_empty() { LOG_LINE } else { &settings.access_log_format };
    let format = match settings.access_log_encoding {
        LogEncoding::Text => Format::TextFormatSource(DataSource {
            specifier: Some(data_source::Specifier::InlineString(line.into())),
            ..Default::default()
        }),
        LogEncoding::Json => Format::JsonFormat(object(LOG_FIELDS.iter().map(|(name, operator)| (*name, text(*operator))).collect())),
    };
    let file = FileAccessLog {
        path: settings.access_log_file.clone(),
        access_log_format: Some(AccessLogFormat::LogFormat(SubstitutionFormatString { format: Some(format), ..Default::default() })),
    };
    vec![AccessLog {
        name: "envoy.access_loggers.file".into(),
        config_type: Some(access_log::ConfigType::TypedConfig(pack(&file))),
        ..Default::default()
    }]
}

fn tracing(world: &World, scope: &ProxyScope) -> Option<Tracing> {
    let provider = world.settings().tracing.as_ref()?;
    let service = GrpcService {
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
            cluster_name: format!("outbound|{}||{}", provider.port, provider.service),
            ..Default::default()
        })),
        ..Default::default()
    };
    let labels = world.labels(scope);
    let app = labels.get("service.istio.io/canonical-name").or_else(|| labels.get("app"));
    let config = OpenTelemetryConfig {
        grpc_service: Some(service),
        service_name: format!("{}.{}", app.map_or("unknown", String::as_str), scope.namespace),
        ..Default::default()
    };
    Some(Tracing {
        client_sampling: percent(100.0),
        random_sampling: percent(provider.sampling),
        overall_sampling: percent(100.0),
        provider: Some(Http {
            name: "envoy.tracers.opentelemetry".into(),
            config_type: Some(http::ConfigType::TypedConfig(pack(&config))),
        }),
        ..Default::default()
    })
}

/// The direction of what leaves this proxy.
pub(crate) fn leaving(scope: &ProxyScope) -> Direction {
    match scope.role {
        Role::Sidecar => Direction::Outbound,
        Role::Router => Direction::Gateway,
    }
}
