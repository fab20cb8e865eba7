//! `ServiceAccount` (v1): who a pod is.

use k8s_openapi::api::core::v1::{LocalObjectReference, ObjectReference};

use super::flat;
use crate::{
    resource::Object,
    validate::{Checks, Validate},
};

flat! {
    /// An identity for pods.
    pub struct ServiceAccount {
        secrets: Vec<ObjectReference>,
        image_pull_secrets: Vec<LocalObjectReference>,
        automount_service_account_token: Option<bool>,
    }
}

impl Validate for ServiceAccount {
    fn validate(_: &Object<Self>, _: &mut Checks) {}
}
