//! Kubernetes' own kinds, as far as the mesh reads them: who runs where, what traffic enters by, and the credentials
//! of gateways. `Service` is in `resource::service`.
//!
//! The API's types are those of `k8s-openapi` inside ours, so every field is known, and a field that the API does not
//! have is refused with the name that was probably meant, as everywhere else. What the API server forgives is forgiven
//! here: `null` for an absent field (`creationTimestamp: null`), a number for a quantity, a number or a name for a port.

pub mod config_map;
pub mod custom_resource_definition;
pub mod endpoint_slice;
pub mod endpoints;
pub mod ingress;
pub mod namespace;
pub mod node;
pub mod owners;
pub mod pod;
pub mod pod_view;
pub mod secret;
pub mod service_account;
pub mod webhooks;

pub use config_map::ConfigMap;
pub use custom_resource_definition::CustomResourceDefinition;
pub use endpoint_slice::EndpointSlice;
pub use endpoints::Endpoints;
pub use ingress::{Ingress, IngressClass};
pub use namespace::Namespace;
pub use node::Node;
pub use owners::{CronJob, DaemonSet, Deployment, Job, ReplicaSet, ReplicationController, StatefulSet};
pub use pod::Pod;
pub use pod_view::PodView;
pub use secret::Secret;
pub use service_account::ServiceAccount;
pub use webhooks::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};

/// Declares a kind whose `spec` is a type of k8s-openapi, which it derefs to.
macro_rules! wraps {
    ($($(#[$meta:meta])* $name:ident($spec:ty);)*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
            #[serde(transparent)]
            pub struct $name(pub $spec);

            impl std::ops::Deref for $name {
                type Target = $spec;

                fn deref(&self) -> &$spec {
                    &self.0
                }
            }

            crate::resource::spec::schema_of! { $name => serde_json::Value; }
        )*
    };
}

/// Declares a kind whose fields stand beside `metadata`: all of them, each absent or null in the API's own way.
macro_rules! flat {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$m:meta])* $field:ident: $ty:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
            #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
            pub struct $name {
                $($(#[$m])* #[serde(skip_serializing_if = "crate::resource::spec::unset")] pub $field: $ty,)*
            }

            crate::resource::spec::schema_of! { $name => serde_json::Value; }
        )*
    };
}

pub(crate) use {flat, wraps};

#[cfg(test)]
mod tests;
