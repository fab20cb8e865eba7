//! One VirtualService's HTTP routes as Envoy routes.

use std::collections::HashMap;

use mesh_config::{
    registry::Resolution,
    resource::{
        Protocol,
        destination_rule::{HashKey, LoadBalancerPolicy},
        virtual_service::{
            AbortStatus, CorsPolicy, DerivePort, Destination, DirectResponse, FaultInjection, HeaderOperations, Headers, HttpAction,
            HttpMirror, HttpRoute, HttpRouteDestination, PathRewrite, Redirect, RedirectPath, RedirectPort, Rewrite, UnmatchedPreflights,
        },
    },
};
use mesh_proto::{
    any::pack,
    envoy::{
        config::{
            core::v3::{DataSource, HeaderValue, HeaderValueOption, data_source, header_value_option::HeaderAppendAction},
            route::v3::{
                DirectResponseAction, RedirectAction, Route, RouteAction, WeightedCluster,
                redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier},
                route::Action,
                route_action::{
                    ClusterSpecifier, HashPolicy, HostRewriteSpecifier, MaxStreamDuration, RequestMirrorPolicy,
                    hash_policy::{ConnectionProperties, Cookie, CookieAttribute, Header, PolicySpecifier, QueryParameter},
                },
                weighted_cluster::{ClusterWeight, cluster_weight},
            },
        },
        extensions::filters::{
            common::fault::v3::{FaultDelay, fault_delay::FaultDelaySecifier},
            http::{
                cors::v3::CorsPolicy as WireCors,
                fault::v3::{FaultAbort, HttpFault, fault_abort::ErrorType},
            },
        },
        r#type::matcher::v3::RegexMatchAndSubstitute,
    },
    google::protobuf::Any,
    id::Hostname,
};

use super::{
    super::{
        filters::{CORS, FAULT},
        names,
        wire::{duration, flag, fraction, number, provenance, runtime_fraction, safe_regex},
    },
    Context, decorator, forward, matches, retry,
};
use crate::world::RoutingRule;

/// The routes of a VirtualService at this place, in order, up to one that takes everything.
pub(crate) fn routes(context: &Context<'_>, rule: &RoutingRule, host: &Hostname) -> Vec<Route> {
    let mut list = Vec::new();
    for http in &rule.http {
        let Some(alternatives) = matches::alternatives(context, http) else { continue };
        for (name, matcher) in alternatives {
            let last = matches::takes_all(&matcher);
            let full =
                if name.is_empty() || http.name.is_empty() { format!("{}{name}", http.name) } else { format!("{}.{name}", http.name) };
            list.push(Route { name: full, r#match: Some(matcher), ..route(context, rule, http, host) });
            if last {
                return list;
            }
        }
    }
    list
}

fn route(context: &Context<'_>, rule: &RoutingRule, http: &HttpRoute, host: &Hostname) -> Route {
    let mut route = Route { metadata: provenance(&rule.provenance), ..Default::default() };
    let (action, authority) = match &http.action {
        HttpAction::Route(destinations) => {
            let (action, first) = forwarding(context, http, destinations, &mut route);
            (Action::Route(action), first)
        }
        HttpAction::Redirect(redirect) => (Action::Redirect(redirection(context, redirect)), host.to_string()),
        HttpAction::DirectResponse(answer) => (Action::DirectResponse(direct(answer)), host.to_string()),
        // Merged when the World was built; one that is left has no target.
        HttpAction::Delegate(_) => (Action::DirectResponse(DirectResponseAction { status: 500, ..Default::default() }), host.to_string()),
    };
    route.decorator = decorator(&authority);
    route.action = Some(action);
    edit(&mut route, http.headers.as_ref());
    route.typed_per_filter_config = overrides(http);
    route
}

/// The action and the first destination's `host:port`.
fn forwarding(context: &Context<'_>, http: &HttpRoute, destinations: &[HttpRouteDestination], route: &mut Route) -> (RouteAction, String) {
    // A weight counts among several only; parts of weight 0 get nothing.
    let weighted: Vec<&HttpRouteDestination> = match destinations {
        [only] => vec![only],
        several => several.iter().filter(|part| part.weight > 0).collect(),
    };
    let authority =
        weighted.first().map(|part| &part.destination).map(|destination| names::authority(&destination.host, port(context, destination)));
    let cluster = match weighted.as_slice() {
        [] => ClusterSpecifier::Cluster(names::BLACK_HOLE.into()),
        [only] => {
            edit(route, only.headers.as_ref());
            ClusterSpecifier::Cluster(cluster(context, &only.destination))
        }
        several => ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: several.iter().map(|part| weight(context, part)).collect(),
            ..Default::default()
        }),
    };
    let mut action = forward(cluster);
    if let Some(timeout) = http.timeout {
        action.timeout = duration(timeout.get());
        action.max_stream_duration = Some(MaxStreamDuration { grpc_timeout_header_max: duration(timeout.get()), ..Default::default() });
    }
    action.hash_policy =
        weighted.iter().map(|part| &part.destination).flat_map(|d| hash_policy(context, &d.host, &d.subset, port(context, d))).collect();
    dedup(&mut action.hash_policy);
    action.retry_policy = retry::asked(http.retries.as_ref(), !action.hash_policy.is_empty());
    action.request_mirror_policies = http.mirrors.iter().filter_map(|mirror| copy(context, mirror)).collect();
    if let Some(rewrite) = &http.rewrite {
        rewritten(&mut action, rewrite);
    }
    let host = |headers: Option<&Headers>| headers.and_then(|headers| headers.request.as_ref()).and_then(new_host);
    let single = (weighted.len() == 1).then(|| weighted.first().and_then(|part| host(part.headers.as_ref()))).flatten();
    if let Some(name) = host(http.headers.as_ref()).or(single) {
        action.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(name));
    }
    (action, authority.unwrap_or_default())
}

fn weight(context: &Context<'_>, part: &HttpRouteDestination) -> ClusterWeight {
    let mut scratch = Route::default();
    edit(&mut scratch, part.headers.as_ref());
    let host = part.headers.as_ref().and_then(|headers| headers.request.as_ref()).and_then(new_host);
    ClusterWeight {
        name: cluster(context, &part.destination),
        weight: u32::try_from(part.weight).ok().and_then(number),
        request_headers_to_add: scratch.request_headers_to_add,
        request_headers_to_remove: scratch.request_headers_to_remove,
        response_headers_to_add: scratch.response_headers_to_add,
        response_headers_to_remove: scratch.response_headers_to_remove,
        host_rewrite_specifier: host.map(cluster_weight::HostRewriteSpecifier::HostRewriteLiteral),
        ..Default::default()
    }
}

/// The port named, the service's only one, or the one that was called (Istio's order).
fn port(context: &Context<'_>, destination: &Destination) -> u16 {
    if let Some(port) = &destination.port {
        return port.number;
    }
    match context.view.service(&destination.host).map(|service| service.ports.as_slice()) {
        Some([only]) => only.number,
        _ => context.port,
    }
}

/// A destination's cluster. One that is not there answers 503.
fn cluster(context: &Context<'_>, destination: &Destination) -> String {
    format!("outbound|{}|{}|{}", port(context, destination), destination.subset, destination.host)
}

/// Consistent hashing: the property that the destination's rule names.
pub(super) fn hash_policy(context: &Context<'_>, host: &str, subset: &str, port: u16) -> Vec<HashPolicy> {
    let Some(service) = context.view.service(host) else { return Vec::new() };
    let Some(rule) = context.world.destination_rule(context.scope, &service.id.hostname, &service.id.namespace) else { return Vec::new() };
    let policy = rule.policy_for(rule.subset(subset), port);
    let Some(LoadBalancerPolicy::ConsistentHash(hash)) = policy.load_balancer.and_then(|lb| lb.policy) else { return Vec::new() };
    // A TCP port's connections are hashed by the TCP proxy.
    if service.port(port).is_some_and(|port| port.protocol.is_some_and(Protocol::is_tcp)) || service.resolution == Resolution::DynamicDns {
        return Vec::new();
    }
    let specifier = match hash.key {
        HashKey::Header(name) => PolicySpecifier::Header(Header { header_name: name, ..Default::default() }),
        HashKey::Cookie(cookie) => PolicySpecifier::Cookie(Cookie {
            name: cookie.name,
            ttl: cookie.ttl.and_then(|ttl| duration(ttl.get())),
            path: cookie.path,
            attributes: cookie.attributes.into_iter().map(|a| CookieAttribute { name: a.name, value: a.value }).collect(),
        }),
        HashKey::SourceIp => PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true }),
        HashKey::QueryParameter(name) => PolicySpecifier::QueryParameter(QueryParameter { name }),
    };
    vec![HashPolicy { terminal: false, policy_specifier: Some(specifier) }]
}

fn dedup(list: &mut Vec<HashPolicy>) {
    let mut kept: Vec<HashPolicy> = Vec::with_capacity(list.len());
    for policy in list.drain(..) {
        if !kept.contains(&policy) {
            kept.push(policy);
        }
    }
    *list = kept;
}

/// `None`: nothing is to be copied.
fn copy(context: &Context<'_>, mirror: &HttpMirror) -> Option<RequestMirrorPolicy> {
    let percent = mirror.percentage.as_ref().map_or(100.0, |percent| percent.value);
    (percent > 0.0).then(|| RequestMirrorPolicy {
        cluster: cluster(context, &mirror.destination),
        runtime_fraction: runtime_fraction(percent),
        trace_sampled: flag(false),
        disable_shadow_host_suffix_append: true,
        ..Default::default()
    })
}

fn rewritten(action: &mut RouteAction, rewrite: &Rewrite) {
    match &rewrite.path {
        Some(PathRewrite::Uri(uri)) => action.prefix_rewrite.clone_from(uri),
        Some(PathRewrite::Regex(regex)) => {
            action.regex_rewrite =
                Some(RegexMatchAndSubstitute { pattern: Some(safe_regex(regex.r#match.as_str())), substitution: regex.rewrite.clone() });
        }
        None => {}
    }
    if !rewrite.authority.is_empty() {
        action.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(rewrite.authority.clone()));
    }
}

fn redirection(context: &Context<'_>, redirect: &Redirect) -> RedirectAction {
    let port_redirect = match redirect.port {
        Some(RedirectPort::Number(port)) => u32::from(port),
        Some(RedirectPort::Derived(DerivePort::FromRequestPort)) => u32::from(context.port),
        // Envoy leaves the port out, which means the scheme's own.
        Some(RedirectPort::Derived(DerivePort::FromProtocolDefault)) | None => 0,
    };
    let code = match redirect.redirect_code {
        Some(302) => RedirectResponseCode::Found,
        Some(303) => RedirectResponseCode::SeeOther,
        Some(307) => RedirectResponseCode::TemporaryRedirect,
        Some(308) => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::MovedPermanently,
    };
    RedirectAction {
        host_redirect: redirect.authority.clone(),
        port_redirect,
        response_code: code.into(),
        scheme_rewrite_specifier: Some(redirect.scheme.clone())
            .filter(|scheme| !scheme.is_empty())
            .map(SchemeRewriteSpecifier::SchemeRedirect),
        path_rewrite_specifier: redirect.path.as_ref().map(|path| match path {
            RedirectPath::Full(path) => PathRewriteSpecifier::PathRedirect(path.clone()),
            RedirectPath::Prefix(prefix) => PathRewriteSpecifier::PrefixRewrite(prefix.clone()),
        }),
        ..Default::default()
    }
}

fn direct(answer: &DirectResponse) -> DirectResponseAction {
    let body = answer.body.as_ref().map(|body| DataSource {
        specifier: Some(match body {
            mesh_config::resource::virtual_service::HttpBody::String(text) => data_source::Specifier::InlineString(text.clone()),
            mesh_config::resource::virtual_service::HttpBody::Bytes(bytes) => data_source::Specifier::InlineBytes(bytes.clone()),
        }),
        ..Default::default()
    });
    DirectResponseAction { status: answer.status, body, ..Default::default() }
}

/// The Host header is not edited as one: it becomes a host rewrite.
fn is_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
}

fn new_host(operations: &HeaderOperations) -> Option<String> {
    operations.set.iter().chain(&operations.add).find(|(name, _)| is_host(name)).map(|(_, value)| value.clone())
}

fn edit(route: &mut Route, headers: Option<&Headers>) {
    let Some(headers) = headers else { return };
    if let Some(request) = &headers.request {
        route.request_headers_to_add.extend(added(request));
        route.request_headers_to_remove.extend(request.remove.iter().filter(|name| !is_host(name)).cloned());
    }
    if let Some(response) = &headers.response {
        route.response_headers_to_add.extend(added(response));
        route.response_headers_to_remove.extend(response.remove.iter().cloned());
    }
}

fn added(operations: &HeaderOperations) -> Vec<HeaderValueOption> {
    let option = |(name, value): (&String, &String), action: HeaderAppendAction| HeaderValueOption {
        header: Some(HeaderValue { key: name.clone(), value: value.clone(), ..Default::default() }),
        append_action: action.into(),
        ..Default::default()
    };
    let set = operations.set.iter().map(|pair| option(pair, HeaderAppendAction::OverwriteIfExistsOrAdd));
    let add = operations.add.iter().map(|pair| option(pair, HeaderAppendAction::AppendIfExistsOrAdd));
    set.chain(add).filter(|option| !option.header.as_ref().is_some_and(|header| is_host(&header.key))).collect()
}

fn overrides(http: &HttpRoute) -> HashMap<String, Any> {
    let fault = http.fault.as_ref().map(|injected| (FAULT.to_owned(), pack(&fault(injected))));
    let cors = http.cors_policy.as_ref().map(|policy| (CORS.to_owned(), pack(&cors(policy))));
    fault.into_iter().chain(cors).collect()
}

fn fault(injected: &FaultInjection) -> HttpFault {
    HttpFault {
        delay: injected.delay.as_ref().and_then(|delay| {
            Some(FaultDelay {
                percentage: Some(fraction(delay.share())),
                fault_delay_secifier: Some(FaultDelaySecifier::FixedDelay(duration(delay.fixed_delay?.get())?)),
            })
        }),
        abort: injected.abort.as_ref().and_then(|abort| {
            let status = match &abort.status {
                AbortStatus::Http(code) => ErrorType::HttpStatus(*code),
                AbortStatus::Grpc(name) => ErrorType::GrpcStatus(grpc_code(name)?),
                // Refused by validation, as Istio does not implement it.
                AbortStatus::Http2(_) => return None,
            };
            Some(FaultAbort { percentage: Some(fraction(abort.share())), error_type: Some(status), ..Default::default() })
        }),
        ..Default::default()
    }
}

/// `UNAVAILABLE` or `14` → 14.
fn grpc_code(name: &str) -> Option<u32> {
    const CODES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let by_name = CODES.iter().position(|code| code.eq_ignore_ascii_case(name)).and_then(|code| u32::try_from(code).ok());
    by_name.or_else(|| name.parse().ok().filter(|code| *code <= 16))
}

fn cors(policy: &CorsPolicy) -> WireCors {
    let exact = policy.allow_origin.iter().map(|origin| super::super::wire::exact(origin.as_str()));
    WireCors {
        allow_origin_string_match: exact.chain(policy.allow_origins.iter().map(matches::string)).collect(),
        allow_methods: policy.allow_methods.join(","),
        allow_headers: policy.allow_headers.join(","),
        expose_headers: policy.expose_headers.join(","),
        max_age: policy.max_age.map(|age| age.get().as_secs().to_string()).unwrap_or_default(),
        allow_credentials: policy.allow_credentials.and_then(flag),
        forward_not_matching_preflights: flag(policy.unmatched_preflights != UnmatchedPreflights::Ignore),
        filter_enabled: runtime_fraction(100.0),
        ..Default::default()
    }
}
