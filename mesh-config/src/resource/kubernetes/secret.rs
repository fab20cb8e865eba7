//! `Secret` (v1): credentials of gateways and of clients.
//!
//! The values are real bytes, also in JSON, for Pilot needs them; but whatever prints one (`Debug`, `Display`, an error)
//! shows their SHA-256. `Resource::to_redacted_json` is for pages and dumps.

mod bytes;
pub mod tls;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    resource::{Object, Resource, spec::schema_of},
    validate::{Checks, Validate},
};
pub use bytes::Bytes;
use bytes::Text;
pub use tls::{Ca, Tls};

/// The most that a Secret may hold: the API server's limit (corev1.MaxSecretSize).
pub const MAX_BYTES: usize = 1024 * 1024;

/// The type of a Secret that says nothing.
pub const OPAQUE: &str = "Opaque";

/// The type of a certificate and its key.
pub const TLS: &str = "kubernetes.io/tls";

/// Bytes by name, of a type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Secret {
    /// `kubernetes.io/tls`, `Opaque` (also if empty), …
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The values; those of `stringData` have taken their place among them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, Bytes>,
    /// Whether it may still be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
}

/// As it is written.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Fields {
    #[serde(rename = "type")]
    kind: String,
    #[serde(deserialize_with = "bytes::map")]
    data: BTreeMap<String, Bytes>,
    #[serde(deserialize_with = "bytes::map")]
    string_data: BTreeMap<String, Text>,
    immutable: Option<bool>,
}

/// A Secret that the API server would not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Too long: the values are {bytes} bytes together, and a Secret holds at most {MAX_BYTES}")]
struct TooLong {
    bytes: usize,
}

impl TryFrom<Fields> for Secret {
    type Error = TooLong;

    fn try_from(fields: Fields) -> Result<Self, TooLong> {
        let mut data = fields.data;
        data.extend(fields.string_data.into_iter().map(|(name, text)| (name, text.into())));
        let bytes = data.values().map(|value| value.expose().len()).sum();
        if bytes > MAX_BYTES {
            return Err(TooLong { bytes });
        }
        Ok(Self { kind: fields.kind, data, immutable: fields.immutable })
    }
}

impl Secret {
    /// The value of this name, if it is there and not empty.
    pub fn value(&self, name: &str) -> Option<&Bytes> {
        self.data.get(name).filter(|value| !value.expose().is_empty())
    }
}

impl Resource {
    /// The resource as JSON that people may see: a Secret's values are their SHA-256.
    pub fn to_redacted_json(&self) -> Value {
        let mut json = self.to_json();
        if let Self::Secret(secret) = self
            && let Some(data) = json.get_mut("data").and_then(Value::as_object_mut)
        {
            for (name, value) in data.iter_mut() {
                *value = secret.spec.data.get(name).map_or(Value::Null, |bytes| bytes.to_string().into());
            }
        }
        json
    }
}

impl Validate for Secret {
    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        checks.root(|checks| {
            checks.field("data", |checks| {
                for name in spec.data.keys().filter(|name| !is_key(name)) {
                    checks.error(Some(name.clone()), "not a key", "use up to 253 letters, digits, `-`, `_` and `.`");
                }
                let required: &[&str] = if spec.kind == TLS { &["tls.crt", "tls.key"] } else { &[] };
                for name in required.iter().filter(|name| !spec.data.contains_key(**name)) {
                    let rule = format!("Required value: a Secret of type {TLS} has {name}");
                    checks.error(None, rule, "add it, or use type Opaque");
                }
            });
        });
    }
}

/// Kubernetes' rule for the keys of Secrets and ConfigMaps.
fn is_key(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 253 && name.chars().all(inner) && name != "." && !name.starts_with("..")
}

schema_of! { Secret => Value; }
