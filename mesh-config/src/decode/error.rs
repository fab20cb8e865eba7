//! What is wrong with a value, where, and how to mend it.

use std::fmt::{self, Display};

use mesh_proto::yaml::Span;
use serde::de::{Expected, Unexpected};

use super::{View, path::Path, view::Shape};
use crate::suggest::nearest;

/// A value that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Parts>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Parts {
    path: Option<String>,
    span: Option<Span>,
    message: String,
    expected: Option<String>,
    suggestion: Option<String>,
    /// The field that is missing below the path.
    missing: Option<&'static str>,
}

impl Error {
    /// An error with no place yet.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Parts { message: message.into(), ..Parts::default() }))
    }

    /// A value of the wrong type.
    pub(crate) fn expected(found: View<'_>, expected: impl Into<String>) -> Self {
        let expected = expected.into();
        let (found, suggestion) = match found.shape() {
            Shape::Null => ("null".to_owned(), None),
            Shape::Bool(value) => (format!("the boolean `{value}`"), quoted(&expected, value)),
            Shape::Int(value) => (format!("the number `{value}`"), quoted(&expected, value)),
            Shape::Uint(value) => (format!("the number `{value}`"), quoted(&expected, value)),
            Shape::Float(value) => (format!("the number `{value}`"), quoted(&expected, value)),
            Shape::Text(text) => (format!("the string {:?}", clip(text)), unquoted(&expected, text)),
            Shape::List(_) => ("a list".to_owned(), None),
            Shape::Map(_) => ("a mapping".to_owned(), None),
        };
        let mut error = Self::new(format!("found {found}"));
        error.0.expected = Some(expected);
        error.0.suggestion = suggestion;
        error
    }

    /// Something that must be there and is not.
    pub(crate) fn required() -> Self {
        Self::new("Required value: the field is missing")
    }

    /// A name that is none of the known ones.
    pub(crate) fn unknown_name(what: &str, given: &str, known: &[&str]) -> Self {
        let mut error = Self::new(format!("unknown {what} `{}`", clip(given)));
        error.0.suggestion = nearest(given, known.iter().copied()).map(|name| format!("did you mean `{name}`?"));
        error.0.expected = (!known.is_empty()).then(|| list(known));
        error
    }

    /// Says how to mend it.
    pub(crate) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.0.suggestion = Some(suggestion.into());
        self
    }

    /// Gives it a place, unless it has one: the innermost value is the one that is wrong.
    pub(crate) fn at(mut self, path: &Path<'_>, span: Option<Span>) -> Self {
        if self.0.path.is_none() {
            let path = match self.0.missing {
                Some(field) => path.field(field).to_string(),
                None => path.to_string(),
            };
            self.0.path = Some(path);
            self.0.span = span;
        }
        self
    }

    /// Where: `spec.http[0].route[1].weight`; empty for the object itself.
    pub fn path(&self) -> &str {
        self.0.path.as_deref().unwrap_or_default()
    }

    /// Where in the text, if it came from one.
    pub fn span(&self) -> Option<Span> {
        self.0.span
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What would be right.
    pub fn expectation(&self) -> Option<&str> {
        self.0.expected.as_deref()
    }

    /// What was probably meant.
    pub fn suggestion(&self) -> Option<&str> {
        self.0.suggestion.as_deref()
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path().is_empty() {
            write!(f, "{}: ", self.path())?;
        }
        f.write_str(self.message())?;
        if let Some(expected) = self.expectation() {
            write!(f, ", expected {expected}")?;
        }
        if let Some(suggestion) = self.suggestion() {
            write!(f, " ({suggestion})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let mut error = Self::new(format!("found {found}"));
        error.0.expected = Some(expectation(&expected.to_string()));
        error
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        // Every 16-bit number in the API is a port.
        let rule = if expected == "u16" { ": port must be between 1-65535" } else { "" };
        let mut error = Self::new(format!("Invalid value: {found}{rule}"));
        error.0.expected = Some(expectation(&expected));
        error
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let mut error = Self::unknown_name("value", variant, expected);
        error.0.message = format!("Unsupported value: {:?}", clip(variant));
        error
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown_name("field", field, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        let mut error = Self::required();
        error.0.missing = Some(field);
        error
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` is set twice, under two of its names")).suggest("remove one of them")
    }
}

/// Rust's type names in a user's words.
fn expectation(expected: &str) -> String {
    match expected {
        "u8" => "a number from 0 to 255".to_owned(),
        "u16" => "a number from 0 to 65535".to_owned(),
        "u32" => "a number from 0 to 4294967295".to_owned(),
        "i32" => "a number from -2147483648 to 2147483647".to_owned(),
        "u64" => "a number, not negative".to_owned(),
        other => other.to_owned(),
    }
}

/// `one of a, b, c`.
pub(super) fn list(names: &[&str]) -> String {
    format!("one of {}", names.join(", "))
}

/// Text short enough to show.
fn clip(text: &str) -> String {
    const LIMIT: usize = 80;
    if text.chars().count() <= LIMIT {
        return text.to_owned();
    }
    text.chars().take(LIMIT).chain(['…']).collect()
}

fn quoted(expected: &str, value: impl Display) -> Option<String> {
    if expected.starts_with("a duration") {
        return Some(format!("did you mean `{value}s`?"));
    }
    expected.contains("string").then(|| format!("put it in quotes: \"{value}\""))
}

fn unquoted(expected: &str, text: &str) -> Option<String> {
    let number = expected.contains("number") && text.parse::<f64>().is_ok();
    let boolean = expected.contains("boolean") && matches!(text, "true" | "false");
    (number || boolean).then(|| format!("remove the quotes: {text}"))
}
