//! Listeners: the version in force, and the one that waits for its routes and secrets.

use std::sync::Arc;

use mesh_proto::{canonical, envoy::config::listener::v3::Listener as WireListener};
use mesh_runtime::xds::Rejection;
use xxhash_rust::xxh3::xxh3_64;

use super::{Assembler, Origin, named, rejection};
use crate::{
    snapshot::{Address, Listener},
    xds::{
        context::{Context, Found},
        listener,
    },
};

/// One listener's versions.
#[derive(Debug)]
pub(super) struct ListenerEntry {
    origin: Origin,
    current: Option<Version>,
    /// Newer than `current`, and not complete yet.
    waiting: Option<Version>,
}

#[derive(Debug)]
struct Version {
    listener: Arc<Listener>,
    found: Found,
}

impl ListenerEntry {
    pub(super) fn in_force(&self) -> Option<&Arc<Listener>> {
        self.current.as_ref().map(|version| &version.listener)
    }

    pub(super) fn founds(&self) -> impl Iterator<Item = &Found> {
        self.versions().map(|version| &version.found)
    }

    fn versions(&self) -> impl Iterator<Item = &Version> {
        self.waiting.iter().chain(&self.current)
    }

    fn newest_hash(&self) -> Option<u64> {
        self.versions().next().map(|version| version.listener.hash)
    }
}

impl Assembler {
    /// Takes listeners.
    pub fn listeners(&mut self, upserts: Vec<WireListener>, removed: &[Arc<str>]) -> Vec<Rejection> {
        for name in removed {
            if self.listeners.get(name).is_some_and(|entry| entry.origin == Origin::Discovery) {
                self.listeners.remove(name);
                self.changed = true;
            }
        }
        upserts.into_iter().filter_map(|wire| self.listener(wire, Origin::Discovery).err()).collect()
    }

    /// Takes the bootstrap's listeners, which discovery can neither replace nor remove.
    pub(crate) fn static_listeners(&mut self, listeners: Vec<WireListener>) -> Vec<Rejection> {
        listeners.into_iter().filter_map(|wire| self.listener(wire, Origin::Bootstrap).err()).collect()
    }

    fn listener(&mut self, wire: WireListener, origin: Origin) -> Result<(), Rejection> {
        let name: Arc<str> = wire.name.as_str().into();
        let entry = self.listeners.get(&name);
        if entry.is_some_and(|entry| entry.origin == Origin::Bootstrap) {
            return Err(Rejection { name, reason: "the bootstrap has a listener of this name".to_owned() });
        }
        // What was converted keeps its hash; a version that waits and is sent again goes on waiting.
        let hash = xxh3_64(&canonical::encode(&wire));
        if entry.and_then(ListenerEntry::newest_hash) == Some(hash) {
            return Ok(());
        }
        let previous = entry.and_then(ListenerEntry::in_force).cloned();
        if previous.as_ref().is_some_and(|previous| previous.hash == hash) {
            // Back to what is in force.
            if let Some(entry) = self.listeners.get_mut(&name) {
                entry.waiting = None;
            }
            return Ok(());
        }
        let (name, slot) = self.slots.listener(&name);
        let mut cx = Context::new(&mut self.slots, &mut self.secrets);
        let converted = named(&name, &cx).and_then(|()| listener::listener(&mut cx, slot, &name, &wire, previous.as_deref()));
        let listener = converted.map_err(|refusal| rejection(&name, &refusal))?;
        let found = cx.finish();
        self.free_address(&listener)?;
        let version = Version { listener: Arc::new(listener), found };
        let entry = self.listeners.entry(name).or_insert(ListenerEntry { origin, current: None, waiting: None });
        entry.waiting = Some(version);
        Ok(())
    }

    /// Two listeners cannot have one address.
    fn free_address(&self, listener: &Listener) -> Result<(), Rejection> {
        let fixed = |address: &&Address| !matches!(address, Address::Socket(socket) if socket.port() == 0);
        let others = self.listeners.iter().filter(|(name, _)| **name != listener.name);
        let others = others.flat_map(|(_, entry)| entry.versions().next()).map(|version| &version.listener);
        let taken = others
            .filter(|other| other.bind_to_port && listener.bind_to_port)
            .find_map(|other| Some((other, listener.addresses.iter().filter(fixed).find(|address| other.addresses.contains(address))?)));
        match taken {
            None => Ok(()),
            Some((other, address)) => {
                let reason = format!("address: {address} is the address of listener {:?}, too", other.name);
                Err(Rejection { name: listener.name.clone(), reason })
            }
        }
    }

    /// Puts versions in force that wait for nothing any more.
    pub(super) fn settle_listeners(&mut self) {
        let ready: Vec<Arc<str>> = self
            .listeners
            .iter()
            .filter(|(_, entry)| entry.waiting.as_ref().is_some_and(|version| self.is_complete(&version.found)))
            .map(|(name, _)| name.clone())
            .collect();
        for name in ready {
            if let Some(entry) = self.listeners.get_mut(&name) {
                entry.current = entry.waiting.take().or(entry.current.take());
                self.changed = true;
            }
        }
    }
}
