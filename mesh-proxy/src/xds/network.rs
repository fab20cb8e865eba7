//! Network filters: what happens to a connection's bytes.

use std::{sync::Arc, time::Duration};

use mesh_proto::{
    envoy::{
        config::listener::v3::{Filter as WireFilter, filter::ConfigType},
        extensions::filters::network::{
            http_connection_manager::v3::HttpConnectionManager,
            rbac::v3::Rbac as WireRbac,
            tcp_proxy::v3::{
                TcpProxy as WireTcp,
                tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight},
            },
        },
        r#type::v3::{HashPolicy as WireHash, hash_policy::PolicySpecifier},
    },
    google::protobuf::Any,
};

use super::{
    access_log,
    any::Typed,
    context::{Context, Result, ignored, refused},
    filter, hcm, rbac, scalar,
};
use crate::snapshot::{ClusterSlot, HashPolicy, HashSource, NetworkFilter, Reporter, TcpProxy, Terminal};

/// Filters that watch and change nothing, and those whose work is done elsewhere here.
const OBSERVERS: &[&str] = &[
    "envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy",
    "envoy.extensions.filters.network.mysql_proxy.v3.MySQLProxy",
    "envoy.extensions.filters.network.zookeeper_proxy.v3.ZooKeeperProxy",
    "envoy.extensions.filters.network.kafka_broker.v3.KafkaBroker",
    "envoy.extensions.network_filters.peer_metadata.Config",
    "envoy.extensions.network_filters.peer_metadata.UpstreamConfig",
    "envoy.tcp.metadataexchange.config.MetadataExchange",
];

/// The peer's identity is always taken from its certificate here.
const NETWORK_AUTHN: &str = "io.istio.network.authn.Config";

/// `idle_timeout` of a TCP proxy, if nothing else is said.
const IDLE: Duration = Duration::from_secs(3600);

/// A chain's filters.
pub(crate) struct Filters {
    /// Before the last.
    pub(crate) filters: Vec<NetworkFilter>,
    /// The last.
    pub(crate) terminal: Terminal,
}

enum Converted {
    Filter(NetworkFilter),
    Http(Arc<crate::snapshot::Hcm>),
    Tcp(Box<TcpProxy>),
    Stats(Reporter),
    Nothing,
}

/// The filters of a chain. The last must be the connection manager or the TCP proxy.
pub(crate) fn filters(cx: &mut Context<'_>, wire: &[WireFilter]) -> Result<Filters> {
    let converted = cx.each("filters", wire, filter)?;
    let last = converted.len().checked_sub(1);
    let (mut filters, mut terminal, mut stats) = (Vec::new(), None, None);
    for (position, converted) in converted.into_iter().enumerate() {
        match converted {
            Converted::Filter(filter) => filters.push(filter),
            Converted::Stats(reporter) => stats = Some(reporter),
            Converted::Nothing => {}
            Converted::Http(_) | Converted::Tcp(_) if Some(position) != last => {
                return Err(cx.refuse_field("filters", "has filters after the one that ends it"));
            }
            Converted::Http(hcm) => terminal = Some(Terminal::Http(hcm)),
            Converted::Tcp(tcp) => terminal = Some(Terminal::Tcp(Arc::new(TcpProxy { istio_stats: stats, ..*tcp }))),
        }
    }
    let terminal = terminal.ok_or_else(|| {
        cx.refuse_field("filters", "must end in envoy.filters.network.http_connection_manager or envoy.filters.network.tcp_proxy")
    })?;
    Ok(Filters { filters, terminal })
}

fn filter(cx: &mut Context<'_>, wire: &WireFilter) -> Result<Converted> {
    let WireFilter { name, config_type } = wire;
    let converted = match config_type {
        Some(ConfigType::TypedConfig(any)) => cx.field("typed_config", |cx| typed(cx, any))?,
        Some(ConfigType::ConfigDiscovery(_)) => Err("its configuration comes by ECDS, which is not implemented".to_owned()),
        None => Err("it has no typed_config".to_owned()),
    };
    Ok(converted.unwrap_or_else(|reason| {
        let reason = format!("network filter {name}: {reason}");
        cx.answers_500(&reason);
        Converted::Filter(NetworkFilter::Refuse { name: name.as_str().into(), reason: reason.into() })
    }))
}

/// The filter, or what is missing.
fn typed(cx: &mut Context<'_>, any: &Any) -> Result<std::result::Result<Converted, String>> {
    let typed = Typed::open(cx, any)?;
    Ok(Ok(match typed.name() {
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager" => {
            let wire: HttpConnectionManager = typed.decode(cx)?;
            Converted::Http(Arc::new(hcm::hcm(cx, &wire)?))
        }
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy" => {
            let wire: WireTcp = typed.decode(cx)?;
            Converted::Tcp(Box::new(tcp_proxy(cx, &wire)?))
        }
        "envoy.extensions.filters.network.rbac.v3.RBAC" => {
            let wire: WireRbac = typed.decode(cx)?;
            Converted::Filter(NetworkFilter::Rbac(Arc::new(rbac::network(cx, &wire)?)))
        }
        "stats.PluginConfig" => Converted::Stats(filter::stats(cx, typed.decode(cx)?)),
        NETWORK_AUTHN => Converted::Nothing,
        name if OBSERVERS.contains(&name) => {
            cx.ignore("");
            Converted::Nothing
        }
        name => return Ok(Err(format!("{name} is not implemented here"))),
    }))
}

fn tcp_proxy(cx: &mut Context<'_>, wire: &WireTcp) -> Result<TcpProxy> {
    #[expect(deprecated, reason = "every field is looked at")]
    let WireTcp {
        stat_prefix,
        on_demand,
        metadata_match,
        idle_timeout,
        downstream_idle_timeout,
        upstream_idle_timeout,
        access_log,
        max_connect_attempts,
        backoff_options,
        hash_policy,
        tunneling_config,
        max_downstream_connection_duration,
        max_downstream_connection_duration_jitter_percentage,
        access_log_flush_interval,
        flush_access_log_on_connected,
        access_log_options,
        proxy_protocol_tlvs,
        proxy_protocol_tlv_merge_policy,
        upstream_connect_mode,
        max_early_data_bytes,
        check_drain_close,
        cluster_specifier,
    } = wire;
    ignored!(cx; on_demand, downstream_idle_timeout, upstream_idle_timeout, backoff_options, max_downstream_connection_duration_jitter_percentage,
        access_log_flush_interval, flush_access_log_on_connected, access_log_options, proxy_protocol_tlvs, proxy_protocol_tlv_merge_policy,
        upstream_connect_mode, max_early_data_bytes, check_drain_close);
    refused!(cx; "connections would go to other endpoints; use a cluster for each subset"; metadata_match);
    refused!(cx; "bytes would not be tunnelled"; tunneling_config);
    Ok(TcpProxy {
        stat_prefix: stat_prefix.as_str().into(),
        clusters: clusters(cx, cluster_specifier.as_ref())?,
        idle_timeout: scalar::zero_is_off(cx, "idle_timeout", idle_timeout.as_ref(), Some(IDLE))?,
        connect_attempts: scalar::number(max_connect_attempts.as_ref(), 1).max(1),
        hash_policy: cx.each("hash_policy", hash_policy, hash_source)?,
        access_logs: access_log::logs(cx, "access_log", access_log)?,
        istio_stats: None,
        max_duration: scalar::zero_is_off(cx, "max_downstream_connection_duration", max_downstream_connection_duration.as_ref(), None)?,
    })
}

fn clusters(cx: &mut Context<'_>, wire: Option<&ClusterSpecifier>) -> Result<Vec<(ClusterSlot, u32)>> {
    match wire {
        None => Err(cx.refuse_field("cluster", "is missing")),
        Some(ClusterSpecifier::Cluster(name)) => Ok(vec![(cx.field("cluster", |cx| cx.cluster(name))?, 1)]),
        Some(ClusterSpecifier::WeightedClusters(WeightedCluster { clusters })) => cx.field("weighted_clusters", |cx| {
            let parts = cx.each("clusters", clusters, |cx, ClusterWeight { name, weight, metadata_match }| {
                refused!(cx; "connections would go to other endpoints"; metadata_match);
                Ok((cx.field("name", |cx| cx.cluster(name))?, *weight))
            })?;
            let sum: u64 = parts.iter().map(|(_, weight)| u64::from(*weight)).sum();
            if sum == 0 || sum > u64::from(u32::MAX) {
                return Err(cx.refuse_field("clusters", "weights must sum up to 1 to 4294967295"));
            }
            Ok(parts)
        }),
    }
}

fn hash_source(cx: &mut Context<'_>, wire: &WireHash) -> Result<HashPolicy> {
    let WireHash { policy_specifier } = wire;
    match policy_specifier {
        Some(PolicySpecifier::SourceIp(_)) => Ok(HashPolicy { source: HashSource::SourceIp, terminal: false }),
        Some(PolicySpecifier::FilterState(_)) => {
            Err(cx.refuse_field("filter_state", "is not implemented: connections would be spread by chance"))
        }
        None => Err(cx.refuse("is empty")),
    }
}
