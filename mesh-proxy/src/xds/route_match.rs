//! When a route applies. A criterion that is not implemented refuses the table: without it requests would be misrouted.

use mesh_proto::envoy::config::route::v3::{
    RouteMatch as WireMatch,
    route_match::{ConnectMatcher, GrpcRouteMatchOptions, PathSpecifier, TlsContextMatchOptions},
};

use super::{
    context::{Context, Result, refused},
    rbac, regex, scalar, text,
};
use crate::snapshot::{PathMatch, RouteMatch};

/// A route's criteria.
pub(crate) fn route_match(cx: &mut Context<'_>, wire: &WireMatch) -> Result<RouteMatch> {
    let WireMatch {
        case_sensitive,
        runtime_fraction,
        headers,
        query_parameters,
        cookies,
        grpc,
        tls_context,
        dynamic_metadata,
        filter_state,
        path_specifier,
    } = wire;
    refused!(cx; "requests would be misrouted"; cookies, dynamic_metadata, filter_state);
    let case_sensitive = scalar::flag(case_sensitive.as_ref(), true);
    let none = TlsContextMatchOptions::default();
    let TlsContextMatchOptions { presented, validated } = tls_context.as_ref().unwrap_or(&none);
    Ok(RouteMatch {
        path: path(cx, path_specifier.as_ref(), case_sensitive)?,
        case_sensitive,
        headers: text::headers(cx, "headers", headers)?,
        query: cx.each("query_parameters", query_parameters, text::query)?,
        grpc: matches!(grpc, Some(GrpcRouteMatchOptions {})),
        fraction: runtime_fraction.as_ref().map(|wire| scalar::runtime_fraction(cx, "runtime_fraction", wire)).transpose()?,
        client_cert_presented: presented.as_ref().map(|wire| wire.value),
        client_cert_validated: validated.as_ref().map(|wire| wire.value),
    })
}

fn path(cx: &mut Context<'_>, wire: Option<&PathSpecifier>, case_sensitive: bool) -> Result<PathMatch> {
    let fold = |text: &str| if case_sensitive { text.into() } else { text.to_ascii_lowercase().into() };
    Ok(match wire {
        None => return Err(cx.refuse("says nothing of the path; give prefix, path, path_separated_prefix or safe_regex")),
        Some(PathSpecifier::Prefix(text)) => PathMatch::Prefix(fold(text)),
        Some(PathSpecifier::Path(text)) => PathMatch::Exact(fold(text)),
        Some(PathSpecifier::PathSeparatedPrefix(text)) => {
            if text.is_empty() || text.ends_with('/') || text.contains(['?', '#']) {
                return Err(cx.refuse_field("path_separated_prefix", "must be a path without a slash at its end, without ? and #"));
            }
            PathMatch::SegmentPrefix(fold(text))
        }
        Some(PathSpecifier::SafeRegex(wire)) => PathMatch::Regex(cx.field("safe_regex", |cx| regex::full(cx, wire))?),
        Some(PathSpecifier::ConnectMatcher(ConnectMatcher {})) => PathMatch::Connect,
        Some(PathSpecifier::PathMatchPolicy(wire)) => PathMatch::Regex(cx.field("path_match_policy", |cx| rbac::uri_template(cx, wire))?),
    })
}
