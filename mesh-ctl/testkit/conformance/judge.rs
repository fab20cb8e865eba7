//! Asks mesh-config about an object, and reads its findings: which concern the place that a case is about, and whether they say what the case expects.

use std::fmt;

use mesh_config::{
    load,
    resource::{ApiVersion, Kind},
    validate::{Finding, Severity, check},
};
use serde_json::Value;

/// Fewer letters tell nothing.
const WORD: usize = 3;

/// Words that say that something is wrong, not what.
const EMPTY_WORDS: &[&str] = &[
    "the", "must", "not", "cannot", "can", "should", "with", "have", "has", "and", "for", "set", "are", "but", "was", "one", "may", "only",
    "when", "all", "invalid", "error", "envoy", "filter",
];

/// What mesh-config says of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    /// Errors about what the case is about.
    pub(super) errors: Vec<Said>,
    /// Errors about anything else: the object around it is not in order.
    pub(super) elsewhere: Vec<Said>,
    /// Warnings about what the case is about.
    pub(super) warnings: Vec<Said>,
}

/// A finding.
#[derive(Clone, Debug)]
pub(super) struct Said {
    path: String,
    message: String,
}

/// Asks about an object. `about` are the paths that matter; empty: all of it.
///
/// # Errors
/// If mesh-config does not know what kind of object it is.
pub(super) fn object(object: &Value, about: &[String]) -> Result<Verdict, String> {
    match kind(object) {
        Some(kind) => Ok(Verdict::of(check(kind, object).findings, about)),
        // The loader says why it is none.
        None => bytes(object.to_string().as_bytes(), about),
    }
}

/// Asks about every object of a file.
///
/// # Errors
/// If mesh-config does not know what kind of object one of them is.
pub(super) fn bytes(bytes: &[u8], about: &[String]) -> Result<Verdict, String> {
    let mut verdict = Verdict::default();
    for diagnostic in load::documents("case", bytes).diagnostics {
        let said = [Some(diagnostic.message), diagnostic.expected, diagnostic.suggestion].into_iter().flatten().collect::<Vec<_>>();
        let said = Said { path: diagnostic.field_path, message: said.join("; ") };
        if diagnostic.severity == Severity::Note {
            return Err(said.message);
        }
        verdict.add(diagnostic.severity, said, about);
    }
    Ok(verdict)
}

/// The kind that an object says it is, in a version that is served.
fn kind(object: &Value) -> Option<Kind> {
    let version = ApiVersion::parse(object.get("apiVersion")?.as_str()?);
    let name = object.get("kind")?.as_str()?;
    Kind::ALL
        .iter()
        .copied()
        .find(|kind| kind.as_str() == name && kind.group() == version.group && kind.versions().contains(&version.version))
}

/// Whether a path is at or below another.
fn within(path: &str, about: &str) -> bool {
    about.is_empty() || path.strip_prefix(about).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

impl Verdict {
    /// Findings about an object; `about` are the paths that matter.
    pub(super) fn of(findings: Vec<Finding>, about: &[String]) -> Self {
        let mut verdict = Self::default();
        for Finding { severity, path, value, rule, remedy } in findings {
            let value = value.map(|value| format!("found {value}"));
            let said = [Some(rule), value, Some(remedy).filter(|remedy| !remedy.is_empty())];
            verdict.add(severity, Said { path, message: said.into_iter().flatten().collect::<Vec<_>>().join("; ") }, about);
        }
        verdict
    }

    fn add(&mut self, severity: Severity, said: Said, about: &[String]) {
        let here = about.is_empty() || about.iter().any(|about| within(&said.path, about));
        match severity {
            Severity::Warning if here => self.warnings.push(said),
            Severity::Error if here => self.errors.push(said),
            Severity::Error => self.elsewhere.push(said),
            Severity::Note | Severity::Warning => {}
        }
    }

    /// Whether anything is wrong, here or elsewhere.
    pub(super) fn refused(&self) -> bool {
        !self.errors.is_empty() || !self.elsewhere.is_empty()
    }

    /// Whether what is wrong is what the case is about, and nothing else.
    pub(super) fn to_the_point(&self) -> bool {
        !self.errors.is_empty() && self.elsewhere.is_empty()
    }
}

impl Said {
    /// Whether the API server's rendering of it has this text: the same place and rule, in its frame.
    pub(super) fn contains(&self, text: &str) -> bool {
        let Self { path, message } = self;
        let type_error = message
            .split_once("(type ")
            .and_then(|(_, rest)| Some((rest.split_once(')')?.0, rest.split_once("found ")?.1.split(';').next()?)));
        let renderings = [
            format!("{path}: {message}"),
            format!("{path} in body {message}"),
            format!("{path}: Invalid value: \"object\": {message}"),
            type_error.map_or(String::new(), |(ty, found)| format!("{path} in body must be of type {ty}: {found:?}")),
        ];
        renderings.iter().any(|rendered| rendered.contains(text))
    }

    /// Whether it is about the matter that a text of another's wording names: it has a third of its telling words.
    pub(super) fn is_about(&self, text: &str) -> bool {
        let wanted = words(text);
        let said = words(&format!("{} {}", self.path, self.message));
        let found = wanted.iter().filter(|word| said.contains(word)).count();
        found * 3 >= wanted.len()
    }
}

/// The telling words of a text, in lower case and without a plural's `s`; `camelCase` and `snake_case` are several.
fn words(text: &str) -> Vec<String> {
    let mut spaced = String::new();
    let mut lower = false;
    for c in text.chars() {
        if c.is_uppercase() && lower {
            spaced.push(' ');
        }
        lower = c.is_lowercase();
        spaced.push(c);
    }
    let mut words: Vec<String> = spaced
        .split(|c: char| !c.is_alphanumeric())
        .map(|word| word.to_lowercase())
        .filter(|word| word.len() >= WORD && !EMPTY_WORDS.contains(&word.as_str()))
        .map(|word| word.strip_suffix('s').map_or(word.clone(), str::to_owned))
        .collect();
    words.sort();
    words.dedup();
    words
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.refused() { "refused" } else { "accepted" })?;
        for (label, findings) in [("", &self.errors), (" elsewhere", &self.elsewhere), (" warning", &self.warnings)] {
            for said in findings {
                write!(f, ";{label} {}: {}", said.path, said.message)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, message: &str) -> Said {
        Said { path: path.to_owned(), message: message.to_owned() }
    }

    #[test]
    fn another_wording_is_recognized_and_another_matter_is_not() {
        let finding = said("spec.servers[0].tls.credentialName", "only one of credentialName and serverCertificate can be set");
        assert!(finding.is_about("one of credential_name, credential_names"));
        assert!(!finding.is_about("port number must be 0 for unix domain socket"));
    }

    #[test]
    fn a_path_is_within_itself_and_what_is_above() {
        assert!(within("spec.http[0].route", "spec.http[0]") && within("spec.http", "spec.http"));
        assert!(!within("spec.httpRoute", "spec.http"));
    }
}
