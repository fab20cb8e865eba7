//! A message, and the place in a file that it is about.

use std::{cmp::Ordering, fmt, sync::Arc};

use super::code::{Code, Level};
use crate::{
    diagnostic::Diagnostic,
    resource::{Key, Kind},
};

/// One thing that an analysis found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What kind of thing.
    pub code: &'static Code,
    /// The sentence.
    pub text: String,
    /// The object that it is about; none for the mesh as a whole.
    pub subject: Option<Subject>,
    /// Where that is written.
    pub place: Place,
    /// Who found it: `virtualservice.GatewayAnalyzer`.
    pub analyzer: &'static str,
}

/// An object, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub key: Key,
    /// Its cluster; empty where there is only one.
    pub cluster: Arc<str>,
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: the object did not come from a file.
    Nowhere,
    /// A field of the object that begins at `origin`: `spec.http[0].route[1]`, or as much of it as is there. Empty: the object.
    Field {
        /// Where the object begins.
        origin: Origin,
        /// The field.
        path: String,
    },
    /// A place that is known already.
    Known(Box<Diagnostic>),
}

/// Where an object begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The file, as it was named to [`super::Set::read`].
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
}

impl Message {
    /// How bad it is.
    pub fn level(&self) -> Level {
        self.code.level
    }

    /// `file:line` of the object; of the field if that is known without looking.
    pub fn origin(&self) -> Option<Origin> {
        match &self.place {
            Place::Nowhere => None,
            Place::Field { origin, .. } => Some(origin.clone()),
            Place::Known(diagnostic) => Some(Origin { file: Arc::clone(&diagnostic.file), line: diagnostic.line }),
        }
    }

    /// The field it is about; empty for the object as a whole.
    pub fn field_path(&self) -> &str {
        match &self.place {
            Place::Nowhere => "",
            Place::Field { path, .. } => path,
            Place::Known(diagnostic) => &diagnostic.field_path,
        }
    }

    /// As they are listed: the worst first, then by code and object.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let place = |message: &Self| (message.origin(), message.field_path().to_owned());
        let cluster = |message: &Self| message.subject.as_ref().map(|subject| Arc::clone(&subject.cluster));
        (cluster(self).cmp(&cluster(other)))
            .then_with(|| other.level().cmp(&self.level()))
            .then_with(|| self.code.id.cmp(other.code.id))
            .then_with(|| self.subject.cmp(&other.subject))
            .then_with(|| place(self).cmp(&place(other)))
            .then_with(|| self.text.cmp(&other.text))
    }

    /// Whether a reader would take the two for one.
    pub(super) fn repeats(&self, other: &Self) -> bool {
        self.code.id == other.code.id && self.subject == other.subject && self.text == other.text && self.place == other.place
    }
}

impl fmt::Display for Subject {
    /// `VirtualService default/reviews`, as istioctl prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Message {
    /// The line that istioctl prints: `Error [IST0101] (VirtualService default/x file.yaml:12) Referenced host not found: "y"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.level(), self.code.id)?;
        if let Some(subject) = &self.subject {
            if !subject.cluster.is_empty() {
                write!(f, " [cluster-{}]", subject.cluster)?;
            }
            write!(f, " ({subject}")?;
            if let Some(origin) = self.origin() {
                write!(f, " {origin}")?;
            }
            f.write_str(")")?;
        }
        write!(f, " {}", self.text)
    }
}
