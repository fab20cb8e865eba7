//! What can be wrong with a YAML text, and where.

use std::fmt;

use super::{MAX_DEPTH, Span};

/// A mistake in a YAML text. Prints as `line 3, column 5: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Where.
    pub span: Span,
}

/// What is wrong with a YAML text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not YAML.
    #[error("{0}")]
    Syntax(String),
    /// The bytes are not UTF-8.
    #[error("the text is not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8")]
    Encoding {
        /// The first byte that does not fit.
        byte: u8,
    },
    /// A character that YAML forbids.
    #[error("control character {found:?} is not allowed; write it as an escape in double quotes")]
    ControlCharacter {
        /// The character.
        found: char,
    },
    /// A key stands twice in one mapping.
    #[error("key {key:?} is set twice, first on line {}, column {}; remove one of them", first.line, first.column)]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it stood first.
        first: Span,
    },
    /// A key is a list, a mapping or null.
    #[error("a key must be text, but this is {found}; quote it if text is meant")]
    Key {
        /// What it is, in words.
        found: &'static str,
    },
    /// What `<<` merges is not a mapping.
    #[error("'<<' merges a mapping or a list of mappings, but this is {found}")]
    Merge {
        /// What it is, in words.
        found: &'static str,
    },
    /// A tag that has no meaning here.
    #[error("tag {tag} is not supported; remove it")]
    Tag {
        /// The tag as written.
        tag: String,
    },
    /// A scalar is not of the type that its tag claims.
    #[error("{text:?} is not of type {tag}")]
    Tagged {
        /// The tag as written.
        tag: String,
        /// The scalar.
        text: String,
    },
    /// An alias to something that contains it.
    #[error("an alias must not refer to what contains it")]
    RecursiveAlias,
    /// Nested too deeply.
    #[error("nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// Aliases would copy too much.
    #[error("its aliases expand to more than {} MiB; write less by alias", super::MAX_EXPANSION >> 20)]
    TooLarge,
    /// One document was expected.
    #[error("expected one document, found {found}")]
    NotOne {
        /// How many there are.
        found: usize,
    },
}

impl Error {
    pub(super) fn encoding(bytes: &[u8], valid: usize) -> Self {
        let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
        let byte = bytes.get(valid).copied().unwrap_or_default();
        Self { kind: ErrorKind::Encoding { byte }, span: Span::after(&before, 1) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.span, self.kind)
    }
}

impl std::error::Error for Error {}
