//! Clusters, endpoints and load balancing settings.

use std::{sync::Arc, time::Duration};

use super::{Address, ClusterSlot, Http2Options, Percent, UpstreamTls};
use crate::upstream::{
    balance::CompiledCell,
    state::{ClusterState, EndpointState},
};

/// `envoy.config.cluster.v3.Cluster` with its endpoints resolved in.
#[derive(Debug)]
pub struct Cluster {
    /// Resource name.
    pub name: Arc<str>,
    /// Its slot.
    pub slot: ClusterSlot,
    /// `alt_stat_name` or the name.
    pub stat_name: Arc<str>,
    /// How endpoints are found.
    pub discovery: Discovery,
    /// Endpoints by priority and locality. EDS not received yet: empty and `warming`.
    pub endpoints: Arc<EndpointSet>,
    /// EDS has not answered yet: requests wait up to the EDS fetch timeout, then 503.
    pub warming: bool,
    /// Balancing.
    pub balancer: Balancer,
    /// `lb_subset_config`; `None`: a route's `metadata_match` is ignored, as Envoy does.
    pub subsets: Option<Subsets>,
    /// Rings, tables and loads for the endpoints' present health; `CompiledCell::default()` fills itself at the first pick,
    /// [`crate::upstream::balance::compile`] fills it ahead.
    pub compiled: CompiledCell,
    /// Transport to endpoints; the first match whose criteria an endpoint's metadata meets wins, else `transport`.
    pub transport_matches: Vec<TransportMatch>,
    /// Transport when none matches.
    pub transport: UpstreamTransport,
    /// Protocol to endpoints.
    pub protocol: UpstreamProtocol,
    /// HTTP/2 settings.
    pub http2: Http2Options,
    /// `connect_timeout` (default 5 s).
    pub connect_timeout: Duration,
    /// Idle pooled connections are closed after this (default 1 h).
    pub idle_timeout: Option<Duration>,
    /// `max_connection_duration`.
    pub max_connection_duration: Option<Duration>,
    /// Requests on one connection; 0 is unlimited.
    pub max_requests_per_connection: u32,
    /// Circuit breakers, default priority.
    pub breakers: Breakers,
    /// Circuit breakers, high priority.
    pub breakers_high: Breakers,
    /// Outlier detection, when configured.
    pub outlier: Option<Outlier>,
    /// `common_lb_config.healthy_panic_threshold` in percent (default 50; Istio sets 0).
    pub panic_threshold: u32,
    /// Source address for upstream connections (`upstream_bind_config`).
    pub bind_source: Option<std::net::IpAddr>,
    /// TCP keepalive.
    pub keepalive: Option<Keepalive>,
    /// `filter_metadata.istio.services[0]` for metrics.
    pub service: Option<ServiceName>,
    /// Its endpoints are no part of the mesh: `filter_metadata.istio.external`, and Istio's clusters for unknown destinations.
    pub external: bool,
    /// `filter_metadata.istio.config`: which resource made it.
    pub provenance: Option<Arc<str>>,
    /// Breakers' counts, stats: carried over swaps by cluster name.
    pub state: Arc<ClusterState>,
    /// Pools are keyed by this: transport or protocol settings that changed make new connections.
    pub pool_hash: u64,
    /// Content hash of the resource.
    pub hash: u64,
}

/// A service as Istio's metrics name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceName {
    /// `destination_service`.
    pub host: Arc<str>,
    /// `destination_service_name`.
    pub name: Arc<str>,
    /// `destination_service_namespace`.
    pub namespace: Arc<str>,
}

/// How endpoints are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// In the resource.
    Static,
    /// EDS under this name.
    Eds(Arc<str>),
    /// All addresses of each name, resolved again every `refresh`.
    StrictDns {
        /// Refresh interval when no TTL is honoured (default 5 s).
        refresh: Duration,
    },
    /// One address at a time.
    LogicalDns {
        /// Refresh interval.
        refresh: Duration,
    },
    /// The connection's original destination.
    OriginalDst,
}

/// Endpoints of a cluster, by priority.
#[derive(Debug, Default)]
pub struct EndpointSet {
    /// Index is the priority; 0 is used first.
    pub priorities: Vec<Vec<Locality>>,
    /// `overprovisioning_factor` in percent (default 140).
    pub overprovisioning: u32,
    /// Share of requests to drop, by category (`policy.drop_overloads`).
    pub drop: Vec<(Arc<str>, Percent)>,
    /// Names to resolve for DNS clusters: (host, port), in configuration order.
    pub names: Vec<(Arc<str>, u16)>,
}

/// Endpoints of one locality.
#[derive(Debug, Clone)]
pub struct Locality {
    /// Region, zone, sub-zone.
    pub region: Arc<str>,
    /// Zone.
    pub zone: Arc<str>,
    /// Sub-zone.
    pub sub_zone: Arc<str>,
    /// Weight; `None` when locality weighting is off.
    pub weight: Option<u32>,
    /// Its endpoints.
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// One endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// `hostname`, for `auto_host_rewrite`.
    pub hostname: Option<Arc<str>>,
    /// At least 1.
    pub weight: u32,
    /// What EDS says of its health.
    pub health: Health,
    /// `envoy.transport_socket_match`: `tlsMode` and the like.
    pub transport_metadata: Vec<(Arc<str>, Arc<str>)>,
    /// `envoy.lb`: subset keys.
    pub subset_metadata: Vec<(Arc<str>, Arc<str>)>,
    /// `istio.workload`: `name;namespace;canonical name;canonical revision;cluster`.
    pub workload: Option<Arc<str>>,
    /// Index into the cluster's `transport_matches`, or `None` for `transport`; resolved when built.
    pub transport_match: Option<usize>,
    /// Health, ejection, load: carried over swaps by (cluster, address).
    pub state: Arc<EndpointState>,
}

/// EDS `health_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// Healthy or unknown.
    #[default]
    Healthy,
    /// Used only when too few are healthy.
    Degraded,
    /// Not used, unless in panic.
    Unhealthy,
    /// Not used for new requests; open connections go on.
    Draining,
}

/// Load balancing.
#[derive(Debug, Clone, PartialEq)]
pub enum Balancer {
    /// `ROUND_ROBIN`, weighted.
    RoundRobin,
    /// `LEAST_REQUEST`: power of `choices`.
    LeastRequest {
        /// Draws (default 2).
        choices: u32,
    },
    /// `RANDOM`.
    Random,
    /// `RING_HASH`.
    RingHash {
        /// Ring entries at least (default 1024).
        minimum: u64,
        /// At most (default 8 M).
        maximum: u64,
    },
    /// `MAGLEV`.
    Maglev {
        /// A prime (default 65 537).
        table_size: u64,
    },
    /// `CLUSTER_PROVIDED`: original destination.
    OriginalDestination,
}

/// `envoy.config.cluster.v3.Cluster.LbSubsetConfig`.
#[derive(Debug, Clone, PartialEq)]
pub struct Subsets {
    /// Sets of metadata keys that form subsets, each sorted.
    pub selectors: Vec<Vec<Arc<str>>>,
    /// What if a request's criteria name no subset that exists.
    pub fallback: SubsetFallback,
}

/// `fallback_policy`.
#[derive(Debug, Clone, PartialEq)]
pub enum SubsetFallback {
    /// No endpoint: 503.
    None,
    /// Any endpoint.
    Any,
    /// The endpoints with this metadata.
    Default(Vec<(Arc<str>, Arc<str>)>),
}

/// Circuit breakers (`envoy.config.cluster.v3.CircuitBreakers.Thresholds`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Breakers {
    /// Connections (default 1024).
    pub max_connections: u32,
    /// Requests waiting for a connection (default 1024).
    pub max_pending: u32,
    /// Requests in flight (default 1024).
    pub max_requests: u32,
    /// Retries in flight (default 3), unless `retry_budget`.
    pub max_retries: u32,
    /// Retries in flight as (percent of active requests, at least).
    pub retry_budget: Option<(f64, u32)>,
}

/// `envoy.config.cluster.v3.OutlierDetection`, the parts that are honoured.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlier {
    /// `consecutive_5xx` (default 5) and the chance that it ejects, in percent (default 100).
    pub consecutive_5xx: (u32, u32),
    /// `consecutive_gateway_failure` (default 5, enforcing default 0).
    pub consecutive_gateway: (u32, u32),
    /// `consecutive_local_origin_failure` (default 5, 100), when split.
    pub consecutive_local: (u32, u32),
    /// `split_external_local_origin_errors`.
    pub split_local: bool,
    /// Sweep interval (default 10 s).
    pub interval: Duration,
    /// First ejection's length (default 30 s), times the number of ejections.
    pub base_ejection: Duration,
    /// Longest ejection (default 300 s, at least `base_ejection`).
    pub max_ejection: Duration,
    /// At most this share of endpoints is out, in percent (default 10).
    pub max_ejection_percent: u32,
    /// `always_eject_one_host` (default false): the first may be ejected whatever the share.
    pub always_eject_one: bool,
    /// Success rate: minimum hosts, request volume, stdev factor / 1000, enforcing percent.
    pub success_rate: Option<SuccessRate>,
}

/// Success-rate ejection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuccessRate {
    /// `success_rate_minimum_hosts` (default 5).
    pub minimum_hosts: u32,
    /// `success_rate_request_volume` (default 100).
    pub request_volume: u32,
    /// `success_rate_stdev_factor` / 1000 (default 1.9).
    pub stdev_factor: f64,
    /// `enforcing_success_rate` in percent (default 100).
    pub enforcing: u32,
}

/// A `transport_socket_matches` entry.
#[derive(Debug, Clone)]
pub struct TransportMatch {
    /// Name.
    pub name: Arc<str>,
    /// All must be in the endpoint's `transport_metadata`.
    pub criteria: Vec<(Arc<str>, Arc<str>)>,
    /// The transport.
    pub transport: UpstreamTransport,
}

/// How to reach an endpoint.
#[derive(Debug, Clone)]
pub enum UpstreamTransport {
    /// Plain.
    Plain,
    /// TLS.
    Tls(Arc<UpstreamTls>),
}

/// Protocol to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// The same as downstream (`use_downstream_protocol_config`).
    Downstream,
    /// By ALPN (`auto_config`).
    Auto,
}

/// TCP keepalive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Unanswered probes.
    pub probes: Option<u32>,
    /// Idle time before the first.
    pub time: Option<Duration>,
    /// Between probes.
    pub interval: Option<Duration>,
}
