//! `ServiceEntry` (`networking.istio.io`): a service that Kubernetes does not know.

mod validate;

use super::{
    port::ServicePort,
    selector::{Visibility, WorkloadSelector},
    spec::{names, spec},
    workload_entry::WorkloadEntry,
};
use crate::schema::{cel, items, list_map};

spec! {
    /// A service by host name, with its ports and where its endpoints come from.
    #[schemars(transform = cel("(has(self.workloadSelector) ? 1 : 0) + (has(self.endpoints) ? 1 : 0) <= 1", "only one of WorkloadSelector or Endpoints can be set").remedy("keep one of them"))]
    #[schemars(transform = cel(r#"!((has(self.addresses) ? self.addresses : []).exists(k, k.contains("/")) && !((has(self.resolution) ? self.resolution : "NONE") in ["STATIC", "NONE"]))"#, "CIDR addresses are allowed only for NONE/STATIC resolution types").remedy("write single addresses, or set resolution: STATIC"))]
    #[schemars(transform = cel(r#"((has(self.resolution) ? self.resolution : "NONE") == "NONE") ? !has(self.endpoints) : true"#, "NONE mode cannot set endpoints").remedy("set resolution: STATIC or DNS, or leave endpoints out"))]
    #[schemars(transform = cel(r#"((has(self.resolution) ? self.resolution : "") == "DNS_ROUND_ROBIN") ? ((has(self.endpoints) ? self.endpoints : []).size() <= 1) : true"#, "DNS_ROUND_ROBIN mode cannot have multiple endpoints").remedy("keep one endpoint, or set resolution: DNS"))]
    pub struct ServiceEntry {
        /// 1 to 256 DNS names, with or without a leading wildcard label; not `*`.
        #[schemars(length(min = 1, max = 256))]
        #[schemars(transform = items(cel("self != \"*\"", "hostname cannot be wildcard").remedy("name a host, or a domain as *.example.com")))]
        required hosts: Vec<String>,
        /// Virtual addresses; CIDR blocks only with resolution NONE or STATIC.
        #[schemars(length(max = 256))]
        #[schemars(inner(length(max = 64)))]
        addresses: Vec<String>,
        #[schemars(length(max = 256))]
        #[schemars(transform = list_map(&["name"]))]
        #[schemars(transform = cel("self.all(l1, self.exists_one(l2, l1.number == l2.number))", "port number cannot be duplicated").remedy("give each port its own number"))]
        ports: Vec<ServicePort>,
        location: Location,
        resolution: Resolution,
        /// Endpoints written here; excludes `workload_selector`.
        #[schemars(length(max = 4096))]
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
