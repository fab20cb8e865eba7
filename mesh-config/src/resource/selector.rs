//! What a policy applies to: workloads by label, or an object by reference; and who may see a resource.

use std::{borrow::Cow, collections::BTreeMap, convert::Infallible, str::FromStr};

use serde::{Deserialize, Serialize};

use super::spec::spec;

/// Labels, or any string map, in order.
pub type Labels = BTreeMap<String, String>;

spec! {
    /// Workloads by label, as `networking.istio.io` spells it. Empty labels select every workload of the namespace.
    pub struct WorkloadSelector {
        labels: Labels,
    }

    /// Workloads by label, as `security.istio.io` spells it. Empty labels select every workload of the namespace.
    pub struct LabelSelector {
        match_labels: Labels,
    }

    /// An object in the policy's own namespace that the policy attaches to.
    pub struct TargetRef {
        /// API group; empty for the core group.
        group: String,
        required kind: String,
        required name: String,
        /// Must stay empty: references do not cross namespaces.
        namespace: String,
    }
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
