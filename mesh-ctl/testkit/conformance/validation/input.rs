//! A function's input as YAML would have it: the data spells Go's struct literals.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

/// Fields that are maps of messages: a nil there is an entry, and stays.
const MAPS: &[&str] = &["headers", "withoutHeaders", "queryParams", "customTags", "tagOverrides"];

/// The inputs of a function, by name.
pub(super) struct Input {
    case: String,
    fields: Map<String, Value>,
    /// The last part of each input's type: `networking.Gateway` is `Gateway`.
    types: Map<String, Value>,
}

impl Input {
    pub(super) fn of(case: String, fields: Map<String, Value>, types: &Map<String, Value>) -> Self {
        let types = types
            .iter()
            .map(|(name, ty)| (name.clone(), Value::from(ty.as_str().unwrap_or_default().rsplit('.').next().unwrap_or_default())))
            .collect();
        Self { case, fields: fields.into_iter().map(|(name, value)| (name, plain(value))).collect(), types }
    }

    /// An input; null if there is none of that name.
    pub(super) fn field(&self, name: &str) -> &Value {
        self.fields.get(name).unwrap_or(&Value::Null)
    }

    /// Whether an input is `true`.
    pub(super) fn is(&self, name: &str) -> bool {
        *self.field(name) == Value::Bool(true)
    }

    /// Puts a value in an input's place.
    pub(super) fn put(&mut self, name: &str, value: Value) {
        self.fields.insert(name.to_owned(), value);
    }

    /// What a placeholder stands for: `case`, `type:name`, or an input's name.
    pub(super) fn value(&self, placeholder: &str) -> Value {
        match placeholder.strip_prefix("type:") {
            Some(name) => self.types.get(name).cloned().unwrap_or_default(),
            None if placeholder == "case" => Value::from(self.case.clone()),
            None => self.field(placeholder).clone(),
        }
    }
}

/// Go's literals to JSON: repetitions are written out, a nil field is left out, a nil in a list is the empty message that it is on the wire, `String_` is
/// `string`, and a protobuf `Struct` is the object that it stands for.
fn plain(value: Value) -> Value {
    plain_in(value, "")
}

/// The same, of the field `name`.
fn plain_in(value: Value, name: &str) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(|item| if item.is_null() { Value::Object(Map::new()) } else { plain(item) }).collect(),
        Value::Object(fields) => object(fields, MAPS.contains(&name)),
        value => value,
    }
}

fn object(mut fields: Map<String, Value>, is_map: bool) -> Value {
    if let Some(text) = fields.get("$repeat").and_then(repeated) {
        return Value::from(text);
    }
    if let Some(text) = fields.get("$base64_of_repeat").and_then(repeated) {
        return Value::from(BASE64_STANDARD.encode(text));
    }
    if let Some(number) = fields.get("$go").and_then(Value::as_str).and_then(enum_number) {
        return Value::from(number);
    }
    if fields.len() == 1 {
        for (name, inside) in [
            ("structValue", Some("fields")),
            ("listValue", Some("values")),
            ("stringValue", None),
            ("numberValue", None),
            ("boolValue", None),
        ] {
            if let Some(value) = fields.remove(name) {
                return match (inside, value) {
                    (Some(inside), Value::Object(mut value)) => value.remove(inside).map_or(Value::Null, plain),
                    (_, value) => value,
                };
            }
        }
    }
    let fields = fields.into_iter().filter(|(_, value)| is_map || !value.is_null());
    fields.map(|(name, value)| (name.trim_end_matches('_').to_owned(), plain_in(value, &name))).collect::<Map<_, _>>().into()
}

/// Leaves out the fields that are empty lists: protobuf knows none, and a CRD may tell one from an absent field.
pub(super) fn without_empty_lists(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(without_empty_lists).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| value.as_array().is_none_or(|items| !items.is_empty()));
            fields.map(|(name, value)| (name, without_empty_lists(value))).collect::<Map<_, _>>().into()
        }
        value => value,
    }
}

/// `package.Enum(3)`: an enum by its number.
fn enum_number(expression: &str) -> Option<u32> {
    let (ty, number) = expression.strip_suffix(')')?.split_once('(')?;
    number.parse().ok().filter(|_| ty.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_')))
}

fn repeated(arguments: &Value) -> Option<String> {
    let count = usize::try_from(arguments.get(1)?.as_u64()?).ok()?;
    Some(arguments.get(0)?.as_str()?.repeat(count))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn literals_are_written_out() {
        let literal = json!({ "body": { "string_": { "$repeat": ["ab", 2] } }, "none": null, "headers": { "a": null }, "match": [null], "value": { "structValue": { "fields": { "a": { "stringValue": "b" } } } } });
        assert_eq!(plain(literal), json!({ "body": { "string": "abab" }, "headers": { "a": null }, "match": [{}], "value": { "a": "b" } }));
    }
}
