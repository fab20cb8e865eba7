//! Who is connected, what each proxy was sent and what it acknowledged: for `proxy-status`, metrics and the live view.
//!
//! A proxy has converged when it has acknowledged every type in which the last push changed something that it subscribes to.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use mesh_runtime::xds::{Event, Interest, Snapshot};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    metrics::{Metrics, short},
    scope::ProxyScope,
};

/// As many snapshots of a proxy are told apart; an acknowledgement of an older one counts for nothing.
const REMEMBERED: usize = 32;

/// All connected proxies.
#[derive(Clone)]
pub struct Status {
    table: Arc<Mutex<Table>>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Table {
    next: u64,
    proxies: BTreeMap<u64, Proxy>,
    push: Option<Push>,
}

/// One connection.
struct Proxy {
    id: String,
    scope: ProxyScope,
    peer: String,
    since: SystemTime,
    interests: BTreeMap<Arc<str>, Interest>,
    types: BTreeMap<Arc<str>, Acknowledged>,
    /// Snapshots fed, oldest first: revision and sequence number.
    fed: VecDeque<(String, u64)>,
    sequence: u64,
    /// Types with unacknowledged changes, and the snapshot that must be acknowledged.
    pending: BTreeMap<Arc<str>, u64>,
    /// The push that is being waited for: its revision and when it began.
    push: Option<(String, Instant)>,
    converged: Option<Duration>,
}

#[derive(Default)]
struct Acknowledged {
    sent: String,
    acked: String,
    nacks: u64,
    nack: Option<String>,
}

/// The last push to all.
struct Push {
    revision: String,
    began: Instant,
    /// Every scope's snapshot has been handed to its streams.
    out: bool,
    converged: Option<Duration>,
}

/// A proxy's row in the table; dropped by [`Status::observe`] when the stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl Status {
    /// Nobody.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { table: Arc::default(), metrics }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A proxy has connected.
    pub fn connected(&self, id: &str, scope: &ProxyScope, peer: String) -> ConnectionId {
        let mut table = self.table();
        let key = table.next;
        table.next += 1;
        let proxy = Proxy {
            id: id.to_owned(),
            scope: scope.clone(),
            peer,
            since: SystemTime::now(),
            interests: BTreeMap::new(),
            types: BTreeMap::new(),
            fed: VecDeque::new(),
            sequence: 0,
            pending: BTreeMap::new(),
            push: None,
            converged: None,
        };
        table.proxies.insert(key, proxy);
        self.metrics.set_connected(table.proxies.len());
        ConnectionId(key)
    }

    /// A new World is about to be pushed to everybody.
    pub fn begin(&self, revision: &str, began: Instant) {
        self.metrics.triggered("config");
        self.table().push = Some(Push { revision: revision.to_owned(), began, out: false, converged: None });
    }

    /// All snapshots of the push are out; who had nothing to change has converged already.
    pub fn finish(&self) {
        let mut table = self.table();
        if let Some(push) = &mut table.push {
            push.out = true;
        }
        table.conclude();
    }

    /// Proxies of this scope are fed `next` in place of `before`.
    pub fn fed(&self, scope: &ProxyScope, before: Option<&Snapshot>, next: &Snapshot) {
        let mut table = self.table();
        let push = table.push.as_ref().map(|push| (push.revision.clone(), push.began));
        for proxy in table.proxies.values_mut().filter(|proxy| proxy.scope == *scope) {
            proxy.feed(before, next);
            proxy.push.clone_from(&push);
        }
    }

    /// A proxy that has just connected is fed its first snapshot.
    pub fn welcomed(&self, connection: ConnectionId, snapshot: &Snapshot) {
        if let Some(proxy) = self.table().proxies.get_mut(&connection.0) {
            proxy.feed(None, snapshot);
        }
    }

    /// Takes note of what happens on a stream.
    pub fn observe(&self, connection: ConnectionId, event: Event) {
        let mut table = self.table();
        match event {
            Event::Closed => {
                table.proxies.remove(&connection.0);
                self.metrics.set_connected(table.proxies.len());
            }
            event => {
                if let Some(proxy) = table.proxies.get_mut(&connection.0) {
                    proxy.observe(event, &self.metrics);
                }
            }
        }
        table.conclude();
    }

    /// Every proxy with its types: `/debug/syncz`.
    pub fn syncz(&self) -> Value {
        let table = self.table();
        let last_push = table.push.as_ref().map(|push| {
            json!({
                "revision": push.revision,
                "proxies": table.proxies.len(),
                "waiting": table.proxies.values().filter(|proxy| !proxy.pending.is_empty()).count(),
                "converged_ms": push.converged.map(milliseconds),
                "ago_ms": milliseconds(push.began.elapsed()),
            })
        });
        json!({ "last_push": last_push, "proxies": table.proxies.values().map(Proxy::to_json).collect::<Vec<_>>() })
    }

    /// The ids and scopes of the connected proxies.
    pub fn scopes(&self) -> Vec<(String, ProxyScope)> {
        self.table().proxies.values().map(|proxy| (proxy.id.clone(), proxy.scope.clone())).collect()
    }
}

impl Table {
    /// Once nobody is waited for, the push is over.
    fn conclude(&mut self) {
        let waiting = self.proxies.values().any(|proxy| !proxy.pending.is_empty());
        if let Some(push) = self.push.as_mut().filter(|push| push.out && push.converged.is_none() && !waiting) {
            push.converged = Some(push.began.elapsed());
        }
    }
}

impl Proxy {
    fn feed(&mut self, before: Option<&Snapshot>, next: &Snapshot) {
        self.sequence += 1;
        self.fed.push_back((next.revision.to_string(), self.sequence));
        if self.fed.len() > REMEMBERED {
            self.fed.pop_front();
        }
        for type_url in self.interests.keys() {
            let (old, new) = (before.and_then(|before| before.resources(type_url)), next.resources(type_url));
            let interest = self.interests.get(type_url);
            let changed = |name: &Arc<str>| {
                let version =
                    |list: Option<&Arc<mesh_runtime::xds::Resources>>| list.and_then(|list| list.get(name)).map(|r| r.version.clone());
                version(old) != version(new)
            };
            let names = old.into_iter().chain(new).flat_map(|list| list.keys());
            let mut wanted = names.filter(|name| match interest {
                Some(Interest::Names(names)) => names.contains(*name),
                _ => true,
            });
            if wanted.any(changed) {
                self.pending.insert(type_url.clone(), self.sequence);
            }
        }
    }

    fn observe(&mut self, event: Event, metrics: &Metrics) {
        match event {
            Event::Subscribed { type_url, interest } => {
                self.interests.insert(type_url, interest);
            }
            Event::Sent { type_url, revision, .. } => {
                metrics.pushed(&type_url);
                self.types.entry(type_url).or_default().sent = revision.to_string();
            }
            Event::Ack { type_url, revision } => {
                let seen = self.types.entry(type_url.clone()).or_default();
                seen.acked = revision.to_string();
                seen.nack = None;
                self.settled(&type_url, &revision, metrics);
            }
            Event::Current { type_url, revision } => self.settled(&type_url, &revision, metrics),
            Event::Nack { type_url, revision, message, names } => {
                metrics.rejected(&type_url);
                tracing::error!(proxy = self.id, %type_url, ?names, message, "a proxy refused configuration; it keeps its last good one");
                let seen = self.types.entry(type_url.clone()).or_default();
                seen.nacks += 1;
                seen.nack = Some(message);
                // It has answered; waiting longer for it would tell nothing.
                self.settled(&type_url, &revision, metrics);
            }
            _ => {}
        }
    }

    fn settled(&mut self, type_url: &Arc<str>, revision: &str, metrics: &Metrics) {
        let Some(sequence) = self.fed.iter().rev().find(|(fed, _)| fed == revision).map(|(_, sequence)| *sequence) else { return };
        if self.pending.get(type_url).is_some_and(|needed| *needed <= sequence) {
            self.pending.remove(type_url);
            if self.pending.is_empty()
                && let Some((_, began)) = self.push.take()
            {
                let took = began.elapsed();
                self.converged = Some(took);
                metrics.converged(took);
            }
        }
    }

    fn to_json(&self) -> Value {
        let types: BTreeMap<&str, Value> = self
            .types
            .iter()
            .map(|(type_url, seen)| {
                let state = match (&seen.nack, seen.sent == seen.acked) {
                    (Some(_), _) => "NACKED",
                    (None, true) => "SYNCED",
                    (None, false) => "STALE",
                };
                let row = json!({ "state": state, "sent": seen.sent, "acked": seen.acked, "nacks": seen.nacks, "error": seen.nack });
                (short(type_url), row)
            })
            .collect();
        let since = self.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        json!({
            "proxy": self.id,
            "client": self.scope.client.to_string(),
            "namespace": self.scope.namespace.to_string(),
            "service_account": self.scope.service_account.to_string(),
            "peer": self.peer,
            "connected_since": since,
            "revision": self.fed.back().map(|(revision, _)| revision),
            "waiting_for": self.pending.keys().map(|type_url| short(type_url)).collect::<Vec<_>>(),
            "converged_ms": self.converged.map(milliseconds),
            "types": types,
        })
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
