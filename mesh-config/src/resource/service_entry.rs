//! `ServiceEntry` (`networking.istio.io`): a service that Kubernetes does not know.

mod validate;

use super::{
    port::ServicePort,
    selector::{Visibility, WorkloadSelector},
    spec::{names, spec},
    workload_entry::WorkloadEntry,
};

spec! {
    /// A service by host name, with its ports and where its endpoints come from.
    pub struct ServiceEntry {
        /// 1 to 256 DNS names, with or without a leading wildcard label; not `*`.
        required hosts: Vec<String>,
        /// Virtual addresses; CIDR blocks only with resolution NONE or STATIC.
        addresses: Vec<String>,
        ports: Vec<ServicePort>,
        location: Location,
        resolution: Resolution,
        /// Endpoints written here; excludes `workload_selector`.
        endpoints: Vec<WorkloadEntry>,
        /// Endpoints are the workloads of the namespace with these labels; excludes `endpoints`.
        workload_selector: Option<WorkloadSelector>,
        export_to: Vec<Visibility>,
        /// SPIFFE ids or DNS names that the endpoints' certificates may carry.
        subject_alt_names: Vec<String>,
    }
}

names! {
    /// Whether the service is part of the mesh.
    pub enum Location {
        /// Outside: no mutual TLS by default.
        #[default]
        MeshExternal = "MESH_EXTERNAL",
        /// Part of the mesh.
        MeshInternal = "MESH_INTERNAL",
    }

    /// How addresses are found.
    pub enum Resolution {
        /// The connection's original destination.
        #[default]
        None = "NONE",
        /// The endpoints' IP addresses.
        Static = "STATIC",
        /// DNS, all addresses.
        Dns = "DNS",
        /// DNS, the first address at connection time.
        DnsRoundRobin = "DNS_ROUND_ROBIN",
        /// DNS of the requested host, for wildcard hosts.
        DynamicDns = "DYNAMIC_DNS",
    }
}
