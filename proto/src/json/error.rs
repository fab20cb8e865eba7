//! Why a JSON value is not the message that it should be, and where.

use std::fmt;

use crate::any::UnpackError;
use crate::yaml::{self, Node, Span};

/// A value that does not fit. Prints as `static_resources.listeners[0].address: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The way to the value, from the outermost message.
    pub path: Path,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The value is of another kind than the field.
    #[error("expected {expected}, found {found}")]
    Kind {
        /// What the field takes, in words.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The message has no such field.
    #[error("{message} has no such field{}", did_you_mean(suggestion.as_deref()))]
    UnknownField {
        /// The message's full name.
        message: String,
        /// A field with a similar name.
        suggestion: Option<String>,
    },
    /// The enum has no such value.
    #[error("{found:?} is not a value of {name}{}", did_you_mean(suggestion.as_deref()))]
    UnknownEnum {
        /// The enum's full name.
        name: String,
        /// What is there.
        found: String,
        /// A value with a similar name.
        suggestion: Option<String>,
    },
    /// The type of a message or an `Any` is not among those that we read.
    #[error("type {type_url:?} is not supported")]
    UnknownType {
        /// The type URL or message name.
        type_url: String,
    },
    /// An `Any` without a type.
    #[error("an Any needs \"@type\", the type URL of its message")]
    NoType,
    /// One field under two names.
    #[error("the field is set twice, as snake_case and as camelCase; remove one of them")]
    Twice,
    /// Two members of a oneof.
    #[error("only one member of {oneof} may be set, but {other} is set too")]
    Oneof {
        /// The oneof's name.
        oneof: String,
        /// The member that was met first.
        other: String,
    },
    /// Nested too deeply.
    #[error("nested more than {} messages deep", super::decode::MAX_DEPTH)]
    TooDeep,
    /// A well-known type, such as a duration, is malformed.
    #[error("{0}")]
    Malformed(String),
}

/// The way to a value inside a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path(pub Vec<Segment>);

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A field as written, or the key of a map.
    Key(String),
    /// A place in a list, from 0.
    Index(usize),
}

/// Why a configuration text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It is not YAML.
    #[error(transparent)]
    Yaml(#[from] yaml::Error),
    /// It does not fit the message.
    #[error("{span}: {error}")]
    Message {
        /// Where the value, or its key, stands.
        span: Span,
        /// What is wrong with it.
        error: Box<Error>,
    },
}

impl ConfigError {
    /// Where the mistake stands.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Yaml(error) => error.span,
            Self::Message { span, .. } => *span,
        }
    }

    pub(super) fn locate(error: Error, root: &Node) -> Self {
        let mut node = root;
        let mut span = root.span;
        for segment in &error.path.0 {
            let next = match segment {
                Segment::Key(key) => node.as_mapping().and_then(|mapping| mapping.entry(key)).map(|entry| (entry.key_span, &entry.value)),
                Segment::Index(index) => node.as_sequence().and_then(|items| items.get(*index)).map(|item| (item.span, item)),
            };
            let Some(next) = next else { break };
            (span, node) = next;
        }
        Self::Message { span, error: Box::new(error) }
    }
}

impl Error {
    pub(super) fn new(reason: Reason) -> Self {
        Self { path: Path::default(), reason }
    }

    pub(super) fn unpack(error: UnpackError) -> Self {
        Self::new(Reason::Malformed(error.to_string()))
    }

    /// The same error, seen from one level further out. Paths are built on the way out, so that success costs nothing.
    pub(super) fn at(mut self, segment: Segment) -> Self {
        self.path.0.insert(0, segment);
        self
    }

    pub(super) fn at_key(self, key: &str) -> Self {
        self.at(Segment::Key(key.to_owned()))
    }
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.0.is_empty() { self.reason.fmt(f) } else { write!(f, "{}: {}", self.path, self.reason) }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |key: &str| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if !plain(key) => write!(f, "[{key:?}]")?,
                Segment::Key(key) if position == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}
