//! What to look at and what to leave out.

use std::time::SystemTime;

use super::{
    message::{Message, Subject},
    precheck::Cluster,
};
use crate::resource::Meta;

/// The annotation that leaves messages about an object out: codes between commas, or `*`.
pub const SUPPRESS: &str = "galley.istio.io/analyze-suppress";

/// Namespaces that belong to Kubernetes: nothing is reported about what is in them.
pub const IGNORED_NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// How to analyse.
#[derive(Clone, Debug)]
pub struct Options {
    /// Report only what concerns this namespace and what is in none.
    pub namespace: Option<String>,
    /// Where the control plane is and mesh-wide policies lie.
    pub root_namespace: String,
    /// The control plane's revision; empty: the default one.
    pub revision: String,
    /// What time it is, for certificates; unknown: they are not judged by it.
    pub now: Option<SystemTime>,
    /// What a running cluster says, for the precheck.
    pub cluster: Option<Cluster>,
    /// Names of the analyzers to run; empty: all.
    pub analyzers: Vec<String>,
    /// What not to report.
    pub suppressions: Vec<Suppression>,
    /// The set is files that a person writes, and not a cluster's state: without a pod among them, analyzers that look at pods are not run, as they would
    /// miss all of them; and of an object that cannot be read as it is written only that is told.
    pub files_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: None,
            root_namespace: "istio-system".to_owned(),
            revision: String::new(),
            now: None,
            cluster: None,
            analyzers: Vec::new(),
            suppressions: Vec::new(),
            files_only: false,
        }
    }
}

/// `CODE=RESOURCE`: one code on the objects whose name matches a pattern with `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// `IST0101`.
    pub code: String,
    /// `Kind name.namespace` or `Kind namespace/name`; `*` stands for any text.
    pub resource: String,
}

/// A text that is no suppression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a suppression: write CODE=RESOURCE, such as \"IST0101=VirtualService reviews.default\"; `*` stands for any text")]
pub struct InvalidSuppression(String);

impl std::str::FromStr for Suppression {
    type Err = InvalidSuppression;

    fn from_str(text: &str) -> Result<Self, InvalidSuppression> {
        match text.split_once('=') {
            Some((code, resource)) if !code.is_empty() && !resource.is_empty() && !resource.contains('=') => {
                Ok(Self { code: code.trim().to_owned(), resource: resource.trim().to_owned() })
            }
            _ => Err(InvalidSuppression(text.to_owned())),
        }
    }
}

impl Suppression {
    fn covers(&self, message: &Message) -> bool {
        let Some(subject) = &message.subject else { return false };
        let Subject { kind, key, .. } = subject;
        self.code == message.code.id
            && (matches(&self.resource, &subject.to_string()) || matches(&self.resource, &format!("{kind} {}.{}", key.name, key.namespace)))
    }
}

impl Options {
    /// Whether an analyzer is to run.
    pub(super) fn runs(&self, analyzer: &str) -> bool {
        self.analyzers.is_empty() || self.analyzers.iter().any(|name| name == analyzer)
    }

    /// Whether a message is to be told; `meta` is the metadata of its subject.
    pub(super) fn keeps(&self, message: &Message, meta: Option<&Meta>) -> bool {
        if let Some(subject) = &message.subject {
            let namespace = if subject.kind.group().is_empty() && subject.kind.as_str() == "Namespace" {
                &subject.key.name
            } else {
                &subject.key.namespace
            };
            let elsewhere = self.namespace.as_ref().is_some_and(|wanted| !namespace.is_empty() && namespace != wanted);
            if elsewhere || IGNORED_NAMESPACES.contains(&namespace.as_str()) {
                return false;
            }
        }
        let annotation = meta.and_then(|meta| meta.annotations.get(SUPPRESS)).map(String::as_str).unwrap_or_default();
        let annotated = annotation.split(',').map(str::trim).any(|code| code == "*" || code == message.code.id);
        !annotated && !self.suppressions.iter().any(|suppression| suppression.covers(message))
    }
}

/// Whether `text` is `pattern`, where `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match text.find(piece) {
            Some(at) => text = &text[at + piece.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn patterns_match_as_a_shell_has_them() {
        for (pattern, text, expected) in [
            ("Pod a.b", "Pod a.b", true),
            ("Pod a.b", "Pod a.bc", false),
            ("Pod *.b", "Pod x.y.b", true),
            ("*", "", true),
            ("Pod *a*b", "Pod xaab", true),
            ("Pod *a*b*", "Pod xb", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_suppression_has_a_code_and_a_resource() {
        let parsed: Suppression = "IST0103=Pod *.testing".parse().unwrap();
        assert_eq!(parsed, Suppression { code: "IST0103".into(), resource: "Pod *.testing".into() });
        for wrong in ["IST0103", "IST0103=", "=Pod a", "IST0103=a=b"] {
            assert!(wrong.parse::<Suppression>().is_err(), "{wrong}");
        }
    }
}
