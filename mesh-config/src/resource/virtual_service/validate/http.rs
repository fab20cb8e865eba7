//! Rules of HTTP routes.

use super::{destination, gateways, source, weights};
use crate::{
    resource::{
        StringMatch, VirtualService,
        virtual_service::{
            AbortStatus, CorsPolicy, DirectResponse, FaultInjection, Headers, HttpAction, HttpMatch, HttpRetry, HttpRoute, PathRewrite,
            Redirect, RedirectPath, Rewrite,
        },
    },
    validate::{
        Checks,
        rules::{key, shown},
    },
};

/// gRPC's status names, by number.
const GRPC_STATUS: [&str; 17] = [
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

/// Envoy's retry conditions, for HTTP and gRPC.
const RETRY_ON: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "refused-stream",
    "retriable-4xx",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

const METHODS: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"];

pub(super) fn route(route: &HttpRoute, is_delegate: bool, checks: &mut Checks) {
    checks.each("match", &route.matches, |checks, item| matches(item, is_delegate, checks));
    action(route, is_delegate, checks);
    if let Some(fault) = &route.fault {
        checks.field("fault", |checks| self::fault(fault, checks));
    }
    if let Some(rewrite) = &route.rewrite {
        checks.field("rewrite", |checks| self::rewrite(rewrite, checks));
    }
    if let Some(retries) = &route.retries {
        checks.field("retries", |checks| self::retries(retries, checks));
    }
    if let Some(cors) = &route.cors_policy {
        checks.field("corsPolicy", |checks| self::cors(cors, checks));
    }
    checks.duration("timeout", route.timeout);
    checks.each("mirrors", &route.mirrors, |checks, mirror| {
        destination("destination", &mirror.destination, checks);
        checks.percent("percentage.value", mirror.percentage.as_ref().map(|percent| percent.value));
    });
    headers(route.headers.as_ref(), checks);
    let rewrites = route.rewrite.as_ref().is_some_and(|rewrite| !rewrite.authority.is_empty());
    let sets_host = |headers: &Headers| {
        let set = headers.request.iter().flat_map(|request| request.set.keys());
        set.into_iter().any(|name| name.eq_ignore_ascii_case("host") || name == ":authority")
    };
    if rewrites && route.headers.as_ref().is_some_and(sets_host) {
        checks.field("rewrite.authority", |checks| {
            checks.error(None, "the authority is set both by rewrite and by headers", "keep one of them");
        });
    }
}

fn action(route: &HttpRoute, is_delegate: bool, checks: &mut Checks) {
    let conflict = |checks: &mut Checks, action: &str| {
        for (field, set) in [("fault", route.fault.is_some()), ("rewrite", route.rewrite.is_some())] {
            if set {
                checks.field(field, |checks| {
                    checks.error(None, format!("HTTP route cannot contain both {field} and {action}"), "remove one of them");
                });
            }
        }
    };
    match &route.action {
        HttpAction::Route(destinations) => {
            checks.each("route", destinations, |checks, item| {
                destination("destination", &item.destination, checks);
                headers(item.headers.as_ref(), checks);
            });
            weights(destinations.iter().map(|item| item.weight), checks);
        }
        HttpAction::Redirect(redirect) => {
            conflict(checks, "redirect");
            checks.field("redirect", |checks| self::redirect(redirect, &route.matches, checks));
        }
        HttpAction::DirectResponse(answer) => {
            conflict(checks, "direct_response");
            checks.field("directResponse", |checks| direct_response(answer, checks));
        }
        HttpAction::Delegate(delegate) => checks.field("delegate", |checks| {
            if is_delegate {
                let rule = "delegate HTTP route cannot contain delegate";
                checks.error(None, rule, "delegates do not chain: route to a destination");
            }
            if delegate.name.is_empty() {
                checks.field("name", |checks| checks.error(None, "Required value", "name the VirtualService"));
            }
        }),
    }
}

fn matches(item: &HttpMatch, is_delegate: bool, checks: &mut Checks) {
    if let Some(uri) = &item.uri {
        checks.string_match("uri", uri);
    }
    for (field, value) in [("scheme", &item.scheme), ("method", &item.method), ("authority", &item.authority)] {
        if let Some(value) = value {
            checks.whole_string_match(field, value);
        }
    }
    for (field, values) in [("headers", &item.headers), ("withoutHeaders", &item.without_headers), ("queryParams", &item.query_params)] {
        for (name, value) in values {
            checks.header_match(field, name, value);
            if field != "queryParams" && !name.is_empty() && !is_header(name) {
                checks.field(&format!("{field}{}", key(name)), |checks| {
                    checks.error(shown(name), "header name is not a valid header name", "use a token, such as x-user");
                });
            }
        }
    }
    if let Some(port) = item.port {
        checks.port("port", port);
    }
    if is_delegate && matches!(item.uri, Some(StringMatch::Regex(_))) {
        checks.field("uri.regex", |checks| {
            checks.warning(None, "a regex of a delegate cannot be merged with its root's match", "use exact or prefix");
        });
    }
    source(&item.source_labels, &item.source_namespace, checks);
    gateways("gateways", &item.gateways, checks);
}

/// Reports routes that a route without conditions shadows.
pub(super) fn reachable(spec: &VirtualService, checks: &mut Checks) {
    let catches_all = |route: &HttpRoute| route.matches.is_empty() || route.matches.contains(&HttpMatch::default());
    let Some(last) = spec.http.iter().position(catches_all) else { return };
    for index in last + 1..spec.http.len() {
        checks.field(&format!("http[{index}]"), |checks| {
            let rule = format!("rule is not reachable: http[{last}] matches every request");
            checks.warning(None, rule, "move it up, or give the earlier rule a match");
        });
    }
}

fn redirect(redirect: &Redirect, matches: &[HttpMatch], checks: &mut Checks) {
    let nothing = redirect.path.is_none() && redirect.authority.is_empty() && redirect.scheme.is_empty() && redirect.port.is_none();
    if nothing {
        checks.error(None, "redirect must specify URI, authority, scheme, or port", "say where to redirect to");
    }
    if let Some(RedirectPath::Prefix(prefix)) = &redirect.path {
        // Without a uri match the prefix is `/`.
        if !matches.iter().all(|item| matches!(item.uri, None | Some(StringMatch::Prefix(_)))) {
            checks.field("prefixRewrite", |checks| {
                let rule = "redirect prefix_rewrite requires all URI matches to use prefix match type";
                checks.error(shown(prefix), rule, "match by uri.prefix, or use redirect.uri");
            });
        }
    }
    if let Some(code) = redirect.redirect_code.filter(|code| !(300..400).contains(code)) {
        checks.field("redirectCode", |checks| {
            checks.error(shown(code), format!("{code} is not a valid redirect code, must be 3xx"), "use 301, 302, 307 or 308");
        });
    }
    if !matches!(redirect.scheme.as_str(), "" | "http" | "https") {
        checks.field("scheme", |checks| {
            checks.error(shown(&redirect.scheme), "invalid redirect scheme, must be \"http\" or \"https\"", "use http or https");
        });
    }
}

fn direct_response(answer: &DirectResponse, checks: &mut Checks) {
    const KIB: usize = 1024;
    status("status", answer.status, checks);
    let size = answer.body.as_ref().map_or(0, |body| body.as_bytes().len());
    if size > KIB * KIB {
        let rule = "large direct_responses may impact control plane performance, must be less than 1MB";
        checks.field("body", |checks| checks.error(shown(size), rule, "serve it from a workload"));
    } else if size > 100 * KIB {
        let rule = "large direct_responses may impact control plane performance";
        checks.field("body", |checks| checks.warning(shown(size), rule, "serve it from a workload"));
    }
}

/// A status code for an answer: Istio allows 600, whatever that is.
fn status(field: &str, code: u32, checks: &mut Checks) {
    if !(200..=600).contains(&code) {
        checks.field(field, |checks| {
            checks.error(shown(code), format!("HTTP status {code} is not in range 200-599"), "use 200 to 599");
        });
    }
}

fn fault(fault: &FaultInjection, checks: &mut Checks) {
    if fault.abort.is_none() && fault.delay.is_none() {
        checks.error(None, "HTTP fault injection must have an abort and/or a delay", "add one");
    }
    if let Some(delay) = &fault.delay {
        checks.field("delay", |checks| {
            checks.fractional_percent("percentage.value", delay.percentage.as_ref().map(|percent| percent.value));
            checks.percent("percent", Some(f64::from(delay.percent)));
            checks.duration("fixedDelay", delay.fixed_delay);
            if delay.exponential_delay.is_some() {
                checks.field("exponentialDelay", |checks| {
                    checks.error(None, "exponentialDelay not supported yet", "use fixedDelay");
                });
            } else if delay.fixed_delay.is_none() {
                checks.field("fixedDelay", |checks| checks.error(None, "Required value", "say how long"));
            }
        });
    }
    if let Some(abort) = &fault.abort {
        checks.field("abort", |checks| {
            checks.fractional_percent("percentage.value", abort.percentage.as_ref().map(|percent| percent.value));
            match &abort.status {
                AbortStatus::Http(code) => status("httpStatus", *code, checks),
                AbortStatus::Grpc(name) => {
                    let number = name.parse::<usize>().is_ok_and(|number| number < GRPC_STATUS.len());
                    if !number && !GRPC_STATUS.contains(&name.as_str()) {
                        checks.field("grpcStatus", |checks| {
                            let remedy = match crate::suggest::nearest(name, GRPC_STATUS) {
                                Some(known) => format!("did you mean `{known}`?"),
                                None => "use a name such as UNAVAILABLE".to_owned(),
                            };
                            checks.error(shown(name), "gRPC status is not supported", remedy);
                        });
                    }
                }
                AbortStatus::Http2(_) => checks.field("http2Error", |checks| {
                    checks.error(None, "HTTP/2 abort fault injection not supported yet", "use httpStatus");
                }),
            }
        });
    }
}

fn rewrite(rewrite: &Rewrite, checks: &mut Checks) {
    match &rewrite.path {
        None if rewrite.authority.is_empty() => {
            let rule = "rewrite must specify at least one of URI, UriRegexRewrite, or authority";
            checks.error(None, rule, "say what to rewrite");
        }
        Some(PathRewrite::Regex(regex)) => checks.field("uriRegexRewrite", |checks| {
            if regex.r#match.is_empty() || regex.rewrite.is_empty() {
                let rule = "UriRegexRewrite requires both Rewrite and Match fields to be specified";
                checks.error(None, rule, "set both");
            } else {
                checks.regex("match", &regex.r#match);
            }
        }),
        Some(PathRewrite::Uri(_)) | None => {}
    }
}

fn retries(retries: &HttpRetry, checks: &mut Checks) {
    checks.non_negative("attempts", retries.attempts);
    let policy = !retries.retry_on.is_empty() || retries.per_try_timeout.is_some() || retries.retry_remote_localities.is_some();
    if retries.attempts == 0 && policy {
        checks.field("attempts", |checks| {
            let rule = "http retry policy configured when attempts are set to 0 (disabled)";
            checks.error(shown(0), rule, "set attempts, or leave the rest out");
        });
    }
    checks.duration("perTryTimeout", retries.per_try_timeout);
    checks.duration("backoff", retries.backoff);
    if retries.retry_on.is_empty() {
        return;
    }
    for condition in retries.retry_on.split(',').map(str::trim) {
        let code = condition.parse::<u32>().is_ok_and(|code| (100..=599).contains(&code));
        if !code && !RETRY_ON.contains(&condition) {
            checks.field("retryOn", |checks| {
                let remedy = match crate::suggest::nearest(condition, RETRY_ON) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => format!("use status codes and {}", RETRY_ON.join(", ")),
                };
                checks.error(shown(condition), format!("`{condition}` is not a valid retryOn policy"), remedy);
            });
        }
    }
}

fn cors(cors: &CorsPolicy, checks: &mut Checks) {
    for (index, origin) in cors.allow_origins.iter().enumerate() {
        checks.string_match(&format!("allowOrigins[{index}]"), origin);
    }
    checks.each("allowMethods", &cors.allow_methods, |checks, method| {
        if !METHODS.contains(&method.as_str()) {
            checks.error(shown(method), format!("{method:?} is not a supported HTTP method"), "use GET, POST, …");
        }
    });
    for (field, names) in [("allowHeaders", &cors.allow_headers), ("exposeHeaders", &cors.expose_headers)] {
        checks.each(field, names, |checks, name| {
            if name != "*" && !is_header(name) {
                checks.error(shown(name), "header name is not a valid header name", "use a token, such as x-user");
            }
        });
    }
    checks.duration("maxAge", cors.max_age);
    if let Some(age) = cors.max_age.filter(|age| age.get().subsec_nanos() != 0) {
        checks.field("maxAge", |checks| {
            checks.error(shown(age), "max_age duration is accurate only to seconds precision", "write whole seconds");
        });
    }
}

fn headers(headers: Option<&Headers>, checks: &mut Checks) {
    let Some(headers) = headers else { return };
    for (direction, operations) in [("request", &headers.request), ("response", &headers.response)] {
        let Some(operations) = operations else { continue };
        checks.field(&format!("headers.{direction}"), |checks| {
            for (field, values) in [("set", &operations.set), ("add", &operations.add)] {
                for (name, value) in values {
                    operation(&format!("{field}{}", key(name)), name, field == "set", checks);
                    if !is_format(value) {
                        checks.field(&format!("{field}{}", key(name)), |checks| {
                            let rule = "header value configuration: `%` begins an Envoy format command";
                            checks.error(shown(value), rule, "write `%%` for a percent sign");
                        });
                    }
                }
            }
            for (index, name) in operations.remove.iter().enumerate() {
                operation(&format!("remove[{index}]"), name, false, checks);
            }
        });
    }
}

/// A header that may be changed; the host only by setting it.
fn operation(field: &str, name: &str, sets: bool, checks: &mut Checks) {
    let host = name.eq_ignore_ascii_case("host") || name == ":authority";
    let problem = match name {
        "" => "header name cannot be empty",
        _ if sets && host => return,
        _ if host => "cannot set Host header",
        _ if name.starts_with(':') => "header cannot have \":\" prefix",
        _ if !is_header(name) => "header name is not a valid header name",
        _ => return,
    };
    checks.field(field, |checks| checks.error(shown(name), problem, "use rewrite.authority for the host; else a token"));
}

/// Whether every `%` is doubled or begins a command such as `%DOWNSTREAM_REMOTE_ADDRESS%` or `%REQ(x-user):8%`.
fn is_format(value: &str) -> bool {
    let mut rest = value;
    while let Some(at) = rest.find('%') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            rest = after;
            continue;
        }
        let name = rest.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_').unwrap_or(rest.len());
        let mut tail = &rest[name..];
        if let Some(arguments) = tail.strip_prefix('(') {
            let Some(end) = arguments.find(')') else { return false };
            tail = &arguments[end + 1..];
        }
        let length = tail.strip_prefix(':').map_or(tail, |digits| digits.trim_start_matches(|c: char| c.is_ascii_digit()));
        match length.strip_prefix('%') {
            Some(after) if name > 0 => rest = after,
            _ => return false,
        }
    }
    true
}

/// A token of RFC 9110 §5.1, or a JWT claim that Istio routes by (`@request.auth.claims.…`).
fn is_header(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && (name.bytes().all(token) || name.starts_with("@request.auth.claims"))
}
