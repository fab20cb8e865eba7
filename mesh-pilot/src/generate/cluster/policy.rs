//! A DestinationRule's traffic policy on a cluster: balancing, limits, outlier detection, HTTP versions.
//!
//! Source of defaults: Istio's `cluster_traffic_policy.go`: least request, no limit, outlier detection only if asked for.

use std::time::Duration as Time;

use mesh_config::resource::{
    Protocol,
    destination_rule::{
        ConnectionPool, H2UpgradePolicy, HashTable, HttpPool, LoadBalancer, LoadBalancerPolicy, OutlierDetection as Asked, SimpleLb,
        TcpKeepalive, TrafficPolicy,
    },
};
use mesh_proto::{
    any::pack,
    envoy::{
        config::{
            cluster::v3::{
                CircuitBreakers, Cluster, OutlierDetection, UpstreamConnectionOptions,
                circuit_breakers::{Thresholds, thresholds::RetryBudget},
                cluster::{
                    CommonLbConfig, LbConfig, LbPolicy, LeastRequestLbConfig, MaglevLbConfig, RingHashLbConfig, RoundRobinLbConfig,
                    SlowStartConfig,
                    common_lb_config::{LocalityConfigSpecifier, LocalityWeightedLbConfig},
                },
            },
            core::v3::{
                self as core, Http1ProtocolOptions, Http2ProtocolOptions, KeepaliveSettings, RuntimeDouble, UpstreamHttpProtocolOptions,
            },
        },
        extensions::upstreams::http::v3::{
            HttpProtocolOptions,
            http_protocol_options::{
                ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig, explicit_http_config::ProtocolConfig,
            },
        },
    },
    google::protobuf::UInt64Value,
};

use super::super::{
    endpoint::failover,
    wire::{duration, number, percent, positive},
};
/// The extension under which a cluster's HTTP settings are.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// All parts of a policy.
pub(super) fn apply(cluster: &mut Cluster, policy: &TrafficPolicy, protocol: Option<Protocol>) {
    let pool = policy.connection_pool.as_ref();
    cluster.circuit_breakers = Some(breakers(policy));
    cluster.common_lb_config = Some(CommonLbConfig::default());
    // An original-destination cluster has its balancer already.
    if cluster.lb_policy != i32::from(LbPolicy::ClusterProvided) {
        balance(cluster, policy.load_balancer.as_ref(), protocol);
    }
    if let Some(asked) = &policy.outlier_detection {
        cluster.outlier_detection = Some(outlier(asked));
        let panic = f64::from(asked.min_health_percent.clamp(0, 100));
        let common = cluster.common_lb_config.get_or_insert_default();
        common.healthy_panic_threshold = percent(panic);
    }
    if failover(policy).is_some() {
        let common = cluster.common_lb_config.get_or_insert_default();
        common.locality_config_specifier = Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig {}));
    }
    connections(cluster, pool);
    if let Some(options) = http_options(pool.and_then(|pool| pool.http.as_ref()), pool, protocol) {
        cluster.typed_extension_protocol_options.insert(HTTP_OPTIONS.into(), pack(&options));
    }
}

/// Pool limits of a cluster towards the application.
pub(super) fn apply_pool(cluster: &mut Cluster, pool: Option<&ConnectionPool>) {
    let policy = TrafficPolicy { connection_pool: pool.cloned(), ..TrafficPolicy::default() };
    cluster.circuit_breakers = Some(breakers(&policy));
    connections(cluster, pool);
}

/// Upstream speaks what the client spoke.
pub(super) fn as_client(cluster: &mut Cluster) {
    let options = UseDownstreamHttpConfig {
        http_protocol_options: Some(Http1ProtocolOptions::default()),
        http2_protocol_options: Some(Http2ProtocolOptions::default()),
        ..Default::default()
    };
    set_protocol(cluster, UpstreamProtocolOptions::UseDownstreamProtocolConfig(options));
}

/// Upstream speaks HTTP/2.
pub(super) fn http2(cluster: &mut Cluster) {
    let explicit = ExplicitHttpConfig { protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default())) };
    set_protocol(cluster, UpstreamProtocolOptions::ExplicitHttpConfig(explicit));
}

fn set_protocol(cluster: &mut Cluster, protocol: UpstreamProtocolOptions) {
    let options = HttpProtocolOptions { upstream_protocol_options: Some(protocol), ..Default::default() };
    cluster.typed_extension_protocol_options.insert(HTTP_OPTIONS.into(), pack(&options));
}

/// Takes SNI, and the name that the certificate must have, from the request's host.
pub(super) fn auto_sni(cluster: &mut Cluster, check_name: bool) {
    let known = cluster.typed_extension_protocol_options.get(HTTP_OPTIONS).and_then(|any| mesh_proto::any::unpack(any).ok());
    let mut options: HttpProtocolOptions = known.unwrap_or_else(|| HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default())),
        })),
        ..Default::default()
    });
    options.upstream_http_protocol_options =
        Some(UpstreamHttpProtocolOptions { auto_sni: true, auto_san_validation: check_name, ..Default::default() });
    cluster.typed_extension_protocol_options.insert(HTTP_OPTIONS.into(), pack(&options));
}

/// No limit, as Istio has it.
pub(crate) fn default_breakers() -> CircuitBreakers {
    breakers(&TrafficPolicy::default())
}

fn breakers(policy: &TrafficPolicy) -> CircuitBreakers {
    let unlimited = number(u32::MAX);
    let tcp = policy.connection_pool.as_ref().and_then(|pool| pool.tcp.as_ref());
    let http = policy.connection_pool.as_ref().and_then(|pool| pool.http.as_ref());
    let limit = |asked: Option<i32>| asked.and_then(positive).or(unlimited);
    let budget = policy.retry_budget.as_ref().map(|budget| RetryBudget {
        budget_percent: percent(budget.percent.unwrap_or(20.0)),
        min_retry_concurrency: number(if budget.min_retry_concurrency == 0 { 3 } else { budget.min_retry_concurrency }),
        budget_interval: budget.budget_interval.and_then(|interval| duration(interval.get())),
    });
    CircuitBreakers {
        thresholds: vec![Thresholds {
            max_connections: limit(tcp.map(|tcp| tcp.max_connections)),
            max_pending_requests: limit(http.map(|http| http.http1_max_pending_requests)),
            max_requests: limit(http.map(|http| http.http2_max_requests)),
            max_retries: limit(http.map(|http| http.max_retries)),
            retry_budget: budget,
            track_remaining: true,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn balance(cluster: &mut Cluster, lb: Option<&LoadBalancer>, protocol: Option<Protocol>) {
    let start = lb.and_then(slow_start);
    let (policy, config) = match lb.and_then(|lb| lb.policy.as_ref()) {
        Some(LoadBalancerPolicy::ConsistentHash(hash)) => match &hash.table {
            Some(HashTable::Maglev(maglev)) => {
                let table_size = maglev.table_size.filter(|size| *size > 0).map(|value| UInt64Value { value });
                (LbPolicy::Maglev, Some(LbConfig::MaglevLbConfig(MaglevLbConfig { table_size })))
            }
            table => {
                let asked = match table {
                    Some(HashTable::Ring(ring)) => Some(ring.minimum_ring_size),
                    _ => hash.minimum_ring_size,
                };
                let size = asked.filter(|size| *size > 0).unwrap_or(1024);
                let ring = RingHashLbConfig { minimum_ring_size: Some(UInt64Value { value: size }), ..Default::default() };
                (LbPolicy::RingHash, Some(LbConfig::RingHashLbConfig(ring)))
            }
        },
        Some(LoadBalancerPolicy::Simple(SimpleLb::RoundRobin)) => {
            (LbPolicy::RoundRobin, start.map(|start| LbConfig::RoundRobinLbConfig(RoundRobinLbConfig { slow_start_config: Some(start) })))
        }
        Some(LoadBalancerPolicy::Simple(SimpleLb::Random)) => (LbPolicy::Random, None),
        None if protocol == Some(Protocol::Redis) => (LbPolicy::Maglev, None),
        _ => {
            let least =
                |start| LbConfig::LeastRequestLbConfig(LeastRequestLbConfig { slow_start_config: Some(start), ..Default::default() });
            (LbPolicy::LeastRequest, start.map(least))
        }
    };
    cluster.lb_policy = policy.into();
    cluster.lb_config = config;
}

fn slow_start(lb: &LoadBalancer) -> Option<SlowStartConfig> {
    let warmup = lb.warmup.as_ref();
    let window = warmup.map(|warmup| warmup.duration).or(lb.warmup_duration)?;
    Some(SlowStartConfig {
        slow_start_window: duration(window.get()),
        aggression: Some(RuntimeDouble { default_value: warmup.and_then(|w| w.aggression).unwrap_or(1.0), runtime_key: String::new() }),
        min_weight_percent: percent(warmup.and_then(|w| w.minimum_percent).unwrap_or(10.0)),
    })
}

/// Istio's reading: what is named is enforced, what is 0 is not; success rate is never judged.
fn outlier(asked: &Asked) -> OutlierDetection {
    let mut wire = OutlierDetection {
        interval: asked.interval.and_then(|interval| duration(interval.get())),
        base_ejection_time: asked.base_ejection_time.and_then(|time| duration(time.get())),
        max_ejection_percent: positive(asked.max_ejection_percent),
        split_external_local_origin_errors: asked.split_external_local_origin_errors,
        enforcing_success_rate: number(0),
        ..Default::default()
    };
    if let Some(errors) = asked.consecutive_5xx_errors {
        wire.consecutive_5xx = number(if errors == 0 { 5 } else { errors });
        wire.enforcing_consecutive_5xx = number(if errors > 0 { 100 } else { 0 });
    }
    let gateway = asked.consecutive_gateway_errors.or_else(|| u32::try_from(asked.consecutive_errors).ok().filter(|errors| *errors > 0));
    if let Some(errors) = gateway {
        wire.consecutive_gateway_failure = number(if errors == 0 { 5 } else { errors });
        wire.enforcing_consecutive_gateway_failure = number(if errors > 0 { 100 } else { 0 });
    }
    if asked.split_external_local_origin_errors {
        if let Some(errors) = asked.consecutive_local_origin_failures.filter(|errors| *errors > 0) {
            wire.consecutive_local_origin_failure = number(errors);
            wire.enforcing_consecutive_local_origin_failure = number(100);
        }
        wire.enforcing_local_origin_success_rate = number(0);
    }
    wire
}

fn connections(cluster: &mut Cluster, pool: Option<&ConnectionPool>) {
    let Some(tcp) = pool.and_then(|pool| pool.tcp.as_ref()) else { return };
    if let Some(timeout) = tcp.connect_timeout {
        cluster.connect_timeout = duration(timeout.get());
    }
    if let Some(keepalive) = &tcp.tcp_keepalive {
        cluster.upstream_connection_options =
            Some(UpstreamConnectionOptions { tcp_keepalive: Some(tcp_keepalive(keepalive)), ..Default::default() });
    }
}

fn tcp_keepalive(asked: &TcpKeepalive) -> core::TcpKeepalive {
    let seconds = |time: Time| u32::try_from(time.as_secs().max(1)).ok().and_then(number);
    core::TcpKeepalive {
        keepalive_probes: if asked.probes > 0 { number(asked.probes) } else { None },
        keepalive_time: asked.time.and_then(|time| seconds(time.get())),
        keepalive_interval: asked.interval.and_then(|time| seconds(time.get())),
    }
}

/// `None`: HTTP/1.1 without settings, which is Envoy's default.
fn http_options(http: Option<&HttpPool>, pool: Option<&ConnectionPool>, protocol: Option<Protocol>) -> Option<HttpProtocolOptions> {
    if protocol.is_some_and(|protocol| !protocol.is_http()) {
        return None;
    }
    let tcp = pool.and_then(|pool| pool.tcp.as_ref());
    let common = core::HttpProtocolOptions {
        idle_timeout: http
            .and_then(|http| http.idle_timeout)
            .or(tcp.and_then(|tcp| tcp.idle_timeout))
            .and_then(|time| duration(time.get())),
        max_connection_duration: tcp.and_then(|tcp| tcp.max_connection_duration).and_then(|time| duration(time.get())),
        max_requests_per_connection: http.and_then(|http| positive(http.max_requests_per_connection)),
        ..Default::default()
    };
    let two = Http2ProtocolOptions {
        max_concurrent_streams: http.and_then(|http| positive(http.max_concurrent_streams)),
        connection_keepalive: http.and_then(|http| http.http2_keep_alive.as_ref()).map(|keepalive| KeepaliveSettings {
            interval: keepalive.interval.and_then(|time| duration(time.get())),
            timeout: keepalive.timeout.and_then(|time| duration(time.get())),
            ..Default::default()
        }),
        ..Default::default()
    };
    let upgrade = http.is_some_and(|http| http.h2_upgrade_policy == H2UpgradePolicy::Upgrade);
    let as_client = protocol.is_none() || http.is_some_and(|http| http.use_client_protocol);
    let is_two = protocol.is_some_and(Protocol::is_http2) || (upgrade && protocol.is_some());
    let explicit = |config| UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config: Some(config) });
    let version = if is_two {
        explicit(ProtocolConfig::Http2ProtocolOptions(two))
    } else if as_client {
        UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
            http_protocol_options: Some(Http1ProtocolOptions::default()),
            http2_protocol_options: Some(two),
            ..Default::default()
        })
    } else if common == core::HttpProtocolOptions::default() {
        return None;
    } else {
        explicit(ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default()))
    };
    Some(HttpProtocolOptions {
        common_http_protocol_options: Some(common).filter(|common| *common != core::HttpProtocolOptions::default()),
        upstream_protocol_options: Some(version),
        ..Default::default()
    })
}
