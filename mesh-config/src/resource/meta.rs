//! `metadata` of a Kubernetes object.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de::IgnoredAny};

use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

use super::selector::Labels;

/// The namespace of a resource that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Who a resource is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields", rename_all = "camelCase")]
pub struct Meta {
    /// Unique within kind and namespace.
    pub name: String,
    /// `default` where the source names none; empty for what lives in no namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Labels.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Annotations.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub annotations: Labels,
    /// RFC 3339 in UTC, so that texts sort by age; files have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<String>,
    /// When its deletion was asked for, RFC 3339 in UTC: it is on its way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<String>,
    /// The API server's id of this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Counts changes of the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The API server's opaque version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// The objects it goes with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<OwnerReference>,
}

/// An owner of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// `group/version`.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name, in the same namespace.
    pub name: String,
    /// The owner's id.
    pub uid: String,
    /// Whether it is the one that manages the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether it waits for the object's deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

impl Meta {
    /// A name and a namespace, nothing else.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { name: name.into(), namespace: namespace.into(), ..Self::default() }
    }

    /// `namespace/name`.
    pub fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// Order of precedence: older first; what has no timestamp after what has one, by `namespace/name`. Never by file
    /// time or path, so that replicas and restarts agree.
    pub fn precedence(&self) -> (bool, Option<&str>, &str, &str) {
        let timestamp = self.creation_timestamp.as_deref();
        (timestamp.is_none(), timestamp, &self.namespace, &self.name)
    }
}

/// `namespace/name`: a resource's identity within its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// A key from its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// A text that is not `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not `namespace/name`")]
pub struct InvalidKey(String);

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => Ok(Self::new(namespace, name)),
            _ => Err(InvalidKey(text.to_owned())),
        }
    }
}

/// Every field of ObjectMeta; what the API server keeps for itself is accepted and ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    annotations: Labels,
    #[serde(default)]
    creation_timestamp: Option<String>,
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    generation: Option<i64>,
    #[serde(default)]
    resource_version: Option<String>,
    #[serde(default)]
    owner_references: Vec<OwnerReference>,
    #[serde(default, rename = "generateName")]
    _generate_name: Option<IgnoredAny>,
    #[serde(default, rename = "selfLink")]
    _self_link: Option<IgnoredAny>,
    #[serde(default)]
    deletion_timestamp: Option<String>,
    #[serde(default, rename = "deletionGracePeriodSeconds")]
    _deletion_grace_period_seconds: Option<IgnoredAny>,
    #[serde(default, rename = "finalizers")]
    _finalizers: Option<IgnoredAny>,
    #[serde(default, rename = "managedFields")]
    _managed_fields: Option<IgnoredAny>,
}

/// What kubectl notes for itself: the whole object once more, a Secret's content included. Nobody here needs it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A creationTimestamp that is none.
#[derive(Debug, thiserror::Error)]
#[error("creationTimestamp `{0}` is not RFC 3339: write 2026-01-31T12:00:00Z, or leave it out")]
struct InvalidTimestamp(String);

/// The same moment in UTC.
fn utc(text: String) -> Result<String, InvalidTimestamp> {
    OffsetDateTime::parse(&text, &Rfc3339)
        .ok()
        .and_then(|moment| moment.to_offset(UtcOffset::UTC).format(&Rfc3339).ok())
        .ok_or(InvalidTimestamp(text))
}

impl TryFrom<Fields> for Meta {
    type Error = InvalidTimestamp;

    fn try_from(mut fields: Fields) -> Result<Self, InvalidTimestamp> {
        fields.annotations.remove(LAST_APPLIED);
        Ok(Self {
            name: fields.name,
            namespace: if fields.namespace.is_empty() { DEFAULT_NAMESPACE.to_owned() } else { fields.namespace },
            labels: fields.labels,
            annotations: fields.annotations,
            creation_timestamp: fields.creation_timestamp.filter(|text| !text.is_empty()).map(utc).transpose()?,
            deletion_timestamp: fields.deletion_timestamp.filter(|text| !text.is_empty()).map(utc).transpose()?,
            uid: fields.uid,
            generation: fields.generation,
            resource_version: fields.resource_version,
            owner_references: fields.owner_references,
        })
    }
}
