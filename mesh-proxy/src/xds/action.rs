//! What routes do: forward, redirect, answer.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use mesh_proto::envoy::config::{
    core::v3::{Metadata, RoutingPriority},
    route::v3::{
        DirectResponseAction, RedirectAction, RouteAction, WeightedCluster as WireWeighted,
        redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier},
        route_action::{
            ClusterNotFoundResponseCode, ClusterSpecifier, HashPolicy as WireHash, HostRewriteSpecifier, MaxStreamDuration,
            RequestMirrorPolicy, UpgradeConfig,
            hash_policy::{ConnectionProperties, Cookie, Header, PolicySpecifier, QueryParameter},
        },
        weighted_cluster::{ClusterWeight, RandomValueSpecifier, cluster_weight},
    },
};

use super::{
    context::{Context, Result, ignored, refused},
    fault, headers, metadata, overrides, regex,
    route::{self, Inherited},
    scalar, text,
};
use crate::snapshot::{
    Action, Forward, HashPolicy, HashSource, HostRewrite, Mirror, Percent, Redirect, RedirectPath, Rewrite, Target, WeightedCluster,
};

/// `timeout`, if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(15);

/// An action that answers 500 for what it lacks.
pub(crate) fn refuse(cx: &mut Context<'_>, reason: &str) -> Action {
    cx.answers_500(reason);
    Action::Refuse { reason: reason.into() }
}

/// A `RouteAction`.
pub(crate) fn forward(cx: &mut Context<'_>, wire: &RouteAction, inherited: &Inherited<'_>) -> Result<Action> {
    unimplemented_fields(cx, wire)?;
    let Some(target) = target(cx, wire.cluster_specifier.as_ref())? else {
        return Ok(refuse(cx, "cluster specifier plugins are not implemented"));
    };
    let limits = limits(cx, wire)?;
    let mirrors = if wire.request_mirror_policies.is_empty() { inherited.mirrors } else { &wire.request_mirror_policies };
    #[expect(deprecated, reason = "control planes still send cors")]
    let cors = if wire.cors.is_some() { route::cors_of(cx, wire.cors.as_ref())? } else { inherited.cors.clone() };
    Ok(Action::Forward(Box::new(Forward {
        target,
        cluster_not_found: match scalar::known(cx, "cluster_not_found_response_code", wire.cluster_not_found_response_code)? {
            ClusterNotFoundResponseCode::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            ClusterNotFoundResponseCode::NotFound => StatusCode::NOT_FOUND,
            ClusterNotFoundResponseCode::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
        },
        rewrite: rewrite(cx, wire)?,
        host_rewrite: match &wire.host_rewrite_specifier {
            Some(wire) => host_rewrite(cx, wire)?,
            None => None,
        },
        append_x_forwarded_host: wire.append_x_forwarded_host,
        timeout: scalar::zero_is_off(cx, "timeout", wire.timeout.as_ref(), Some(TIMEOUT))?,
        idle_timeout: scalar::optional(cx, "idle_timeout", wire.idle_timeout.as_ref())?,
        max_stream_duration: limits.max_stream,
        grpc_timeout_max: limits.grpc_max,
        retry: match &wire.retry_policy {
            Some(wire) => route::retry_of(cx, Some(wire))?,
            None => inherited.retry.clone(),
        },
        hash_policy: hash_policies(cx, &wire.hash_policy)?,
        mirrors: cx.each("request_mirror_policies", mirrors, mirror)?.into_iter().flatten().collect(),
        cors,
        upgrades: cx.each("upgrade_configs", &wire.upgrade_configs, upgrade)?,
        metadata_match: subset(cx, wire.metadata_match.as_ref()),
        high_priority: scalar::known::<RoutingPriority>(cx, "priority", wire.priority)? == RoutingPriority::High,
    })))
}

/// Names every field: those that [`forward`] reads, and those that it does not.
fn unimplemented_fields(cx: &mut Context<'_>, wire: &RouteAction) -> Result<()> {
    #[expect(deprecated, reason = "every field is looked at")]
    let RouteAction {
        cluster_not_found_response_code: _,
        metadata_match: _,
        prefix_rewrite: _,
        regex_rewrite: _,
        path_rewrite_policy,
        path_rewrite,
        append_x_forwarded_host: _,
        timeout: _,
        idle_timeout: _,
        flush_timeout,
        early_data_policy,
        retry_policy: _,
        retry_policy_typed_config,
        request_mirror_policies: _,
        priority: _,
        rate_limits,
        include_vh_rate_limits,
        hash_policy: _,
        cors: _,
        max_grpc_timeout: _,
        grpc_timeout_offset,
        upgrade_configs: _,
        internal_redirect_policy,
        internal_redirect_action,
        max_internal_redirects,
        hedge_policy,
        max_stream_duration: _,
        cluster_specifier: _,
        host_rewrite_specifier: _,
    } = wire;
    ignored!(cx; flush_timeout, early_data_policy, rate_limits, include_vh_rate_limits, grpc_timeout_offset, internal_redirect_policy,
        internal_redirect_action, max_internal_redirects, hedge_policy);
    refused!(cx; "requests would go to another path"; path_rewrite_policy, path_rewrite);
    refused!(cx; "requests would be retried by another rule; use retry_policy"; retry_policy_typed_config);
    Ok(())
}

struct Limits {
    max_stream: Option<Duration>,
    grpc_max: Option<Duration>,
}

fn limits(cx: &mut Context<'_>, wire: &RouteAction) -> Result<Limits> {
    #[expect(deprecated, reason = "control planes still send max_grpc_timeout")]
    let mut grpc_max = scalar::optional(cx, "max_grpc_timeout", wire.max_grpc_timeout.as_ref())?;
    let mut max_stream = None;
    if let Some(MaxStreamDuration { max_stream_duration, grpc_timeout_header_max, grpc_timeout_header_offset }) = &wire.max_stream_duration
    {
        cx.field("max_stream_duration", |cx| {
            ignored!(cx; grpc_timeout_header_offset);
            max_stream = scalar::zero_is_off(cx, "max_stream_duration", max_stream_duration.as_ref(), None)?;
            grpc_max = scalar::optional(cx, "grpc_timeout_header_max", grpc_timeout_header_max.as_ref())?.or(grpc_max);
            Ok(())
        })?;
    }
    Ok(Limits { max_stream, grpc_max })
}

fn target(cx: &mut Context<'_>, wire: Option<&ClusterSpecifier>) -> Result<Option<Target>> {
    Ok(Some(match wire {
        None => return Err(cx.refuse("names no cluster")),
        Some(ClusterSpecifier::Cluster(name)) => Target::Cluster(cx.field("cluster", |cx| cx.cluster(name))?),
        Some(ClusterSpecifier::ClusterHeader(name)) => Target::Header(text::header_name(cx, "cluster_header", name)?),
        Some(ClusterSpecifier::WeightedClusters(wire)) => cx.field("weighted_clusters", |cx| weighted(cx, wire))?,
        Some(ClusterSpecifier::ClusterSpecifierPlugin(_) | ClusterSpecifier::InlineClusterSpecifierPlugin(_)) => return Ok(None),
    }))
}

fn weighted(cx: &mut Context<'_>, wire: &WireWeighted) -> Result<Target> {
    #[expect(deprecated, reason = "every field is looked at")]
    let WireWeighted { clusters, total_weight, runtime_key_prefix, random_value_specifier } = wire;
    ignored!(cx; runtime_key_prefix);
    let draw = match random_value_specifier {
        None => None,
        Some(RandomValueSpecifier::HeaderName(name)) => Some(text::header_name(cx, "header_name", name)?),
        Some(RandomValueSpecifier::UseHashPolicy(wire)) if !wire.value => None,
        Some(RandomValueSpecifier::UseHashPolicy(_)) => {
            return Err(cx.refuse_field("use_hash_policy", "is not implemented: requests would be split by another rule"));
        }
    };
    let clusters = cx.each("clusters", clusters, part)?;
    let sum: u64 = clusters.iter().map(|part| u64::from(part.weight)).sum();
    let total = u32::try_from(sum).ok().filter(|total| *total > 0);
    let total = total.ok_or_else(|| cx.refuse_field("clusters", "weights must sum up to 1 to 4294967295"))?;
    if total_weight.as_ref().is_some_and(|wanted| wanted.value != total) {
        return Err(cx.refuse_field("total_weight", format!("is not the sum of the weights, {total}")));
    }
    Ok(Target::Weighted { clusters, total, draw })
}

fn part(cx: &mut Context<'_>, wire: &ClusterWeight) -> Result<WeightedCluster> {
    let ClusterWeight {
        name,
        cluster_header,
        weight,
        metadata_match,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        typed_per_filter_config,
        host_rewrite_specifier,
    } = wire;
    refused!(cx; "requests would be misrouted; give name"; cluster_header);
    refused!(cx; "requests would go to other endpoints; use a cluster for each subset"; metadata_match);
    let edits = headers::Wire {
        request_add: request_headers_to_add,
        request_remove: request_headers_to_remove,
        response_add: response_headers_to_add,
        response_remove: response_headers_to_remove,
    };
    Ok(WeightedCluster {
        cluster: cx.field("name", |cx| cx.cluster(name))?,
        weight: scalar::number(weight.as_ref(), 0),
        headers: headers::mutations(cx, &edits)?,
        host_rewrite: match host_rewrite_specifier {
            None => None,
            Some(cluster_weight::HostRewriteSpecifier::HostRewriteLiteral(host)) => {
                text::optional_value(cx, "host_rewrite_literal", host)?.map(HostRewrite::Literal)
            }
        },
        overrides: overrides::overrides(cx, typed_per_filter_config)?,
    })
}

fn rewrite(cx: &mut Context<'_>, wire: &RouteAction) -> Result<Option<Rewrite>> {
    match (&*wire.prefix_rewrite, &wire.regex_rewrite) {
        ("", None) => Ok(None),
        (prefix, None) => Ok(Some(Rewrite::Prefix(prefix.into()))),
        ("", Some(wire)) => {
            let (pattern, substitution) = cx.field("regex_rewrite", |cx| regex::rewrite(cx, wire))?;
            Ok(Some(Rewrite::Regex { pattern, substitution }))
        }
        _ => Err(cx.refuse_field("regex_rewrite", "and prefix_rewrite exclude each other")),
    }
}

fn host_rewrite(cx: &mut Context<'_>, wire: &HostRewriteSpecifier) -> Result<Option<HostRewrite>> {
    Ok(match wire {
        HostRewriteSpecifier::HostRewriteLiteral(host) => text::optional_value(cx, "host_rewrite_literal", host)?.map(HostRewrite::Literal),
        HostRewriteSpecifier::AutoHostRewrite(auto) => auto.value.then_some(HostRewrite::Auto),
        HostRewriteSpecifier::HostRewriteHeader(name) => Some(HostRewrite::Header(text::header_name(cx, "host_rewrite_header", name)?)),
        HostRewriteSpecifier::HostRewritePathRegex(wire) => {
            let (pattern, substitution) = cx.field("host_rewrite_path_regex", |cx| regex::rewrite(cx, wire))?;
            Some(HostRewrite::PathRegex { pattern, substitution })
        }
        HostRewriteSpecifier::HostRewrite(_) => return Err(cx.refuse_field("host_rewrite", "is not implemented; use host_rewrite_literal")),
    })
}

/// Consistent hashing, for routes and TCP.
pub(crate) fn hash_policies(cx: &mut Context<'_>, wire: &[WireHash]) -> Result<Vec<HashPolicy>> {
    Ok(cx.each("hash_policy", wire, hash_policy)?.into_iter().flatten().collect())
}

fn hash_policy(cx: &mut Context<'_>, wire: &WireHash) -> Result<Option<HashPolicy>> {
    let WireHash { terminal, policy_specifier } = wire;
    let source = match policy_specifier {
        None => return Err(cx.refuse("is empty")),
        Some(PolicySpecifier::Header(Header { header_name, regex_rewrite })) => {
            refused!(cx; "requests would be hashed by another value"; regex_rewrite);
            HashSource::Header(text::header_key(cx, "header.header_name", header_name)?)
        }
        Some(PolicySpecifier::Cookie(Cookie { name, ttl, path, attributes })) => {
            if name.is_empty() {
                return Err(cx.refuse_field("cookie.name", "is empty"));
            }
            HashSource::Cookie {
                name: name.as_str().into(),
                ttl: scalar::optional(cx, "cookie.ttl", ttl.as_ref())?,
                path: text::optional(path),
                attributes: attributes.iter().map(|pair| (Arc::from(pair.name.as_str()), Arc::from(pair.value.as_str()))).collect(),
            }
        }
        Some(PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true })) => HashSource::SourceIp,
        Some(PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: false })) => return Ok(None),
        Some(PolicySpecifier::QueryParameter(QueryParameter { name })) => HashSource::Query(name.as_str().into()),
        Some(PolicySpecifier::FilterState(_)) => {
            return Err(cx.refuse_field("filter_state", "is not implemented: requests would be spread by chance"));
        }
    };
    Ok(Some(HashPolicy { source, terminal: *terminal }))
}

/// A mirror's copies are nobody's answer: what is not implemented of them is ignored.
fn mirror(cx: &mut Context<'_>, wire: &RequestMirrorPolicy) -> Result<Option<Mirror>> {
    let RequestMirrorPolicy {
        cluster,
        cluster_header,
        runtime_fraction,
        trace_sampled,
        disable_shadow_host_suffix_append,
        request_headers_mutations,
        host_rewrite_literal,
    } = wire;
    ignored!(cx; cluster_header, trace_sampled, request_headers_mutations, host_rewrite_literal);
    if cluster.is_empty() && !cluster_header.is_empty() {
        return Ok(None);
    }
    Ok(Some(Mirror {
        cluster: cx.field("cluster", |cx| cx.cluster(cluster))?,
        fraction: match runtime_fraction {
            None => Percent::ALWAYS,
            Some(wire) => scalar::runtime_fraction(cx, "runtime_fraction", wire)?,
        },
        shadow_suffix: !disable_shadow_host_suffix_append,
    }))
}

fn upgrade(cx: &mut Context<'_>, wire: &UpgradeConfig) -> Result<(Arc<str>, bool)> {
    let UpgradeConfig { upgrade_type, enabled, connect_config } = wire;
    refused!(cx; "CONNECT would be forwarded instead of ended here"; connect_config);
    Ok((upgrade_type.to_ascii_lowercase().into(), scalar::flag(enabled.as_ref(), true)))
}

/// `metadata_match`: only the load balancer's part of it has a meaning.
pub(crate) fn subset(cx: &mut Context<'_>, wire: Option<&Metadata>) -> Vec<(Arc<str>, Arc<str>)> {
    if wire.is_some_and(|wire| !wire.typed_filter_metadata.is_empty() || wire.filter_metadata.keys().any(|key| key != "envoy.lb")) {
        cx.ignore("metadata_match");
    }
    metadata::pairs(wire, "envoy.lb")
}

/// A `RedirectAction`.
pub(crate) fn redirect(cx: &mut Context<'_>, wire: &RedirectAction) -> Result<Redirect> {
    let RedirectAction { host_redirect, port_redirect, response_code, strip_query, scheme_rewrite_specifier, path_rewrite_specifier } =
        wire;
    let path = match path_rewrite_specifier {
        None => None,
        Some(PathRewriteSpecifier::PathRedirect(path)) => text::optional(path).map(RedirectPath::Full),
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => text::optional(prefix).map(RedirectPath::Prefix),
        Some(PathRewriteSpecifier::RegexRewrite(wire)) => {
            let (pattern, substitution) = cx.field("regex_rewrite", |cx| regex::rewrite(cx, wire))?;
            Some(RedirectPath::Regex { pattern, substitution })
        }
        Some(PathRewriteSpecifier::PathRewrite(_)) => {
            return Err(cx.refuse_field("path_rewrite", "is not implemented; use path_redirect, prefix_rewrite or regex_rewrite"));
        }
    };
    Ok(Redirect {
        status: match scalar::known(cx, "response_code", *response_code)? {
            RedirectResponseCode::MovedPermanently => StatusCode::MOVED_PERMANENTLY,
            RedirectResponseCode::Found => StatusCode::FOUND,
            RedirectResponseCode::SeeOther => StatusCode::SEE_OTHER,
            RedirectResponseCode::TemporaryRedirect => StatusCode::TEMPORARY_REDIRECT,
            RedirectResponseCode::PermanentRedirect => StatusCode::PERMANENT_REDIRECT,
        },
        scheme: match scheme_rewrite_specifier {
            None | Some(SchemeRewriteSpecifier::HttpsRedirect(false)) => None,
            Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https".into()),
            Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => text::optional(scheme),
        },
        host: text::optional(host_redirect),
        port: match scalar::port(cx, "port_redirect", *port_redirect)? {
            0 => None,
            port => Some(port),
        },
        path,
        strip_query: *strip_query,
    })
}

/// A `DirectResponseAction`.
pub(crate) fn direct(cx: &mut Context<'_>, wire: &DirectResponseAction, max_body: usize) -> Result<Action> {
    let DirectResponseAction { status, body, body_format } = wire;
    ignored!(cx; body_format);
    if !(200..600).contains(status) {
        return Err(cx.refuse_field("status", format!("{status} is not a status of 200 to 599")));
    }
    let body = match body {
        None => Vec::new(),
        Some(wire) => scalar::data(cx, "body", wire)?.bytes,
    };
    if body.len() > max_body {
        return Err(cx.refuse_field("body", format!("has {} bytes; max_direct_response_body_size_bytes is {max_body}", body.len())));
    }
    Ok(Action::Direct { status: fault::status_code(cx, "status", *status)?, body: body.into() })
}
