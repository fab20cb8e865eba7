//! Kubernetes names: what the API server accepts as a namespace and as a service account.

use std::borrow::Cow;
use std::sync::Arc;

use super::Reason;
use super::text::{check_text, text_id};

const LOWER: &str = "a-z, 0-9, '-'";
const LOWER_DOTTED: &str = "a-z, 0-9, '-', '.'";

/// A Kubernetes namespace: a DNS label of at most 63 bytes (RFC 1123).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Arc<str>);

text_id!(Namespace);

impl Namespace {
    const WHAT: &'static str = "namespace";

    fn check(text: &str) -> Result<Cow<'_, str>, Reason> {
        check_text(text, 63, LOWER, |c| c == '-' || is_lower_alphanumeric(c))?;
        check_ends(text)?;
        Ok(Cow::Borrowed(text))
    }
}

/// A Kubernetes service account: a DNS subdomain of at most 253 bytes (RFC 1123).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceAccount(Arc<str>);

text_id!(ServiceAccount);

impl ServiceAccount {
    const WHAT: &'static str = "service account";

    fn check(text: &str) -> Result<Cow<'_, str>, Reason> {
        check_text(text, 253, LOWER_DOTTED, |c| c == '-' || c == '.' || is_lower_alphanumeric(c))?;
        text.split('.').try_for_each(check_ends)?;
        Ok(Cow::Borrowed(text))
    }
}

fn is_lower_alphanumeric(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn check_ends(label: &str) -> Result<(), Reason> {
    if label.is_empty() {
        return Err(Reason::Form("it has an empty label"));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(Reason::Form("a label must start and end with a letter or a digit"));
    }
    Ok(())
}
