//! `StringMatch`: one of `exact`, `prefix` and `regex`; `HeaderMatch` also takes `{}`, "the header is there".

use serde::{Deserialize, Serialize};

use super::spec::spec;
use crate::schema::oneof;

/// How a text is compared. A regex is RE2 and must match the whole text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StringMatch {
    /// Equal.
    Exact(String),
    /// Starts with.
    Prefix(String),
    /// Matches as a whole.
    Regex(String),
}

impl StringMatch {
    /// The text compared with, whatever the way.
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Regex(text) => text,
        }
    }
}

/// How a header or a query parameter is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub enum HeaderMatch {
    /// `{}`: it is present, whatever its value.
    Present,
    /// Its value matches.
    Value(StringMatch),
}

spec! {
    /// The JSON form: at most one of the three.
    #[schemars(transform = oneof(&["exact", "prefix", "regex"]))]
    struct Fields {
        exact: Option<String>,
        prefix: Option<String>,
        regex: Option<String>,
    }
}

/// More than one way to match was given.
#[derive(Debug, thiserror::Error)]
#[error("only one of exact, prefix and regex can be set: keep one")]
struct MoreThanOne;

impl TryFrom<Fields> for HeaderMatch {
    type Error = MoreThanOne;

    fn try_from(fields: Fields) -> Result<Self, MoreThanOne> {
        match (fields.exact, fields.prefix, fields.regex) {
            (None, None, None) => Ok(Self::Present),
            (Some(text), None, None) => Ok(Self::Value(StringMatch::Exact(text))),
            (None, Some(text), None) => Ok(Self::Value(StringMatch::Prefix(text))),
            (None, None, Some(text)) => Ok(Self::Value(StringMatch::Regex(text))),
            _ => Err(MoreThanOne),
        }
    }
}

impl From<HeaderMatch> for Fields {
    fn from(header: HeaderMatch) -> Self {
        let mut fields = Self::default();
        match header {
            HeaderMatch::Present => {}
            HeaderMatch::Value(StringMatch::Exact(text)) => fields.exact = Some(text),
            HeaderMatch::Value(StringMatch::Prefix(text)) => fields.prefix = Some(text),
            HeaderMatch::Value(StringMatch::Regex(text)) => fields.regex = Some(text),
        }
        fields
    }
}

crate::resource::spec::schema_of! {
    HeaderMatch => Fields;
    StringMatch => Fields;
}
