//! What is known of a request when it is matched, and how header and query matchers read it.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::{
    info::PeerTls,
    snapshot::{HeaderKey, HeaderMatcher, HeaderTest, QueryMatcher},
};

/// A request, as it is matched: path normalized, authority as received (ports are dealt with where hosts are looked up).
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts<'a> {
    /// `:method`.
    pub method: &'a Method,
    /// `:scheme`, or what `x-forwarded-proto` says at the edge.
    pub scheme: &'a str,
    /// `:authority` or `host`.
    pub authority: &'a str,
    /// `:path` with its query; empty for a plain CONNECT.
    pub path: &'a str,
    /// All fields.
    pub headers: &'a HeaderMap,
    /// The TLS session with the peer, if it was ended here.
    pub tls: Option<&'a PeerTls>,
}

impl<'a> RequestFacts<'a> {
    /// The path without query and fragment.
    pub fn path_only(&self) -> &'a str {
        path_only(self.path)
    }

    /// Whether it is a gRPC request: `content-type: application/grpc` or `application/grpc+…`.
    pub fn is_grpc(&self) -> bool {
        let content_type = self.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        content_type.and_then(|value| value.strip_prefix(b"application/grpc")).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+"))
    }

    /// The values of `key`: none if it is absent.
    pub fn values(&self, key: &HeaderKey) -> Values<'a> {
        match key {
            HeaderKey::Name(name) => Values::of(self.headers, name),
            HeaderKey::Path => Values::one(self.path),
            HeaderKey::Method => Values::one(self.method.as_str()),
            HeaderKey::Authority => Values::one(self.authority),
            HeaderKey::Scheme => Values::one(self.scheme),
        }
    }
}

/// `path` without query and fragment.
pub fn path_only(path: &str) -> &str {
    path.find(['?', '#']).map_or(path, |end| &path[..end])
}

/// The first value of query parameter `name`, not decoded. A parameter without `=` has the empty value.
pub fn query_parameter<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = path.split_once('?')?;
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

/// A header's values, in order, without the white space around them.
#[derive(Debug, Clone)]
pub enum Values<'a> {
    /// Not there.
    Absent,
    /// One.
    One(Cow<'a, str>),
    /// Several.
    Many(Vec<Cow<'a, str>>),
}

impl<'a> Values<'a> {
    /// The values of field `name`. What is not UTF-8 is replaced, so that the rest can still be matched.
    pub fn of(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        let mut values = headers.get_all(name).iter().map(text);
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(one), None) => Self::One(one),
            (Some(first), Some(second)) => Self::Many([first, second].into_iter().chain(values).collect()),
        }
    }

    fn one(text: &'a str) -> Self {
        if text.is_empty() { Self::Absent } else { Self::One(Cow::Borrowed(text)) }
    }

    fn as_slice(&self) -> &[Cow<'a, str>] {
        match self {
            Self::Absent => &[],
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }

    /// All joined with commas, as Envoy's route matching sees them.
    pub fn joined(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Absent => None,
            Self::One(value) => Some(Cow::Borrowed(value)),
            Self::Many(values) => Some(Cow::Owned(values.join(","))),
        }
    }
}

/// How repeated headers are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeated {
    /// Joined with commas: route matching.
    Joined,
    /// Some value must match. Inverted: some value must not: for what denies.
    Any,
    /// Some value must match. Inverted: none may: for what allows.
    AnyStrict,
}

/// Whether `values` meet `matcher`.
///
/// A header that is absent meets no matcher but `present: false`, inverted or not, unless `treat_missing_header_as_empty` (Envoy's
/// `HeaderMatcher`). Repeated values are matched one by one in access control, so that joining them hides none
/// (CVE-2026-26308).
pub fn header_matches(matcher: &HeaderMatcher, values: &Values<'_>, repeated: Repeated) -> bool {
    let present = !values.as_slice().is_empty();
    if let HeaderTest::Present(wanted) = matcher.test {
        let present = present || matcher.missing_as_empty;
        return (present == wanted) != matcher.invert;
    }
    if !present {
        return matcher.missing_as_empty && test(&matcher.test, "") != matcher.invert;
    }
    match repeated {
        Repeated::Joined => values.joined().is_some_and(|joined| test(&matcher.test, &joined) != matcher.invert),
        Repeated::Any => values.as_slice().iter().any(|value| test(&matcher.test, value) != matcher.invert),
        Repeated::AnyStrict => values.as_slice().iter().any(|value| test(&matcher.test, value)) != matcher.invert,
    }
}

/// Whether the query of `path` meets `matcher`.
pub fn query_matches(matcher: &QueryMatcher, path: &str) -> bool {
    let value = query_parameter(path, &matcher.name);
    match &matcher.value {
        None => value.is_some(),
        Some(wanted) => value.is_some_and(|value| wanted.matches(value)),
    }
}

fn test(test: &HeaderTest, value: &str) -> bool {
    match test {
        HeaderTest::Present(wanted) => *wanted,
        HeaderTest::Value(wanted) => wanted.matches(value),
        HeaderTest::Range(start, end) => value.parse::<i64>().is_ok_and(|number| (*start..*end).contains(&number)),
    }
}

fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes().trim_ascii())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::snapshot::{StringMatcher, StringPattern};

    fn matcher(test: HeaderTest) -> HeaderMatcher {
        HeaderMatcher { name: HeaderKey::Name("x".parse().unwrap()), test, invert: false, missing_as_empty: false }
    }

    fn exact(text: &str) -> HeaderTest {
        HeaderTest::Value(StringMatcher { pattern: StringPattern::Exact(text.into()), ignore_case: false })
    }

    fn of<'a>(values: &[&'a str]) -> Values<'a> {
        let mut values: Vec<Cow<'a, str>> = values.iter().map(|v| Cow::Borrowed(*v)).collect();
        match values.len() {
            0 => Values::Absent,
            1 => Values::One(values.remove(0)),
            _ => Values::Many(values),
        }
    }

    #[test]
    fn values_absence_and_inversion() {
        let invert = |m: HeaderMatcher| HeaderMatcher { invert: true, ..m };
        let empty = |m: HeaderMatcher| HeaderMatcher { missing_as_empty: true, ..m };
        let cases = [
            (matcher(exact("a")), of(&["a"]), true),
            (matcher(exact("a")), of(&["b"]), false),
            (matcher(exact("a,b")), of(&["a", "b"]), true),
            (invert(matcher(exact("a"))), of(&["b"]), true),
            (invert(matcher(exact("a"))), of(&[]), false),
            (invert(empty(matcher(exact("a")))), of(&[]), true),
            (empty(matcher(exact(""))), of(&[]), true),
            (matcher(HeaderTest::Present(true)), of(&[]), false),
            (matcher(HeaderTest::Present(false)), of(&[]), true),
            (invert(matcher(HeaderTest::Present(true))), of(&[]), true),
            (matcher(HeaderTest::Range(-10, 0)), of(&["-1"]), true),
            (matcher(HeaderTest::Range(-10, 0)), of(&["0"]), false),
            (matcher(HeaderTest::Range(-10, 0)), of(&["somestring"]), false),
        ];
        for (matcher, values, expected) in cases {
            assert_eq!(header_matches(&matcher, &values, Repeated::Joined), expected, "{matcher:?} {values:?}");
        }
    }

    #[test]
    fn repeated_values_hide_nothing() {
        let both = of(&["good", "evil"]);
        assert!(header_matches(&matcher(exact("evil")), &both, Repeated::Any));
        let inverted = HeaderMatcher { invert: true, ..matcher(exact("good")) };
        assert!(header_matches(&inverted, &both, Repeated::Any), "a denial of all but good");
        assert!(!header_matches(&inverted, &both, Repeated::AnyStrict), "a permission for all but good");
    }

    #[test]
    fn white_space_is_no_part_of_a_value() {
        let mut headers = HeaderMap::new();
        headers.insert("x", HeaderValue::from_static(" a\t"));
        assert_eq!(Values::of(&headers, &"x".parse().unwrap()).joined().unwrap(), "a");
    }

    #[test]
    fn query_parameters() {
        let path = "/p?a=1&b&a=2&c=x%20y#f=1";
        let cases = [("a", Some("1")), ("b", Some("")), ("c", Some("x%20y")), ("f", None), ("d", None)];
        for (name, expected) in cases {
            assert_eq!(query_parameter(path, name), expected, "{name}");
        }
    }
}
