//! What a kind's CustomResourceDefinition says beside the schema, and the manifest itself.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::structural;
use crate::resource::Kind;

/// How the API server presents a kind.
#[derive(Clone, Copy, Debug)]
pub struct Crd {
    spec: fn(&mut SchemaGenerator) -> Schema,
    short_names: &'static [&'static str],
    columns: &'static [Column],
    requires_spec: bool,
    storage: Option<&'static str>,
    variants: &'static [Variant],
    deprecated: &'static [&'static str],
}

/// A version whose spec has another schema than the type's, and what is to be done to that.
pub type Variant = (&'static str, fn(&mut Value));

/// A column of `kubectl get`: its name, the JSON path of its value, and the type (`string`, `date`, …).
pub type Column = (&'static str, &'static str, &'static str);

/// When the object was made.
pub const AGE: Column = ("Age", ".metadata.creationTimestamp", "date");

impl Crd {
    /// A kind whose fields are `T`'s.
    pub const fn of<T: JsonSchema>() -> Self {
        Self { spec: T::json_schema, short_names: &[], columns: &[], requires_spec: false, storage: None, variants: &[], deprecated: &[] }
    }

    /// Abbreviations for `kubectl`.
    pub const fn short_names(self, names: &'static [&'static str]) -> Self {
        Self { short_names: names, ..self }
    }

    /// What `kubectl get` shows beside the name.
    pub const fn columns(self, columns: &'static [Column]) -> Self {
        Self { columns, ..self }
    }

    /// An object without `spec` is refused.
    pub const fn requires_spec(self) -> Self {
        Self { requires_spec: true, ..self }
    }

    /// Whether an object without `spec` is refused.
    pub(crate) const fn needs_spec(&self) -> bool {
        self.requires_spec
    }

    /// The version that is stored; the preferred one if not said.
    pub const fn storage(self, version: &'static str) -> Self {
        Self { storage: Some(version), ..self }
    }

    /// Versions whose schema is not the type's.
    pub const fn variants(self, variants: &'static [Variant]) -> Self {
        Self { variants, ..self }
    }

    /// Versions that are served, with a warning.
    pub const fn deprecated(self, versions: &'static [&'static str]) -> Self {
        Self { deprecated: versions, ..self }
    }

    /// Whether the API server warns of this version.
    pub(crate) fn is_deprecated(&self, version: &str) -> bool {
        self.deprecated.contains(&version)
    }

    /// The versions whose schema is not the type's.
    pub(super) fn own_schemas(&self) -> impl Iterator<Item = &'static str> {
        self.variants.iter().map(|(version, _)| *version)
    }

    /// The structural schema of the whole object, as the API server takes it in a version.
    pub(super) fn schema(&self, kind: Kind, version: &str) -> Value {
        let mut spec = structural::schema_of(self.spec);
        if let Some((_, change)) = self.variants.iter().find(|(own, _)| *own == version) {
            change(&mut spec);
        }
        if kind.is_flat() {
            return spec;
        }
        let mut schema = json!({ "type": "object", "properties": { "spec": spec, "status": status() } });
        if self.requires_spec {
            schema["required"] = json!(["spec"]);
        }
        schema
    }

    /// The CustomResourceDefinition (`apiextensions.k8s.io/v1`).
    fn manifest(&self, kind: Kind) -> Value {
        let (group, plural) = (kind.group(), kind.plural());
        let storage = self.storage.or(kind.versions().first().copied());
        let versions: Vec<Value> = kind
            .versions()
            .iter()
            .map(|version| self.version(version, storage == Some(version), &published(self.schema(kind, version))))
            .collect();
        let singular = kind.as_str().to_lowercase();
        let mut names = json!({
            "categories": ["istio-io", format!("{}-istio-io", group.split('.').next().unwrap_or_default())],
            "kind": kind.as_str(),
            "listKind": format!("{kind}List"),
            "plural": plural,
            "singular": singular,
        });
        if !self.short_names.is_empty() {
            names["shortNames"] = json!(self.short_names);
        }
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": format!("{plural}.{group}"),
                "labels": { "app.kubernetes.io/component": "crds", "app.kubernetes.io/part-of": "mesh" },
            },
            "spec": {
                "group": group,
                "names": names,
                "scope": if kind.is_namespaced() { "Namespaced" } else { "Cluster" },
                "versions": versions,
            },
        })
    }

    fn version(&self, name: &str, storage: bool, schema: &Value) -> Value {
        let mut version = Map::from_iter([
            ("name".to_owned(), json!(name)),
            ("served".to_owned(), json!(true)),
            ("storage".to_owned(), json!(storage)),
            ("subresources".to_owned(), json!({ "status": {} })),
            ("schema".to_owned(), json!({ "openAPIV3Schema": schema })),
        ]);
        let columns: Vec<Value> =
            self.columns.iter().map(|(name, path, kind)| json!({ "name": name, "jsonPath": path, "type": kind })).collect();
        if self.is_deprecated(name) {
            version.insert("deprecated".to_owned(), json!(true));
        }
        if !columns.is_empty() {
            version.insert("additionalPrinterColumns".to_owned(), json!(columns));
        }
        Value::Object(version)
    }
}

/// The schema without what is said to people only.
fn published(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            if let Some(Value::Array(rules)) = fields.get_mut("x-kubernetes-validations") {
                rules.iter_mut().filter_map(Value::as_object_mut).for_each(|rule| drop(rule.remove("remedy")));
            }
            fields.values_mut().for_each(|value| *value = published(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| *value = published(value.take())),
        _ => {}
    }
    schema
}

/// The manifests of the kinds whose CRDs are this project's to write, in the order of `Kind::ALL`.
pub fn manifests() -> Vec<(Kind, Value)> {
    let ours = |kind: &Kind| kind.group().ends_with("istio.io");
    Kind::ALL.iter().copied().filter(ours).filter_map(|kind| Some((kind, kind.crd()?.manifest(kind)))).collect()
}

/// `status` of Istio's kinds: written by controllers; more fields than these are kept.
fn status() -> Value {
    let count = json!({ "anyOf": [{ "type": "integer" }, { "type": "string" }], "x-kubernetes-int-or-string": true });
    let text = json!({ "type": "string" });
    let time = json!({ "type": "string", "format": "date-time" });
    json!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "conditions": { "type": "array", "items": { "type": "object", "properties": {
                "lastProbeTime": time, "lastTransitionTime": time, "message": text, "observedGeneration": count,
                "reason": text, "status": text, "type": text,
            } } },
            "observedGeneration": count,
            "validationMessages": { "type": "array", "items": { "type": "object", "properties": {
                "documentationUrl": text,
                "level": { "type": "string", "enum": ["UNKNOWN", "ERROR", "WARNING", "INFO"] },
                "type": { "type": "object", "properties": { "code": text, "name": text } },
            } } },
        },
    })
}
