//! Names to slots, for the life of the process: a slot is given out once and never reused, so whoever holds one from an older
//! snapshot can look it up in a newer.

use std::{collections::HashMap, sync::Arc};

use crate::snapshot::{ClusterSlot, ListenerSlot, RouteSlot};

/// The numbers given out so far.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    clusters: Names,
    routes: Names,
    listeners: Names,
}

#[derive(Debug, Default)]
struct Names(HashMap<Arc<str>, u32>);

impl Names {
    fn slot(&mut self, name: &str) -> (Arc<str>, u32) {
        if let Some((name, slot)) = self.0.get_key_value(name) {
            return (name.clone(), *slot);
        }
        let slot = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = name.into();
        self.0.insert(name.clone(), slot);
        (name, slot)
    }
}

impl Slots {
    pub(crate) fn cluster(&mut self, name: &str) -> (Arc<str>, ClusterSlot) {
        let (name, slot) = self.clusters.slot(name);
        (name, ClusterSlot(slot))
    }

    pub(crate) fn route_table(&mut self, name: &str) -> (Arc<str>, RouteSlot) {
        let (name, slot) = self.routes.slot(name);
        (name, RouteSlot(slot))
    }

    pub(crate) fn listener(&mut self, name: &str) -> (Arc<str>, ListenerSlot) {
        let (name, slot) = self.listeners.slot(name);
        (name, ListenerSlot(slot))
    }

    pub(crate) fn cluster_count(&self) -> usize {
        self.clusters.0.len()
    }

    /// All tables that have a slot.
    pub(crate) fn route_tables(&self) -> impl Iterator<Item = (&Arc<str>, RouteSlot)> {
        self.routes.0.iter().map(|(name, slot)| (name, RouteSlot(*slot)))
    }

    pub(crate) fn route_count(&self) -> usize {
        self.routes.0.len()
    }

    pub(crate) fn listener_count(&self) -> usize {
        self.listeners.0.len()
    }
}
