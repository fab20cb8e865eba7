//! What one client has of one type: what it acknowledged, what is on its way, what it refused. From this and the current resources follows what it must be
//! sent, in either protocol variant, so that losing a message, a connection or an argument with the client never loses a resource.
//!
//! A refusal (NACK) says nothing certain about the resources of that response: Envoy applies some of them and not others. So they become *suspects*: not sent
//! again by themselves, or client and server would quarrel without end, but sent again, all of them, with the next real change. A client that names
//! the culprits spares the others: those count as received, and the named ones wait for their own change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Interest, Resource, Resources};

/// Names are shared, never copied.
pub(super) type Name = Arc<str>;
/// A version; `None` is the state of not being there.
pub(super) type State = Option<Arc<str>>;

/// One type on one stream, as the server knows it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Subscribed to everything.
    wildcard: bool,
    /// Subscribed by name.
    names: BTreeSet<Name>,
    /// What the client has. An explicit name may be acknowledged as absent.
    acked: BTreeMap<Name, State>,
    /// Refused by name: not sent again in this state.
    refused: BTreeMap<Name, State>,
    /// Part of a refused response: the client has this, or what it had before.
    suspect: BTreeMap<Name, State>,
    /// Must be answered although nothing changed: (re)subscribed, or its cluster was sent again.
    forced: BTreeSet<Name>,
    /// Kept by the client from an earlier stream, and in no snapshot of this one.
    inherited: BTreeSet<Name>,
    offer: Option<Offer>,
}

/// The response that has not been acknowledged yet.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) nonce: String,
    pub(super) revision: Arc<str>,
    states: Vec<(Name, State)>,
}

/// What became of a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// The nonce is not that of the response in flight.
    Stale,
    /// Accepted.
    Acked { revision: Arc<str> },
    /// Refused; with the culprits, if the client named them.
    Refused { revision: Arc<str>, names: Vec<Name> },
}

/// One thing to tell the client.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Upsert(Resource),
    Remove(Name),
}

impl Change {
    pub(super) fn name(&self) -> &Name {
        match self {
            Self::Upsert(resource) => &resource.name,
            Self::Remove(name) => name,
        }
    }

    fn state(&self) -> (Name, State) {
        match self {
            Self::Upsert(resource) => (resource.name.clone(), Some(resource.version.clone())),
            Self::Remove(name) => (name.clone(), None),
        }
    }
}

impl Ledger {
    pub(super) fn wildcard(&self) -> bool {
        self.wildcard
    }

    pub(super) fn names(&self) -> &BTreeSet<Name> {
        &self.names
    }

    pub(super) fn in_flight(&self) -> bool {
        self.offer.is_some()
    }

    pub(super) fn wants_nothing(&self) -> bool {
        !self.wildcard && self.names.is_empty()
    }

    fn covers(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// What the client says it kept from an earlier stream.
    pub(super) fn resume(&mut self, held: impl IntoIterator<Item = (Name, Arc<str>)>) {
        for (name, version) in held {
            self.inherited.insert(name.clone());
            self.acked.insert(name, Some(version));
        }
    }

    pub(super) fn subscribe_all(&mut self) {
        self.wildcard = true;
    }

    pub(super) fn unsubscribe_all(&mut self) {
        self.wildcard = false;
        let names = std::mem::take(&mut self.names);
        for states in [&mut self.acked, &mut self.refused, &mut self.suspect] {
            states.retain(|name, _| names.contains(name));
        }
        self.forced.retain(|name| names.contains(name));
        self.names = names;
    }

    /// Subscribes to a name. Unless the client said what it holds (`resumed`), it is answered even if nothing changed: it may have dropped it meanwhile.
    pub(super) fn subscribe(&mut self, name: Name, resumed: bool) {
        if !resumed {
            self.forced.insert(name.clone());
        }
        self.names.insert(name);
    }

    /// Gives up a name. Under a wildcard it is sent once more, since the client cannot know whether the wildcard covers it.
    pub(super) fn unsubscribe(&mut self, name: &Name) {
        self.names.remove(name);
        if self.wildcard {
            self.forced.insert(name.clone());
        } else {
            self.acked.remove(name);
            self.refused.remove(name);
            self.suspect.remove(name);
            self.forced.remove(name);
        }
    }

    /// Makes these subscribed names be sent again.
    pub(super) fn force(&mut self, names: impl IntoIterator<Item = Name>) {
        let names: Vec<Name> = names.into_iter().filter(|name| self.covers(name)).collect();
        self.forced.extend(names);
    }

    /// What to tell the client now. Empty when there is nothing new: old suspects alone are not news. What the client has from an earlier stream and the server is
    /// `uncertain` of is not told to be gone.
    pub(super) fn changes(&mut self, current: &Resources, uncertain: Option<&Interest>) -> Vec<Change> {
        self.inherited.retain(|name| !current.contains_key(name));
        let unsure = |name: &Name| self.inherited.contains(name) && uncertain.is_some_and(|names| names.wants(name));
        let mut changes = Vec::new();
        let mut news = false;
        let mut look = |name: &Name, resource: Option<&Resource>| {
            let state = resource.map(|resource| &resource.version);
            let forced = self.forced.contains(name);
            let at = |states: &BTreeMap<Name, State>| states.get(name).is_some_and(|known| known.as_ref() == state);
            let differs = self.suspect.contains_key(name) || !at(&self.acked);
            if !forced && (!differs || at(&self.refused)) {
                return;
            }
            news |= forced || !at(&self.suspect);
            changes.push(resource.map_or_else(|| Change::Remove(name.clone()), |resource| Change::Upsert(resource.clone())));
        };
        if self.wildcard {
            for (name, resource) in current {
                look(name, Some(resource));
            }
            let gone: BTreeSet<&Name> = self
                .acked
                .iter()
                .filter_map(|(name, state)| state.is_some().then_some(name))
                .chain(self.suspect.keys())
                .chain(&self.forced)
                .chain(&self.names)
                .filter(|name| !current.contains_key(*name) && !unsure(name))
                .collect();
            gone.into_iter().for_each(|name| look(name, None));
        } else {
            for name in self.names.iter().filter(|name| !unsure(name)) {
                look(name, current.get(name));
            }
        }
        if news { changes } else { Vec::new() }
    }

    /// Everything subscribed to that exists.
    pub(super) fn everything(&self, current: &Resources) -> Vec<Resource> {
        if self.wildcard {
            current.values().cloned().collect()
        } else {
            self.names.iter().filter_map(|name| current.get(name)).cloned().collect()
        }
    }

    /// Remembers what is being sent.
    pub(super) fn offer<'a>(&mut self, nonce: String, revision: Arc<str>, changes: impl IntoIterator<Item = &'a Change>) {
        let states: Vec<_> = changes.into_iter().map(Change::state).collect();
        for (name, _) in &states {
            self.forced.remove(name);
        }
        self.offer = Some(Offer { nonce, revision, states });
    }

    /// Takes note of absences that a variant does not put on the wire.
    pub(super) fn assume(&mut self, changes: &[Change]) {
        for change in changes {
            let (name, state) = change.state();
            self.forced.remove(&name);
            self.accept(name, state);
        }
    }

    /// The client took the response.
    pub(super) fn ack(&mut self, nonce: &str) -> Settled {
        let Some(offer) = self.offer.take_if(|offer| offer.nonce == nonce) else { return Settled::Stale };
        for (name, state) in offer.states {
            self.accept(name, state);
        }
        Settled::Acked { revision: offer.revision }
    }

    /// The client refused the response, and perhaps named the culprits.
    pub(super) fn nack(&mut self, nonce: &str, culprits: &BTreeSet<Name>) -> Settled {
        let Some(offer) = self.offer.take_if(|offer| offer.nonce == nonce) else { return Settled::Stale };
        let named: Vec<Name> = offer.states.iter().filter(|(name, _)| culprits.contains(name)).map(|(name, _)| name.clone()).collect();
        for (name, state) in offer.states {
            if named.is_empty() {
                if self.covers(&name) {
                    self.suspect.insert(name, state);
                }
            } else if !culprits.contains(&name) {
                self.accept(name, state);
            } else if self.covers(&name) {
                self.suspect.remove(&name);
                self.refused.insert(name, state);
            }
        }
        Settled::Refused { revision: offer.revision, names: named }
    }

    fn accept(&mut self, name: Name, state: State) {
        self.refused.remove(&name);
        self.suspect.remove(&name);
        if self.names.contains(&name) || (self.wildcard && state.is_some()) {
            self.acked.insert(name, state);
        } else {
            self.acked.remove(&name);
        }
    }
}
