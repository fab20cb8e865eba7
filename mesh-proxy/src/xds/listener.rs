//! Listeners and filter chains.

use std::{sync::Arc, time::Duration};

use mesh_proto::{
    canonical,
    envoy::{
        config::{
            core::v3::TrafficDirection,
            listener::v3::{
                AdditionalAddress, FilterChain as WireChain, FilterChainMatch, Listener as WireListener, ListenerFilter,
                ListenerFilterChainMatchPredicate,
                filter_chain_match::ConnectionSourceType,
                listener::{ConnectionBalanceConfig, DeprecatedV1, connection_balance_config::BalanceType},
                listener_filter::ConfigType,
                listener_filter_chain_match_predicate::Rule,
            },
        },
        extensions::filters::listener::{proxy_protocol::v3::ProxyProtocol, tls_inspector::v3::TlsInspector},
    },
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{
    access_log, address,
    any::Typed,
    context::{Context, Result, ignored, refused},
    network, scalar, tls,
};
use crate::snapshot::{ChainMatch, Direction, FilterChain, Inspectors, Listener, ListenerSlot, SourceType};

/// `listener_filters_timeout`, if nothing else is said.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(15);
/// `per_connection_buffer_limit_bytes`, if nothing else is said.
const BUFFER_LIMIT: u32 = 1024 * 1024;

/// A listener. Chains that are the same in `previous` are taken over from it, so that their connections go on.
pub(crate) fn listener(
    cx: &mut Context<'_>,
    slot: ListenerSlot,
    name: &Arc<str>,
    wire: &WireListener,
    previous: Option<&Listener>,
) -> Result<Listener> {
    unimplemented_fields(cx, wire)?;
    cx.direction = match scalar::known(cx, "traffic_direction", wire.traffic_direction)? {
        TrafficDirection::Unspecified => Direction::Unspecified,
        TrafficDirection::Inbound => Direction::Inbound,
        TrafficDirection::Outbound => Direction::Outbound,
    };
    let mut addresses = vec![cx.field("address", |cx| address::address(cx, wire.address.as_ref()))?];
    addresses.extend(cx.each("additional_addresses", &wire.additional_addresses, |cx, wire| {
        let AdditionalAddress { address: wire_address, socket_options, tcp_keepalive } = wire;
        ignored!(cx; socket_options, tcp_keepalive);
        cx.field("address", |cx| address::address(cx, wire_address.as_ref()))
    })?);
    let chains = cx.each("filter_chains", &wire.filter_chains, |cx, wire| chain(cx, Place::Matched, wire))?;
    distinct(cx, &chains)?;
    let default_chain = match &wire.default_filter_chain {
        Some(wire) => Some(cx.field("default_filter_chain", |cx| chain(cx, Place::Default, wire))?),
        None => None,
    };
    if chains.is_empty() && default_chain.is_none() {
        return Err(cx.refuse_field("filter_chains", "is empty"));
    }
    let bind_to_port = match (&wire.bind_to_port, deprecated_bind(wire)) {
        (Some(bind), _) => bind.value,
        (None, bind) => bind,
    };
    Ok(Listener {
        name: name.clone(),
        slot,
        bind_to_port,
        use_original_dst: scalar::flag(wire.use_original_dst.as_ref(), false),
        direction: cx.direction,
        inspectors: inspectors(cx, wire, &chains)?,
        inspect_timeout: scalar::optional(cx, "listener_filters_timeout", wire.listener_filters_timeout.as_ref())?
            .unwrap_or(INSPECT_TIMEOUT),
        continue_on_inspect_timeout: wire.continue_on_listener_filters_timeout,
        default_chain: default_chain.map(|chain| kept(chain, previous)),
        chains: chains.into_iter().map(|chain| kept(chain, previous)).collect(),
        access_logs: access_log::logs(cx, "access_log", &wire.access_log)?,
        buffer_limit: scalar::number(wire.per_connection_buffer_limit_bytes.as_ref(), BUFFER_LIMIT) as usize,
        connection_limit: None,
        exact_balance: exact_balance(cx, wire.connection_balance_config.as_ref()),
        stat_prefix: if wire.stat_prefix.is_empty() { addresses[0].to_string().into() } else { wire.stat_prefix.as_str().into() },
        addresses,
        hash: xxh3_64(&canonical::encode(wire)),
    })
}

/// Names every field: those that [`listener`] reads, and those that it does not.
fn unimplemented_fields(cx: &mut Context<'_>, wire: &WireListener) -> Result<()> {
    #[expect(deprecated, reason = "every field is looked at")]
    let WireListener {
        name: _,
        address: _,
        additional_addresses: _,
        stat_prefix: _,
        stats_matcher,
        filter_chains: _,
        fcds_config,
        filter_chain_matcher,
        use_original_dst: _,
        default_filter_chain: _,
        per_connection_buffer_limit_bytes: _,
        per_connection_buffer_high_watermark_timeout,
        metadata,
        deprecated_v1: _,
        drain_type,
        listener_filters: _,
        listener_filters_timeout: _,
        continue_on_listener_filters_timeout: _,
        transparent,
        freebind,
        socket_options,
        tcp_fast_open_queue_length,
        traffic_direction: _,
        udp_listener_config,
        api_listener,
        connection_balance_config: _,
        // Always on.
        reuse_port: _,
        enable_reuse_port: _,
        access_log: _,
        tcp_backlog_size,
        max_connections_to_accept_per_socket_event,
        bind_to_port: _,
        enable_mptcp,
        ignore_global_conn_limit,
        bypass_overload_manager,
        tcp_keepalive,
        listener_specifier,
    } = wire;
    // Where it comes from is told by its name.
    let _ = metadata;
    ignored!(cx; stats_matcher, per_connection_buffer_high_watermark_timeout, drain_type, freebind, socket_options, tcp_fast_open_queue_length,
        tcp_backlog_size, max_connections_to_accept_per_socket_event, enable_mptcp, ignore_global_conn_limit, bypass_overload_manager, tcp_keepalive);
    refused!(cx; "connections would be taken by another chain"; fcds_config, filter_chain_matcher);
    refused!(cx; "only TCP listeners are"; udp_listener_config, api_listener, listener_specifier);
    if scalar::flag(transparent.as_ref(), false) {
        return Err(cx.refuse_field("transparent", "is not implemented: connections would be lost"));
    }
    Ok(())
}

#[expect(deprecated, reason = "control planes still send it")]
fn deprecated_bind(wire: &WireListener) -> bool {
    wire.deprecated_v1.as_ref().is_none_or(|DeprecatedV1 { bind_to_port }| scalar::flag(bind_to_port.as_ref(), true))
}

fn exact_balance(cx: &mut Context<'_>, wire: Option<&ConnectionBalanceConfig>) -> bool {
    match wire.and_then(|ConnectionBalanceConfig { balance_type }| balance_type.as_ref()) {
        Some(BalanceType::ExactBalance(_)) => true,
        Some(BalanceType::ExtendBalance(_) | BalanceType::CpuLocalityBalance(_)) => {
            cx.ignore("connection_balance_config");
            false
        }
        None => false,
    }
}

/// Envoy refuses two chains that take the same connections.
fn distinct(cx: &mut Context<'_>, chains: &[FilterChain]) -> Result<()> {
    for (position, chain) in chains.iter().enumerate() {
        if let Some(other) = chains[..position].iter().find(|other| other.matcher == chain.matcher) {
            let reason = format!("takes the same connections as chain {:?}", other.name);
            return Err(cx.refuse_field(&format!("filter_chains[{position}].filter_chain_match"), reason));
        }
    }
    Ok(())
}

/// The chain of the listener's version before, if it is the same.
fn kept(chain: FilterChain, previous: Option<&Listener>) -> Arc<FilterChain> {
    previous
        .into_iter()
        .flat_map(|previous| previous.chains.iter().chain(&previous.default_chain))
        .find(|old| old.hash == chain.hash && old.entry_hash == chain.entry_hash && old.name == chain.name)
        .cloned()
        .unwrap_or_else(|| Arc::new(chain))
}

/// Where a chain stands in its listener.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Among those that are chosen by their match.
    Matched,
    /// For what no other takes, whatever its match says.
    Default,
}

fn chain(cx: &mut Context<'_>, place: Place, wire: &WireChain) -> Result<FilterChain> {
    #[expect(deprecated, reason = "every field is looked at")]
    let WireChain {
        filter_chain_match,
        filters: wire_filters,
        use_proxy_proto,
        metadata,
        transport_socket,
        transport_socket_connect_timeout,
        name,
    } = wire;
    let _ = metadata;
    if scalar::flag(use_proxy_proto.as_ref(), false) {
        return Err(cx.refuse_field("use_proxy_proto", "is not implemented; use the listener filter envoy.filters.listener.proxy_protocol"));
    }
    let none = FilterChainMatch::default();
    let matcher = cx.field("filter_chain_match", |cx| chain_match(cx, filter_chain_match.as_ref().unwrap_or(&none)))?;
    let transport = tls::downstream(cx, transport_socket.as_ref())?;
    let network::Filters { filters, terminal } = network::filters(cx, wire_filters)?;
    // The direction decides who reports in metrics, so it belongs to a chain's content.
    let seed = cx.direction as u64 | u64::from(place == Place::Default) << 8;
    let match_hash = xxh3_64_with_seed(&canonical::encode(filter_chain_match.as_ref().unwrap_or(&none)), seed);
    let transport_hash = transport_socket.as_ref().map_or(0, |wire| xxh3_64(&canonical::encode(wire)));
    // Names need not be unique, and control planes repeat them: see `FilterChain::entry_hash`.
    let name = match (place, name.as_str()) {
        (Place::Default, "") => "default".into(),
        (Place::Matched, "") => format!("#{match_hash:016x}").into(),
        (_, name) => name.into(),
    };
    Ok(FilterChain {
        name,
        matcher,
        transport,
        filters,
        terminal,
        handshake_timeout: scalar::zero_is_off(cx, "transport_socket_connect_timeout", transport_socket_connect_timeout.as_ref(), None)?,
        hash: xxh3_64_with_seed(&canonical::encode(wire), seed),
        entry_hash: xxh3_64_with_seed(&transport_hash.to_le_bytes(), match_hash),
    })
}

fn chain_match(cx: &mut Context<'_>, wire: &FilterChainMatch) -> Result<ChainMatch> {
    let FilterChainMatch {
        destination_port,
        prefix_ranges,
        address_suffix,
        suffix_len,
        direct_source_prefix_ranges,
        source_type,
        source_prefix_ranges,
        source_ports,
        server_names,
        transport_protocol,
        application_protocols,
    } = wire;
    refused!(cx; "connections would be taken that are another's"; address_suffix, suffix_len);
    Ok(ChainMatch {
        destination_port: destination_port.as_ref().map(|wire| scalar::port(cx, "destination_port", wire.value)).transpose()?,
        destination_ranges: cx.each("prefix_ranges", prefix_ranges, address::range)?,
        server_names: cx.each("server_names", server_names, |cx, name| {
            let name = name.to_ascii_lowercase();
            let rest = name.strip_prefix("*.").unwrap_or(&name);
            if rest.is_empty() || rest.contains('*') {
                return Err(cx.refuse(format!("{name:?} must be a name or *.name")));
            }
            Ok(name.into())
        })?,
        transport_protocol: match transport_protocol.as_str() {
            "" => None,
            known @ ("tls" | "raw_buffer") => Some(known.into()),
            // Envoy takes any text; one that no inspector finds matches nothing.
            other => Some(other.into()),
        },
        application_protocols: application_protocols.iter().map(|name| name.as_str().into()).collect(),
        direct_source_ranges: cx.each("direct_source_prefix_ranges", direct_source_prefix_ranges, address::range)?,
        source_type: match scalar::known(cx, "source_type", *source_type)? {
            ConnectionSourceType::Any => SourceType::Any,
            ConnectionSourceType::SameIpOrLoopback => SourceType::SameIpOrLoopback,
            ConnectionSourceType::External => SourceType::External,
        },
        source_ranges: cx.each("source_prefix_ranges", source_prefix_ranges, address::range)?,
        source_ports: cx.each("source_ports", source_ports, |cx, wire| scalar::port(cx, "", *wire))?,
    })
}

fn inspectors(cx: &mut Context<'_>, wire: &WireListener, chains: &[FilterChain]) -> Result<Inspectors> {
    let mut inspectors = Inspectors::default();
    cx.each("listener_filters", &wire.listener_filters, |cx, wire| inspector(cx, &mut inspectors, wire))?;
    // As in Envoy: a chain that asks for what only the ClientHello tells brings the inspector with it.
    inspectors.tls |= chains.iter().any(|chain| {
        let wanted = &chain.matcher;
        match wanted.transport_protocol.as_deref() {
            Some(protocol) => protocol == "tls",
            None => !wanted.server_names.is_empty() || !wanted.application_protocols.is_empty(),
        }
    });
    Ok(inspectors)
}

fn inspector(cx: &mut Context<'_>, inspectors: &mut Inspectors, wire: &ListenerFilter) -> Result<()> {
    let ListenerFilter { name, filter_disabled, config_type } = wire;
    match filter_disabled.as_ref().map(|ListenerFilterChainMatchPredicate { rule }| rule) {
        Some(Some(Rule::AnyMatch(true))) => return Ok(()),
        // Whoever is inspected without need is at worst waited for.
        Some(_) => cx.ignore("filter_disabled"),
        None => {}
    }
    let by_name = |name: &str| match name {
        "envoy.filters.listener.tls_inspector" => "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        "envoy.filters.listener.http_inspector" => "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
        "envoy.filters.listener.original_dst" => "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
        "envoy.filters.listener.proxy_protocol" => "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
        _ => "",
    };
    let typed = match config_type {
        Some(ConfigType::TypedConfig(any)) => Some(cx.field("typed_config", |cx| Typed::open(cx, any))?),
        Some(ConfigType::ConfigDiscovery(_)) => return Err(cx.refuse_field("config_discovery", "is not implemented")),
        None => None,
    };
    match typed.as_ref().map_or_else(|| by_name(name), |typed| typed.name()) {
        "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector" => {
            if let Some(typed) = &typed {
                let wire = typed.decode(cx)?;
                cx.field("typed_config", |cx| tls_inspector(cx, &wire));
            }
            inspectors.tls = true;
        }
        "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector" => inspectors.http = true,
        "envoy.extensions.filters.listener.original_dst.v3.OriginalDst" => inspectors.original_dst = true,
        "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol" => {
            if let Some(typed) = &typed {
                let wire = typed.decode(cx)?;
                cx.field("typed_config", |cx| proxy_protocol(cx, &wire))?;
            }
            inspectors.proxy_protocol = true;
        }
        _ => return Err(cx.refuse(format!("listener filter {name} is not implemented: connections would be taken for something else"))),
    }
    Ok(())
}

fn tls_inspector(cx: &mut Context<'_>, wire: &TlsInspector) {
    let TlsInspector {
        enable_ja3_fingerprinting,
        enable_ja4_fingerprinting,
        initial_read_buffer_size,
        close_connection_on_client_hello_parsing_errors,
        max_client_hello_size,
    } = wire;
    ignored!(cx; enable_ja3_fingerprinting, enable_ja4_fingerprinting, initial_read_buffer_size, close_connection_on_client_hello_parsing_errors,
        max_client_hello_size);
}

fn proxy_protocol(cx: &mut Context<'_>, wire: &ProxyProtocol) -> Result<()> {
    let ProxyProtocol { rules, allow_requests_without_proxy_protocol, pass_through_tlvs, disallowed_versions, stat_prefix, tlv_location } =
        wire;
    ignored!(cx; rules, pass_through_tlvs, stat_prefix, tlv_location);
    refused!(cx; "connections without the header are closed"; allow_requests_without_proxy_protocol);
    refused!(cx; "both versions are accepted"; disallowed_versions);
    Ok(())
}
