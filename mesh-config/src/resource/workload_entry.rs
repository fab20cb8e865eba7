//! `WorkloadEntry` (`networking.istio.io`): a workload outside Kubernetes, or one of the local mesh.

pub(super) mod validate;

use std::collections::BTreeMap;

use super::{selector::Labels, spec::spec};

spec! {
    /// One workload: where it listens and who it is. Also an element of a ServiceEntry's `endpoints`.
    pub struct WorkloadEntry {
        /// IP address, DNS name, or `unix:///absolute/path` (`unix://@abstract`). May be empty if `network` is set.
        address: String,
        /// Port name → the port the workload listens on, for ports whose number differs from the service's.
        ports: BTreeMap<String, u16>,
        labels: Labels,
        /// Reachable directly only from the same network; else through that network's gateway.
        network: String,
        /// `region/zone/subzone`, outer parts first; parts may be missing from the right.
        locality: String,
        /// Share of the traffic among the endpoints; 0 or absent counts as 1.
        weight: u32,
        /// The service account of the workload, in its own namespace.
        service_account: String,
    }
}
