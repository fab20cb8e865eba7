//! The layers that judge an object, in order: can it be read, does the API server take it, do its kind's own rules hold.
//!
//! All of them run, so that a person sees everything at once. What two layers say about the same thing is said once.

use std::borrow::Cow;

use serde_json::Value;

use super::{Finding, Severity};
use crate::{
    decode::{self, Error, Path, View},
    resource::{Kind, Meta, Resource},
    schema::{self, Judged, Sort},
};

/// What an object was found to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// The resource, with the schema's defaults, if it can be read. Only to be used if nothing was found to be an error.
    pub resource: Option<Resource>,
    /// Everything there is to say, in the order of the layers.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Whether the object must be refused.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// Judges an object of a known kind, as the API server and then Istio's webhook would if it were created.
pub fn check(kind: Kind, object: &Value) -> Checked {
    let layers = layers(kind, View::Json(object));
    let mut findings: Vec<Finding> = layers.unreadable.iter().map(Finding::from).collect();
    findings.extend(layers.findings);
    Checked { resource: layers.resource, findings }
}

/// What the layers found; what could not be read is kept with its place.
pub(crate) struct Layers {
    pub(crate) resource: Option<Resource>,
    pub(crate) unreadable: Option<Error>,
    pub(crate) findings: Vec<Finding>,
}

/// Judges the object that `view` shows.
pub(crate) fn layers(kind: Kind, view: View<'_>) -> Layers {
    let object = match view {
        View::Json(object) => Cow::Borrowed(object),
        // Only a schema is asked about JSON.
        View::Yaml(_) if kind.crd().is_none() => Cow::Owned(Value::Null),
        View::Yaml(node) => Cow::Owned(node.to_json()),
    };
    let Judged { object, filled, mut violations } = schema::judge(kind, object);
    let read = decode::resource(kind, if filled { View::Json(&object) } else { view }, &Path::Root);
    let read = read.and_then(|resource| check_name(resource.meta()).map(|()| resource));
    let mut layers = Layers { resource: None, unreadable: None, findings: schema::deprecation(kind, &object).into_iter().collect() };
    match read {
        Ok(resource) => {
            let own = resource.validate();
            // Said by both: the kind's own rules know how to mend it.
            violations.retain(|violation| !own.iter().any(|own| own.path == violation.finding.path && own.rule == violation.finding.rule));
            layers.findings.extend(violations.into_iter().map(|violation| violation.finding));
            layers.findings.extend(own);
            layers.resource = Some(resource);
        }
        Err(error) => {
            // The reader knows best what was meant instead; but it says less than a rule about a value that it could read.
            violations.retain(|violation| violation.sort != Sort::Unread || violation.finding.path != error.path());
            let mut said = false;
            for violation in violations.iter_mut().filter(|violation| violation.finding.path == error.path()) {
                said = true;
                if violation.sort == Sort::Unclear {
                    violation.finding.remedy = error.message().to_owned();
                }
            }
            layers.findings.extend(violations.into_iter().map(|violation| violation.finding));
            layers.unreadable = Some(error).filter(|_| !said);
        }
    }
    layers
}

impl From<&Error> for Finding {
    fn from(error: &Error) -> Self {
        let rule = match error.expectation() {
            Some(expected) => format!("{}, expected {expected}", error.message()),
            None => error.message().to_owned(),
        };
        let remedy = error.suggestion().unwrap_or_default().to_owned();
        Self { severity: Severity::Error, path: error.path().to_owned(), value: None, rule, remedy }
    }
}

/// Checks that a name is one that Kubernetes takes: a DNS subdomain (RFC 1123).
fn check_name(meta: &Meta) -> Result<(), Error> {
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    if meta.name.len() <= 253 && meta.name.split('.').all(label) {
        return Ok(());
    }
    let error = Error::new(format!("`{}` is not a name", meta.name))
        .suggest("use lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit");
    Err(error.at(&Path::Root.field("metadata").field("name"), None))
}
