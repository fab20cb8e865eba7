//! What a route makes of a request's path and authority, and where a redirect leads. Pure text, as Envoy's router does it.

use std::borrow::Cow;

use http::HeaderValue;

use super::{
    facts::{RequestFacts, Values, path_only},
    route::without_port,
};
use crate::snapshot::{HostRewrite, PathMatch, Redirect, RedirectPath, Rewrite, RouteMatch};

/// `path` (with its query) after `rewrite`; `None` if it stays as it is. The query is kept.
pub fn rewritten_path(rewrite: &Rewrite, matcher: &RouteMatch, path: &str) -> Option<String> {
    match rewrite {
        Rewrite::Prefix(new) => replaced_prefix(matcher, path, new),
        Rewrite::Regex { pattern, substitution } => replaced_regex(pattern, substitution, path),
    }
}

/// The authority after `rewrite`; `None` if it stays as it is. `hostname` is the chosen endpoint's.
pub fn rewritten_authority(rewrite: &HostRewrite, request: &RequestFacts<'_>, hostname: Option<&str>) -> Option<HeaderValue> {
    let text = match rewrite {
        HostRewrite::Literal(value) => return Some(value.clone()),
        HostRewrite::Auto => Cow::Borrowed(hostname?),
        HostRewrite::Header(name) => match Values::of(request.headers, name) {
            Values::Absent => return None,
            Values::One(value) => value,
            Values::Many(mut values) => values.swap_remove(0),
        },
        HostRewrite::PathRegex { pattern, substitution } => pattern.replace_all(request.path_only(), &**substitution),
    };
    (!text.is_empty()).then(|| HeaderValue::from_str(&text).ok()).flatten()
}

/// The `location` of a redirect.
pub fn redirect_location(redirect: &Redirect, matcher: &RouteMatch, request: &RequestFacts<'_>) -> String {
    let scheme = redirect.scheme.as_deref().unwrap_or(request.scheme);
    let host = match redirect.host.as_deref() {
        Some(host) => host,
        None => kept_host(request, scheme, redirect.port.is_some()),
    };
    let port = redirect.port.map(|port| format!(":{port}")).unwrap_or_default();
    let path = redirect_path(redirect, matcher, request.path);
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{host}{port}{slash}{path}")
}

/// The `location` for a virtual host that wants TLS.
pub fn tls_location(request: &RequestFacts<'_>) -> String {
    format!("https://{}{}", request.authority, request.path)
}

/// The request's host; without its port if a new one is given or it is the old scheme's default.
fn kept_host<'a>(request: &RequestFacts<'a>, scheme: &str, new_port: bool) -> &'a str {
    let host = without_port(request.authority);
    let is_default = match &request.authority[host.len()..] {
        ":443" => request.scheme.eq_ignore_ascii_case("https"),
        ":80" => request.scheme.eq_ignore_ascii_case("http"),
        _ => false,
    };
    if new_port || (is_default && scheme != request.scheme) { host } else { request.authority }
}

fn redirect_path<'a>(redirect: &Redirect, matcher: &RouteMatch, path: &'a str) -> Cow<'a, str> {
    let new = match &redirect.path {
        Some(RedirectPath::Full(new)) if new.contains('?') => return Cow::Owned(new.to_string()),
        Some(RedirectPath::Full(new)) => {
            let query = path.find('?').map_or("", |start| &path[start..]);
            Cow::Owned(format!("{new}{query}"))
        }
        Some(RedirectPath::Prefix(new)) => replaced_prefix(matcher, path, new).map_or(Cow::Borrowed(path), Cow::Owned),
        Some(RedirectPath::Regex { pattern, substitution }) => {
            replaced_regex(pattern, substitution, path).map_or(Cow::Borrowed(path), Cow::Owned)
        }
        None => Cow::Borrowed(path),
    };
    match new.find('?') {
        Some(start) if redirect.strip_query => Cow::Owned(new[..start].to_owned()),
        _ => new,
    }
}

/// `path` with what the route matched replaced: the prefix, or for other kinds of match the whole path without query.
fn replaced_prefix(matcher: &RouteMatch, path: &str, new: &str) -> Option<String> {
    let matched = match &matcher.path {
        PathMatch::Prefix(prefix) | PathMatch::SegmentPrefix(prefix) => prefix.len(),
        PathMatch::Exact(_) | PathMatch::Regex(_) | PathMatch::Connect => path_only(path).len(),
    };
    Some(format!("{new}{}", path.get(matched..)?))
}

fn replaced_regex(pattern: &regex::Regex, substitution: &str, path: &str) -> Option<String> {
    let only = path_only(path);
    let new = pattern.replace_all(only, substitution);
    (!new.is_empty()).then(|| format!("{new}{}", &path[only.len()..]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http::{HeaderMap, Method, StatusCode};

    use super::*;
    use crate::plan::fixture::path_match;

    fn request<'a>(scheme: &'a str, authority: &'a str, path: &'a str, headers: &'a HeaderMap) -> RequestFacts<'a> {
        RequestFacts { method: &Method::GET, scheme, authority, path, headers, tls: None }
    }

    fn regex(pattern: &str) -> regex::Regex {
        regex::Regex::new(pattern).unwrap()
    }

    #[test]
    fn paths() {
        let prefix = |new: &str| Rewrite::Prefix(new.into());
        let pattern = |p: &str, s: &str| Rewrite::Regex { pattern: regex(p), substitution: s.into() };
        let cases = [
            (PathMatch::Prefix("/old".into()), prefix("/new"), "/old/x?q=/old", Some("/new/x?q=/old")),
            (PathMatch::Prefix("/old/".into()), prefix("/"), "/old/x", Some("/x")),
            (PathMatch::Exact("/old".into()), prefix("/new"), "/old?q", Some("/new?q")),
            (PathMatch::Regex(regex("^/o.*$")), prefix("/new"), "/old/x?q", Some("/new?q")),
            (
                PathMatch::Prefix("/".into()),
                pattern("^/service/([^/]+)(/.*)$", "${2}/instance/${1}"),
                "/service/foo/v1/api?q=1",
                Some("/v1/api/instance/foo?q=1"),
            ),
            (PathMatch::Prefix("/".into()), pattern("one", "two"), "/xxx/one/yyy/one/zzz", Some("/xxx/two/yyy/two/zzz")),
            (PathMatch::Prefix("/".into()), pattern("^.*$", ""), "/x?q", None),
        ];
        for (path, rewrite, given, expected) in cases {
            assert_eq!(rewritten_path(&rewrite, &path_match(path), given).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn redirects() {
        let none = Redirect { status: StatusCode::MOVED_PERMANENTLY, scheme: None, host: None, port: None, path: None, strip_query: false };
        let with = |change: &dyn Fn(&mut Redirect)| {
            let mut redirect = Redirect { status: none.status, scheme: None, host: None, port: None, path: None, strip_query: false };
            change(&mut redirect);
            redirect
        };
        let full = |path: &str| Some(RedirectPath::Full(path.into()));
        let cases = [
            (with(&|r| r.scheme = Some("https".into())), "a.b:80", "/x?q=1", "https://a.b/x?q=1"),
            (with(&|r| r.scheme = Some("https".into())), "a.b:8080", "/x", "https://a.b:8080/x"),
            (with(&|r| r.port = Some(8443)), "a.b:80", "/x", "http://a.b:8443/x"),
            (with(&|r| r.port = Some(8443)), "[::1]", "/x", "http://[::1]:8443/x"),
            (with(&|r| r.host = Some("c.d".into())), "a.b:80", "/x", "http://c.d/x"),
            (with(&|r| r.path = full("/new")), "a.b", "/x?q=1", "http://a.b/new?q=1"),
            (with(&|r| r.path = full("/new?n=2")), "a.b", "/x?q=1", "http://a.b/new?n=2"),
            (with(&|r| r.path = full("new")), "a.b", "/x", "http://a.b/new"),
            (with(&|r| r.strip_query = true), "a.b", "/x?q=1", "http://a.b/x"),
            (
                with(&|r| {
                    r.path = full("/new?n");
                    r.strip_query = true;
                }),
                "a.b",
                "/x?q=1",
                "http://a.b/new?n",
            ),
            (with(&|r| r.path = Some(RedirectPath::Prefix("/p".into()))), "a.b", "/x/y?q", "http://a.b/p/y?q"),
            (
                with(&|r| r.path = Some(RedirectPath::Regex { pattern: regex("y"), substitution: "z".into() })),
                "a.b",
                "/x/y?y",
                "http://a.b/x/z?y",
            ),
        ];
        let headers = HeaderMap::new();
        for (redirect, authority, path, expected) in cases {
            let matcher = path_match(PathMatch::Prefix("/x".into()));
            let location = redirect_location(&redirect, &matcher, &request("http", authority, path, &headers));
            assert_eq!(location, expected);
        }
        assert_eq!(tls_location(&request("http", "a.b:80", "/x?q", &headers)), "https://a.b:80/x?q");
    }

    #[test]
    fn authorities() {
        let headers = HeaderMap::from_iter([("x-host".parse().unwrap(), HeaderValue::from_static("h.i"))]);
        let request = request("http", "a.b", "/tenant/c.d?q", &headers);
        let rewritten = |rewrite: HostRewrite, hostname: Option<&str>| {
            rewritten_authority(&rewrite, &request, hostname).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(rewritten(HostRewrite::Auto, Some("e.f")).as_deref(), Some("e.f"));
        assert_eq!(rewritten(HostRewrite::Auto, None), None);
        assert_eq!(rewritten(HostRewrite::Header("x-host".parse().unwrap()), None).as_deref(), Some("h.i"));
        assert_eq!(rewritten(HostRewrite::Header("x-none".parse().unwrap()), None), None);
        let regex = HostRewrite::PathRegex { pattern: regex("^/tenant/(.+)$"), substitution: "${1}".into() };
        assert_eq!(rewritten(regex, None).as_deref(), Some("c.d"));
    }
}
