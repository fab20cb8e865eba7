//! Host names as Istio's resources name them: exact, or with a wildcard as the first label.

use std::borrow::Cow;
use std::sync::Arc;

use super::Reason;
use super::text::{check_text, text_id};

/// A DNS name, or a pattern: `reviews.default.svc.cluster.local`, `*.example.com`, `*`.
///
/// Lower-cased and without a trailing dot, since DNS does not tell those apart (RFC 4343). Labels follow RFC 1123; the first may be `*`
/// or start with it (`*-eu.example.com`), as Istio's validation has it. At most 253 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hostname(Arc<str>);

text_id!(Hostname);

impl Hostname {
    const WHAT: &'static str = "host name";

    fn check(text: &str) -> Result<Cow<'_, str>, Reason> {
        let name = match text.strip_suffix('.') {
            Some(stripped) if !matches!(stripped, "" | "*") => stripped,
            _ => text,
        };
        check_text(name, 253, "letters, digits, '-', '.', and '*' at the very start", |c| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '*')
        })?;
        let wildcard = name.starts_with('*');
        let literal = name.strip_prefix('*').unwrap_or(name);
        if let Some(at) = literal.find('*') {
            let at = at + usize::from(wildcard);
            return Err(Reason::Character { found: '*', at, allowed: "letters, digits, '-', '.'; '*' only at the very start" });
        }
        for (position, label) in literal.split('.').enumerate() {
            check_label(label, wildcard && position == 0)?;
        }
        Ok(lowered(name))
    }

    /// Whether it is a pattern: it starts with `*`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with('*')
    }

    /// Whether every name that `other` stands for is also one of ours. An exact name covers itself only; `*.a.b` covers
    /// `x.a.b`, `y.x.a.b` and `*.x.a.b`, but not `a.b`, as in Istio.
    #[must_use]
    pub fn covers(&self, other: &Hostname) -> bool {
        let Some(suffix) = self.0.strip_prefix('*') else { return self == other };
        match other.0.strip_prefix('*') {
            Some(theirs) => theirs.ends_with(suffix),
            None => other.0.len() > suffix.len() && other.0.ends_with(suffix),
        }
    }
}

/// The label after a wildcard may be empty (`*.b`) and may start with a dash (`*-a.b`).
fn check_label(label: &str, after_wildcard: bool) -> Result<(), Reason> {
    if label.is_empty() {
        return if after_wildcard { Ok(()) } else { Err(Reason::Form("it has an empty label")) };
    }
    if label.len() > 63 {
        return Err(Reason::Form("a label has more than 63 bytes"));
    }
    if label.ends_with('-') || (label.starts_with('-') && !after_wildcard) {
        return Err(Reason::Form("a label must start and end with a letter or a digit"));
    }
    Ok(())
}

fn lowered(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) }
}
