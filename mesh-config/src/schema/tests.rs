//! The schema of every kind: what it says, and what it says of objects.

#![allow(clippy::unwrap_used)]

mod arbitrary;
mod judged;
mod roundtrip;

use expect_test::expect_file;
use serde_json::Value;

use super::*;

/// One kind's manifest as a whole: a change to the schema is seen as what it is.
#[test]
fn the_manifest_of_a_kind() {
    let (_, manifest) = manifests().into_iter().find(|(kind, _)| *kind == Kind::WorkloadEntry).unwrap();
    expect_file!["tests/workload_entry.json"].assert_eq(&serde_json::to_string_pretty(&sorted(&manifest)).unwrap());
}

/// What the API server asks of a CRD's schema.
#[test]
fn every_schema_is_structural() {
    for kind in Kind::ALL.iter().copied() {
        let Some(crd) = kind.crd() else { continue };
        structural(&crd.schema(kind, ""), &kind.to_string(), false);
        for version in std::iter::once("").chain(crd.own_schemas()) {
            compiles(tree::of(kind, version).unwrap(), &kind.to_string());
        }
    }
}

/// What is compiled when it is first asked can be.
fn compiles(node: &tree::Node, path: &str) {
    assert!(node.pattern.as_ref().is_none_or(tree::Pattern::is_one), "{path}: no pattern");
    node.rules.iter().for_each(|rule| assert!(rule.is_one(), "{path}: no CEL: {}", rule.text()));
    node.children().for_each(|child| compiles(child, path));
}

/// Every kind of Istio's has a manifest, and one of its versions is stored.
#[test]
fn every_kind_of_istio_has_a_manifest() {
    let manifests = manifests();
    for kind in Kind::ALL.iter().copied().filter(|kind| kind.group().ends_with("istio.io")) {
        let manifest = &manifests.iter().find(|(of, _)| *of == kind).unwrap_or_else(|| panic!("{kind} has no CRD")).1;
        let stored = manifest["spec"]["versions"].as_array().unwrap().iter().filter(|version| version["storage"] == true).count();
        assert_eq!(stored, 1, "{kind}");
    }
}

fn structural(schema: &Value, path: &str, in_choice: bool) {
    let schema = schema.as_object().unwrap_or_else(|| panic!("{path} is no schema"));
    let typed = schema.get("type").is_some_and(Value::is_string);
    let untyped = schema.contains_key("x-kubernetes-int-or-string") || schema.contains_key("x-kubernetes-preserve-unknown-fields");
    assert_eq!(typed || untyped, !in_choice, "{path}: exactly the structure has types");
    for keyword in ["$ref", "$defs", "title", "const", "definitions", "patternProperties"] {
        assert!(!schema.contains_key(keyword), "{path}: {keyword}");
    }
    assert!(!(schema.contains_key("properties") && schema.contains_key("additionalProperties")), "{path}: fields or a map");
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        structural(field, &format!("{path}.{name}"), in_choice);
    }
    for keyword in ["items", "additionalProperties", "not"] {
        schema.get(keyword).into_iter().for_each(|inner| structural(inner, &format!("{path}/{keyword}"), in_choice || keyword == "not"));
    }
    for keyword in ["allOf", "anyOf", "oneOf"].iter().filter(|_| !schema.contains_key("x-kubernetes-int-or-string")) {
        for inner in schema.get(*keyword).and_then(Value::as_array).into_iter().flatten() {
            structural(inner, &format!("{path}/{keyword}"), true);
        }
    }
}

/// The same with keys in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            entries.into_iter().collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        scalar => scalar.clone(),
    }
}
