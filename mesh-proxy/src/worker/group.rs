//! Which connections end together: those of one filter chain, when a push takes the chain away; all of them, when the
//! worker drains. A connection is in a group from the moment it is accepted, so that none is forgotten.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::LocalTasks;
use crate::snapshot::{FilterChain, ListenerSlot, Snapshot, Terminal};

/// How far a connection's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Serving.
    Open,
    /// Finish what is going on and close.
    Draining,
    /// Close now.
    Forced,
}

/// The connections of a worker.
pub(super) struct Groups {
    tasks: LocalTasks,
    drain_time: Duration,
    /// Connections that are inspected or make their TLS handshake: they have no chain yet. Its phase is the worker's.
    opening: Rc<Group>,
    by_chain: RefCell<HashMap<Key, Rc<Group>>>,
    /// Groups whose chain is gone, as long as somebody is in them.
    ending: RefCell<Vec<Rc<Group>>>,
}

/// Connections that live and die with one filter chain.
struct Group {
    phase: watch::Sender<Phase>,
}

/// Connections of chains that are equal in this may go on when the configuration changes.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    listener: ListenerSlot,
    chain: Arc<str>,
    hash: u64,
}

impl Groups {
    /// Nobody yet. `drain_time`: how long connections of a chain that is gone may go on.
    pub(super) fn new(tasks: LocalTasks, drain_time: Duration) -> Self {
        let opening = Group::new(Phase::Open);
        Self { tasks, drain_time, opening, by_chain: RefCell::default(), ending: RefCell::default() }
    }

    /// For a connection that was just accepted: held until it has joined its chain's group. It is told only to close at once.
    pub(super) fn opening(&self) -> watch::Receiver<Phase> {
        self.opening.phase.subscribe()
    }

    /// Joins the connections of `chain`, whose end begins at once if `snapshot` no longer has it: a push came while the
    /// connection was opened.
    pub(super) fn join(&self, snapshot: &Snapshot, listener: ListenerSlot, chain: &FilterChain) -> watch::Receiver<Phase> {
        let key = Key { listener, chain: chain.name.clone(), hash: lifetime_hash(chain) };
        if let Some(group) = self.by_chain.borrow().get(&key) {
            return group.phase.subscribe();
        }
        let group = Group::new(*self.opening.phase.borrow());
        let joined = group.phase.subscribe();
        if lives_on(snapshot, &key) {
            self.by_chain.borrow_mut().insert(key, group);
        } else {
            self.end(vec![group]);
        }
        joined
    }

    /// Begins the end of connections whose chain `snapshot` no longer has.
    pub(super) fn swapped(&self, snapshot: &Snapshot) {
        let mut ended = Vec::new();
        self.by_chain.borrow_mut().retain(|key, group| {
            if !group.has_members() {
                return false;
            }
            let lives = lives_on(snapshot, key);
            if !lives {
                ended.push(group.clone());
            }
            lives
        });
        if !ended.is_empty() {
            self.end(ended);
        }
    }

    fn end(&self, groups: Vec<Rc<Group>>) {
        for group in &groups {
            group.advance(Phase::Draining);
        }
        {
            let mut ending = self.ending.borrow_mut();
            ending.retain(|group| group.has_members());
            ending.extend(groups.iter().cloned());
        }
        let drain_time = self.drain_time;
        self.tasks.spawn(async move {
            let all_closed = async {
                for group in &groups {
                    group.phase.closed().await;
                }
            };
            if tokio::time::timeout(drain_time, all_closed).await.is_err() {
                for group in &groups {
                    group.advance(Phase::Forced);
                }
            }
        });
    }

    /// Ends all connections: gracefully first, at once after `deadline`.
    pub(super) async fn drain(&self, deadline: Duration) {
        self.advance(Phase::Draining);
        if tokio::time::timeout(deadline, self.all_closed()).await.is_err() {
            self.advance(Phase::Forced);
            // Forced connections need one turn each to report their end.
            let _ = tokio::time::timeout(Duration::from_millis(250), self.all_closed()).await;
        }
    }

    fn advance(&self, phase: Phase) {
        // Those who join from now on begin with this phase.
        self.opening.advance(phase);
        for group in self.by_chain.borrow().values() {
            group.advance(phase);
        }
        for group in &*self.ending.borrow() {
            group.advance(phase);
        }
    }

    /// Until nobody is left, those included who join meanwhile.
    async fn all_closed(&self) {
        while let Some(group) = self.one_with_members() {
            group.phase.closed().await;
        }
    }

    fn one_with_members(&self) -> Option<Rc<Group>> {
        let by_chain = self.by_chain.borrow();
        let ending = self.ending.borrow();
        let mut all = std::iter::once(&self.opening).chain(by_chain.values()).chain(&*ending);
        all.find(|group| group.has_members()).cloned()
    }
}

impl Group {
    fn new(phase: Phase) -> Rc<Self> {
        Rc::new(Self { phase: watch::Sender::new(phase) })
    }

    fn has_members(&self) -> bool {
        self.phase.receiver_count() > 0
    }

    /// Phases only rise.
    fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let rises = *now < phase;
            *now = phase.max(*now);
            rises
        });
    }
}

/// The chain of the listener that takes the same connections, if open connections of the older one may use it.
pub(crate) fn successor<'a>(snapshot: &'a Snapshot, listener: ListenerSlot, chain: &FilterChain) -> Option<&'a Arc<FilterChain>> {
    let hash = lifetime_hash(chain);
    chains(snapshot, listener).find(|now| now.name == chain.name && lifetime_hash(now) == hash)
}

fn lives_on(snapshot: &Snapshot, key: &Key) -> bool {
    chains(snapshot, key.listener).any(|chain| chain.name == key.chain && lifetime_hash(chain) == key.hash)
}

fn chains(snapshot: &Snapshot, listener: ListenerSlot) -> impl Iterator<Item = &Arc<FilterChain>> {
    snapshot.listener(listener).into_iter().flat_map(|listener| listener.chains.iter().chain(&listener.default_chain))
}

/// HTTP settings are taken over by open connections, request by request; all else about a chain is not: what it takes,
/// its TLS, its network filters.
fn lifetime_hash(chain: &FilterChain) -> u64 {
    match (&chain.terminal, chain.filters.is_empty()) {
        (Terminal::Http(_), true) => chain.entry_hash,
        _ => chain.hash,
    }
}

#[cfg(test)]
mod tests;
