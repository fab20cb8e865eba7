//! Matchers of text: strings, headers, query parameters.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use mesh_proto::envoy::{
    config::route::v3::{
        HeaderMatcher as WireHeader, QueryParameterMatcher as WireQuery, header_matcher::HeaderMatchSpecifier,
        query_parameter_matcher::QueryParameterMatchSpecifier,
    },
    r#type::{
        matcher::v3::{StringMatcher as WireString, string_matcher::MatchPattern},
        v3::Int64Range,
    },
};

use super::{
    context::{Context, Result},
    regex,
};
use crate::snapshot::{HeaderKey, HeaderMatcher, HeaderTest, QueryMatcher, StringMatcher, StringPattern};

/// A string matcher.
pub(crate) fn string(cx: &mut Context<'_>, wire: &WireString) -> Result<StringMatcher> {
    let WireString { ignore_case, match_pattern } = wire;
    let ignore_case = *ignore_case;
    let fold = |text: &str| -> Arc<str> { if ignore_case { text.to_ascii_lowercase().into() } else { text.into() } };
    let pattern = match match_pattern {
        None => return Err(cx.refuse("says nothing to match; give exact, prefix, suffix, contains or safe_regex")),
        Some(MatchPattern::Exact(text)) => StringPattern::Exact(fold(text)),
        Some(MatchPattern::Prefix(text)) => StringPattern::Prefix(fold(some(cx, "prefix", text)?)),
        Some(MatchPattern::Suffix(text)) => StringPattern::Suffix(fold(some(cx, "suffix", text)?)),
        Some(MatchPattern::Contains(text)) => StringPattern::Contains(fold(some(cx, "contains", text)?)),
        Some(MatchPattern::SafeRegex(wire)) => {
            return Ok(StringMatcher {
                pattern: StringPattern::Regex(cx.field("safe_regex", |cx| regex::full(cx, wire))?),
                ignore_case: false,
            });
        }
        Some(MatchPattern::Custom(_)) => return Err(cx.refuse_field("custom", "is not implemented: it decides what matches")),
    };
    Ok(StringMatcher { pattern, ignore_case })
}

/// A string matcher that must be there.
pub(crate) fn required(cx: &mut Context<'_>, name: &str, wire: Option<&WireString>) -> Result<StringMatcher> {
    cx.field(name, |cx| string(cx, wire.ok_or_else(|| cx.refuse("is missing"))?))
}

/// Text that must not be empty: an empty prefix would match everything.
fn some<'a>(cx: &mut Context<'_>, name: &str, text: &'a str) -> Result<&'a str> {
    if text.is_empty() { Err(cx.refuse_field(name, "is empty, and would match everything")) } else { Ok(text) }
}

/// A header matcher.
#[expect(deprecated, reason = "control planes still send the old forms")]
pub(crate) fn header(cx: &mut Context<'_>, wire: &WireHeader) -> Result<HeaderMatcher> {
    let WireHeader { name, invert_match, treat_missing_header_as_empty, header_match_specifier } = wire;
    let key = header_key(cx, "name", name)?;
    let value = |pattern| HeaderTest::Value(StringMatcher { pattern, ignore_case: false });
    let test = match header_match_specifier {
        None => HeaderTest::Present(true),
        Some(HeaderMatchSpecifier::PresentMatch(present)) => HeaderTest::Present(*present),
        Some(HeaderMatchSpecifier::StringMatch(wire)) => HeaderTest::Value(cx.field("string_match", |cx| string(cx, wire))?),
        Some(HeaderMatchSpecifier::RangeMatch(Int64Range { start, end })) => HeaderTest::Range(*start, *end),
        Some(HeaderMatchSpecifier::ExactMatch(text)) => value(StringPattern::Exact(text.as_str().into())),
        Some(HeaderMatchSpecifier::PrefixMatch(text)) => value(StringPattern::Prefix(some(cx, "prefix_match", text)?.into())),
        Some(HeaderMatchSpecifier::SuffixMatch(text)) => value(StringPattern::Suffix(some(cx, "suffix_match", text)?.into())),
        Some(HeaderMatchSpecifier::ContainsMatch(text)) => value(StringPattern::Contains(some(cx, "contains_match", text)?.into())),
        Some(HeaderMatchSpecifier::SafeRegexMatch(wire)) => {
            value(StringPattern::Regex(cx.field("safe_regex_match", |cx| regex::full(cx, wire))?))
        }
    };
    Ok(HeaderMatcher { name: key, test, invert: *invert_match, missing_as_empty: *treat_missing_header_as_empty })
}

/// A list of header matchers.
pub(crate) fn headers(cx: &mut Context<'_>, name: &str, wire: &[WireHeader]) -> Result<Vec<HeaderMatcher>> {
    cx.each(name, wire, header)
}

/// A query parameter matcher.
pub(crate) fn query(cx: &mut Context<'_>, wire: &WireQuery) -> Result<QueryMatcher> {
    let WireQuery { name, query_parameter_match_specifier } = wire;
    if name.is_empty() {
        return Err(cx.refuse_field("name", "is empty"));
    }
    let value = match query_parameter_match_specifier {
        None | Some(QueryParameterMatchSpecifier::PresentMatch(true)) => None,
        Some(QueryParameterMatchSpecifier::PresentMatch(false)) => {
            return Err(cx.refuse_field("present_match", "false is not implemented: requests would be misrouted"));
        }
        Some(QueryParameterMatchSpecifier::StringMatch(wire)) => Some(cx.field("string_match", |cx| string(cx, wire))?),
    };
    Ok(QueryMatcher { name: name.as_str().into(), value })
}

/// A header's name, or a pseudo-header.
pub(crate) fn header_key(cx: &mut Context<'_>, field: &str, name: &str) -> Result<HeaderKey> {
    Ok(match name.to_ascii_lowercase().as_str() {
        ":path" => HeaderKey::Path,
        ":method" => HeaderKey::Method,
        ":authority" | "host" => HeaderKey::Authority,
        ":scheme" => HeaderKey::Scheme,
        _ => HeaderKey::Name(header_name(cx, field, name)?),
    })
}

/// A header's name.
pub(crate) fn header_name(cx: &mut Context<'_>, field: &str, name: &str) -> Result<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| cx.refuse_field(field, format!("{name:?} is not a header name")))
}

/// A header's value.
pub(crate) fn header_value(cx: &mut Context<'_>, field: &str, value: &str) -> Result<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| cx.refuse_field(field, format!("{value:?} is not a header value")))
}

/// A header's value, none when empty.
pub(crate) fn optional_value(cx: &mut Context<'_>, field: &str, value: &str) -> Result<Option<HeaderValue>> {
    if value.is_empty() { Ok(None) } else { header_value(cx, field, value).map(Some) }
}

/// Text, none when empty.
pub(crate) fn optional(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}
