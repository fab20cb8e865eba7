//! HTTP filters. One that is asked for and not implemented answers 500, unless it only watches or is marked optional.

use std::sync::Arc;

use mesh_proto::{
    envoy::extensions::filters::{
        http::{
            cors::v3::Cors as WireCors, fault::v3::HttpFault, grpc_stats::v3::FilterConfig as GrpcStats,
            header_mutation::v3::HeaderMutation as WireHeaderMutation, rbac::v3::Rbac as WireRbac, router::v3::Router,
        },
        network::http_connection_manager::v3::{HttpFilter as WireFilter, http_filter::ConfigType},
    },
    google::protobuf::Any,
    istio::ext::{
        alpn,
        peer_metadata::{
            self,
            config::{discovery_method, propagation_method},
        },
        stats,
    },
};

use super::{
    any::Typed,
    context::{Context, Result, ignored, refused},
    fault, headers, rbac, scalar,
};
use crate::snapshot::{Direction, HttpFilter, NamedFilter, PeerMetadata, Propagation, Reporter, RouterOptions};

/// Filters that watch and change nothing: without them a request is answered the same.
const OBSERVERS: &[&str] =
    &["envoy.extensions.filters.http.tap.v3.Tap", "envoy.extensions.filters.http.alternate_protocols_cache.v3.FilterConfig"];

/// A list of filters, the last of which ends the chain.
pub(crate) fn chain(cx: &mut Context<'_>, name: &str, wire: &[WireFilter]) -> Result<Vec<NamedFilter>> {
    let filters: Vec<_> = cx.each(name, wire, named)?.into_iter().flatten().collect();
    let routers = filters.iter().filter(|named| matches!(named.filter, HttpFilter::Router(_))).count();
    let ends = filters.last().is_some_and(|last| matches!(last.filter, HttpFilter::Router(_) | HttpFilter::Refuse { .. }));
    if !ends || routers > 1 {
        return Err(cx.refuse_field(name, "must end in envoy.filters.http.router, and have it once"));
    }
    if filters.last().is_some_and(|last| last.disabled) {
        return Err(cx.refuse_field(name, "the last filter cannot be disabled"));
    }
    Ok(filters)
}

fn named(cx: &mut Context<'_>, wire: &WireFilter) -> Result<Option<NamedFilter>> {
    let WireFilter { name, is_optional, disabled, config_type } = wire;
    let filter = match config_type {
        Some(ConfigType::TypedConfig(any)) => cx.field("typed_config", |cx| filter(cx, any))?,
        Some(ConfigType::ConfigDiscovery(_)) => Converted::Missing("its configuration comes by ECDS, which is not implemented".into()),
        None => Converted::Missing("it has no typed_config".into()),
    };
    let filter = match filter {
        Converted::Filter(filter) => filter,
        Converted::Observer => {
            cx.ignore("");
            return Ok(None);
        }
        Converted::Missing(_) if *is_optional => {
            cx.ignore("");
            return Ok(None);
        }
        Converted::Missing(reason) => {
            let reason = format!("HTTP filter {name}: {reason}");
            cx.answers_500(&reason);
            HttpFilter::Refuse { reason: reason.into() }
        }
    };
    Ok(Some(NamedFilter { name: name.as_str().into(), disabled: *disabled, filter }))
}

enum Converted {
    Filter(HttpFilter),
    Observer,
    Missing(String),
}

fn filter(cx: &mut Context<'_>, any: &Any) -> Result<Converted> {
    let typed = Typed::open(cx, any)?;
    Ok(Converted::Filter(match typed.name() {
        "envoy.extensions.filters.http.router.v3.Router" => HttpFilter::Router(Arc::new(router(cx, &typed.decode(cx)?)?)),
        "envoy.extensions.filters.http.rbac.v3.RBAC" => {
            let wire: WireRbac = typed.decode(cx)?;
            HttpFilter::Rbac(Arc::new(rbac::http(cx, &wire)?))
        }
        "envoy.extensions.filters.http.fault.v3.HTTPFault" => {
            let wire: HttpFault = typed.decode(cx)?;
            HttpFilter::Fault(Arc::new(fault::fault(cx, &wire)?))
        }
        "envoy.extensions.filters.http.cors.v3.Cors" => {
            let WireCors {} = typed.decode(cx)?;
            HttpFilter::Cors
        }
        "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig" => {
            let GrpcStats { emit_filter_state, enable_upstream_stats, replace_dots_in_grpc_service_name, per_method_stat_specifier } =
                typed.decode(cx)?;
            ignored!(cx; emit_filter_state, enable_upstream_stats, replace_dots_in_grpc_service_name, per_method_stat_specifier);
            HttpFilter::GrpcStats
        }
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation" => {
            let WireHeaderMutation { mutations, most_specific_header_mutations_wins } = typed.decode(cx)?;
            refused!(cx; "headers would be edited in another order"; most_specific_header_mutations_wins);
            let mutations = mutations.unwrap_or_default();
            let (request, response) = cx.field("mutations", |cx| headers::filter(cx, &mutations))?;
            HttpFilter::HeaderMutation { request: request.into(), response: response.into() }
        }
        "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig" => {
            // Which values to offer is Istio's fixed set; only mesh clusters advertise them.
            let alpn::FilterConfig { alpn_override: _ } = typed.decode(cx)?;
            HttpFilter::IstioAlpn
        }
        "stats.PluginConfig" => HttpFilter::IstioStats(stats(cx, typed.decode(cx)?)),
        "io.istio.http.peer_metadata.Config" => HttpFilter::PeerMetadata(metadata_exchange(cx, typed.decode(cx)?)),
        name if OBSERVERS.contains(&name) => return Ok(Converted::Observer),
        name => return Ok(Converted::Missing(format!("{name} is not implemented here"))),
    }))
}

fn router(cx: &mut Context<'_>, wire: &Router) -> Result<RouterOptions> {
    #[expect(deprecated, reason = "every field is looked at")]
    let Router {
        dynamic_stats,
        start_child_span,
        upstream_log,
        upstream_log_options,
        suppress_envoy_headers,
        strict_check_headers,
        respect_expected_rq_timeout,
        suppress_grpc_request_failure_code_stats,
        upstream_http_filters,
        reject_connect_request_early_data,
    } = wire;
    ignored!(cx; dynamic_stats, upstream_log, upstream_log_options, strict_check_headers, respect_expected_rq_timeout,
        suppress_grpc_request_failure_code_stats, reject_connect_request_early_data);
    upstream_filters(cx, "upstream_http_filters", upstream_http_filters)?;
    Ok(RouterOptions { suppress_envoy_headers: *suppress_envoy_headers, start_child_span: *start_child_span })
}

/// Filters on the way to an endpoint: none but the codec itself, which always is there.
pub(crate) fn upstream_filters(cx: &mut Context<'_>, name: &str, wire: &[WireFilter]) -> Result<()> {
    cx.each(name, wire, |cx, WireFilter { name, is_optional, disabled, config_type }| {
        let codec = match config_type {
            Some(ConfigType::TypedConfig(any)) => {
                Typed::open(cx, any)?.name() == "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"
            }
            _ => false,
        };
        if codec || *disabled {
            Ok(())
        } else if *is_optional {
            cx.ignore("");
            Ok(())
        } else {
            Err(cx.refuse(format!("{name}: upstream HTTP filters are not implemented: requests would go without it")))
        }
    })
    .map(drop)
}

/// `istio.stats`: who reports.
pub(crate) fn stats(cx: &mut Context<'_>, wire: stats::PluginConfig) -> Reporter {
    let stats::PluginConfig {
        disable_host_header_fallback,
        tcp_reporting_duration,
        metrics,
        definitions,
        reporter,
        rotation_interval,
        graceful_deletion_interval,
    } = wire;
    ignored!(cx; disable_host_header_fallback, tcp_reporting_duration, metrics, definitions, rotation_interval, graceful_deletion_interval);
    let gateway = reporter == stats::Reporter::ServerGateway as i32;
    if gateway || cx.direction == Direction::Inbound { Reporter::Destination } else { Reporter::Source }
}

fn metadata_exchange(cx: &mut Context<'_>, wire: peer_metadata::Config) -> PeerMetadata {
    let peer_metadata::Config {
        downstream_discovery,
        upstream_discovery,
        downstream_propagation,
        upstream_propagation,
        shared_with_upstream,
        additional_labels,
    } = wire;
    ignored!(cx; shared_with_upstream, additional_labels);
    let mut discovers = |name: &str, methods: &[peer_metadata::config::DiscoveryMethod]| {
        let headers = |method: &&peer_metadata::config::DiscoveryMethod| {
            matches!(method.method_specifier, Some(discovery_method::MethodSpecifier::IstioHeaders(_)))
        };
        let found = methods.iter().any(|method| headers(&method));
        if methods.iter().any(|method| !headers(&method)) {
            cx.ignore(name);
        }
        found
    };
    let downstream_discovery = discovers("downstream_discovery", &downstream_discovery);
    let upstream_discovery = discovers("upstream_discovery", &upstream_discovery);
    let mut propagates = |name: &str, methods: &[peer_metadata::config::PropagationMethod]| {
        let mut propagation = Propagation::Nobody;
        for method in methods {
            match &method.method_specifier {
                Some(propagation_method::MethodSpecifier::IstioHeaders(headers)) if headers.skip_external_clusters => {
                    propagation = Propagation::Mesh;
                }
                Some(propagation_method::MethodSpecifier::IstioHeaders(_)) => propagation = Propagation::All,
                _ => cx.ignore(name),
            }
        }
        propagation
    };
    PeerMetadata {
        downstream_discovery,
        upstream_discovery,
        downstream_propagation: propagates("downstream_propagation", &downstream_propagation),
        upstream_propagation: propagates("upstream_propagation", &upstream_propagation),
    }
}

/// The share of a field that may be missing.
pub(crate) fn enabled(
    cx: &mut Context<'_>,
    name: &str,
    wire: Option<&mesh_proto::envoy::config::core::v3::RuntimeFractionalPercent>,
) -> Result<bool> {
    let Some(wire) = wire else { return Ok(true) };
    let share = scalar::runtime_fraction(cx, name, wire)?;
    match share.numerator {
        0 => Ok(false),
        numerator if numerator >= share.denominator => Ok(true),
        _ => Err(cx.refuse_field(name, "must be 0 or 100 percent; shares between are not implemented")),
    }
}
