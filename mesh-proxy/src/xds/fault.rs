//! Fault injection and CORS policies: what filters and routes have in common.

use http::StatusCode;
use mesh_proto::envoy::{
    config::route::v3::{CorsPolicy as RouteCors, cors_policy::EnabledSpecifier},
    extensions::filters::{
        common::fault::v3::{FaultDelay, fault_delay::FaultDelaySecifier},
        http::{
            cors::v3::CorsPolicy,
            fault::v3::{FaultAbort, HttpFault, fault_abort::ErrorType},
        },
    },
    r#type::matcher::v3::StringMatcher as WireString,
};

use super::{
    context::{Context, Result, ignored, refused},
    filter, scalar, text,
};
use crate::snapshot::{Abort, Cors, Delay, Fault, Percent};

/// `HTTPFault`.
pub(crate) fn fault(cx: &mut Context<'_>, wire: &HttpFault) -> Result<Fault> {
    let HttpFault {
        delay: wire_delay,
        abort: wire_abort,
        upstream_cluster,
        headers,
        downstream_nodes,
        max_active_faults,
        response_rate_limit,
        delay_percent_runtime,
        abort_percent_runtime,
        delay_duration_runtime,
        abort_http_status_runtime,
        max_active_faults_runtime,
        response_rate_limit_percent_runtime,
        abort_grpc_status_runtime,
        disable_downstream_cluster_stats,
        filter_metadata,
    } = wire;
    ignored!(cx; delay_percent_runtime, abort_percent_runtime, delay_duration_runtime, abort_http_status_runtime, max_active_faults_runtime,
        response_rate_limit_percent_runtime, abort_grpc_status_runtime, disable_downstream_cluster_stats, filter_metadata);
    refused!(cx; "others would be hit as well"; downstream_nodes);
    refused!(cx; "responses would not be slowed down"; response_rate_limit);
    Ok(Fault {
        delay: wire_delay.as_ref().map(|wire| cx.field("delay", |cx| delay(cx, wire))).transpose()?.flatten(),
        abort: wire_abort.as_ref().map(|wire| cx.field("abort", |cx| abort(cx, wire))).transpose()?.flatten(),
        headers: text::headers(cx, "headers", headers)?,
        upstream_cluster: text::optional(upstream_cluster),
        max_active: max_active_faults.as_ref().map(|bound| bound.value),
    })
}

fn delay(cx: &mut Context<'_>, wire: &FaultDelay) -> Result<Option<(Percent, Delay)>> {
    let FaultDelay { percentage, fault_delay_secifier } = wire;
    let Some(share) = percentage else { return Ok(None) };
    let share = scalar::fraction(cx, "percentage", share)?;
    match fault_delay_secifier {
        Some(FaultDelaySecifier::FixedDelay(wire)) => {
            let delay = scalar::positive(cx, "fixed_delay", Some(wire), std::time::Duration::ZERO)?;
            Ok(Some((share, Delay::Fixed(delay))))
        }
        Some(FaultDelaySecifier::HeaderDelay(_)) => Ok(Some((share, Delay::ByHeader))),
        None => Err(cx.refuse_field("fixed_delay", "is missing")),
    }
}

fn abort(cx: &mut Context<'_>, wire: &FaultAbort) -> Result<Option<(Percent, Abort)>> {
    let FaultAbort { percentage, response_body, error_type } = wire;
    ignored!(cx; response_body);
    let Some(share) = percentage else { return Ok(None) };
    let share = scalar::fraction(cx, "percentage", share)?;
    let answer = match error_type {
        Some(ErrorType::HttpStatus(status @ 200..=599)) => Abort::Http(status_code(cx, "http_status", *status)?),
        Some(ErrorType::HttpStatus(_)) => return Err(cx.refuse_field("http_status", "must be 200 to 599")),
        Some(ErrorType::GrpcStatus(status)) => Abort::Grpc(*status),
        Some(ErrorType::HeaderAbort(_)) => Abort::ByHeader,
        None => return Err(cx.refuse_field("http_status", "is missing")),
    };
    Ok(Some((share, answer)))
}

/// A status that HTTP knows.
pub(crate) fn status_code(cx: &mut Context<'_>, name: &str, status: u32) -> Result<StatusCode> {
    u16::try_from(status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .filter(|status| status.as_u16() < 600)
        .ok_or_else(|| cx.refuse_field(name, format!("{status} is not an HTTP status")))
}

/// The CORS policy of a route's or virtual host's own field. `None`: switched off.
pub(crate) fn route_cors(cx: &mut Context<'_>, wire: &RouteCors) -> Result<Option<Cors>> {
    let RouteCors {
        allow_origin_string_match,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        shadow_enabled,
        allow_private_network_access,
        forward_not_matching_preflights,
        enabled_specifier,
    } = wire;
    ignored!(cx; shadow_enabled, allow_private_network_access);
    let enabled = match enabled_specifier {
        Some(EnabledSpecifier::FilterEnabled(share)) => filter::enabled(cx, "filter_enabled", Some(share))?,
        None => true,
    };
    let texts = CorsTexts { allow_methods, allow_headers, expose_headers, max_age };
    let forward = scalar::flag(forward_not_matching_preflights.as_ref(), true);
    let credentials = scalar::flag(allow_credentials.as_ref(), false);
    let cors = cors(cx, allow_origin_string_match, &texts, credentials, forward)?;
    Ok(enabled.then_some(cors))
}

/// The CORS filter's policy for a route. `None`: switched off.
pub(crate) fn filter_cors(cx: &mut Context<'_>, wire: &CorsPolicy) -> Result<Option<Cors>> {
    let CorsPolicy {
        allow_origin_string_match,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        filter_enabled,
        shadow_enabled,
        allow_private_network_access,
        forward_not_matching_preflights,
    } = wire;
    ignored!(cx; shadow_enabled, allow_private_network_access);
    let enabled = filter::enabled(cx, "filter_enabled", filter_enabled.as_ref())?;
    let texts = CorsTexts { allow_methods, allow_headers, expose_headers, max_age };
    let forward = scalar::flag(forward_not_matching_preflights.as_ref(), true);
    let credentials = scalar::flag(allow_credentials.as_ref(), false);
    let cors = cors(cx, allow_origin_string_match, &texts, credentials, forward)?;
    Ok(enabled.then_some(cors))
}

struct CorsTexts<'a> {
    allow_methods: &'a str,
    allow_headers: &'a str,
    expose_headers: &'a str,
    max_age: &'a str,
}

fn cors(cx: &mut Context<'_>, origins: &[WireString], texts: &CorsTexts<'_>, allow_credentials: bool, forward: bool) -> Result<Cors> {
    Ok(Cors {
        allow_origins: cx.each("allow_origin_string_match", origins, text::string)?,
        allow_methods: text::optional_value(cx, "allow_methods", texts.allow_methods)?,
        allow_headers: text::optional_value(cx, "allow_headers", texts.allow_headers)?,
        expose_headers: text::optional_value(cx, "expose_headers", texts.expose_headers)?,
        max_age: text::optional_value(cx, "max_age", texts.max_age)?,
        allow_credentials,
        forward_unmatched_preflights: forward,
    })
}
