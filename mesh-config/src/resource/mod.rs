//! The mesh's resources as typed Rust: one file a kind, and the one table (`kinds!`) that lists them.
//!
//! Field names are Istio's in snake_case; the JSON and YAML names are Istio's own. To add a kind: write its file (the
//! spec, and `impl Validate`), and add its line to the table at the end of this file.

pub mod authorization_policy;
pub mod destination_rule;
pub mod duration;
pub mod gateway;
pub mod peer_authentication;
pub mod port;
pub mod selector;
pub mod service;
pub mod service_entry;
pub mod sidecar;
pub mod string_match;
pub mod virtual_service;
pub mod workload_entry;

mod kind;
mod meta;
mod spec;

pub use authorization_policy::AuthorizationPolicy;
pub use destination_rule::DestinationRule;
pub use duration::Duration;
pub use gateway::Gateway;
pub use kind::{ApiVersion, Spec};
pub use meta::{DEFAULT_NAMESPACE, Key, Meta, OwnerReference};
pub use peer_authentication::PeerAuthentication;
pub use port::Protocol;
pub use selector::{Labels, Visibility};
pub use service::Service;
pub use service_entry::ServiceEntry;
pub use sidecar::Sidecar;
pub use string_match::{HeaderMatch, StringMatch};
pub use virtual_service::VirtualService;
pub use workload_entry::WorkloadEntry;

/// A resource of one kind: who it is and what it says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<T> {
    /// Name, namespace, labels, …
    pub meta: Meta,
    /// The kind's own fields.
    pub spec: T,
}

kind::kinds! {
    // Type: API group (empty: core), versions accepted with the preferred one first, plural.
    Service: "", ["v1"], "services";
    WorkloadEntry: "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "workloadentries";
    ServiceEntry: "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "serviceentries";
    VirtualService: "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "virtualservices";
    DestinationRule: "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "destinationrules";
    Gateway: "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "gateways";
    Sidecar: "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "sidecars";
    PeerAuthentication: "security.istio.io", ["v1", "v1beta1"], "peerauthentications";
    AuthorizationPolicy: "security.istio.io", ["v1", "v1beta1"], "authorizationpolicies";
}
