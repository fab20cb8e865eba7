//! `Namespace` (v1): where labels decide injection, and annotations are inherited.

use k8s_openapi::api::core::v1::{NamespaceSpec, NamespaceStatus};

use super::flat;
use crate::{
    resource::Object,
    validate::{Checks, Validate},
};

flat! {
    /// A namespace: of interest are its labels and annotations.
    pub struct Namespace {
        spec: Option<NamespaceSpec>,
        status: Option<NamespaceStatus>,
    }
}

impl Validate for Namespace {
    fn validate(_: &Object<Self>, _: &mut Checks) {}
}
