//! Metadata: where Istio says which service a cluster is and which resource something came from, and matchers on it.

use std::{collections::HashMap, sync::Arc};

use mesh_proto::{
    envoy::{
        config::core::v3::Metadata,
        r#type::matcher::v3::{
            DoubleMatcher, ListMatcher, MetadataMatcher as WireMatcher, OrMatcher, ValueMatcher as WireValue, double_matcher, list_matcher,
            metadata_matcher::{PathSegment, path_segment::Segment},
            value_matcher::MatchPattern,
        },
    },
    google::protobuf::{Struct, Value, value::Kind},
};

use super::{
    context::{Context, Result},
    text,
};
use crate::snapshot::{MetadataMatcher, ServiceName, ValueMatcher};

/// `filter_metadata.istio.config`: the path of the resource that something was made from.
pub(crate) fn provenance(metadata: Option<&Metadata>) -> Option<Arc<str>> {
    Some(string(fields(metadata?, "istio")?.get("config")?)?.into())
}

/// `filter_metadata.istio.services[0]`.
pub(crate) fn service(metadata: Option<&Metadata>) -> Option<ServiceName> {
    let Some(Kind::ListValue(services)) = &fields(metadata?, "istio")?.get("services")?.kind else { return None };
    let Some(Kind::StructValue(Struct { fields })) = &services.values.first()?.kind else { return None };
    let text = |key: &str| Some(Arc::from(string(fields.get(key)?)?));
    Some(ServiceName { host: text("host")?, name: text("name")?, namespace: text("namespace")? })
}

/// `filter_metadata.istio.external`.
pub(crate) fn is_external(metadata: Option<&Metadata>) -> bool {
    let external = metadata.and_then(|metadata| fields(metadata, "istio")?.get("external")?.kind.as_ref());
    matches!(external, Some(Kind::BoolValue(true)))
}

/// `filter_metadata.istio.workload` of an endpoint.
pub(crate) fn workload(metadata: Option<&Metadata>) -> Option<Arc<str>> {
    Some(string(fields(metadata?, "istio")?.get("workload")?)?.into())
}

/// One namespace of filter metadata as sorted pairs of text, for comparison with others of the same making.
pub(crate) fn pairs(metadata: Option<&Metadata>, namespace: &str) -> Vec<(Arc<str>, Arc<str>)> {
    metadata.and_then(|metadata| metadata.filter_metadata.get(namespace)).map(struct_pairs).unwrap_or_default()
}

/// A `Struct` as sorted pairs of text.
pub(crate) fn struct_pairs(wire: &Struct) -> Vec<(Arc<str>, Arc<str>)> {
    let mut pairs: Vec<(Arc<str>, Arc<str>)> =
        wire.fields.iter().map(|(key, value)| (Arc::from(key.as_str()), Arc::from(canonical(value)))).collect();
    pairs.sort_unstable();
    pairs
}

/// Text that is equal exactly when the values are: scalars as they print, others in a canonical form.
fn canonical(value: &Value) -> String {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => "null".to_owned(),
        Some(Kind::StringValue(text)) => text.clone(),
        Some(Kind::BoolValue(value)) => value.to_string(),
        Some(Kind::NumberValue(value)) => value.to_string(),
        Some(Kind::ListValue(list)) => {
            let members: Vec<_> = list.values.iter().map(canonical).collect();
            format!("[{}]", members.join("\u{1f}"))
        }
        Some(Kind::StructValue(wire)) => {
            let members: Vec<_> = struct_pairs(wire).into_iter().map(|(key, value)| format!("{key}\u{1e}{value}")).collect();
            format!("{{{}}}", members.join("\u{1f}"))
        }
    }
}

fn fields<'a>(metadata: &'a Metadata, namespace: &str) -> Option<&'a HashMap<String, Value>> {
    Some(&metadata.filter_metadata.get(namespace)?.fields)
}

fn string(value: &Value) -> Option<&str> {
    match &value.kind {
        Some(Kind::StringValue(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// A metadata matcher.
pub(crate) fn matcher(cx: &mut Context<'_>, wire: &WireMatcher) -> Result<MetadataMatcher> {
    let WireMatcher { filter, path, value, invert } = wire;
    if path.is_empty() {
        return Err(cx.refuse_field("path", "is empty"));
    }
    let path = cx.each("path", path, |cx, PathSegment { segment }| match segment {
        Some(Segment::Key(key)) if !key.is_empty() => Ok(Arc::from(key.as_str())),
        _ => Err(cx.refuse_field("key", "is missing")),
    })?;
    let value = cx.field("value", |cx| {
        let wire = value.as_ref().ok_or_else(|| cx.refuse("is missing"))?;
        value_matcher(cx, wire)
    })?;
    Ok(MetadataMatcher { filter: filter.as_str().into(), path, value, invert: *invert })
}

fn value_matcher(cx: &mut Context<'_>, wire: &WireValue) -> Result<ValueMatcher> {
    let WireValue { match_pattern } = wire;
    Ok(match match_pattern {
        None => return Err(cx.refuse("says nothing to match")),
        Some(MatchPattern::NullMatch(_)) => ValueMatcher::Null,
        Some(MatchPattern::DoubleMatch(DoubleMatcher { match_pattern })) => match match_pattern {
            Some(double_matcher::MatchPattern::Exact(number)) => ValueMatcher::Number(*number),
            _ => return Err(cx.refuse_field("double_match", "only exact is implemented")),
        },
        Some(MatchPattern::StringMatch(wire)) => ValueMatcher::String(cx.field("string_match", |cx| text::string(cx, wire))?),
        Some(MatchPattern::BoolMatch(value)) => ValueMatcher::Bool(*value),
        Some(MatchPattern::PresentMatch(present)) => ValueMatcher::Present(*present),
        Some(MatchPattern::ListMatch(list)) => {
            let ListMatcher { match_pattern } = &**list;
            let Some(list_matcher::MatchPattern::OneOf(member)) = match_pattern else {
                return Err(cx.refuse_field("list_match", "says nothing to match"));
            };
            ValueMatcher::Any(Box::new(cx.field("list_match.one_of", |cx| value_matcher(cx, member))?))
        }
        Some(MatchPattern::OrMatch(OrMatcher { value_matchers })) => {
            ValueMatcher::Or(cx.field("or_match", |cx| cx.each("value_matchers", value_matchers, value_matcher))?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_is_what_says_so() {
        let with = |value: Kind| {
            let fields = [("external".to_owned(), Value { kind: Some(value) })].into_iter().collect();
            let filter_metadata = [("istio".to_owned(), Struct { fields })].into_iter().collect();
            Metadata { filter_metadata, ..Metadata::default() }
        };
        assert!(is_external(Some(&with(Kind::BoolValue(true)))));
        assert!(!is_external(Some(&with(Kind::BoolValue(false)))));
        assert!(!is_external(None));
    }
}
