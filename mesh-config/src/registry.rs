//! Services and workloads: what Service, WorkloadEntry and ServiceEntry objects mean together.
//!
//! Pure and deterministic: the same snapshot gives the same registry. Called by Galley and by offline analysis; Pilot
//! gets no other view of who is there (in the local mesh a WorkloadEntry whose labels match a
//! Service's selector is an endpoint of it, as a pod would be).

mod build;
mod protocol;
mod service;
mod workload;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use mesh_proto::id::Hostname;

pub use protocol::of_service_port;
pub use service::{Resolution, Service, ServiceId, ServicePort, Source, TargetPort};
pub use workload::{Address, Endpoint, EndpointAddress, Instance, Locality, TlsMode, Workload, WorkloadId, WorkloadSource};

use crate::{resource::selector::visible, snapshot::ConfigSnapshot};

/// Every service, every workload, and which is behind which.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    services: BTreeMap<ServiceId, Arc<Service>>,
    workloads: BTreeMap<WorkloadId, Arc<Workload>>,
    endpoints: BTreeMap<ServiceId, BTreeMap<u16, Vec<Endpoint>>>,
    instances: BTreeMap<WorkloadId, Vec<Instance>>,
    by_hostname: HashMap<Hostname, Vec<ServiceId>>,
    by_address: HashMap<IpAddr, Vec<WorkloadId>>,
}

impl Registry {
    /// Reads a snapshot. What does not parse (a host name, an address) is left out: validation has reported it.
    pub fn build(snapshot: &ConfigSnapshot) -> Self {
        build::registry(snapshot)
    }

    /// Every service, by host name and namespace.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// Every workload, by namespace and name.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.values()
    }

    /// A service by identity.
    pub fn service(&self, id: &ServiceId) -> Option<&Arc<Service>> {
        self.services.get(id)
    }

    /// A workload by identity.
    pub fn workload(&self, id: &WorkloadId) -> Option<&Arc<Workload>> {
        self.workloads.get(id)
    }

    /// The WorkloadEntry `namespace/name`.
    pub fn workload_entry(&self, namespace: &str, name: &str) -> Option<&Arc<Workload>> {
        self.workload(&WorkloadId { source: WorkloadSource::WorkloadEntry, namespace: namespace.into(), name: name.into() })
    }

    /// The workloads at an IP address.
    pub fn workloads_at(&self, address: IpAddr) -> impl Iterator<Item = &Arc<Workload>> {
        self.by_address.get(&address).into_iter().flatten().filter_map(|id| self.workloads.get(id))
    }

    /// The services with exactly this host name, in order of precedence.
    pub fn services_named(&self, hostname: &Hostname) -> impl Iterator<Item = &Arc<Service>> {
        self.by_hostname.get(hostname).into_iter().flatten().filter_map(|id| self.services.get(id))
    }

    /// The service that `hostname` means to a proxy in namespace `viewer`: one of that namespace first, then a
    /// Kubernetes Service, then the oldest; only what is exported to the viewer.
    pub fn resolve(&self, hostname: &Hostname, viewer: &str) -> Option<&Arc<Service>> {
        let mut seen = self.services_named(hostname).filter(|service| service.visible_to(viewer));
        let first = seen.next()?;
        if first.id.namespace == viewer {
            return Some(first);
        }
        Some(seen.find(|service| service.id.namespace == viewer).unwrap_or(first))
    }

    /// The endpoints of a service's port, by workload.
    pub fn endpoints(&self, service: &ServiceId, port: u16) -> &[Endpoint] {
        self.endpoints.get(service).and_then(|ports| ports.get(&port)).map_or(&[], Vec::as_slice)
    }

    /// The service ports that a workload stands behind.
    pub fn instances(&self, workload: &WorkloadId) -> &[Instance] {
        self.instances.get(workload).map_or(&[], Vec::as_slice)
    }
}

impl Service {
    /// Whether a proxy in namespace `viewer` may use it.
    pub fn visible_to(&self, viewer: &str) -> bool {
        visible(&self.export_to, &self.id.namespace, viewer)
    }
}

#[cfg(test)]
mod tests;
