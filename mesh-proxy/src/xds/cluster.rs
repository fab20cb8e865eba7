//! Clusters, apart from their endpoints, which may come later.

use std::{sync::Arc, time::Duration};

use mesh_proto::{
    canonical,
    envoy::{
        config::{
            cluster::v3::{
                Cluster as WireCluster, Filter as WireFilter, UpstreamConnectionOptions,
                cluster::{ClusterDiscoveryType, CustomClusterType, DiscoveryType, EdsClusterConfig, TransportSocketMatch},
            },
            core::v3::{BindConfig, TcpKeepalive, TypedExtensionConfig},
        },
        extensions::clusters::dns::v3::DnsCluster,
    },
    type_url::message_name,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    address,
    any::Typed,
    balancer, breaker,
    context::{Context, Result, ignored, refused},
    endpoint, metadata, protocol, scalar,
    source::{self, Source},
    text, tls,
};
use crate::{
    snapshot::{Cluster, ClusterSlot, Discovery, EndpointSet, Keepalive, TransportMatch, UpstreamTransport},
    upstream::state::States,
};

/// `connect_timeout`, if nothing else is said.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// `dns_refresh_rate`, if nothing else is said.
const DNS_REFRESH: Duration = Duration::from_secs(5);

/// A cluster, and what its endpoints are converted with.
pub(crate) struct Converted {
    /// With its own endpoints; those of EDS are joined later.
    pub(crate) cluster: Cluster,
    /// Localities are weighted.
    pub(crate) weighted: bool,
}

/// A cluster.
pub(crate) fn cluster(
    cx: &mut Context<'_>,
    states: &mut States,
    slot: ClusterSlot,
    name: &Arc<str>,
    wire: &WireCluster,
) -> Result<Converted> {
    unimplemented_fields(cx, wire)?;
    let discovery = discovery(cx, name, wire)?;
    let transport = tls::upstream(cx, name, wire.transport_socket.as_ref())?;
    let transport_matches = cx.each("transport_socket_matches", &wire.transport_socket_matches, transport_match)?;
    let protocol = protocol::protocol(cx, wire)?;
    let is_tls = |transport: &UpstreamTransport| matches!(transport, UpstreamTransport::Tls(_));
    if protocol.from_host && (is_tls(&transport) || transport_matches.iter().any(|entry| is_tls(&entry.transport))) {
        return Err(cx.refuse("auto_sni and auto_san_validation are not implemented: TLS would be without SNI or names unverified; give sni and match_typed_subject_alt_names"));
    }
    let balancing = balancer::balancing(cx, wire, &discovery)?;
    let of = endpoint::Of {
        cluster: name,
        transport_matches: &transport_matches,
        weighted: balancing.weighted,
        dns: matches!(discovery, Discovery::StrictDns { .. } | Discovery::LogicalDns { .. }),
    };
    let endpoints = own_endpoints(cx, states, &of, &discovery, wire)?;
    let (breakers, breakers_high) = breaker::breakers(cx, wire.circuit_breakers.as_ref())?;
    let outlier = wire.outlier_detection.as_ref().map(|wire| cx.field("outlier_detection", |cx| breaker::outlier(cx, wire))).transpose()?;
    let connect_timeout = scalar::positive(cx, "connect_timeout", wire.connect_timeout.as_ref(), CONNECT_TIMEOUT)?;
    let bind_source = match &wire.upstream_bind_config {
        Some(wire) => cx.field("upstream_bind_config", |cx| bind(cx, wire))?,
        None => None,
    };
    let cluster = Cluster {
        name: name.clone(),
        slot,
        stat_name: text::optional(&wire.alt_stat_name).unwrap_or_else(|| name.clone()),
        warming: matches!(discovery, Discovery::Eds(_)),
        discovery,
        endpoints: Arc::new(endpoints),
        balancer: balancing.balancer,
        subsets: balancing.subsets,
        compiled: Default::default(),
        transport_matches,
        transport,
        protocol: protocol.protocol,
        http2: protocol.http2,
        connect_timeout,
        idle_timeout: protocol.idle_timeout,
        max_connection_duration: protocol.max_connection_duration,
        max_requests_per_connection: protocol.max_requests,
        breakers,
        breakers_high,
        outlier,
        panic_threshold: balancing.panic_threshold,
        bind_source,
        keepalive: keepalive(cx, wire.upstream_connection_options.as_ref()),
        service: metadata::service(wire.metadata.as_ref()),
        external: metadata::is_external(wire.metadata.as_ref()) || PASSTHROUGH.contains(&&**name),
        provenance: metadata::provenance(wire.metadata.as_ref()),
        state: states.cluster(name),
        pool_hash: pool_hash(wire),
        hash: xxh3_64(&canonical::encode(wire)),
    };
    Ok(Converted { cluster, weighted: balancing.weighted })
}

/// Where Istio sends what it knows nothing of. They have no metadata to say so.
const PASSTHROUGH: [&str; 3] = ["PassthroughCluster", "InboundPassthroughCluster", "InboundPassthroughClusterIpv6"];

/// The same cluster with other endpoints.
pub(crate) fn with_endpoints(base: &Cluster, endpoints: Arc<EndpointSet>, warming: bool) -> Cluster {
    Cluster {
        name: base.name.clone(),
        slot: base.slot,
        stat_name: base.stat_name.clone(),
        discovery: base.discovery.clone(),
        endpoints,
        warming,
        balancer: base.balancer.clone(),
        subsets: base.subsets.clone(),
        compiled: Default::default(),
        transport_matches: base.transport_matches.clone(),
        transport: base.transport.clone(),
        protocol: base.protocol,
        http2: base.http2.clone(),
        connect_timeout: base.connect_timeout,
        idle_timeout: base.idle_timeout,
        max_connection_duration: base.max_connection_duration,
        max_requests_per_connection: base.max_requests_per_connection,
        breakers: base.breakers,
        breakers_high: base.breakers_high,
        outlier: base.outlier.clone(),
        panic_threshold: base.panic_threshold,
        bind_source: base.bind_source,
        keepalive: base.keepalive,
        service: base.service.clone(),
        external: base.external,
        provenance: base.provenance.clone(),
        state: base.state.clone(),
        pool_hash: base.pool_hash,
        hash: base.hash,
    }
}

/// Names every field: those that the functions here read, and those that nothing reads.
fn unimplemented_fields(cx: &mut Context<'_>, wire: &WireCluster) -> Result<()> {
    #[expect(deprecated, reason = "every field is looked at")]
    let WireCluster {
        transport_socket_matches: _,
        transport_socket_matcher,
        name: _,
        alt_stat_name: _,
        stats_matcher,
        eds_cluster_config: _,
        connect_timeout: _,
        per_connection_buffer_limit_bytes,
        per_connection_buffer_high_watermark_timeout,
        lb_policy: _,
        load_assignment: _,
        health_checks,
        max_requests_per_connection: _,
        circuit_breakers: _,
        upstream_http_protocol_options: _,
        common_http_protocol_options: _,
        http_protocol_options: _,
        http2_protocol_options: _,
        typed_extension_protocol_options: _,
        dns_refresh_rate: _,
        dns_jitter,
        dns_failure_refresh_rate,
        respect_dns_ttl,
        dns_lookup_family,
        dns_resolvers,
        use_tcp_for_dns_lookups,
        dns_resolution_config,
        typed_dns_resolver_config,
        wait_for_warm_on_init,
        outlier_detection: _,
        cleanup_interval,
        upstream_bind_config: _,
        lb_subset_config: _,
        common_lb_config: _,
        transport_socket: _,
        metadata: _,
        protocol_selection: _,
        upstream_connection_options: _,
        close_connections_on_host_health_failure,
        ignore_health_on_host_removal,
        filters,
        load_balancing_policy: _,
        lrs_server,
        lrs_report_endpoint_metrics,
        track_timeout_budgets,
        upstream_config,
        track_cluster_stats,
        preconnect_policy,
        connection_pool_per_downstream_connection,
        queuing_policies,
        cluster_discovery_type: _,
        lb_config: _,
    } = wire;
    ignored!(cx; stats_matcher, per_connection_buffer_limit_bytes, per_connection_buffer_high_watermark_timeout, health_checks, dns_jitter,
        dns_failure_refresh_rate, respect_dns_ttl, dns_lookup_family, use_tcp_for_dns_lookups, typed_dns_resolver_config, wait_for_warm_on_init,
        cleanup_interval, close_connections_on_host_health_failure, ignore_health_on_host_removal, lrs_server, lrs_report_endpoint_metrics,
        track_timeout_budgets, track_cluster_stats, preconnect_policy, connection_pool_per_downstream_connection, queuing_policies);
    refused!(cx; "endpoints would be spoken to in another way"; transport_socket_matcher);
    refused!(cx; "another resolver might give other addresses"; dns_resolvers, dns_resolution_config);
    if let Some(TypedExtensionConfig { name: _, typed_config }) = upstream_config {
        let known = typed_config.as_ref().map(|any| message_name(&any.type_url));
        if known != Some("envoy.extensions.upstreams.http.generic.v3.GenericConnectionPoolProto") {
            return Err(cx.refuse_field("upstream_config", "is not implemented: requests would be sent in another form"));
        }
    }
    cx.each("filters", filters, upstream_filter).map(drop)
}

/// Network filters towards endpoints: only Istio's metadata exchange, which tells and changes nothing else.
fn upstream_filter(cx: &mut Context<'_>, wire: &WireFilter) -> Result<()> {
    let WireFilter { name, typed_config, config_discovery } = wire;
    refused!(cx; "connections would go without it"; config_discovery);
    match typed_config.as_ref().map(|any| message_name(&any.type_url)) {
        Some(
            "envoy.tcp.metadataexchange.config.MetadataExchange"
            | "envoy.extensions.network_filters.peer_metadata.UpstreamConfig"
            | "envoy.extensions.network_filters.peer_metadata.Config",
        ) => {
            cx.ignore("");
            Ok(())
        }
        _ => Err(cx.refuse(format!("{name}: upstream network filters are not implemented: connections would go without it"))),
    }
}

fn discovery(cx: &mut Context<'_>, name: &Arc<str>, wire: &WireCluster) -> Result<Discovery> {
    let kind = match &wire.cluster_discovery_type {
        None => DiscoveryType::Static,
        Some(ClusterDiscoveryType::Type(kind)) => scalar::known(cx, "type", *kind)?,
        Some(ClusterDiscoveryType::ClusterType(wire)) => return cx.field("cluster_type", |cx| custom(cx, wire)),
    };
    #[expect(deprecated, reason = "the common form in configurations of all ages")]
    let refresh = scalar::positive(cx, "dns_refresh_rate", wire.dns_refresh_rate.as_ref(), DNS_REFRESH)?;
    if wire.eds_cluster_config.is_some() && kind != DiscoveryType::Eds {
        return Err(cx.refuse_field("eds_cluster_config", "belongs to clusters of type EDS only"));
    }
    Ok(match kind {
        DiscoveryType::Static => Discovery::Static,
        DiscoveryType::StrictDns => Discovery::StrictDns { refresh },
        DiscoveryType::LogicalDns => Discovery::LogicalDns { refresh },
        DiscoveryType::OriginalDst => Discovery::OriginalDst,
        DiscoveryType::Eds => cx.field("eds_cluster_config", |cx| {
            let wire = wire.eds_cluster_config.as_ref().ok_or_else(|| cx.refuse("is missing"))?;
            let EdsClusterConfig { eds_config, service_name } = wire;
            if source::source(cx, "eds_config", eds_config.as_ref())? != Source::Ads {
                return Err(cx.refuse_field("eds_config", "only ads is implemented for endpoints"));
            }
            Ok(Discovery::Eds(text::optional(service_name).unwrap_or_else(|| name.clone())))
        })?,
    })
}

fn custom(cx: &mut Context<'_>, wire: &CustomClusterType) -> Result<Discovery> {
    let CustomClusterType { name, typed_config } = wire;
    let typed = cx.field("typed_config", |cx| Typed::required(cx, typed_config.as_ref()))?;
    if typed.name() != "envoy.extensions.clusters.dns.v3.DnsCluster" {
        return Err(cx.refuse(format!("{name} is not implemented: there would be no endpoints")));
    }
    cx.field("typed_config", |cx| {
        let DnsCluster {
            dns_refresh_rate,
            dns_failure_refresh_rate,
            respect_dns_ttl,
            dns_jitter,
            typed_dns_resolver_config,
            dns_lookup_family,
            all_addresses_in_single_endpoint,
            dns_min_refresh_rate,
        } = typed.decode(cx)?;
        ignored!(cx; dns_failure_refresh_rate, respect_dns_ttl, dns_jitter, typed_dns_resolver_config, dns_lookup_family, dns_min_refresh_rate);
        let refresh = scalar::positive(cx, "dns_refresh_rate", dns_refresh_rate.as_ref(), DNS_REFRESH)?;
        Ok(if all_addresses_in_single_endpoint { Discovery::LogicalDns { refresh } } else { Discovery::StrictDns { refresh } })
    })
}

fn own_endpoints(
    cx: &mut Context<'_>,
    states: &mut States,
    of: &endpoint::Of<'_>,
    discovery: &Discovery,
    wire: &WireCluster,
) -> Result<EndpointSet> {
    match (&wire.load_assignment, discovery) {
        (None, _) => Ok(endpoint::none()),
        (Some(_), Discovery::Eds(_) | Discovery::OriginalDst) => {
            Err(cx.refuse_field("load_assignment", "does not belong to clusters of this type"))
        }
        (Some(wire), _) => cx.field("load_assignment", |cx| endpoint::set(cx, states, of, wire)),
    }
}

fn transport_match(cx: &mut Context<'_>, wire: &TransportSocketMatch) -> Result<TransportMatch> {
    let TransportSocketMatch { name, r#match, transport_socket } = wire;
    Ok(TransportMatch {
        name: name.as_str().into(),
        criteria: r#match.as_ref().map(metadata::struct_pairs).unwrap_or_default(),
        transport: tls::upstream(cx, name, transport_socket.as_ref())?,
    })
}

fn bind(cx: &mut Context<'_>, wire: &BindConfig) -> Result<Option<std::net::IpAddr>> {
    #[expect(deprecated, reason = "every field is looked at")]
    let BindConfig {
        source_address,
        freebind,
        socket_options,
        extra_source_addresses,
        additional_source_addresses,
        local_address_selector,
        validate_network_namespaces,
    } = wire;
    ignored!(cx; freebind, socket_options, extra_source_addresses, additional_source_addresses, local_address_selector, validate_network_namespaces);
    let Some(wire) = source_address else { return Ok(None) };
    cx.field("source_address", |cx| match address::source(cx, wire)? {
        (ip, 0) => Ok(Some(ip)),
        _ => Err(cx.refuse_field("port_value", "must be 0: connections cannot share one port")),
    })
}

fn keepalive(cx: &mut Context<'_>, wire: Option<&UpstreamConnectionOptions>) -> Option<Keepalive> {
    let UpstreamConnectionOptions { tcp_keepalive, set_local_interface_name_on_upstream_connections, happy_eyeballs_config } = wire?;
    cx.field("upstream_connection_options", |cx| ignored!(cx; set_local_interface_name_on_upstream_connections, happy_eyeballs_config));
    let TcpKeepalive { keepalive_probes, keepalive_time, keepalive_interval } = tcp_keepalive.as_ref()?;
    let seconds = |wire: &mesh_proto::google::protobuf::UInt32Value| Duration::from_secs(u64::from(wire.value));
    Some(Keepalive {
        probes: keepalive_probes.as_ref().map(|wire| wire.value),
        time: keepalive_time.as_ref().map(seconds),
        interval: keepalive_interval.as_ref().map(seconds),
    })
}

/// Hash of what a connection is made with.
#[expect(deprecated, reason = "old forms make connections, too")]
fn pool_hash(wire: &WireCluster) -> u64 {
    let part = WireCluster {
        transport_socket: wire.transport_socket.clone(),
        transport_socket_matches: wire.transport_socket_matches.clone(),
        typed_extension_protocol_options: wire.typed_extension_protocol_options.clone(),
        common_http_protocol_options: wire.common_http_protocol_options,
        http_protocol_options: wire.http_protocol_options.clone(),
        http2_protocol_options: wire.http2_protocol_options.clone(),
        max_requests_per_connection: wire.max_requests_per_connection,
        protocol_selection: wire.protocol_selection,
        upstream_bind_config: wire.upstream_bind_config.clone(),
        upstream_connection_options: wire.upstream_connection_options,
        ..WireCluster::default()
    };
    xxh3_64(&canonical::encode(&part))
}
