//! From schemars' JSON Schema to the structural schema that Kubernetes takes: one type a place, nothing referred to,
//! no keyword that the API server refuses.
//!
//! Kubernetes: "Extend the Kubernetes API with CustomResourceDefinitions", section "Specifying a structural schema".

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

type Object = Map<String, Value>;

/// What structural schemas know, beside `x-kubernetes-…`; all else is dropped.
const KEYWORDS: &[&str] = &[
    "additionalProperties",
    "allOf",
    "anyOf",
    "default",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
    "uniqueItems",
];

/// Formats that the API server knows or that clients make use of.
const FORMATS: &[&str] = &["int32", "int64", "double", "float", "byte", "date-time", "ipv4", "ipv6"];

/// The structural schema of a type.
pub(super) fn schema_of(spec: fn(&mut SchemaGenerator) -> Schema) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = spec(&mut settings.into_generator()).to_value();
    structural(&mut schema);
    schema
}

/// Makes a schema, and all below it, structural.
fn structural(schema: &mut Value) {
    let Value::Object(object) = schema else {
        // `true`: any value at all.
        *schema = json!({ "x-kubernetes-preserve-unknown-fields": true });
        return;
    };
    without_null(object);
    choice_of_names(object);
    choice_of_fields(object);
    number(object);
    // A map with numbers for keys: the keys are for the type to judge.
    if let Some(values) =
        object.remove("patternProperties").and_then(|mut patterns| patterns.as_object_mut()?.values_mut().next().map(Value::take))
    {
        object.insert("additionalProperties".to_owned(), values);
    }
    object.retain(|key, _| KEYWORDS.contains(&key.as_str()) || key.starts_with("x-kubernetes-"));
    if object.get("format").and_then(Value::as_str).is_some_and(|format| !FORMATS.contains(&format)) {
        object.remove("format");
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = first_paragraph(text);
    }
    if matches!(object.get("additionalProperties"), Some(Value::Bool(_))) {
        object.remove("additionalProperties");
    }
    for key in ["items", "additionalProperties"] {
        object.get_mut(key).into_iter().for_each(structural);
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(structural);
    }
    let nothing_said = object.keys().all(|key| key == "description" || key == "nullable");
    if nothing_said {
        object.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
    }
}

/// `Option` is a field that may be absent, and not one that may be null.
fn without_null(object: &mut Object) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_mut_slice() {
            let only = only.take();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(branches)) = object.get_mut("anyOf") else { return };
    let before = branches.len();
    branches.retain(|branch| branch.get("type") != Some(&json!("null")));
    if branches.len() == before {
        return;
    }
    let Some(Value::Object(inner)) = (if branches.len() == 1 { branches.pop() } else { None }) else { return };
    object.remove("anyOf");
    for (key, value) in inner {
        match (object.get_mut(&key), value) {
            (Some(Value::Array(rules)), Value::Array(mut first)) if key == "x-kubernetes-validations" => {
                first.append(rules);
                *rules = first;
            }
            (Some(_), _) => {}
            (None, value) => drop(object.insert(key, value)),
        }
    }
    without_null(object);
}

/// An enum of names whose variants have descriptions: schemars spells it as a choice of constants.
fn choice_of_names(object: &mut Object) {
    if let Some(constant) = object.remove("const") {
        object.entry("enum").or_insert_with(|| json!([constant]));
    }
    let Some(Value::Array(branches)) = object.get("oneOf") else { return };
    let mut names = Vec::new();
    for branch in branches {
        match (branch.get("const"), branch.get("enum").and_then(Value::as_array)) {
            (Some(name), _) => names.push(name.clone()),
            (None, Some(list)) => names.extend(list.iter().cloned()),
            (None, None) => return,
        }
    }
    object.remove("oneOf");
    object.insert("type".to_owned(), json!("string"));
    object.insert("enum".to_owned(), Value::Array(names));
}

/// A Rust enum with fields in its variants: all their fields, of which at most one is set, as in a protobuf oneof.
fn choice_of_fields(object: &mut Object) {
    let Some(Value::Array(branches)) = object.get("oneOf") else { return };
    let mut fields = Object::new();
    for branch in branches {
        match branch.get("properties").and_then(Value::as_object) {
            Some(properties) if properties.len() == 1 => fields.extend(properties.clone()),
            _ => return,
        }
    }
    let set: Vec<Value> = branches.iter().filter_map(|branch| branch.get("required")).map(|names| json!({ "required": names })).collect();
    let mut choice = vec![json!({ "not": { "anyOf": set } })];
    choice.extend(set);
    object.insert("type".to_owned(), json!("object"));
    object.insert("properties".to_owned(), Value::Object(fields));
    object.insert("oneOf".to_owned(), Value::Array(choice));
}

/// Unsigned numbers as protobuf's uint32 and uint64; a bound that only says how many bits Rust uses is widened.
fn number(object: &mut Object) {
    let bounds = (object.get("minimum").and_then(Value::as_u64), object.get("maximum").and_then(Value::as_u64));
    let format = object.get("format").and_then(Value::as_str);
    let widest = matches!(
        (format, bounds),
        (Some("uint8"), (Some(0), Some(255))) | (Some("uint16"), (Some(0), Some(65535))) | (Some("uint32"), (_, None))
    );
    if widest {
        object.insert("maximum".to_owned(), json!(u32::MAX));
    }
    if object.get("type") == Some(&json!("integer")) {
        for bound in ["minimum", "maximum"] {
            // schemars writes bounds of a range as they are given, which may be 1.0.
            if let Some(value) = object.get(bound).and_then(Value::as_f64).filter(|value| value.fract() == 0.0)
                && object[bound].as_i64().is_none()
                && value.abs() <= 9e15
            {
                #[allow(clippy::cast_possible_truncation, reason = "integral and below 2^53")]
                object.insert(bound.to_owned(), json!(value as i64));
            }
        }
    }
}

/// Enough to know what a field is for.
fn first_paragraph(text: &str) -> String {
    text.split("\n\n").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}
