//! Fills an object's template: every string (and key) `$name` becomes what the name stands for, and the places are remembered.

use serde_json::{Map, Value};

use super::input::Input;

/// The object and the paths where inputs stand.
///
/// # Errors
/// If the template is no YAML, or uses a Go expression that the data did not resolve.
pub(super) fn fill(template: &str, input: &Input) -> Result<(Value, Vec<String>), String> {
    let document = mesh_proto::yaml::parse_one(template).map_err(|error| format!("template: {error:?}"))?;
    let mut places = Vec::new();
    let object = filled(document.root.to_json(), input, "", &mut places).unwrap_or_default();
    if object.to_string().contains("\"$go\"") {
        return Err("the data leaves a Go expression in the input".to_owned());
    }
    Ok((with_envelope(object), places))
}

/// Absent if the placeholder stands for nothing.
fn filled(value: Value, input: &Input, path: &str, places: &mut Vec<String>) -> Option<Value> {
    Some(match value {
        Value::String(text) if text.starts_with('$') => {
            places.push(path.to_owned());
            Some(input.value(&text[1..])).filter(|value| !value.is_null())?
        }
        Value::Array(items) => {
            let items = items.into_iter().enumerate();
            items.filter_map(|(index, item)| filled(item, input, &format!("{path}[{index}]"), places)).collect()
        }
        Value::Object(fields) => {
            let mut object = Map::new();
            for (name, value) in fields {
                let name = match name.strip_prefix('$') {
                    Some(placeholder) => {
                        places.push(path.to_owned());
                        input.value(placeholder).as_str().unwrap_or_default().to_owned()
                    }
                    None => name,
                };
                let simple = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                // A key that is no field's name: the map as a whole.
                let below = if path.is_empty() {
                    name.clone()
                } else if simple {
                    format!("{path}.{name}")
                } else {
                    path.to_owned()
                };
                if let Some(value) = filled(value, input, &below, places) {
                    object.insert(name, value);
                }
            }
            Value::Object(object)
        }
        value => value,
    })
}

/// A Kubernetes object has metadata.
fn with_envelope(object: Value) -> Value {
    let Value::Object(mut object) = object else { return object };
    if object.contains_key("kind") && !object.contains_key("metadata") {
        object.insert("metadata".to_owned(), serde_json::json!({ "name": "case", "namespace": "default" }));
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn inputs_stand_where_the_template_says() {
        let fields = json!({ "in": { "a": 1 }, "none": null });
        let input = Input::of("case name".to_owned(), fields.as_object().unwrap().clone(), &Map::new());
        let (object, mut places) = fill("{kind: X, metadata: {}, spec: {list: [$in], gone: $none, map: {$case: 1}}}", &input).unwrap();
        assert_eq!(object, json!({ "kind": "X", "metadata": {}, "spec": { "list": [{ "a": 1 }], "map": { "case name": 1 } } }));
        places.sort();
        assert_eq!(places, ["spec.gone", "spec.list[0]", "spec.map"]);
    }
}
