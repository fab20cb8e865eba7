//! The rules that a well-formed resource may still break: what they found, and how a kind states its own.

pub(crate) mod rules;

mod layers;

pub(crate) use layers::layers;
pub use layers::{Checked, check};

use crate::resource::{Object, Spec};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing: a document that is none of ours was skipped.
    Note,
    /// Taken, and probably not meant.
    Warning,
    /// Refused.
    Error,
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Where: `spec.http[0].route[1].weight`.
    pub path: String,
    /// The value found there, if it is short enough to show.
    pub value: Option<String>,
    /// The rule.
    pub rule: String,
    /// How to mend it.
    pub remedy: String,
}

/// Rules of one kind.
pub trait Validate {
    /// How the API server presents it, with its schema; none if its schema is not known. See `schema`.
    const CRD: Option<crate::schema::Crd> = None;

    /// Reports every broken rule.
    fn validate(object: &Object<Self>, checks: &mut Checks)
    where
        Self: Sized;
}

/// Collects findings while a kind's rules walk over its fields.
#[derive(Debug, Default)]
pub struct Checks {
    path: String,
    findings: Vec<Finding>,
}

/// All findings of an object.
pub fn object<T: Spec>(object: &Object<T>) -> Vec<Finding> {
    let mut checks = Checks { path: "spec".to_owned(), findings: Vec::new() };
    T::validate(object, &mut checks);
    checks.findings
}

/// All findings of what is no Kubernetes object.
pub(crate) fn document(rules: impl FnOnce(&mut Checks)) -> Vec<Finding> {
    let mut checks = Checks::default();
    rules(&mut checks);
    checks.findings
}

impl Checks {
    /// Runs `rules` on the field `name`; on the current one if it is empty.
    pub fn field(&mut self, name: &str, rules: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if !name.is_empty() && !name.starts_with('[') && !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
        rules(self);
        self.path.truncate(length);
    }

    /// Runs `rules` on every element of the list `name`.
    pub fn each<T>(&mut self, name: &str, items: &[T], mut rules: impl FnMut(&mut Self, &T)) {
        for (index, item) in items.iter().enumerate() {
            self.field(&format!("{name}[{index}]"), |checks| rules(checks, item));
        }
    }

    /// Runs `rules` on a field of `metadata`, outside the spec.
    pub fn metadata(&mut self, name: &str, rules: impl FnOnce(&mut Self)) {
        let spec = std::mem::replace(&mut self.path, "metadata".to_owned());
        self.field(name, rules);
        self.path = spec;
    }

    /// Runs `rules` on the object itself, outside the spec: for kinds whose fields stand beside `metadata`.
    pub fn root(&mut self, rules: impl FnOnce(&mut Self)) {
        let spec = std::mem::take(&mut self.path);
        rules(self);
        self.path = spec;
    }

    /// A broken rule at the current field.
    pub fn error(&mut self, value: impl Into<Option<String>>, rule: impl Into<String>, remedy: impl Into<String>) {
        self.push(Severity::Error, value.into(), rule.into(), remedy.into());
    }

    /// A doubtful setting at the current field.
    pub fn warning(&mut self, value: impl Into<Option<String>>, rule: impl Into<String>, remedy: impl Into<String>) {
        self.push(Severity::Warning, value.into(), rule.into(), remedy.into());
    }

    fn push(&mut self, severity: Severity, value: Option<String>, rule: String, remedy: String) {
        self.findings.push(Finding { severity, path: self.path.clone(), value, rule, remedy });
    }
}

#[cfg(test)]
mod tests;
