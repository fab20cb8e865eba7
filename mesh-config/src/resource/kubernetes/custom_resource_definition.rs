//! `CustomResourceDefinition` (apiextensions.k8s.io/v1): which API a cluster serves; schemas are kept as they are.

use serde_json::Value;

use crate::{
    resource::{Object, spec::spec},
    validate::{Checks, Validate},
};

spec! {
    /// An API that a cluster is taught.
    pub struct CustomResourceDefinition {
        required group: String,
        required names: Names,
        /// `Namespaced` or `Cluster`.
        scope: String,
        versions: Vec<Version>,
        conversion: Option<Value>,
        preserve_unknown_fields: Option<bool>,
    }

    /// What its objects are called.
    pub struct Names {
        required plural: String,
        required kind: String,
        singular: String,
        list_kind: String,
        short_names: Vec<String>,
        categories: Vec<String>,
    }

    /// One version of it.
    pub struct Version {
        required name: String,
        /// Whether the API server answers for it.
        served: bool,
        /// Whether objects are kept in it; true for exactly one.
        storage: bool,
        deprecated: bool,
        deprecation_warning: Option<String>,
        schema: Option<Value>,
        subresources: Option<Value>,
        additional_printer_columns: Vec<Value>,
        selectable_fields: Vec<Value>,
    }
}

impl CustomResourceDefinition {
    /// The versions that the API server answers for.
    pub fn served(&self) -> impl Iterator<Item = &str> {
        self.versions.iter().filter(|version| version.served).map(|version| version.name.as_str())
    }
}

impl Validate for CustomResourceDefinition {
    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let expected = format!("{}.{}", object.spec.names.plural, object.spec.group);
        if object.meta.name != expected {
            checks.metadata("name", |checks| {
                checks.error(Some(object.meta.name.clone()), "must be spec.names.plural and spec.group", format!("call it {expected}"));
            });
        }
    }
}
