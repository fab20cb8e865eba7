//! What an HTTP route matches. Labels, namespaces, gateways and ports are decided here, for the proxy they are about; the rest is Envoy's to match.

use mesh_config::resource::{
    HeaderMatch, StringMatch,
    selector::selects,
    virtual_service::{HttpMatch, HttpRoute},
};
use mesh_proto::envoy::{
    config::route::v3::{
        HeaderMatcher, QueryParameterMatcher, RouteMatch, header_matcher::HeaderMatchSpecifier,
        query_parameter_matcher::QueryParameterMatchSpecifier, route_match::PathSpecifier,
    },
    r#type::matcher::v3::StringMatcher,
};

use super::{
    super::wire::{exact, flag, prefix, regex, safe_regex},
    Context, everything,
};

/// Headers that name parts of the request line; Istio ignores them among a match's headers.
const PARTS: [&str; 4] = ["uri", "scheme", "method", "authority"];

/// The alternatives of a route that can match at this proxy, each with its name; `None`: there are some and none can.
pub(super) fn alternatives<'r>(context: &Context<'_>, route: &'r HttpRoute) -> Option<Vec<(&'r str, RouteMatch)>> {
    if route.matches.is_empty() {
        return Some(vec![("", everything())]);
    }
    let usable = route.matches.iter().filter(|matcher| here(context, matcher));
    let list: Vec<_> = usable.filter_map(|matcher| Some((matcher.name.as_str(), translate(matcher)?))).collect();
    (!list.is_empty()).then_some(list)
}

/// Whether a match takes every request.
pub(super) fn takes_all(matcher: &RouteMatch) -> bool {
    *matcher == everything()
}

/// The parts that the control plane decides.
fn here(context: &Context<'_>, matcher: &HttpMatch) -> bool {
    let gateway = matcher.gateways.is_empty() || matcher.gateways.iter().any(|name| context.gateways.contains(&name.as_str()));
    // 0 is protobuf's "not set".
    let port = matcher.port.is_none_or(|port| port == 0 || port == context.port);
    let namespace = matcher.source_namespace.is_empty() || matcher.source_namespace == context.scope.namespace.as_str();
    gateway && port && namespace && selects(&matcher.source_labels, context.world.labels(context.scope))
}

/// `None`: it asks for a JWT's claim, and no filter provides any: it can never match.
fn translate(matcher: &HttpMatch) -> Option<RouteMatch> {
    let path = match &matcher.uri {
        None => PathSpecifier::Prefix("/".into()),
        Some(StringMatch::Exact(path)) => PathSpecifier::Path(path.clone()),
        Some(StringMatch::Prefix(path)) => PathSpecifier::Prefix(path.clone()),
        Some(StringMatch::Regex(pattern)) if pattern == ".*" || pattern == "*" => PathSpecifier::Prefix("/".into()),
        Some(StringMatch::Regex(pattern)) => PathSpecifier::SafeRegex(safe_regex(pattern.as_str())),
    };
    let claims = matcher.headers.keys().chain(matcher.without_headers.keys()).any(|name| name.starts_with("@request.auth"));
    if claims {
        return None;
    }
    let mut headers = Vec::new();
    let parts = [(":method", &matcher.method), (":authority", &matcher.authority), (":scheme", &matcher.scheme)];
    for (name, value) in parts {
        headers.extend(value.as_ref().map(|value| header(name, value_match(value))));
    }
    let named = |name: &&String| !PARTS.contains(&name.as_str());
    for name in matcher.headers.keys().filter(named) {
        headers.push(header(name, specifier(&matcher.headers[name])));
    }
    for name in matcher.without_headers.keys().filter(named) {
        let value = match &matcher.without_headers[name] {
            // Istio's way to say that the header must not be there at all; it is no regex.
            HeaderMatch::Value(StringMatch::Regex(pattern)) if pattern == "*" => &HeaderMatch::Present,
            value => value,
        };
        headers.push(HeaderMatcher {
            invert_match: true,
            // A request without the header does not have the value either.
            treat_missing_header_as_empty: *value != HeaderMatch::Present,
            ..header(name, specifier(value))
        });
    }
    Some(RouteMatch {
        path_specifier: Some(path),
        case_sensitive: if matcher.ignore_uri_case { flag(false) } else { None },
        headers,
        query_parameters: matcher.query_params.iter().map(|(name, value)| query(name, value)).collect(),
        ..Default::default()
    })
}

fn header(name: &str, specifier: HeaderMatchSpecifier) -> HeaderMatcher {
    HeaderMatcher { name: name.to_owned(), header_match_specifier: Some(specifier), ..Default::default() }
}

fn specifier(value: &HeaderMatch) -> HeaderMatchSpecifier {
    match value {
        HeaderMatch::Present => HeaderMatchSpecifier::PresentMatch(true),
        HeaderMatch::Value(value) => value_match(value),
    }
}

fn value_match(value: &StringMatch) -> HeaderMatchSpecifier {
    HeaderMatchSpecifier::StringMatch(string(value))
}

fn query(name: &str, value: &HeaderMatch) -> QueryParameterMatcher {
    let specifier = match value {
        HeaderMatch::Present => QueryParameterMatchSpecifier::PresentMatch(true),
        HeaderMatch::Value(value) => QueryParameterMatchSpecifier::StringMatch(string(value)),
    };
    QueryParameterMatcher { name: name.to_owned(), query_parameter_match_specifier: Some(specifier) }
}

pub(super) fn string(value: &StringMatch) -> StringMatcher {
    match value {
        StringMatch::Exact(text) => exact(text.as_str()),
        StringMatch::Prefix(text) => prefix(text.as_str()),
        StringMatch::Regex(text) => regex(text.as_str()),
    }
}
