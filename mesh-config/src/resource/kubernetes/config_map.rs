//! `ConfigMap` (v1): the mesh's own settings (`istio`), and CA certificates for `credentialName: configmap://…`.

use std::collections::BTreeMap;

use super::{flat, secret::Bytes};
use crate::{
    resource::Object,
    validate::{Checks, Validate},
};

flat! {
    /// Texts and bytes by name.
    pub struct ConfigMap {
        data: BTreeMap<String, String>,
        binary_data: BTreeMap<String, Bytes>,
        immutable: Option<bool>,
    }
}

impl ConfigMap {
    /// The entry of this name, whichever of the two maps has it.
    pub fn entry(&self, name: &str) -> Option<&[u8]> {
        self.data.get(name).map(String::as_bytes).or_else(|| self.binary_data.get(name).map(Bytes::expose))
    }
}

impl Validate for ConfigMap {
    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        for name in spec.binary_data.keys().filter(|name| spec.data.contains_key(*name)) {
            checks.root(|checks| {
                let rule = "Duplicate value: the name is in data and in binaryData";
                checks.field("data", |checks| checks.error(Some(name.clone()), rule, "keep one of the two"));
            });
        }
    }
}
