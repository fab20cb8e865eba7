//! The one way from text to type: a serde deserializer over YAML nodes and JSON values that knows, for every error,
//! the field path, the place in the text, what was expected and what was probably meant.
//!
//! Files (through `load`), API servers and MCP bodies (through `Resource::from_json`) are all read here.

mod de;
mod error;
mod key;
mod path;
mod view;

pub use error::Error;
pub(crate) use path::{Path, Segment, plain, segments};
pub(crate) use view::View;

use serde_json::{Value, json};

use crate::resource::{ApiVersion, Kind, Meta, Resource};
use de::Deserializer;

/// The fields of every Kubernetes object.
const ENVELOPE: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];

impl Resource {
    /// Reads a resource of a known kind from its JSON: `{apiVersion, kind, metadata, spec}`, as `to_json` writes it.
    ///
    /// # Errors
    /// If a field is unknown, missing or has the wrong type, or if the object says that it is of another kind.
    pub fn from_json(kind: Kind, value: &Value) -> Result<Self, Error> {
        let view = View::Json(value);
        if let Some(stated) = value.get("kind").and_then(Value::as_str)
            && stated != kind.as_str()
        {
            let message = format!("the object is a {stated}, and not a {kind}");
            return Err(Error::new(message).at(&Path::Root.field("kind"), None));
        }
        resource(kind, view, &Path::Root)
    }

    /// The resource as JSON, with its preferred `apiVersion`; defaults are left out.
    pub fn to_json(&self) -> Value {
        let kind = self.kind();
        // Every map in a spec has text or numbers as keys, so this does not fail.
        let spec = self.spec_json().expect("a spec is always JSON");
        let metadata = serde_json::to_value(self.meta()).expect("metadata is always JSON");
        let mut object = json!({ "apiVersion": kind.api_version(), "kind": kind.as_str(), "metadata": metadata });
        if let Value::Object(object) = &mut object {
            match spec {
                Value::Object(fields) if kind.is_flat() => object.extend(fields),
                spec => drop(object.insert("spec".to_owned(), spec)),
            }
        }
        object
    }
}

/// What a flat kind's own fields stand beside.
const ENVELOPE_OF_FLAT: &[&str] = &["apiVersion", "kind", "metadata"];

/// Reads a resource of `kind` at `path`.
pub(crate) fn resource(kind: Kind, root: View<'_>, path: &Path<'_>) -> Result<Resource, Error> {
    let entries = root.entries().ok_or_else(|| Error::expected(root, "an object").at(path, root.span()))?;
    let (mut meta, mut spec) = (None, None);
    for entry in entries {
        let path = path.field(entry.key);
        match entry.key {
            "metadata" => meta = Some(read_meta(entry.value, &path)?),
            "spec" if !entry.value.is_null() => spec = Some(entry.value),
            // `status` is written by controllers, for people.
            "apiVersion" | "kind" | "status" | "spec" => {}
            // The kind knows its fields.
            _ if kind.is_flat() => {}
            unknown => return Err(Error::unknown_name("field", unknown, ENVELOPE).at(&path, entry.key_span)),
        }
    }
    let meta = match meta {
        Some(meta) if !meta.name.is_empty() && kind.is_namespaced() => meta,
        Some(meta) if !meta.name.is_empty() => Meta { namespace: String::new(), ..meta },
        _ => return Err(Error::required().at(&path.field("metadata").field("name"), root.span())),
    };
    if kind.is_flat() {
        return Resource::read(kind, meta, Deserializer::new(root, path).without(ENVELOPE_OF_FLAT))
            .map_err(|error| error.at(path, root.span()));
    }
    let path = path.field("spec");
    let empty = Value::Object(serde_json::Map::new());
    let spec = match spec {
        Some(spec) => spec,
        // A policy without a spec is a policy: it allows nothing, or leaves the mode to its parent.
        None if kind.crd().is_some_and(|crd| !crd.needs_spec()) => View::Json(&empty),
        None => return Err(Error::required().at(&path, root.span())),
    };
    Resource::read(kind, meta, Deserializer::new(spec, &path)).map_err(|error| error.at(&path, spec.span()))
}

/// Reads `metadata`.
pub(crate) fn read_meta(value: View<'_>, path: &Path<'_>) -> Result<Meta, Error> {
    self::value(value, path)
}

/// Reads what is no Kubernetes object.
pub(crate) fn value<T: serde::de::DeserializeOwned>(value: View<'_>, path: &Path<'_>) -> Result<T, Error> {
    T::deserialize(Deserializer::new(value, path)).map_err(|error| error.at(path, value.span()))
}

/// `apiVersion` and `kind` of an object, with what is wrong with them.
pub(crate) fn type_of<'a>(root: View<'a>, path: &Path<'_>) -> Result<(ApiVersion<'a>, &'a str), Error> {
    let text = |name: &str| {
        let path = path.field(name);
        match root.get(name) {
            None => Err(Error::required().at(&path, root.span())),
            Some(value) => value.text().ok_or_else(|| Error::expected(value, "a string").at(&path, value.span())),
        }
    };
    Ok((ApiVersion::parse(text("apiVersion")?), text("kind")?))
}

#[cfg(test)]
mod tests;
