//! What a type says about its schema beyond its Rust types: CEL rules, protobuf oneofs, Kubernetes' own keywords.
//! Each is a `schemars` transform; `schema` tells how they are written.

use schemars::{Schema, SchemaGenerator, json_schema, transform::Transform};
use serde_json::{Map, Value, json};

/// A CEL rule of `x-kubernetes-validations`; see `cel`.
pub(crate) struct Cel {
    rule: &'static str,
    fields: Vec<(&'static str, &'static str)>,
}

/// A CEL rule on the schema it is put on, with what the API server says where the rule is false.
pub(crate) fn cel(rule: &'static str, message: &'static str) -> Cel {
    Cel { rule, fields: vec![("message", message)] }
}

#[allow(dead_code, reason = "part of the vocabulary of CRDs, whichever kinds use it")]
impl Cel {
    /// A CEL expression that makes the message.
    pub(crate) fn message_expression(self, expression: &'static str) -> Self {
        self.with("messageExpression", expression)
    }

    /// How to mend what breaks the rule. Ours: the CRD does not have it.
    pub(crate) fn remedy(self, remedy: &'static str) -> Self {
        self.with("remedy", remedy)
    }

    /// `FieldValueInvalid` (the default), `FieldValueForbidden`, `FieldValueRequired` or `FieldValueDuplicate`.
    pub(crate) fn reason(self, reason: &'static str) -> Self {
        self.with("reason", reason)
    }

    /// The field to blame, relative to the rule's own place: `.spec.name`.
    pub(crate) fn field_path(self, path: &'static str) -> Self {
        self.with("fieldPath", path)
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.push((name, value));
        self
    }
}

impl Transform for Cel {
    fn transform(&mut self, schema: &mut Schema) {
        let mut rule = Map::from_iter([("rule".to_owned(), json!(self.rule))]);
        rule.extend(self.fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
        append(present(schema), "x-kubernetes-validations", Value::Object(rule));
    }
}

/// At most one of these fields is set: a protobuf oneof, spelled as Istio's CRDs do. Several may stand on one struct.
pub(crate) fn oneof(fields: &'static [&'static str]) -> impl Transform {
    move |schema: &mut Schema| {
        let set: Vec<Value> = fields.iter().map(|field| json!({ "required": [field] })).collect();
        let mut choice = vec![json!({ "not": { "anyOf": set } })];
        choice.extend(set);
        let schema = present(schema);
        if let Some(first) = schema.remove("oneOf") {
            append(schema, "allOf", json!({ "oneOf": first }));
        }
        if schema.contains_key("allOf") {
            append(schema, "allOf", json!({ "oneOf": choice }));
        } else {
            schema.insert("oneOf".to_owned(), Value::Array(choice));
        }
    }
}

/// The annotation `inner` on the values of a map.
pub(crate) fn values(inner: impl Transform) -> impl Transform {
    below("additionalProperties", None, inner)
}

/// The annotation `inner` on the items of a list.
#[allow(dead_code, reason = "part of the vocabulary of CRDs, whichever kinds use it")]
pub(crate) fn items(inner: impl Transform) -> impl Transform {
    below("items", None, inner)
}

/// The annotation `inner` on a field of a struct whose type is used elsewhere without it.
#[allow(dead_code, reason = "part of the vocabulary of CRDs, whichever kinds use it")]
pub(crate) fn property(name: &'static str, inner: impl Transform) -> impl Transform {
    below("properties", Some(name), inner)
}

/// `null` is taken for this field, and means that it is not set: protobuf's wrapper messages (`BoolValue`, …) in
/// Istio's CRDs. Without it the API server refuses a null, even for an `Option`.
#[allow(dead_code, reason = "part of the vocabulary of CRDs, whichever kinds use it")]
pub(crate) fn nullable(schema: &mut Schema) {
    present(schema).insert("nullable".to_owned(), json!(true));
}

/// A number or a text.
#[allow(dead_code, reason = "part of the vocabulary of CRDs, whichever kinds use it")]
pub(crate) fn int_or_string(schema: &mut Schema) {
    let schema = schema.ensure_object();
    schema.retain(|key, _| key == "description" || key.starts_with("x-kubernetes"));
    schema.insert("anyOf".to_owned(), json!([{ "type": "integer" }, { "type": "string" }]));
    schema.insert("x-kubernetes-int-or-string".to_owned(), json!(true));
}

/// An object whose fields nobody lists: Envoy's or a plugin's own configuration.
#[allow(dead_code, reason = "part of the vocabulary of CRDs, whichever kinds use it")]
pub(crate) fn preserve_unknown_fields(schema: &mut Schema) {
    let schema = schema.ensure_object();
    schema.retain(|key, _| matches!(key.as_str(), "description" | "nullable") || key.starts_with("x-kubernetes"));
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
}

/// A list whose items differ in the given fields.
#[allow(dead_code, reason = "part of the vocabulary of CRDs, whichever kinds use it")]
pub(crate) fn list_map(keys: &'static [&'static str]) -> impl Transform {
    move |schema: &mut Schema| {
        let schema = present(schema);
        schema.insert("x-kubernetes-list-type".to_owned(), json!("map"));
        schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
    }
}

/// A list without doubles.
#[allow(dead_code, reason = "part of the vocabulary of CRDs, whichever kinds use it")]
pub(crate) fn list_set(schema: &mut Schema) {
    present(schema).insert("x-kubernetes-list-type".to_owned(), json!("set"));
}

/// The rule that Istio puts on every duration that must not be nothing.
pub(crate) fn positive_duration() -> Cel {
    cel("duration(self) >= duration('1ms')", "must be a valid duration greater than 1ms").remedy("set 1ms or more, or leave the field out")
}

/// The rule that Istio puts on ports wherever it checks them at all.
pub(crate) fn port_number() -> Cel {
    cel("0 < self && self <= 65535", "port must be between 1-65535").remedy("set the number of a port")
}

/// At most so many characters: for the values of a map (`values(max_length(63))`), where schemars' `length` does not reach.
pub(crate) fn max_length(length: u32) -> impl Transform {
    move |schema: &mut Schema| drop(present(schema).insert("maxLength".to_owned(), json!(length)))
}

/// Bytes as base64.
pub(crate) fn base64(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "byte" })
}

/// A field that the type requires and the CRD does not: its absence is for the webhook to refuse.
pub(crate) fn optional(name: &'static str) -> impl Transform {
    move |schema: &mut Schema| {
        let schema = present(schema);
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.retain(|field| field != name);
            if required.is_empty() {
                schema.remove("required");
            }
        }
    }
}

/// A second name of a field of this struct: serde's `alias`, which schemars does not show.
pub(crate) fn alias(name: &'static str, alias: &'static str) -> impl Transform {
    move |schema: &mut Schema| {
        if let Some(Value::Object(properties)) = present(schema).get_mut("properties")
            && let Some(field) = properties.get(name).cloned()
        {
            properties.insert(alias.to_owned(), field);
        }
    }
}

/// `inner` on the schema at `keyword`, or at `name` in it.
fn below(keyword: &'static str, name: Option<&'static str>, mut inner: impl Transform) -> impl Transform {
    move |schema: &mut Schema| {
        let mut place = present(schema).get_mut(keyword);
        if let Some(name) = name {
            place = place.and_then(|properties| properties.get_mut(name));
        }
        if let Some(place) = place
            && let Ok(mut found) = Schema::try_from(std::mem::take(place))
        {
            inner.transform(&mut found);
            *place = found.into();
        }
    }
}

/// The schema of a value that is there: schemars spells `Option` of a choice as "that, or null".
fn present(schema: &mut Schema) -> &mut Map<String, Value> {
    let schema = schema.ensure_object();
    let wrapped = schema.get("anyOf").and_then(Value::as_array).is_some_and(|branches| {
        branches.len() == 2 && branches[0].is_object() && branches[1].get("type").and_then(Value::as_str) == Some("null")
    });
    if wrapped && let Some(Value::Object(inner)) = schema.remove("anyOf").and_then(|mut branches| branches.get_mut(0).map(Value::take)) {
        // What stood beside the choice (a description, another rule) stands on it.
        for (key, value) in inner {
            match (schema.get_mut(&key), value) {
                (Some(Value::Array(mine)), Value::Array(theirs)) if key == "x-kubernetes-validations" => mine.extend(theirs),
                (Some(_), _) => {}
                (None, value) => drop(schema.insert(key, value)),
            }
        }
    }
    schema
}

fn append(schema: &mut Map<String, Value>, key: &str, value: Value) {
    match schema.entry(key.to_owned()).or_insert_with(|| json!([])) {
        Value::Array(list) => list.push(value),
        other => *other = json!([value]),
    }
}
