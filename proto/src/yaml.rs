//! A YAML reader that keeps positions and reads scalars as Kubernetes does.
//!
//! Users' configuration must mean here what it means to `kubectl`, and a mistake in it must be shown where it stands. Neither is had from
//! a serde deserializer: those follow YAML 1.2 (`yes` is text, `0777` is seven hundred) and forget positions. Here, as in
//! `sigs.k8s.io/yaml`:
//!
//! * plain `yes no on off y n true false`, in lower, title and upper case, are booleans;
//! * plain `0777`, `0o777`, `0x1f`, `0b11`, `1_000` are integers; `08` is the number eight;
//! * `~`, `null` and nothing are null; anything quoted, and every date, is text;
//! * `<<` merges mappings, and keys that are numbers or booleans become text.
//!
//! Stricter than Kubernetes, because the lenient reading loses something unseen: a key written twice and a tag that nobody
//! knows are errors. Nesting and the expansion of aliases are bounded. JSON is read too, surrogate escapes included.

mod build;
mod error;
mod position;
mod scalar;

pub use error::{Error, ErrorKind};
pub use position::Span;
pub(crate) use scalar::float_to_json;

/// Mappings and sequences may be nested this deep.
pub const MAX_DEPTH: usize = 128;

/// What aliases and anchors may copy, in bytes of text plus [`NODE_WEIGHT`] a node.
pub const MAX_EXPANSION: usize = 16 << 20;

/// What a node weighs against [`MAX_EXPANSION`], beside its text.
pub const NODE_WEIGHT: usize = 32;

/// Reads every document of a text. A document without content (only comments, or nothing between two `---`) is left out.
///
/// # Errors
/// The first mistake, with its line and column.
pub fn parse(text: &str) -> Result<Vec<Document>, Error> {
    build::documents(text)
}

/// [`parse`] for bytes from a file or a socket.
///
/// # Errors
/// Also when the bytes are not UTF-8, with the position of the first that is not.
pub fn parse_bytes(bytes: &[u8]) -> Result<Vec<Document>, Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text),
        Err(error) => Err(Error::encoding(bytes, error.valid_up_to())),
    }
}

/// Reads a text that holds exactly one document.
///
/// # Errors
/// As [`parse`], and when there are none or several.
pub fn parse_one(text: &str) -> Result<Document, Error> {
    let mut documents = parse(text)?;
    match (documents.pop(), documents.len()) {
        (Some(document), 0) => Ok(document),
        (Some(_), more) => Err(Error { kind: ErrorKind::NotOne { found: more + 1 }, span: Span::START }),
        (None, _) => Err(Error { kind: ErrorKind::NotOne { found: 0 }, span: Span::START }),
    }
}

/// One document of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its content.
    pub root: Node,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// From its first to its last character. A value that is absent (`key:`) has the span of its key; one that came by an alias
    /// or a merge has the span of the original.
    pub span: Span,
}

/// A YAML value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer that fits 64 bits with a sign.
    Int(i64),
    /// An integer above [`i64::MAX`].
    Uint(u64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// Key and value pairs, in the order of the text.
    Mapping(Mapping),
}

/// The pairs of a mapping, in the order of the text; keys are unique.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mapping {
    entries: Vec<Entry>,
}

/// One pair of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, as text.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The same content as JSON, without positions. Integral floats become integers, as Kubernetes has them; infinities and
    /// NaN become the strings that protobuf's JSON form uses.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        self.value.to_json()
    }

    /// The text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    #[must_use]
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The list, if it is one.
    #[must_use]
    pub fn as_sequence(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The value under a key, if this is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_mapping()?.get(key)
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }
}

impl Value {
    /// What kind of value it is, in the words of an error message.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Uint(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }

    fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => Json::from(*value),
            Self::Uint(value) => Json::from(*value),
            Self::Float(value) => scalar::float_to_json(*value),
            Self::String(text) => Json::String(text.clone()),
            Self::Sequence(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Self::Mapping(mapping) => Json::Object(mapping.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect()),
        }
    }
}

impl Mapping {
    /// The pairs in the order of the text; what a merge brought comes last.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// The value under a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The pair with a key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// How many pairs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<'a> IntoIterator for &'a Mapping {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Mapping {
    type Item = Entry;
    type IntoIter = std::vec::IntoIter<Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

#[cfg(test)]
mod tests;
