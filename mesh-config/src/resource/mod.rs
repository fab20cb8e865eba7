//! The mesh's resources as typed Rust: one file a kind, and the one table (`kinds!`) that lists them.
//!
//! Field names are Istio's in snake_case; the JSON and YAML names are Istio's own. To add a kind: write its file (the
//! spec, and `impl Validate`), and add its line to the table at the end of this file.

pub mod authorization_policy;
pub mod destination_rule;
pub mod duration;
pub mod envoy_filter;
pub mod gateway;
pub mod gateway_api;
pub mod kubernetes;
pub mod mesh_config;
pub mod mesh_networks;
pub mod peer_authentication;
pub mod port;
pub mod proxy_config;
pub mod request_authentication;
pub mod selector;
pub mod service;
pub mod service_entry;
pub mod settings;
pub mod sidecar;
pub mod string_match;
pub mod telemetry;
pub mod traffic_extension;
pub mod virtual_service;
pub mod wasm_plugin;
pub mod workload_entry;
pub mod workload_group;

mod attachment;
#[cfg(test)]
mod golden;
mod kind;
mod meta;
mod spec;

pub use authorization_policy::AuthorizationPolicy;
pub use destination_rule::DestinationRule;
pub use duration::Duration;
pub use envoy_filter::EnvoyFilter;
pub use gateway::Gateway;
pub use gateway_api::{
    BackendTlsPolicy, GatewayClass, GrpcRoute, HttpRoute, K8sGateway, ListenerSet, ReferenceGrant, TcpRoute, TlsRoute, UdpRoute, XBackend,
    XBackendTrafficPolicy,
};
use kind::Trait;
pub use kind::{ApiVersion, Spec};
pub use kubernetes::{
    ConfigMap, CronJob, CustomResourceDefinition, DaemonSet, Deployment, EndpointSlice, Endpoints, Ingress, IngressClass, Job,
    MutatingWebhookConfiguration, Namespace, Node, Pod, ReplicaSet, ReplicationController, Secret, ServiceAccount, StatefulSet,
    ValidatingWebhookConfiguration,
};
pub use mesh_config::MeshConfig;
pub use mesh_networks::MeshNetworks;
pub use meta::{DEFAULT_NAMESPACE, Key, Meta, OwnerReference};
pub use peer_authentication::PeerAuthentication;
pub use port::Protocol;
pub use proxy_config::ProxyConfig;
pub use request_authentication::RequestAuthentication;
pub use selector::{Labels, Visibility};
pub use service::Service;
pub use service_entry::ServiceEntry;
pub use sidecar::Sidecar;
pub use string_match::{HeaderMatch, StringMatch};
pub use telemetry::Telemetry;
pub use traffic_extension::TrafficExtension;
pub use virtual_service::VirtualService;
pub use wasm_plugin::WasmPlugin;
pub use workload_entry::WorkloadEntry;
pub use workload_group::WorkloadGroup;

/// A resource of one kind: who it is and what it says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<T> {
    /// Name, namespace, labels, …
    pub meta: Meta,
    /// The kind's own fields.
    pub spec: T,
}

kind::kinds! {
    // Type [as "Kind"]: API group (empty: core), versions accepted with the preferred one first, plural[, Cluster][, Flat].
    // Cluster: in no namespace. Flat: the fields stand beside `metadata` instead of under `spec`.
    Service: "", ["v1"], "services";
    WorkloadEntry: "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "workloadentries";
    ServiceEntry: "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "serviceentries";
    VirtualService: "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "virtualservices";
    DestinationRule: "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "destinationrules";
    Gateway: "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "gateways";
    Sidecar: "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "sidecars";
    PeerAuthentication: "security.istio.io", ["v1", "v1beta1"], "peerauthentications";
    AuthorizationPolicy: "security.istio.io", ["v1", "v1beta1"], "authorizationpolicies";
    WorkloadGroup: "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "workloadgroups";
    EnvoyFilter: "networking.istio.io", ["v1alpha3"], "envoyfilters";
    ProxyConfig: "networking.istio.io", ["v1beta1"], "proxyconfigs";
    RequestAuthentication: "security.istio.io", ["v1", "v1beta1"], "requestauthentications";
    Telemetry: "telemetry.istio.io", ["v1", "v1alpha1"], "telemetries";
    WasmPlugin: "extensions.istio.io", ["v1alpha1"], "wasmplugins";
    TrafficExtension: "extensions.istio.io", ["v1alpha1"], "trafficextensions";
    EndpointSlice: "discovery.k8s.io", ["v1"], "endpointslices", Flat;
    Endpoints: "", ["v1"], "endpoints", Flat;
    Pod: "", ["v1"], "pods", Flat;
    Node: "", ["v1"], "nodes", Cluster, Flat;
    Namespace: "", ["v1"], "namespaces", Cluster, Flat;
    ServiceAccount: "", ["v1"], "serviceaccounts", Flat;
    Secret: "", ["v1"], "secrets", Flat;
    ConfigMap: "", ["v1"], "configmaps", Flat;
    Deployment: "apps", ["v1"], "deployments";
    ReplicaSet: "apps", ["v1"], "replicasets";
    StatefulSet: "apps", ["v1"], "statefulsets";
    DaemonSet: "apps", ["v1"], "daemonsets";
    ReplicationController: "", ["v1"], "replicationcontrollers";
    Job: "batch", ["v1"], "jobs";
    CronJob: "batch", ["v1"], "cronjobs";
    Ingress: "networking.k8s.io", ["v1"], "ingresses";
    IngressClass: "networking.k8s.io", ["v1"], "ingressclasses", Cluster;
    MutatingWebhookConfiguration: "admissionregistration.k8s.io", ["v1"], "mutatingwebhookconfigurations", Cluster, Flat;
    ValidatingWebhookConfiguration: "admissionregistration.k8s.io", ["v1"], "validatingwebhookconfigurations", Cluster, Flat;
    CustomResourceDefinition: "apiextensions.k8s.io", ["v1"], "customresourcedefinitions", Cluster;
    GatewayClass: "gateway.networking.k8s.io", ["v1", "v1beta1"], "gatewayclasses", Cluster;
    K8sGateway as "Gateway": "gateway.networking.k8s.io", ["v1", "v1beta1"], "gateways";
    ListenerSet: "gateway.networking.k8s.io", ["v1"], "listenersets";
    HttpRoute as "HTTPRoute": "gateway.networking.k8s.io", ["v1", "v1beta1"], "httproutes";
    GrpcRoute as "GRPCRoute": "gateway.networking.k8s.io", ["v1"], "grpcroutes";
    TlsRoute as "TLSRoute": "gateway.networking.k8s.io", ["v1", "v1alpha3", "v1alpha2"], "tlsroutes";
    TcpRoute as "TCPRoute": "gateway.networking.k8s.io", ["v1", "v1alpha2"], "tcproutes";
    UdpRoute as "UDPRoute": "gateway.networking.k8s.io", ["v1", "v1alpha2"], "udproutes";
    ReferenceGrant: "gateway.networking.k8s.io", ["v1", "v1beta1"], "referencegrants";
    BackendTlsPolicy as "BackendTLSPolicy": "gateway.networking.k8s.io", ["v1", "v1alpha3"], "backendtlspolicies";
    XBackend: "gateway.networking.x-k8s.io", ["v1alpha1"], "xbackends";
    XBackendTrafficPolicy: "gateway.networking.x-k8s.io", ["v1alpha1"], "xbackendtrafficpolicies";
}
