//! Configuration and draws for tests of this crate's pure parts.

use std::{sync::Arc, time::Duration};

use crate::snapshot::{
    Action, Address, Balancer, Breakers, ChainMatch, Cluster, ClusterSlot, Direction, Discovery, DownstreamTransport, Endpoint,
    EndpointSet, FilterChain, Forward, HeaderMutations, Health, HostIndex, Http2Options, Inspectors, Listener, ListenerSlot, Locality,
    PathMatch, Route, RouteMatch, RouteTable, Target, TcpProxy, Terminal, UpstreamProtocol, UpstreamTransport, VirtualHost,
};

/// Deterministic draws (splitmix64).
pub(crate) fn splitmix(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A locality with endpoints 127.0.0.1:`port`, `port + 1`, … of these weights.
pub(crate) fn locality(weight: Option<u32>, port: u16, weights: &[u32], health: Health) -> Locality {
    let endpoints = weights.iter().zip(port..).map(|(weight, port)| Arc::new(endpoint(port, *weight, health))).collect();
    Locality { region: "r".into(), zone: "z".into(), sub_zone: "".into(), weight, endpoints }
}

/// The endpoint 127.0.0.1:`port`.
pub(crate) fn endpoint(port: u16, weight: u32, health: Health) -> Endpoint {
    Endpoint {
        address: Address::Socket(([127, 0, 0, 1], port).into()),
        hostname: None,
        weight,
        health,
        transport_metadata: Vec::new(),
        subset_metadata: Vec::new(),
        workload: None,
        transport_match: None,
        state: Arc::default(),
    }
}

/// Endpoints by priority.
pub(crate) fn endpoint_set(priorities: Vec<Vec<Locality>>) -> EndpointSet {
    EndpointSet { priorities, overprovisioning: 140, drop: Vec::new(), names: Vec::new() }
}

/// Breakers that never open.
pub(crate) fn unlimited() -> Breakers {
    Breakers { max_connections: u32::MAX, max_pending: u32::MAX, max_requests: u32::MAX, max_retries: u32::MAX, retry_budget: None }
}

/// A cluster `c` in slot 0.
pub(crate) fn cluster(balancer: Balancer, endpoints: EndpointSet) -> Cluster {
    Cluster {
        name: "c".into(),
        slot: ClusterSlot(0),
        stat_name: "c".into(),
        discovery: Discovery::Static,
        endpoints: Arc::new(endpoints),
        warming: false,
        balancer,
        subsets: None,
        compiled: Default::default(),
        transport_matches: Vec::new(),
        transport: UpstreamTransport::Plain,
        protocol: UpstreamProtocol::Http1,
        http2: Http2Options {
            max_concurrent_streams: 1024,
            stream_window: 65_536,
            connection_window: 65_536,
            keepalive: None,
            allow_connect: false,
        },
        connect_timeout: Duration::from_secs(5),
        idle_timeout: None,
        max_connection_duration: None,
        max_requests_per_connection: 0,
        breakers: unlimited(),
        breakers_high: unlimited(),
        outlier: None,
        panic_threshold: 50,
        bind_source: None,
        keepalive: None,
        service: None,
        external: false,
        provenance: None,
        state: Arc::default(),
        pool_hash: 0,
        hash: 0,
    }
}

/// A TCP proxy to the cluster in slot 0.
pub(crate) fn tcp_proxy() -> TcpProxy {
    TcpProxy {
        stat_prefix: "tcp".into(),
        clusters: vec![(ClusterSlot(0), 1)],
        idle_timeout: None,
        connect_attempts: 1,
        hash_policy: Vec::new(),
        access_logs: Vec::new(),
        istio_stats: None,
        max_duration: None,
    }
}

/// A plaintext TCP chain.
pub(crate) fn chain(name: &str, matcher: ChainMatch) -> Arc<FilterChain> {
    Arc::new(FilterChain {
        name: name.into(),
        matcher,
        transport: DownstreamTransport::Plain,
        filters: Vec::new(),
        terminal: Terminal::Tcp(Arc::new(tcp_proxy())),
        handshake_timeout: None,
        hash: 0,
        entry_hash: 0,
    })
}

/// A listener with these chains, and a default one called `default`.
pub(crate) fn listener(chains: Vec<Arc<FilterChain>>) -> Listener {
    Listener {
        name: "l".into(),
        slot: ListenerSlot(0),
        addresses: Vec::new(),
        bind_to_port: true,
        use_original_dst: false,
        direction: Direction::Unspecified,
        inspectors: Inspectors::default(),
        inspect_timeout: Duration::from_secs(15),
        continue_on_inspect_timeout: false,
        chains,
        default_chain: Some(chain("default", ChainMatch::default())),
        access_logs: Vec::new(),
        buffer_limit: 1 << 20,
        connection_limit: None,
        exact_balance: false,
        stat_prefix: "l".into(),
        hash: 0,
    }
}

/// A match by path alone.
pub(crate) fn path_match(path: PathMatch) -> RouteMatch {
    RouteMatch {
        path,
        case_sensitive: true,
        headers: Vec::new(),
        query: Vec::new(),
        grpc: false,
        fraction: None,
        client_cert_presented: None,
        client_cert_validated: None,
    }
}

/// An action that forwards.
pub(crate) fn forward_to(target: Target) -> Action {
    Action::Forward(Box::new(Forward {
        target,
        cluster_not_found: http::StatusCode::SERVICE_UNAVAILABLE,
        rewrite: None,
        host_rewrite: None,
        append_x_forwarded_host: false,
        timeout: None,
        idle_timeout: None,
        max_stream_duration: None,
        grpc_timeout_max: None,
        retry: None,
        hash_policy: Vec::new(),
        mirrors: Vec::new(),
        cors: None,
        upgrades: Vec::new(),
        metadata_match: Vec::new(),
        high_priority: false,
    }))
}

/// A route to the cluster in that slot.
pub(crate) fn route_to(name: &str, matcher: RouteMatch, cluster: u32) -> Arc<Route> {
    Arc::new(Route {
        name: name.into(),
        provenance: Some(format!("config of {name}").into()),
        matcher,
        action: forward_to(Target::Cluster(ClusterSlot(cluster))),
        headers: HeaderMutations::default(),
        overrides: Vec::new(),
        operation: None,
        stat_prefix: None,
    })
}

/// A table `t` of virtual hosts with these domains and no routes.
pub(crate) fn table(hosts: &[(&str, &[&str])]) -> RouteTable {
    let mut index = HostIndex::default();
    for (at, (_, domains)) in hosts.iter().enumerate() {
        for domain in *domains {
            if *domain == "*" {
                index.any = Some(at);
            } else if let Some(suffix) = domain.strip_prefix('*') {
                index.suffix.push((suffix.into(), at));
            } else if let Some(prefix) = domain.strip_suffix('*') {
                index.prefix.push((prefix.into(), at));
            } else {
                index.exact.insert((*domain).into(), at);
            }
        }
    }
    index.suffix.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
    index.prefix.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    let virtual_hosts = hosts
        .iter()
        .map(|(name, _)| {
            Arc::new(VirtualHost {
                name: (*name).into(),
                routes: Vec::new(),
                require_tls: false,
                headers: HeaderMutations::default(),
                attempt_count_in_request: false,
                attempt_count_in_response: false,
            })
        })
        .collect();
    RouteTable {
        name: "t".into(),
        virtual_hosts,
        hosts: index,
        headers: HeaderMutations::default(),
        most_specific_wins: false,
        ignore_port: false,
        internal_only_headers: Vec::new(),
        hash: 0,
    }
}
