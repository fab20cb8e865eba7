//! Services and workloads: what Services, EndpointSlices, Pods, Nodes, WorkloadEntries and ServiceEntries mean together.
//!
//! Pure and deterministic: the same objects give the same registry, in whatever order they came. Two halves:
//!
//! - [`Index`] takes the objects (all at once, or change by change) and yields [`Service`]s and [`Workload`]s: what Galley
//!   serves over MCP, one resource each. A change of one object recomputes what it touches, and the [`Delta`] names only
//!   what really differs. Both have a JSON form (`to_json`, `from_json`) and a key that is the same over restarts and
//!   replicas: `ServiceId` displays and parses as `namespace/hostname`, `WorkloadId::key` as
//!   `cluster/source/namespace/name`. A workload carries the services it stands behind, with ports and health, so nobody
//!   after Galley needs a Pod or an EndpointSlice.
//! - [`Registry`] is what generators and analysis ask: made of services and workloads wherever they came from
//!   ([`Registry::assemble`], [`Registry::apply`]), or of a whole configuration ([`Registry::build`]).
//!
//! Where an object has no cluster of its own to come from (files, the local mesh), a WorkloadEntry whose labels match a
//! Service's selector is an endpoint of it as a Pod would be, and Pods stand behind the Services that select them for as
//! long as these have no EndpointSlice.

mod apply;
mod distribution;
mod endpoint;
mod index;
mod protocol;
mod service;
mod workload;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use mesh_proto::id::Hostname;
use serde_json::Value;

pub use distribution::{TRAFFIC_DISTRIBUTION, TrafficDistribution};
pub use endpoint::{Endpoint, EndpointAddress, Instance};
pub use index::{Index, SOURCES};
pub use protocol::of_service_port;
pub use service::{Resolution, Service, ServiceId, ServicePort, Source, TargetPort};
pub use workload::{Address, Health, Locality, Membership, TlsMode, Workload, WorkloadId, WorkloadSource};

use crate::{resource::selector::visible, snapshot::ConfigSnapshot};

/// What the objects themselves do not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of the cluster they come from.
    pub cluster: String,
    /// The domain of its Services, below `svc`.
    pub domain: String,
    /// The network of workloads that name none (Istio: the label `topology.istio.io/network` of the system namespace).
    pub network: String,
}

/// What changed in an [`Index`], or what to change in a [`Registry`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// New or different.
    pub services: Vec<Arc<Service>>,
    /// Gone.
    pub removed_services: Vec<ServiceId>,
    /// New or different.
    pub workloads: Vec<Arc<Workload>>,
    /// Gone.
    pub removed_workloads: Vec<WorkloadId>,
}

/// Every service, every workload, and which is behind which.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    services: BTreeMap<ServiceId, Arc<Service>>,
    workloads: BTreeMap<WorkloadId, Arc<Workload>>,
    /// Who says that it stands behind a service, known or not.
    members: BTreeMap<ServiceId, BTreeSet<WorkloadId>>,
    /// Healthy ones first, then by workload.
    endpoints: BTreeMap<ServiceId, BTreeMap<u16, Vec<Endpoint>>>,
    instances: BTreeMap<WorkloadId, Vec<Instance>>,
    by_hostname: HashMap<Hostname, Vec<ServiceId>>,
    by_address: HashMap<IpAddr, BTreeSet<WorkloadId>>,
}

impl Registry {
    /// Reads a configuration, as of the default [`Settings`]. What does not parse (a host name, an address) is left out:
    /// validation has reported it.
    pub fn build(snapshot: &ConfigSnapshot) -> Self {
        let index = Index::from_snapshot(Settings::default(), snapshot);
        Self::assemble(index.services().cloned(), index.workloads().cloned())
    }

    /// Puts services and workloads together. A membership in a service that is not there waits for it.
    pub fn assemble(services: impl IntoIterator<Item = Arc<Service>>, workloads: impl IntoIterator<Item = Arc<Workload>>) -> Self {
        let mut registry = Self::default();
        let delta = Delta { services: services.into_iter().collect(), workloads: workloads.into_iter().collect(), ..Delta::default() };
        registry.apply(delta);
        registry
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

    /// The WorkloadEntry `namespace/name`, of the first cluster that has it.
    pub fn workload_entry(&self, namespace: &str, name: &str) -> Option<&Arc<Workload>> {
        let first = WorkloadId {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            source: WorkloadSource::WorkloadEntry,
            cluster: String::new(),
        };
        let (id, workload) = self.workloads.range(&first..).next()?;
        let same = id.source == first.source && id.namespace == first.namespace && id.name == first.name;
        same.then_some(workload)
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

    /// The healthy endpoints of a service's port, by workload.
    pub fn endpoints(&self, service: &ServiceId, port: u16) -> &[Endpoint] {
        let all = self.all_endpoints(service, port);
        &all[..all.partition_point(|endpoint| endpoint.health == Health::Healthy)]
    }

    /// The endpoints of a service's port whatever their health, the healthy ones first.
    pub fn all_endpoints(&self, service: &ServiceId, port: u16) -> &[Endpoint] {
        self.endpoints.get(service).and_then(|ports| ports.get(&port)).map_or(&[], Vec::as_slice)
    }

    /// The workloads behind a service, whatever their health: for the DNS names of a headless one.
    pub fn members(&self, service: &ServiceId) -> impl Iterator<Item = (&Arc<Workload>, &Membership)> {
        let ids = self.members.get(service).into_iter().flatten();
        ids.filter_map(|id| self.workloads.get(id)).filter_map(move |workload| Some((workload, workload.membership(service)?)))
    }

    /// The service ports that a workload stands behind, ready or not: what its own proxy listens for.
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

impl Workload {
    /// Its place behind a service.
    pub fn membership(&self, service: &ServiceId) -> Option<&Membership> {
        self.services.iter().find(|membership| membership.service == *service)
    }
}

impl Default for Settings {
    /// Istio's defaults: cluster `Kubernetes`, domain `cluster.local`, no network.
    fn default() -> Self {
        Self { cluster: "Kubernetes".to_owned(), domain: "cluster.local".to_owned(), network: String::new() }
    }
}

impl Delta {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.removed_services.is_empty() && self.workloads.is_empty() && self.removed_workloads.is_empty()
    }
}

/// A text that is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {form}")]
pub struct InvalidId {
    text: String,
    form: &'static str,
}

/// The JSON form, as served over MCP. What is written by one version and not known to another is refused, not dropped.
macro_rules! json_form {
    ($($name:ident)*) => {
        $(impl $name {
            /// Its JSON: defaults are left out.
            pub fn to_json(&self) -> Value {
                // Every map in it has text or numbers as keys, so this does not fail.
                serde_json::to_value(self).expect("it is always JSON")
            }

            /// Reads what `to_json` wrote.
            ///
            /// # Errors
            /// If a field is unknown, missing or of the wrong type.
            pub fn from_json(value: &Value) -> Result<Self, serde_json::Error> {
                <Self as serde::Deserialize>::deserialize(value)
            }
        })*
    };
}

json_form! { Service Workload }

/// True for what JSON leaves out.
fn unset<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
