//! The name of one state of a configuration.

use std::borrow::Cow;
use std::sync::Arc;

use super::Reason;
use super::text::{check_text, text_id};

/// A version of a snapshot: opaque to everyone but its maker, equal exactly when the content is.
///
/// Ours are content hashes; other control planes write timestamps and counters. Printable ASCII, at most 256 bytes: a
/// bound on what a peer can make us keep and log.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(Arc<str>);

text_id!(Revision);

impl Revision {
    const WHAT: &'static str = "revision";

    fn check(text: &str) -> Result<Cow<'_, str>, Reason> {
        check_text(text, 256, "printable ASCII characters", |c| c.is_ascii_graphic() || c == ' ')?;
        Ok(Cow::Borrowed(text))
    }

    /// The revision of a 64-bit content hash: sixteen hexadecimal digits.
    #[must_use]
    pub fn from_hash(hash: u64) -> Self {
        Self(format!("{hash:016x}").into())
    }

    /// The revision of a 128-bit content hash: thirty-two hexadecimal digits.
    #[must_use]
    pub fn from_hash128(hash: u128) -> Self {
        Self(format!("{hash:032x}").into())
    }
}
