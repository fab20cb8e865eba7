//! What a policy applies to: workloads by label, or an object by reference; and who may see a resource.

use std::{borrow::Cow, collections::BTreeMap, convert::Infallible, str::FromStr};

use serde::{Deserialize, Serialize};

use super::spec::spec;
use crate::schema::{Cel, cel, max_length, values};

/// Labels, or any string map, in order.
pub type Labels = BTreeMap<String, String>;

spec! {
    /// Workloads by label, as `networking.istio.io` spells it. Empty labels select every workload of the namespace.
    pub struct WorkloadSelector {
        #[schemars(extend("maxProperties" = 256))]
        #[schemars(transform = values(max_length(63)))]
        #[schemars(transform = values(no_wildcard("wildcard is not supported in selector")))]
        labels: Labels,
    }

    /// Workloads by label, as `security.istio.io` spells it. Empty labels select every workload of the namespace.
    pub struct LabelSelector {
        #[schemars(extend("maxProperties" = 4096))]
        #[schemars(transform = cel(r#"self.all(key, !key.contains("*"))"#, "wildcard not allowed in label key match").remedy("name one label, or leave the selector out to select all"))]
        #[schemars(transform = cel("self.all(key, key.size() != 0)", "key must not be empty").remedy("name a label"))]
        #[schemars(transform = values(max_length(63)))]
        #[schemars(transform = values(no_wildcard("wildcard not allowed in label value match")))]
        match_labels: Labels,
    }

    /// An object in the policy's own namespace that the policy attaches to.
    pub struct TargetRef {
        /// API group; empty for the core group.
        #[schemars(length(max = 253))]
        #[schemars(regex(pattern = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"))]
        group: String,
        #[schemars(length(min = 1, max = 63))]
        #[schemars(regex(pattern = "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"))]
        required kind: String,
        #[schemars(length(min = 1, max = 253))]
        required name: String,
        /// Must stay empty: references do not cross namespaces.
        #[schemars(transform = cel("self.size() == 0", "cross namespace referencing is not currently supported").remedy("leave namespace out, and put the policy beside what it refers to"))]
        namespace: String,
    }
}

/// The rule on a label's value that is compared as a whole.
fn no_wildcard(message: &'static str) -> Cel {
    cel("!self.contains(\"*\")", message).remedy("give the whole value")
}

/// Whether every label that `selector` asks for is among `labels`.
pub fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// One entry of `exportTo`: who may use the resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Cow<'_, str>", into = "String")]
pub enum Visibility {
    /// `*`: every namespace.
    Public,
    /// `.`: the resource's own namespace.
    Private,
    /// `~`: nobody.
    Nobody,
    /// A namespace by name.
    Namespace(String),
}

impl Visibility {
    /// Whether a proxy in namespace `viewer` may use a resource of namespace `owner`.
    pub fn admits(&self, owner: &str, viewer: &str) -> bool {
        match self {
            Self::Public => true,
            Self::Private => owner == viewer,
            Self::Nobody => false,
            Self::Namespace(namespace) => namespace == viewer,
        }
    }
}

/// Whether a list of entries admits `viewer`; an empty list is public (Istio's default of `default*ExportTo`).
pub fn visible(export_to: &[Visibility], owner: &str, viewer: &str) -> bool {
    export_to.is_empty() || export_to.iter().any(|entry| entry.admits(owner, viewer))
}

impl From<Cow<'_, str>> for Visibility {
    fn from(text: Cow<'_, str>) -> Self {
        match text.as_ref() {
            "*" => Self::Public,
            "." => Self::Private,
            "~" => Self::Nobody,
            _ => Self::Namespace(text.into_owned()),
        }
    }
}

impl FromStr for Visibility {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Cow::Borrowed(text).into())
    }
}

impl From<Visibility> for String {
    fn from(visibility: Visibility) -> Self {
        match visibility {
            Visibility::Public => "*".into(),
            Visibility::Private => ".".into(),
            Visibility::Nobody => "~".into(),
            Visibility::Namespace(namespace) => namespace,
        }
    }
}

crate::resource::spec::schema_of! {
    Visibility => String;
}
