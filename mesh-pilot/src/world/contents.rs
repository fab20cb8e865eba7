//! Hashes of what a World holds, so that it can be told whether anything that one proxy sees has changed.
//!
//! A hash is a function of content alone. The World before only spares the work: what is the very same object has the same hash.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher as _},
    sync::Arc,
};

use mesh_config::{
    registry::{Resolution, Service, ServiceId, Workload, WorkloadId},
    resource::{Kind, Spec},
    snapshot::ConfigSnapshot,
};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::World;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Contents {
    services: HashMap<ServiceId, Hashed<Service>>,
    workloads: HashMap<WorkloadId, Hashed<Workload>>,
    endpoints: HashMap<ServiceId, Behind>,
    settings: u128,
}

/// An object and its hash.
#[derive(Debug)]
struct Hashed<T> {
    object: Arc<T>,
    hash: u128,
}

/// What is behind a service.
#[derive(Clone, Copy, Debug, Default)]
struct Behind {
    /// All endpoints with all that is known of them.
    endpoints: u128,
    /// The identities that they may have.
    identities: u128,
}

impl Contents {
    /// Of a World whose other parts are there. `before` is the World before it, if there is one.
    pub(super) fn of(world: &World, before: Option<&Self>) -> Self {
        let mut contents = Self { settings: xxh3_128(format!("{:?}", world.settings).as_bytes()), ..Self::default() };
        for service in world.registry.services() {
            let known = before.and_then(|before| before.services.get(&service.id));
            contents.services.insert(service.id.clone(), hashed(service, known, Service::to_json));
        }
        for workload in world.registry.workloads() {
            let known = before.and_then(|before| before.workloads.get(&workload.id));
            contents.workloads.insert(workload.id.clone(), hashed(workload, known, Workload::to_json));
        }
        for service in world.registry.services() {
            let endpoints = contents.endpoints_of(world, service);
            let own = contents.services.get(&service.id).map_or(0, |known| known.hash);
            // Names that the service itself gives take the place of its endpoints': identities are a matter of both.
            let same = |before: &&Self| before.services.get(&service.id).map(|known| known.hash) == Some(own);
            let known = before.filter(same).and_then(|before| before.endpoints.get(&service.id));
            let known = known.filter(|known| known.endpoints == endpoints);
            let identities = known.map_or_else(|| hash(&world.identities(service)), |known| known.identities);
            contents.endpoints.insert(service.id.clone(), Behind { endpoints, identities });
        }
        contents
    }

    fn endpoints_of(&self, world: &World, service: &Service) -> u128 {
        let mut hash = Xxh3::new();
        for port in &service.ports {
            port.number.hash(&mut hash);
            for endpoint in world.registry.all_endpoints(&service.id, port.number) {
                endpoint.address.hash(&mut hash);
                endpoint.additional_addresses.hash(&mut hash);
                endpoint.health.hash(&mut hash);
                self.workload(&endpoint.workload).hash(&mut hash);
            }
        }
        hash.digest128()
    }

    /// What a cluster of the service is made of, but for endpoints that travel by EDS.
    pub(super) fn service(&self, service: &Service) -> [u128; 3] {
        let behind = self.endpoints.get(&service.id).copied().unwrap_or_default();
        let inside = if by_eds(service) { 0 } else { behind.endpoints };
        [self.services.get(&service.id).map_or(0, |known| known.hash), behind.identities, inside]
    }

    /// The endpoints of a service.
    pub(super) fn endpoints(&self, service: &ServiceId) -> u128 {
        self.endpoints.get(service).map_or(0, |behind| behind.endpoints)
    }

    pub(super) fn workload(&self, workload: &Workload) -> u128 {
        self.workloads.get(&workload.id).map_or(0, |known| known.hash)
    }

    pub(super) fn settings(&self) -> u128 {
        self.settings
    }
}

/// Whether a service's endpoints are resources of their own.
fn by_eds(service: &Service) -> bool {
    matches!(service.resolution, Resolution::Static | Resolution::Passthrough)
}

fn hashed<T>(object: &Arc<T>, known: Option<&Hashed<T>>, json: fn(&T) -> serde_json::Value) -> Hashed<T> {
    let hash = match known.filter(|known| Arc::ptr_eq(&known.object, object)) {
        Some(known) => known.hash,
        None => xxh3_128(json(object).to_string().as_bytes()),
    };
    Hashed { object: Arc::clone(object), hash }
}

pub(super) fn hash(of: &impl Hash) -> u128 {
    let mut hash = Xxh3::new();
    of.hash(&mut hash);
    hash.digest128()
}

/// Every object of a kind, in the namespaces that count.
pub(super) fn kind(snapshot: &ConfigSnapshot, kind: Kind, counts: impl Fn(&str) -> bool, into: &mut Xxh3) {
    for (key, entry) in snapshot.entries(kind).filter(|(key, _)| counts(&key.namespace)) {
        key.hash(into);
        into.write(entry.version().as_str().as_bytes());
    }
}

/// One object as it is in the snapshot.
pub(super) fn object<T: Spec>(snapshot: &ConfigSnapshot, object: &mesh_config::resource::Object<T>, into: &mut Xxh3) {
    let key = object.meta.key();
    key.hash(into);
    if let Some(entry) = snapshot.entry(T::KIND, &key) {
        into.write(entry.version().as_str().as_bytes());
    }
}
