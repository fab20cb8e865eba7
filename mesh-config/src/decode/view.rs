//! What the reader reads: a YAML node, which knows its place, or a JSON value, which does not.

use mesh_proto::yaml::{self, Node, Span};
use serde_json::Value;

/// A value in either form.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    Yaml(&'a Node),
    Json(&'a Value),
}

/// A value's content.
pub(super) enum Shape<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(&'a str),
    List(Vec<View<'a>>),
    Map(Vec<Entry<'a>>),
}

/// One pair of a mapping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) key: &'a str,
    pub(crate) key_span: Option<Span>,
    pub(crate) value: View<'a>,
}

impl<'a> View<'a> {
    pub(crate) fn span(self) -> Option<Span> {
        match self {
            Self::Yaml(node) => Some(node.span),
            Self::Json(_) => None,
        }
    }

    pub(super) fn shape(self) -> Shape<'a> {
        match self {
            Self::Yaml(node) => yaml_shape(node),
            Self::Json(value) => json_shape(value),
        }
    }

    pub(crate) fn is_null(self) -> bool {
        matches!(self.shape(), Shape::Null)
    }

    pub(crate) fn text(self) -> Option<&'a str> {
        match self {
            Self::Yaml(node) => node.as_str(),
            Self::Json(value) => value.as_str(),
        }
    }

    pub(crate) fn entries(self) -> Option<Vec<Entry<'a>>> {
        match self.shape() {
            Shape::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub(crate) fn get(self, key: &str) -> Option<View<'a>> {
        match self {
            Self::Yaml(node) => node.get(key).map(View::Yaml),
            Self::Json(value) => value.get(key).map(View::Json),
        }
    }
}

fn yaml_shape(node: &Node) -> Shape<'_> {
    match &node.value {
        yaml::Value::Null => Shape::Null,
        yaml::Value::Bool(value) => Shape::Bool(*value),
        yaml::Value::Int(value) => Shape::Int(*value),
        yaml::Value::Uint(value) => Shape::Uint(*value),
        yaml::Value::Float(value) => Shape::Float(*value),
        yaml::Value::String(text) => Shape::Text(text),
        yaml::Value::Sequence(items) => Shape::List(items.iter().map(View::Yaml).collect()),
        yaml::Value::Mapping(mapping) => Shape::Map(
            mapping
                .iter()
                .map(|entry| Entry { key: &entry.key, key_span: Some(entry.key_span), value: View::Yaml(&entry.value) })
                .collect(),
        ),
    }
}

fn json_shape(value: &Value) -> Shape<'_> {
    match value {
        Value::Null => Shape::Null,
        Value::Bool(value) => Shape::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Shape::Int(value),
            (None, Some(value)) => Shape::Uint(value),
            (None, None) => Shape::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Shape::Text(text),
        Value::Array(items) => Shape::List(items.iter().map(View::Json).collect()),
        Value::Object(map) => Shape::Map(map.iter().map(|(key, value)| Entry { key, key_span: None, value: View::Json(value) }).collect()),
    }
}
