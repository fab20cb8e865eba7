//! What consistent hashing hashes: a request's or connection's key, by the route's hash policy (Envoy's `RouteAction.HashPolicy`).

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use http::header;
use xxhash_rust::xxh64::xxh64;

use super::facts::{RequestFacts, Values, query_parameter};
use crate::{
    snapshot::{HashPolicy, HashSource, HeaderKey},
    upstream::hash::xxhash,
};

/// A hash, and the cookie that makes the next request have the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HashKey {
    /// `None`: no policy gave one, the endpoint is random.
    pub hash: Option<u64>,
    /// `set-cookie` for the response, when a cookie had to be made.
    pub set_cookie: Option<String>,
}

/// The key by `policies`. `request` is `None` for TCP. `source` and `local` are the ends of the downstream connection.
pub fn hash_key(policies: &[HashPolicy], request: Option<&RequestFacts<'_>>, source: SocketAddr, local: SocketAddr) -> HashKey {
    let mut key = HashKey::default();
    for policy in policies {
        if let Some(hash) = evaluate(&policy.source, request, source, local, &mut key.set_cookie) {
            // Rotated, so that equal policies do not cancel each other out.
            key.hash = Some(key.hash.map_or(0, |old| old.rotate_left(1)) ^ hash);
        }
        if policy.terminal && key.hash.is_some() {
            break;
        }
    }
    key
}

fn evaluate(
    policy: &HashSource,
    request: Option<&RequestFacts<'_>>,
    source: SocketAddr,
    local: SocketAddr,
    set_cookie: &mut Option<String>,
) -> Option<u64> {
    match policy {
        HashSource::SourceIp => Some(xxhash(source.ip().to_canonical().to_string().as_bytes())),
        HashSource::Header(name) => header_hash(&request?.values(name)),
        HashSource::Query(name) => Some(xxhash(query_parameter(request?.path, name)?.as_bytes())),
        HashSource::Cookie { name, ttl, path, attributes } => {
            let request = request?;
            if let Some(value) = cookie(request, name).filter(|value| !value.is_empty()) {
                return Some(xxhash(value.as_bytes()));
            }
            let ttl = (*ttl)?;
            let value = format!("{:016x}", xxhash(format!("{source}{local}").as_bytes()));
            *set_cookie = Some(make_cookie(name, &value, ttl, path.as_deref(), attributes));
            Some(xxhash(value.as_bytes()))
        }
    }
}

/// Repeated values are hashed in sorted order, so that their order on the wire does not matter.
fn header_hash(values: &Values<'_>) -> Option<u64> {
    match values {
        Values::Absent => None,
        Values::One(value) => Some(xxhash(value.as_bytes())),
        Values::Many(values) => {
            let mut sorted: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
            sorted.sort_unstable();
            Some(sorted.iter().fold(0, |seed, value| xxh64(value.as_bytes(), seed)))
        }
    }
}

/// The value of cookie `name`, without quotes.
fn cookie(request: &RequestFacts<'_>, name: &str) -> Option<String> {
    let values = request.values(&HeaderKey::Name(header::COOKIE));
    let joined = match &values {
        Values::Many(values) => values.join("; "),
        other => other.joined()?.into_owned(),
    };
    joined.split(';').find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then(|| value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value).to_owned())
    })
}

fn make_cookie(
    name: &str,
    value: &str,
    ttl: Duration,
    path: Option<&str>,
    attributes: &[(std::sync::Arc<str>, std::sync::Arc<str>)],
) -> String {
    let mut cookie = format!("{name}=\"{value}\"");
    if ttl.as_secs() > 0 {
        let _ = write!(cookie, "; Max-Age={}", ttl.as_secs());
    }
    if let Some(path) = path.filter(|path| !path.is_empty()) {
        let _ = write!(cookie, "; Path={path}");
    }
    for (key, value) in attributes {
        let _ = if value.is_empty() { write!(cookie, "; {key}") } else { write!(cookie, "; {key}={value}") };
    }
    cookie.push_str("; HttpOnly");
    cookie
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http::{HeaderMap, HeaderValue, Method};

    use super::*;

    fn key(policies: &[(HashSource, bool)], path: &str, headers: &[(&'static str, &'static str)]) -> HashKey {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let request = RequestFacts { method: &Method::GET, scheme: "http", authority: "a", path, headers: &map, tls: None };
        let policies: Vec<HashPolicy> =
            policies.iter().map(|(source, terminal)| HashPolicy { source: source.clone(), terminal: *terminal }).collect();
        hash_key(&policies, Some(&request), "10.0.0.1:1234".parse().unwrap(), "10.0.0.2:80".parse().unwrap())
    }

    fn header(name: &'static str) -> HashSource {
        HashSource::Header(HeaderKey::Name(name.parse().unwrap()))
    }

    #[test]
    fn sources() {
        let x = &[("x", "foo")];
        assert_eq!(key(&[(header("x"), false)], "/", x).hash, Some(xxhash(b"foo")));
        assert_eq!(key(&[(header("y"), false)], "/", x).hash, None);
        assert_eq!(key(&[(HashSource::SourceIp, false)], "/", x).hash, Some(xxhash(b"10.0.0.1")));
        assert_eq!(key(&[(HashSource::Query("q".into()), false)], "/?q=1", x).hash, Some(xxhash(b"1")));
        let forward = key(&[(header("x"), false)], "/", &[("x", "a"), ("x", "b")]);
        let backward = key(&[(header("x"), false)], "/", &[("x", "b"), ("x", "a")]);
        assert_eq!(forward, backward);
    }

    #[test]
    fn combining_and_terminal() {
        let x = &[("x", "foo"), ("y", "bar")];
        let both = key(&[(header("x"), false), (header("y"), false)], "/", x).hash.unwrap();
        assert_eq!(both, xxhash(b"foo").rotate_left(1) ^ xxhash(b"bar"));
        assert_eq!(key(&[(header("x"), true), (header("y"), false)], "/", x).hash, Some(xxhash(b"foo")));
        assert_eq!(key(&[(header("z"), true), (header("y"), false)], "/", x).hash, Some(xxhash(b"bar")));
    }

    #[test]
    fn cookies_are_read_or_made() {
        let cookie = |ttl| HashSource::Cookie { name: "c".into(), ttl, path: Some("/p".into()), attributes: Vec::new() };
        let read = key(&[(cookie(None), false)], "/", &[("cookie", "a=1; c=\"v\"")]);
        assert_eq!(read, HashKey { hash: Some(xxhash(b"v")), set_cookie: None });
        assert_eq!(key(&[(cookie(None), false)], "/", &[]), HashKey::default());
        let made = key(&[(cookie(Some(Duration::from_secs(9))), false)], "/", &[]);
        let value = format!("{:016x}", xxhash(b"10.0.0.1:123410.0.0.2:80"));
        assert_eq!(made.set_cookie.unwrap(), format!("c=\"{value}\"; Max-Age=9; Path=/p; HttpOnly"));
        assert_eq!(made.hash, Some(xxhash(value.as_bytes())));
    }
}
