//! What `--mode validate` prints.

use std::fmt;

use mesh_runtime::xds::Rejection;

use crate::xds::{Assembler, Ignored};

/// Errors, and what has no effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Why the bootstrap must not be run.
    pub errors: Vec<String>,
    /// Fields that were accepted and have no effect.
    pub ignored: Vec<Ignored>,
    /// What was accepted and fails when it is used: it answers 500, or closes the connection.
    pub refusing: Vec<Ignored>,
}

impl Report {
    /// Whether the bootstrap may be run.
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn rejected(&mut self, kind: &str, rejections: Vec<Rejection>) {
        self.errors.extend(rejections.into_iter().map(|Rejection { name, reason }| format!("{kind} {name:?}: {reason}")));
    }

    pub(super) fn bootstrap(&mut self, ignored: Vec<String>) {
        self.ignored.extend(ignored.into_iter().map(|path| Ignored { resource: "bootstrap".to_owned(), path }));
    }

    pub(super) fn resources(&mut self, assembler: &Assembler) {
        self.ignored.extend(assembler.ignored());
        self.refusing.extend(assembler.refusing());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.errors {
            writeln!(f, "error: {error}")?;
        }
        for line in &self.refusing {
            writeln!(f, "fails when used: {line}")?;
        }
        for line in &self.ignored {
            writeln!(f, "no effect: {line}")?;
        }
        match self.errors.len() {
            0 => writeln!(f, "the configuration is valid; {} fields have no effect", self.ignored.len()),
            errors => writeln!(f, "the configuration has {errors} errors"),
        }
    }
}
