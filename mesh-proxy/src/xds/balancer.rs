//! Load balancing: the policy, by enumeration or extension, subsets, and panic.

use std::sync::Arc;

use mesh_proto::envoy::{
    config::{
        cluster::v3::{
            Cluster as WireCluster, LoadBalancingPolicy,
            cluster::{
                CommonLbConfig, LbConfig, LbPolicy, LbSubsetConfig, LeastRequestLbConfig, MaglevLbConfig, OriginalDstLbConfig,
                RingHashLbConfig, RoundRobinLbConfig,
                common_lb_config::LocalityConfigSpecifier,
                lb_subset_config::{
                    LbSubsetFallbackPolicy, LbSubsetMetadataFallbackPolicy, LbSubsetSelector,
                    lb_subset_selector::LbSubsetSelectorFallbackPolicy,
                },
                ring_hash_lb_config::HashFunction,
            },
            load_balancing_policy::Policy,
        },
        core::v3::TypedExtensionConfig,
    },
    extensions::load_balancing_policies::{
        common::v3::{LocalityLbConfig, locality_lb_config},
        least_request::v3::{LeastRequest, least_request::SelectionMethod},
        maglev::v3::Maglev,
        random::v3::Random,
        ring_hash::v3::{RingHash, ring_hash},
        round_robin::v3::RoundRobin,
    },
};

use super::{
    any::Typed,
    context::{Context, Result, ignored},
    metadata, scalar,
};
use crate::snapshot::{Balancer, Discovery, SubsetFallback, Subsets};

/// Ring entries, if nothing else is said: at least, at most.
const RING: (u64, u64) = (1024, 8 * 1024 * 1024);
/// Maglev's table, if nothing else is said.
const TABLE: u64 = 65_537;
/// The largest table that Envoy allows.
const MAX_TABLE: u64 = 5_000_011;
/// `healthy_panic_threshold`, if nothing else is said.
const PANIC: u32 = 50;

/// How a cluster balances.
pub(crate) struct Balancing {
    pub(crate) balancer: Balancer,
    pub(crate) subsets: Option<Subsets>,
    pub(crate) panic_threshold: u32,
    /// Localities are weighted.
    pub(crate) weighted: bool,
}

/// A cluster's balancing.
pub(crate) fn balancing(cx: &mut Context<'_>, wire: &WireCluster, discovery: &Discovery) -> Result<Balancing> {
    let (mut weighted, panic_threshold) = match &wire.common_lb_config {
        Some(wire) => cx.field("common_lb_config", |cx| common(cx, wire))?,
        None => (false, PANIC),
    };
    let balancer = match &wire.load_balancing_policy {
        Some(wire) => {
            let (balancer, by_policy) = cx.field("load_balancing_policy", |cx| by_extension(cx, wire))?;
            weighted |= by_policy;
            balancer
        }
        None => by_enumeration(cx, wire)?,
    };
    let original = *discovery == Discovery::OriginalDst;
    if original != (balancer == Balancer::OriginalDestination) {
        return Err(cx.refuse_field("lb_policy", "CLUSTER_PROVIDED belongs to clusters of type ORIGINAL_DST, and they to it"));
    }
    let subsets = match &wire.lb_subset_config {
        Some(wire) => cx.field("lb_subset_config", |cx| subsets(cx, wire))?,
        None => None,
    };
    Ok(Balancing { balancer, subsets, panic_threshold, weighted })
}

fn common(cx: &mut Context<'_>, wire: &CommonLbConfig) -> Result<(bool, u32)> {
    let CommonLbConfig {
        healthy_panic_threshold,
        update_merge_window,
        ignore_new_hosts_until_first_hc,
        close_connections_on_host_set_change,
        consistent_hashing_lb_config,
        override_host_status,
        locality_config_specifier,
    } = wire;
    ignored!(cx; update_merge_window, ignore_new_hosts_until_first_hc, close_connections_on_host_set_change, consistent_hashing_lb_config,
        override_host_status);
    let panic = match healthy_panic_threshold {
        Some(share) => scalar::whole_percent(cx, "healthy_panic_threshold", share.value)?,
        None => PANIC,
    };
    let weighted = match locality_config_specifier {
        None => false,
        Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_)) => true,
        Some(LocalityConfigSpecifier::ZoneAwareLbConfig(_)) => {
            // Without a local cluster, which there is none of here, Envoy routes to all zones alike, too.
            cx.ignore("zone_aware_lb_config");
            false
        }
    };
    Ok((weighted, panic))
}

fn by_enumeration(cx: &mut Context<'_>, wire: &WireCluster) -> Result<Balancer> {
    Ok(match (scalar::known(cx, "lb_policy", wire.lb_policy)?, &wire.lb_config) {
        (LbPolicy::RoundRobin, None) => Balancer::RoundRobin,
        (LbPolicy::RoundRobin, Some(LbConfig::RoundRobinLbConfig(RoundRobinLbConfig { slow_start_config }))) => {
            cx.field("round_robin_lb_config", |cx| ignored!(cx; slow_start_config));
            Balancer::RoundRobin
        }
        (LbPolicy::LeastRequest, None) => Balancer::LeastRequest { choices: 2 },
        (LbPolicy::LeastRequest, Some(LbConfig::LeastRequestLbConfig(wire))) => cx.field("least_request_lb_config", |cx| {
            let LeastRequestLbConfig { choice_count, active_request_bias, slow_start_config } = wire;
            ignored!(cx; active_request_bias, slow_start_config);
            least_request(cx, scalar::number(choice_count.as_ref(), 2))
        })?,
        (LbPolicy::Random, None) => Balancer::Random,
        (LbPolicy::RingHash, None) => Balancer::RingHash { minimum: RING.0, maximum: RING.1 },
        (LbPolicy::RingHash, Some(LbConfig::RingHashLbConfig(wire))) => cx.field("ring_hash_lb_config", |cx| {
            let RingHashLbConfig { minimum_ring_size, hash_function, maximum_ring_size } = wire;
            if scalar::known::<HashFunction>(cx, "hash_function", *hash_function)? != HashFunction::XxHash {
                cx.ignore("hash_function");
            }
            ring(cx, minimum_ring_size.as_ref().map(|wire| wire.value), maximum_ring_size.as_ref().map(|wire| wire.value))
        })?,
        (LbPolicy::Maglev, None) => Balancer::Maglev { table_size: TABLE },
        (LbPolicy::Maglev, Some(LbConfig::MaglevLbConfig(MaglevLbConfig { table_size }))) => {
            cx.field("maglev_lb_config", |cx| maglev(cx, table_size.as_ref().map(|wire| wire.value)))?
        }
        (LbPolicy::ClusterProvided, None) => Balancer::OriginalDestination,
        (LbPolicy::ClusterProvided, Some(LbConfig::OriginalDstLbConfig(wire))) => cx.field("original_dst_lb_config", |cx| {
            let OriginalDstLbConfig { use_http_header, http_header_name, upstream_port_override, metadata_key } = wire;
            ignored!(cx; http_header_name);
            if *use_http_header || upstream_port_override.is_some() || metadata_key.is_some() {
                return Err(cx.refuse("is not implemented: connections would go elsewhere"));
            }
            Ok(Balancer::OriginalDestination)
        })?,
        (LbPolicy::LoadBalancingPolicyConfig, _) => return Err(cx.refuse_field("load_balancing_policy", "is missing")),
        (_, Some(_)) => return Err(cx.refuse_field("lb_config", "belongs to another lb_policy")),
    })
}

/// The first policy that is known, and whether it weighs localities.
fn by_extension(cx: &mut Context<'_>, wire: &LoadBalancingPolicy) -> Result<(Balancer, bool)> {
    let LoadBalancingPolicy { policies } = wire;
    let mut unknown = Vec::new();
    let known = cx.each("policies", policies, |cx, Policy { typed_extension_config }| {
        let TypedExtensionConfig { name, typed_config } =
            typed_extension_config.as_ref().ok_or_else(|| cx.refuse_field("typed_extension_config", "is missing"))?;
        cx.field("typed_extension_config.typed_config", |cx| {
            let typed = Typed::required(cx, typed_config.as_ref())?;
            let policy = policy(cx, &typed)?;
            if policy.is_none() {
                unknown.push(name.as_str());
            }
            Ok(policy)
        })
    })?;
    known
        .into_iter()
        .flatten()
        .next()
        .ok_or_else(|| cx.refuse_field("policies", format!("none is implemented here: {}", unknown.join(", "))))
}

fn policy(cx: &mut Context<'_>, typed: &Typed<'_>) -> Result<Option<(Balancer, bool)>> {
    Ok(Some(match typed.name() {
        "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin" => {
            let RoundRobin { slow_start_config, locality_lb_config } = typed.decode(cx)?;
            ignored!(cx; slow_start_config);
            (Balancer::RoundRobin, locality(cx, locality_lb_config.as_ref()))
        }
        "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest" => {
            #[expect(deprecated, reason = "every field is looked at")]
            let LeastRequest {
                choice_count,
                active_request_bias,
                slow_start_config,
                locality_lb_config,
                enable_full_scan,
                selection_method,
            } = typed.decode(cx)?;
            ignored!(cx; active_request_bias, slow_start_config);
            let full = scalar::known::<SelectionMethod>(cx, "selection_method", selection_method)? == SelectionMethod::FullScan;
            if full || scalar::flag(enable_full_scan.as_ref(), false) {
                cx.ignore("selection_method");
            }
            (least_request(cx, scalar::number(choice_count.as_ref(), 2))?, locality(cx, locality_lb_config.as_ref()))
        }
        "envoy.extensions.load_balancing_policies.random.v3.Random" => {
            let Random { locality_lb_config } = typed.decode(cx)?;
            (Balancer::Random, locality(cx, locality_lb_config.as_ref()))
        }
        "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash" => {
            #[expect(deprecated, reason = "every field is looked at")]
            let RingHash {
                hash_function,
                minimum_ring_size,
                maximum_ring_size,
                use_hostname_for_hashing,
                hash_balance_factor,
                consistent_hashing_lb_config,
                locality_weighted_lb_config,
            } = typed.decode(cx)?;
            ignored!(cx; use_hostname_for_hashing, hash_balance_factor, consistent_hashing_lb_config);
            if scalar::known::<ring_hash::HashFunction>(cx, "hash_function", hash_function)? == ring_hash::HashFunction::MurmurHash2 {
                cx.ignore("hash_function");
            }
            let ring = ring(cx, minimum_ring_size.map(|wire| wire.value), maximum_ring_size.map(|wire| wire.value))?;
            (ring, locality_weighted_lb_config.is_some())
        }
        "envoy.extensions.load_balancing_policies.maglev.v3.Maglev" => {
            let Maglev { table_size, consistent_hashing_lb_config, locality_weighted_lb_config } = typed.decode(cx)?;
            ignored!(cx; consistent_hashing_lb_config);
            (maglev(cx, table_size.map(|wire| wire.value))?, locality_weighted_lb_config.is_some())
        }
        "envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided" => (Balancer::OriginalDestination, false),
        _ => return Ok(None),
    }))
}

fn locality(cx: &mut Context<'_>, wire: Option<&LocalityLbConfig>) -> bool {
    match wire.and_then(|LocalityLbConfig { locality_config_specifier }| locality_config_specifier.as_ref()) {
        Some(locality_lb_config::LocalityConfigSpecifier::LocalityWeightedLbConfig(_)) => true,
        Some(locality_lb_config::LocalityConfigSpecifier::ZoneAwareLbConfig(_)) => {
            cx.ignore("locality_lb_config.zone_aware_lb_config");
            false
        }
        None => false,
    }
}

fn least_request(cx: &mut Context<'_>, choices: u32) -> Result<Balancer> {
    if choices < 2 { Err(cx.refuse_field("choice_count", "must be at least 2")) } else { Ok(Balancer::LeastRequest { choices }) }
}

fn ring(cx: &mut Context<'_>, minimum: Option<u64>, maximum: Option<u64>) -> Result<Balancer> {
    let (minimum, maximum) = (minimum.unwrap_or(RING.0), maximum.unwrap_or(RING.1));
    if minimum > maximum || maximum > RING.1 {
        return Err(cx.refuse_field("minimum_ring_size", "must not be above maximum_ring_size, and that not above 8388608"));
    }
    Ok(Balancer::RingHash { minimum, maximum })
}

fn maglev(cx: &mut Context<'_>, table_size: Option<u64>) -> Result<Balancer> {
    let table_size = table_size.unwrap_or(TABLE);
    let prime =
        table_size >= 2 && (2..).take_while(|divisor| divisor * divisor <= table_size).all(|divisor| !table_size.is_multiple_of(divisor));
    if table_size > MAX_TABLE || !prime {
        return Err(cx.refuse_field("table_size", "must be a prime of at most 5000011"));
    }
    Ok(Balancer::Maglev { table_size })
}

fn subsets(cx: &mut Context<'_>, wire: &LbSubsetConfig) -> Result<Option<Subsets>> {
    let LbSubsetConfig {
        fallback_policy,
        default_subset,
        subset_selectors,
        locality_weight_aware,
        scale_locality_weight,
        panic_mode_any,
        list_as_any,
        metadata_fallback_policy,
    } = wire;
    // Without selectors Envoy does not balance by subsets at all.
    if subset_selectors.is_empty() {
        return Ok(None);
    }
    ignored!(cx; locality_weight_aware, scale_locality_weight, panic_mode_any);
    if *list_as_any {
        return Err(cx.refuse_field("list_as_any", "is not implemented: requests would find no endpoint"));
    }
    let by_metadata = scalar::known::<LbSubsetMetadataFallbackPolicy>(cx, "metadata_fallback_policy", *metadata_fallback_policy)?;
    if by_metadata != LbSubsetMetadataFallbackPolicy::MetadataNoFallback {
        return Err(cx.refuse_field("metadata_fallback_policy", "FALLBACK_LIST is not implemented"));
    }
    let fallback = match scalar::known(cx, "fallback_policy", *fallback_policy)? {
        LbSubsetFallbackPolicy::NoFallback => SubsetFallback::None,
        LbSubsetFallbackPolicy::AnyEndpoint => SubsetFallback::Any,
        LbSubsetFallbackPolicy::DefaultSubset => {
            SubsetFallback::Default(default_subset.as_ref().map(metadata::struct_pairs).unwrap_or_default())
        }
    };
    let selectors = cx.each("subset_selectors", subset_selectors, |cx, wire| {
        let LbSubsetSelector { keys, single_host_per_subset, fallback_policy, fallback_keys_subset } = wire;
        ignored!(cx; single_host_per_subset, fallback_keys_subset);
        if scalar::known::<LbSubsetSelectorFallbackPolicy>(cx, "fallback_policy", *fallback_policy)?
            != LbSubsetSelectorFallbackPolicy::NotDefined
        {
            return Err(cx.refuse_field("fallback_policy", "of a selector is not implemented; set the cluster's"));
        }
        let mut keys: Vec<Arc<str>> = keys.iter().map(|key| key.as_str().into()).collect();
        keys.sort_unstable();
        Ok(keys)
    })?;
    Ok(Some(Subsets { selectors, fallback }))
}
