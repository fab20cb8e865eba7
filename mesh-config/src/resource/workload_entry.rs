//! `WorkloadEntry` (`networking.istio.io`): a workload outside Kubernetes, or one of the local mesh.

pub(super) mod validate;

use std::collections::BTreeMap;

use super::{selector::Labels, spec::spec};
use crate::schema::{cel, port_number, values};

spec! {
    /// One workload: where it listens and who it is. Also an element of a ServiceEntry's `endpoints`.
    #[schemars(transform = cel("has(self.address) || has(self.network)", "Address is required").remedy("set address, or the network that it is reached through"))]
    #[schemars(transform = cel(r#"(has(self.address) ? self.address : "").startsWith("unix://") ? !has(self.ports) : true"#, "UDS may not include ports").remedy("leave ports out, or give an IP address"))]
    pub struct WorkloadEntry {
        /// IP address, DNS name, or `unix:///absolute/path` (`unix://@abstract`). May be empty if `network` is set.
        #[schemars(length(max = 256))]
        #[schemars(transform = cel(r#"self.startsWith("unix://") ? (self.substring(7, 8) == "/" || self.substring(7, 8) == "@") : true"#, "UDS must be an absolute path or abstract socket").remedy("write unix:///path or unix://@name"))]
        #[schemars(transform = cel(r#"self.startsWith("unix://") ? !self.endsWith("/") : true"#, "UDS may not be a dir").remedy("name a socket, without a slash at the end"))]
        address: String,
        /// Port name → the port the workload listens on, for ports whose number differs from the service's.
        #[schemars(extend("maxProperties" = 128))]
        #[schemars(transform = cel(r#"self.all(key, size(key) < 63 && key.matches("^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$"))"#, "port name must be valid").remedy("use letters, digits and inner dashes, less than 63"))]
        #[schemars(transform = values(port_number()))]
        ports: BTreeMap<String, u16>,
        #[schemars(extend("maxProperties" = 256))]
        labels: Labels,
        /// Reachable directly only from the same network; else through that network's gateway.
        #[schemars(length(max = 2048))]
        network: String,
        /// `region/zone/subzone`, outer parts first; parts may be missing from the right.
        #[schemars(length(max = 2048))]
        locality: String,
        /// Share of the traffic among the endpoints; 0 or absent counts as 1.
        weight: u32,
        /// The service account of the workload, in its own namespace.
        #[schemars(length(max = 253))]
        service_account: String,
    }
}
