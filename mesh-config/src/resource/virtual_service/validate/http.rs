//! Rules of HTTP routes.

use super::{
    destination, gateways,
    headers::{headers, is_authority, is_claim, is_header},
    policy, source, weights,
};
use crate::{
    resource::{
        HeaderMatch, StringMatch, VirtualService,
        virtual_service::{DirectResponse, HttpAction, HttpMatch, HttpRoute, Redirect, RedirectPath},
    },
    validate::{
        Checks,
        rules::{key, shown},
    },
};

/// RFC 9113 §8.3.
const PSEUDO_HEADERS: [&str; 5] = [":method", ":scheme", ":authority", ":path", ":status"];

pub(super) fn route(route: &HttpRoute, is_delegate: bool, checks: &mut Checks) {
    checks.each("match", &route.matches, |checks, item| matches(item, is_delegate, checks));
    action(route, is_delegate, checks);
    if let Some(fault) = &route.fault {
        checks.field("fault", |checks| policy::fault(fault, checks));
    }
    if let Some(rewrite) = &route.rewrite {
        checks.field("rewrite", |checks| policy::rewrite(rewrite, checks));
    }
    if let Some(retries) = &route.retries {
        checks.field("retries", |checks| policy::retries(retries, checks));
    }
    if let Some(cors) = &route.cors_policy {
        checks.field("corsPolicy", |checks| policy::cors(cors, checks));
    }
    checks.duration("timeout", route.timeout);
    mirrors(route, checks);
    headers(route.headers.as_ref(), checks);
    authority(route, checks);
}

/// The host is set in one place at most: a rewrite, or a header.
fn authority(route: &HttpRoute, checks: &mut Checks) {
    let rewritten = usize::from(route.rewrite.as_ref().is_some_and(|rewrite| !rewrite.authority.is_empty()));
    let request = route.headers.iter().filter_map(|headers| headers.request.as_ref());
    let set = request.flat_map(|request| request.set.keys().chain(request.add.keys())).filter(|name| is_authority(name)).count();
    if rewritten + set > 1 {
        checks.field(if rewritten > 0 { "rewrite.authority" } else { "headers.request" }, |checks| {
            checks.error(None, "the authority is set more than once, by rewrite or by headers", "keep one of them");
        });
    }
}

fn mirrors(route: &HttpRoute, checks: &mut Checks) {
    checks.each("mirrors", &route.mirrors, |checks, mirror| {
        destination("destination", &mirror.destination, checks);
        checks.percent("percentage.value", mirror.percentage.as_ref().map(|percent| percent.value));
    });
    checks.percent("mirrorPercentage.value", route.mirror_percentage.as_ref().map(|percent| percent.value));
    if let Some(percent) = route.mirror_percent {
        checks.percent("mirrorPercent", Some(f64::from(percent)));
        checks.field("mirrorPercent", |checks| {
            checks.warning(shown(percent), "mirrorPercent is deprecated", "use mirrorPercentage");
        });
    }
}

/// Claims of a token are only known where tokens are verified first: at a gateway.
pub(super) fn claims(spec: &VirtualService, checks: &mut Checks) {
    if super::only_gateways(spec) {
        return;
    }
    for (rule, route) in spec.http.iter().enumerate() {
        for (index, item) in route.matches.iter().enumerate() {
            for (field, values) in [("headers", &item.headers), ("withoutHeaders", &item.without_headers)] {
                for name in values.keys().filter(|name| is_claim(name)) {
                    checks.field(&format!("http[{rule}].match[{index}].{field}{}", key(name)), |checks| {
                        let rule = "JWT claim based routing is only supported for gateway, found no gateways";
                        checks.error(shown(name), rule, "name the gateway in `gateways`, and not `mesh`");
                    });
                }
            }
        }
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
            // In withoutHeaders, `*` is no regex: it says that the header is there.
            let present = field == "withoutHeaders" && matches!(value, HeaderMatch::Value(StringMatch::Regex(regex)) if regex == "*");
            if !present {
                checks.header_match(field, name, value);
            }
            if field != "queryParams" && !name.is_empty() && !is_header(name) && !is_claim(name) && !PSEUDO_HEADERS.contains(&name.as_str())
            {
                checks.field(&format!("{field}{}", key(name)), |checks| {
                    checks.error(shown(name), "header name is not a valid header name", "use a token, such as x-user");
                });
            }
        }
    }
    if is_delegate && matches!(item.uri, Some(StringMatch::Regex(_))) {
        checks.field("uri.regex", |checks| {
            checks.warning(None, "a regex of a delegate cannot be merged with its root's match", "use exact or prefix");
        });
    }
    source(&item.source_labels, &item.source_namespace, checks);
    gateways("gateways", &item.gateways, checks);
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
pub(super) fn status(field: &str, code: u32, checks: &mut Checks) {
    if !(200..=600).contains(&code) {
        checks.field(field, |checks| {
            checks.error(shown(code), format!("HTTP status {code} is not in range 200-599"), "use 200 to 599");
        });
    }
}
