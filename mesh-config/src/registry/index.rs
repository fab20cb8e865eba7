//! From objects to services and workloads, change by change.
//!
//! Each change asks twice what depends on the object, before it and after it; only that is computed again, from the
//! objects and never from an earlier result. So a history of changes ends where a fresh start would.

mod convert;
mod membership;
mod multimap;
mod objects;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Delta, Service, ServiceId, Settings, Workload, WorkloadId};
use crate::{
    resource::{Key, Kind, Resource},
    snapshot::{ConfigSnapshot, Diff},
};
use objects::{Claim, Objects, live_addresses};

/// The kinds that services and workloads are made of; a change of any other does nothing here.
pub const SOURCES: &[Kind] =
    &[Kind::Service, Kind::EndpointSlice, Kind::Pod, Kind::Node, Kind::Namespace, Kind::WorkloadEntry, Kind::ServiceEntry];

/// The objects of one cluster, and the services and workloads that they make.
#[derive(Clone, Debug, Default)]
pub struct Index {
    settings: Settings,
    objects: Objects,
    services: BTreeMap<ServiceId, Arc<Service>>,
    workloads: BTreeMap<WorkloadId, Arc<Workload>>,
}

/// What is to be computed again.
#[derive(Debug, Default)]
struct Touched {
    services: BTreeSet<ServiceId>,
    workloads: BTreeSet<WorkloadId>,
}

impl Index {
    /// An index without objects.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Everything in a configuration.
    pub fn from_snapshot(settings: Settings, snapshot: &ConfigSnapshot) -> Self {
        let mut index = Self::new(settings);
        for kind in SOURCES {
            for (key, entry) in snapshot.entries(*kind) {
                index.objects.replace(*kind, key, Some(entry.resource()), &index.settings);
            }
        }
        let touched = index.everything();
        index.compute(touched);
        index
    }

    /// Goes on to another configuration; `diff` is what changed since the one before (`ConfigSnapshot::diff`).
    pub fn follow(&mut self, snapshot: &ConfigSnapshot, diff: &Diff) -> Delta {
        let set = diff.added.iter().chain(&diff.changed);
        let set = set.map(|(kind, key)| (*kind, key, snapshot.entry(*kind, key).map(crate::snapshot::Entry::resource)));
        let removed = diff.removed.iter().map(|(kind, key)| (*kind, key, None));
        self.change(set.chain(removed))
    }

    /// Adds an object, or replaces the one of its kind and key.
    pub fn insert(&mut self, resource: &Resource) -> Delta {
        self.change([(resource.kind(), &resource.meta().key(), Some(resource))])
    }

    /// Takes an object away.
    pub fn remove(&mut self, kind: Kind, key: &Key) -> Delta {
        self.change([(kind, key, None)])
    }

    /// Several changes at once: each an object by kind and key, and what it is now, if it still is.
    pub fn change<'a>(&mut self, changes: impl IntoIterator<Item = (Kind, &'a Key, Option<&'a Resource>)>) -> Delta {
        let mut touched = Touched::default();
        for (kind, key, resource) in changes {
            if SOURCES.contains(&kind) {
                self.touch(kind, key, &mut touched);
                self.objects.replace(kind, key, resource, &self.settings);
                self.touch(kind, key, &mut touched);
            }
        }
        self.compute(touched)
    }

    /// The services, by host name and namespace.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// The workloads, by namespace and name.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.values()
    }

    /// What depends on an object as things are.
    fn touch(&self, kind: Kind, key: &Key, touched: &mut Touched) {
        let objects = &self.objects;
        match kind {
            Kind::Service | Kind::ServiceEntry => {
                let claim = if kind == Kind::Service { Claim::Service(key.clone()) } else { Claim::Entry(key.clone()) };
                for id in objects.hosts(&claim, &self.settings) {
                    // Of several that claim a host one is chosen, so all of them are concerned.
                    objects.claims(&id).for_each(|claim| self.candidates(claim, &mut touched.workloads));
                    touched.services.insert(id);
                }
                self.candidates(&claim, &mut touched.workloads);
            }
            Kind::EndpointSlice => self.touch_slice(key, touched),
            Kind::Pod => self.touch_pod(key, touched),
            Kind::WorkloadEntry => drop(touched.workloads.insert(self.entry_id(key))),
            Kind::Node => touched.workloads.extend(objects.pods_on(&key.name).map(|pod| self.pod_id(pod))),
            Kind::Namespace => {
                for claim in objects.claims_in(&key.name) {
                    touched.services.extend(objects.hosts(&claim, &self.settings));
                }
            }
            _ => {}
        }
    }

    fn touch_slice(&self, key: &Key, touched: &mut Touched) {
        let Some(slice) = self.objects.slices.get(key) else { return };
        self.in_slice(slice, &mut touched.workloads);
        // The first one ends, and the last one restores, the choice by the Service's selector.
        if let Some(service) = slice.service()
            && self.objects.slices_of(&service).all(|other| other == key)
        {
            self.selected_pods(&service, &mut touched.workloads);
        }
    }

    fn touch_pod(&self, key: &Key, touched: &mut Touched) {
        let Some(pod) = self.objects.pods.get(key) else { return };
        touched.workloads.insert(self.pod_id(key));
        for ip in live_addresses(pod) {
            for slice in self.objects.slices_at(&key.namespace, ip).filter_map(|slice| self.objects.slices.get(slice)) {
                // An address goes to the first Pod that has it, or to none.
                touched.workloads.extend(self.objects.pods_at(&key.namespace, ip).map(|pod| self.pod_id(pod)));
                touched.workloads.extend(slice.service().map(|service| self.address_id(&service, ip)));
            }
        }
    }

    /// The workloads that may stand behind a claim.
    fn candidates(&self, claim: &Claim, out: &mut BTreeSet<WorkloadId>) {
        match claim {
            Claim::Service(key) => {
                let mut slices = self.objects.slices_of(key).filter_map(|slice| self.objects.slices.get(slice)).peekable();
                if slices.peek().is_none() {
                    self.selected_pods(key, out);
                }
                slices.for_each(|slice| self.in_slice(slice, out));
                if let Some(service) = self.objects.services.get(key).filter(|service| !service.spec.selector.is_empty()) {
                    let selected = self.objects.workload_entries_with(&key.namespace, &service.spec.selector);
                    out.extend(selected.map(|key| self.entry_id(key)));
                }
            }
            Claim::Entry(key) => {
                let Some(entry) = self.objects.entries.get(key) else { return };
                match &entry.spec.workload_selector {
                    Some(selector) => {
                        out.extend(self.objects.pods_with(&key.namespace, &selector.labels).map(|key| self.pod_id(key)));
                        out.extend(self.objects.workload_entries_with(&key.namespace, &selector.labels).map(|key| self.entry_id(key)));
                    }
                    None => out.extend(self.inline_ids(entry)),
                }
            }
        }
    }

    fn selected_pods(&self, service: &Key, out: &mut BTreeSet<WorkloadId>) {
        if let Some(object) = self.objects.services.get(service).filter(|object| !object.spec.selector.is_empty()) {
            out.extend(self.objects.pods_with(&service.namespace, &object.spec.selector).map(|key| self.pod_id(key)));
        }
    }

    /// Everything that the objects may make.
    fn everything(&self) -> Touched {
        let mut touched = Touched { services: self.objects.claimed().cloned().collect(), workloads: BTreeSet::new() };
        let workloads = &mut touched.workloads;
        workloads.extend(self.objects.pods.keys().map(|key| self.pod_id(key)));
        workloads.extend(self.objects.workload_entries.keys().map(|key| self.entry_id(key)));
        self.objects.slices.values().for_each(|slice| self.in_slice(slice, workloads));
        for entry in self.objects.entries.values().filter(|entry| entry.spec.workload_selector.is_none()) {
            workloads.extend(self.inline_ids(entry));
        }
        touched
    }

    /// Computes what was touched, and tells what is different.
    fn compute(&mut self, touched: Touched) -> Delta {
        let mut delta = Delta::default();
        for id in touched.services {
            match (self.service(&id), self.services.get(&id)) {
                (Some(new), Some(old)) if new == **old => {}
                (Some(new), _) => {
                    let new = Arc::new(new);
                    self.services.insert(id, Arc::clone(&new));
                    delta.services.push(new);
                }
                (None, Some(_)) => {
                    self.services.remove(&id);
                    delta.removed_services.push(id);
                }
                (None, None) => {}
            }
        }
        for id in touched.workloads {
            match (self.workload(&id), self.workloads.get(&id)) {
                (Some(new), Some(old)) if new == **old => {}
                (Some(new), _) => {
                    let new = Arc::new(new);
                    self.workloads.insert(id, Arc::clone(&new));
                    delta.workloads.push(new);
                }
                (None, Some(_)) => {
                    self.workloads.remove(&id);
                    delta.removed_workloads.push(id);
                }
                (None, None) => {}
            }
        }
        delta
    }
}
