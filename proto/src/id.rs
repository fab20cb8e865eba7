//! Identifiers that appear on the wire. Each is parsed once, at the edge, and is cheap to clone from then on.
//!
//! A value of one of these types is proof that its text is well formed: code that holds a [`SpiffeId`] never parses.

mod dns;
mod hostname;
mod revision;
mod spiffe;
mod text;

pub use dns::{Namespace, ServiceAccount};
pub use hostname::Hostname;
pub use revision::Revision;
pub use spiffe::{SpiffeId, TrustDomain};

/// Why a text is not the identifier that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: {reason}")]
pub struct InvalidId {
    /// The kind of identifier, in words.
    pub what: &'static str,
    /// The text, cut to a printable length.
    pub text: String,
    /// The rule that it breaks.
    pub reason: Reason,
}

/// The rule that a text breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// More bytes than the identifier may have.
    #[error("it has {length} bytes, at most {limit} are allowed")]
    TooLong {
        /// How many it has.
        length: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A character that the identifier does not allow, at a byte offset.
    #[error("{found:?} at position {at} is not allowed; allowed are {allowed}")]
    Character {
        /// The offending character.
        found: char,
        /// Its byte offset.
        at: usize,
        /// What would have been allowed.
        allowed: &'static str,
    },
    /// A rule about the whole text.
    #[error("{0}")]
    Form(&'static str),
}

impl InvalidId {
    const SHOWN: usize = 120;

    fn new(what: &'static str, text: &str, reason: Reason) -> Self {
        let mut shown: String = text.chars().take(Self::SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Self { what, text: shown, reason }
    }
}

#[cfg(test)]
mod tests;
