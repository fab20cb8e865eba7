//! From JSON to CEL, typed by the schema: names of fields that CEL cannot spell are escaped, keys of maps are not.
//!
//! Kubernetes: "Extend the Kubernetes API with CustomResourceDefinitions", section "Validation rules".

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kube_cel::cel::{
    Value as Cel,
    objects::{Key, Map},
};
use serde_json::Value;

use crate::schema::tree::{Node, Type};

/// The value as CEL sees it.
pub(super) fn typed(node: &Node, value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) if node.kind == Some(Type::Number) => Cel::Float(number.as_f64().unwrap_or(value as f64)),
            (Some(value), _) => Cel::Int(value),
            (None, Some(value)) => Cel::UInt(value),
            (None, None) => float(node, number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => self::text(node, text),
        Value::Array(items) => {
            let schema = node.items.as_deref();
            Cel::List(Arc::new(items.iter().map(|item| schema.map_or_else(|| untyped(item), |schema| typed(schema, item))).collect()))
        }
        Value::Object(fields) => {
            let is_map = node.is_map();
            let field = |(name, value): (&String, &Value)| {
                let key = if is_map { name.clone() } else { escaped(name) };
                (Key::String(Arc::new(key)), node.field(name).map_or_else(|| untyped(value), |schema| typed(schema, value)))
            };
            Cel::Map(Map { map: Arc::new(fields.iter().map(field).collect::<HashMap<_, _>>()) })
        }
    }
}

fn untyped(value: &Value) -> Cel {
    typed(&Node { open: true, ..Node::default() }, value)
}

/// 80.0 where an integer is meant is 80.
fn float(node: &Node, value: f64) -> Cel {
    #[allow(clippy::cast_possible_truncation, reason = "integral and below 2^53")]
    if node.kind == Some(Type::Integer) && value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Cel::Int(value as i64);
    }
    Cel::Float(value)
}

fn text(node: &Node, text: &str) -> Cel {
    if node.limits.format.as_deref() == Some("byte")
        && let Ok(bytes) = STANDARD.decode(text)
    {
        return Cel::Bytes(Arc::new(bytes));
    }
    Cel::String(Arc::new(text.to_owned()))
}

/// Whether CEL keeps the word for itself.
pub(super) fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "as" | "break"
            | "const"
            | "continue"
            | "else"
            | "false"
            | "for"
            | "function"
            | "if"
            | "import"
            | "in"
            | "let"
            | "loop"
            | "namespace"
            | "null"
            | "package"
            | "return"
            | "true"
            | "var"
            | "void"
            | "while"
    )
}

/// The name of a field that is a reserved word, from the way CEL spells it.
pub(super) fn unreserved(identifier: &str) -> Option<&str> {
    identifier.strip_prefix("__")?.strip_suffix("__").filter(|name| is_reserved(name))
}

/// A field's name as a CEL identifier.
fn escaped(name: &str) -> String {
    if is_reserved(name) {
        return format!("__{name}__");
    }
    if !name.contains(['_', '.', '-', '/']) {
        return name.to_owned();
    }
    name.replace("__", "__underscores__").replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__")
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn names_that_cel_cannot_spell_are_escaped() {
        for (name, expected) in [
            ("namespace", "__namespace__"),
            ("jwks_uri", "jwks_uri"),
            ("a.b/c-d", "a__dot__b__slash__c__dash__d"),
            ("a__b", "a__underscores__b"),
        ] {
            assert_eq!(escaped(name), expected);
        }
    }
}
