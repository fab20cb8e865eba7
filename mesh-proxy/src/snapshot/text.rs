//! Matchers of text, headers and chance.

use std::sync::Arc;

use http::HeaderName;

/// `envoy.type.matcher.v3.StringMatcher`, compiled.
#[derive(Debug, Clone)]
pub struct StringMatcher {
    /// The pattern.
    pub pattern: StringPattern,
    /// Compare without regard to ASCII case (not for `Regex`). The pattern is then lower case.
    pub ignore_case: bool,
}

/// The forms of a string match.
#[derive(Debug, Clone)]
pub enum StringPattern {
    /// The whole string.
    Exact(Arc<str>),
    /// Its beginning.
    Prefix(Arc<str>),
    /// Its end.
    Suffix(Arc<str>),
    /// Somewhere in it.
    Contains(Arc<str>),
    /// RE2 full match, compiled anchored.
    Regex(regex::Regex),
}

/// `envoy.config.route.v3.HeaderMatcher`.
#[derive(Debug, Clone)]
pub struct HeaderMatcher {
    /// Header or pseudo-header (`:path`, `:method`, `:authority`, `:scheme`).
    pub name: HeaderKey,
    /// What its value must be. Repeated headers are joined with `,` first, as Envoy does.
    pub test: HeaderTest,
    /// `invert_match`.
    pub invert: bool,
    /// `treat_missing_header_as_empty`.
    pub missing_as_empty: bool,
}

/// A header's name, pseudo-headers apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderKey {
    /// A field.
    Name(HeaderName),
    /// `:path`, with its query.
    Path,
    /// `:method`.
    Method,
    /// `:authority`, or `host`.
    Authority,
    /// `:scheme`.
    Scheme,
}

/// What a header's value must be.
#[derive(Debug, Clone)]
pub enum HeaderTest {
    /// There (true) or absent (false).
    Present(bool),
    /// Matches.
    Value(StringMatcher),
    /// An integer in [start, end).
    Range(i64, i64),
}

/// `envoy.config.route.v3.QueryParameterMatcher`.
#[derive(Debug, Clone)]
pub struct QueryMatcher {
    /// Parameter.
    pub name: Arc<str>,
    /// `None`: it must only be present.
    pub value: Option<StringMatcher>,
}

/// A share of cases: `numerator` of `denominator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent {
    /// Cases.
    pub numerator: u32,
    /// Of so many: 100, 10 000 or 1 000 000.
    pub denominator: u32,
}

impl Percent {
    /// Every case.
    pub const ALWAYS: Self = Self { numerator: 100, denominator: 100 };

    /// Whether `draw`, a uniform random number, falls in the share.
    pub fn hits(self, draw: u64) -> bool {
        draw % u64::from(self.denominator.max(1)) < u64::from(self.numerator)
    }
}

impl StringMatcher {
    /// Whether `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        if self.ignore_case && !matches!(self.pattern, StringPattern::Regex(_)) {
            return self.pattern.matches(&text.to_ascii_lowercase());
        }
        self.pattern.matches(text)
    }
}

impl StringPattern {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(want) => text == &**want,
            Self::Prefix(want) => text.starts_with(&**want),
            Self::Suffix(want) => text.ends_with(&**want),
            Self::Contains(want) => text.contains(&**want),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}
