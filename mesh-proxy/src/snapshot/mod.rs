//! The compiled configuration: what the data path reads.
//!
//! One immutable [`Snapshot`] is swapped in as a whole and loaded once per request or connection. Names are resolved
//! to slots when it is built; a slot keeps its number for the life of the process, so a connection that was accepted
//! under an older snapshot can still use what it holds with the newest one. What must survive a swap (health,
//! outlier ejection, breakers, counters) is not here: endpoints and clusters point to it.
//!
//! Invariants: nothing in here parses, allocates per request, waits or reads a clock.

mod cluster;
mod http;
mod listener;
mod log;
mod policy;
mod route;
mod text;
mod tls;

use std::{collections::HashMap, sync::Arc};

pub use self::{cluster::*, http::*, listener::*, log::*, policy::*, route::*, text::*, tls::*};

/// Everything the proxy does, as of one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Rises by one with each swap; a connection compares it to notice a change.
    pub generation: u64,
    /// By [`ListenerSlot`]. `None`: removed, the slot is not reused.
    pub listeners: Vec<Option<Arc<Listener>>>,
    /// By [`ClusterSlot`].
    pub clusters: Vec<Option<Arc<Cluster>>>,
    /// By [`RouteSlot`]: RDS tables. `None`: not received yet, requests wait or get 404 as Envoy does.
    pub route_tables: Vec<Option<Arc<RouteTable>>>,
    /// Cluster name to slot, for `cluster_header` and admin.
    pub cluster_names: HashMap<Arc<str>, ClusterSlot>,
    /// Route table name to slot, for admin and provenance.
    pub route_table_names: HashMap<Arc<str>, RouteSlot>,
    /// Listener name to slot.
    pub listener_names: HashMap<Arc<str>, ListenerSlot>,
}

macro_rules! slot {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// The slot as an index.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

slot!(
    /// Names a listener for the life of the process.
    ListenerSlot
);
slot!(
    /// Names a cluster for the life of the process.
    ClusterSlot
);
slot!(
    /// Names an RDS route table for the life of the process.
    RouteSlot
);

impl Snapshot {
    /// The cluster in `slot`, if there is one now.
    pub fn cluster(&self, slot: ClusterSlot) -> Option<&Arc<Cluster>> {
        self.clusters.get(slot.index())?.as_ref()
    }

    /// The cluster of that name.
    pub fn cluster_by_name(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.cluster(*self.cluster_names.get(name)?)
    }

    /// The listener in `slot`, if there is one now.
    pub fn listener(&self, slot: ListenerSlot) -> Option<&Arc<Listener>> {
        self.listeners.get(slot.index())?.as_ref()
    }

    /// The route table in `slot`, if it has been received.
    pub fn route_table(&self, slot: RouteSlot) -> Option<&Arc<RouteTable>> {
        self.route_tables.get(slot.index())?.as_ref()
    }

    /// The route table a connection manager uses at this moment.
    pub fn routes_of<'a>(&'a self, source: &'a RouteSource) -> Option<&'a Arc<RouteTable>> {
        match source {
            RouteSource::Inline(table) => Some(table),
            RouteSource::Rds(slot) => self.route_table(*slot),
        }
    }
}
