//! What the API server fills in before it judges: `default`s of fields that are absent.

use std::borrow::Cow;

use serde_json::Value;

use super::tree::Node;

/// The object with its defaults, if it lacks any.
pub(super) fn applied<'a>(node: &Node, object: Cow<'a, Value>) -> (Cow<'a, Value>, bool) {
    if !lacks(node, &object) {
        return (object, false);
    }
    let mut filled = object.into_owned();
    fill(node, &mut filled);
    (Cow::Owned(filled), true)
}

/// Whether there is something to fill in.
fn lacks(node: &Node, value: &Value) -> bool {
    node.defaults
        && match value {
            Value::Object(fields) => {
                let lacking = |(name, field): (&String, &Node)| field.default.is_some() && is_absent(field, fields.get(name));
                node.properties.iter().any(lacking)
                    || fields.iter().any(|(name, value)| node.field(name).is_some_and(|field| lacks(field, value)))
            }
            Value::Array(items) => node.items.as_deref().is_some_and(|item| items.iter().any(|value| lacks(item, value))),
            _ => false,
        }
}

/// A null that is not allowed counts as absent where there is a default.
fn is_absent(field: &Node, value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_null() && !field.nullable)
}

/// Fields first, then what is in them: a default may have defaults inside.
fn fill(node: &Node, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in &node.properties {
                let Some(default) = &field.default else { continue };
                if is_absent(field, fields.get(name)) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(field) = node.field(name).filter(|field| field.defaults) {
                    fill(field, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(item) = node.items.as_deref().filter(|item| item.defaults) {
                items.iter_mut().for_each(|value| fill(item, value));
            }
        }
        _ => {}
    }
}
