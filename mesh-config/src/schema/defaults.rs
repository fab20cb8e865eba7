//! What the API server fills in before it judges: `default`s of fields that are absent.

use std::borrow::Cow;

use serde_json::Value;

use super::tree::Node;

/// The object with its defaults.
pub(super) fn applied<'a>(node: &Node, value: &'a Value) -> Cow<'a, Value> {
    if !node.defaults {
        return Cow::Borrowed(value);
    }
    let mut filled = value.clone();
    fill(node, &mut filled);
    if filled == *value { Cow::Borrowed(value) } else { Cow::Owned(filled) }
}

/// Fields first, then what is in them: a default may have defaults inside.
fn fill(node: &Node, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in &node.properties {
                let Some(default) = &field.default else { continue };
                // A null that is not allowed counts as absent where there is a default.
                if fields.get(name).is_none_or(|value| value.is_null() && !field.nullable) {
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
