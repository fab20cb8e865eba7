//! The server side of a stream that both protocol variants share: types, snapshots, order, and one response in flight per type.
//!
//! Sans-I/O: [`Provider::poll`] says what to send next. Newer snapshots that arrive while a response is in flight are coalesced: the next response is made
//! from the newest. Types do not wait for one another (Envoy withholds the ACK of clusters until their endpoints are there), but are sent in an order in
//! which nothing refers to what is not there yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_proto::type_url;

use super::detail;
use super::ledger::{Change, Ledger, Name, Settled};
use super::{Event, Interest, Resource, Resources, Snapshot};

/// Bounds on what one stream may make the server remember.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Names that a client may subscribe to, per type.
    pub names: usize,
    /// Types on one stream.
    pub types: usize,
    /// Bytes of one request; a larger one ends the stream.
    pub request: usize,
    /// Bytes of one response.
    pub response: usize,
}

impl Default for Limits {
    /// 100 000 names, 64 types, requests of 4 MiB, responses of 64 MiB.
    fn default() -> Self {
        Self { names: 100_000, types: 64, request: 4 << 20, response: 64 << 20 }
    }
}

/// A request that ends the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A request without a type.
    #[error("type_url is empty: on an aggregated stream every request names its type")]
    NoType,
    /// The first request does not say who the client is.
    #[error("node is missing: the first request on a stream must carry it")]
    NoNode,
    /// The client's name for itself is no name.
    #[error("node.{field} has more than {limit} bytes")]
    Node {
        /// `id` or `cluster`.
        field: &'static str,
        /// The bound.
        limit: usize,
    },
    /// Too many types.
    #[error("more than {limit} resource types on one stream")]
    Types {
        /// The bound.
        limit: usize,
    },
    /// Too many names.
    #[error("more than {limit} names subscribed for {type_url}")]
    Names {
        /// The type.
        type_url: Arc<str>,
        /// The bound.
        limit: usize,
    },
}

/// How the variants differ in what they send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    /// Changes and removals.
    Delta,
    /// Full sets of listeners, clusters and wildcards, where absence removes; changed resources of the other types, where it does not.
    Sotw,
}

/// What to send.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) type_url: Arc<str>,
    pub(super) nonce: String,
    pub(super) revision: Arc<str>,
    pub(super) resources: Vec<Resource>,
    pub(super) removed: Vec<Name>,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Provider {
    variant: Variant,
    announce: bool,
    limits: Limits,
    snapshot: Option<Arc<Snapshot>>,
    /// With `announce`, the snapshot that waits until all types have acknowledged the current one.
    next: Option<Arc<Snapshot>>,
    types: BTreeMap<Arc<str>, Type>,
    /// Clusters that were sent before the client asked for endpoints: it warms them, and waits.
    warming: BTreeSet<Name>,
    nonces: u64,
    /// Types that were looked at and had nothing to send, since the last [`Provider::take_current`].
    current: Vec<Event>,
}

/// One subscribed type.
#[derive(Debug, Default)]
pub(super) struct Type {
    pub(super) ledger: Ledger,
    /// The nonce of the newest response; empty before the first.
    pub(super) nonce: String,
    answered: bool,
    /// State of the world: names have been given, so that none no longer means all.
    pub(super) explicit: bool,
    announced: Option<Arc<str>>,
    /// Something happened since the last look.
    dirty: bool,
}

impl Type {
    pub(super) fn interest(&self) -> Interest {
        if self.ledger.wildcard() { Interest::All } else { Interest::Names(self.ledger.names().clone()) }
    }

    pub(super) fn touch(&mut self) {
        self.dirty = true;
    }
}

impl Provider {
    pub(super) fn new(variant: Variant, limits: Limits) -> Self {
        Self {
            variant,
            announce: false,
            limits,
            snapshot: None,
            next: None,
            types: BTreeMap::new(),
            warming: BTreeSet::new(),
            nonces: 0,
            current: Vec::new(),
        }
    }

    pub(super) fn announce_revisions(&mut self) {
        self.announce = true;
    }

    /// A newer snapshot. Not being ready any more (`None`) keeps the last.
    pub(super) fn feed(&mut self, snapshot: Arc<Snapshot>) {
        self.next = Some(snapshot);
        self.advance();
    }

    /// The type of a request, and whether this is its first on the stream.
    pub(super) fn entry(&mut self, type_url: &str) -> Result<(Arc<str>, &mut Type, bool), Violation> {
        if type_url.is_empty() {
            return Err(Violation::NoType);
        }
        let known = self.types.get_key_value(type_url).map(|(name, _)| name.clone());
        let first = known.is_none();
        if first && self.types.len() >= self.limits.types {
            return Err(Violation::Types { limit: self.limits.types });
        }
        let type_url = known.unwrap_or_else(|| type_url.into());
        Ok((type_url.clone(), self.types.entry(type_url).or_default(), first))
    }

    /// The clusters whose endpoints are due to a client that asks for endpoints now, whatever it says it holds.
    pub(super) fn take_warming(&mut self) -> BTreeSet<Name> {
        std::mem::take(&mut self.warming)
    }

    pub(super) fn check(&self, type_url: &Arc<str>, names: usize) -> Result<(), Violation> {
        let limit = self.limits.names;
        if names > limit { Err(Violation::Names { type_url: type_url.clone(), limit }) } else { Ok(()) }
    }

    /// Settles the response in flight.
    pub(super) fn settle(&mut self, type_url: &Arc<str>, nonce: &str, refusal: Option<(String, BTreeSet<Name>)>) -> Option<Event> {
        let kind = self.types.get_mut(type_url)?;
        let (settled, message) = match refusal {
            None => (kind.ledger.ack(nonce), String::new()),
            Some((mut message, culprits)) => {
                detail::truncate(&mut message, detail::MAX_MESSAGE);
                (kind.ledger.nack(nonce, &culprits), message)
            }
        };
        kind.dirty = true;
        let type_url = type_url.clone();
        let event = match settled {
            Settled::Stale => return None,
            Settled::Acked { revision } => Event::Ack { type_url, revision },
            Settled::Refused { revision, names } => Event::Nack { type_url, revision, message, names },
        };
        self.advance();
        Some(event)
    }

    /// What was found to be current by [`Provider::poll`]: to be asked for after each, so at most one event a type is kept.
    pub(super) fn take_current(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.current)
    }

    /// What to send next, if anything.
    pub(super) fn poll(&mut self) -> Option<Answer> {
        self.advance();
        let snapshot = self.snapshot.clone()?;
        let mut order: Vec<Arc<str>> =
            self.types.iter().filter(|(_, kind)| kind.dirty && !kind.ledger.in_flight()).map(|(url, _)| url.clone()).collect();
        order.sort_by_key(|url| rank(url));
        for type_url in order {
            if let Some(answer) = self.answer(&type_url, &snapshot) {
                self.repeat_endpoints(&answer, &snapshot);
                return Some(answer);
            }
        }
        None
    }

    fn answer(&mut self, type_url: &Arc<str>, snapshot: &Snapshot) -> Option<Answer> {
        let kind = self.types.get_mut(type_url)?;
        kind.dirty = false;
        let revision: Arc<str> = snapshot.revision.as_str().into();
        if kind.ledger.wants_nothing() {
            self.current.push(Event::Current { type_url: type_url.clone(), revision });
            return None;
        }
        let empty = Resources::new();
        let current = snapshot.types.get(type_url).map_or(&empty, |resources| resources);
        let full = self.variant == Variant::Sotw && is_full(type_url, kind.ledger.wildcard());
        let mut changes = kind.ledger.changes(current, snapshot.uncertain.get(type_url));
        if self.variant == Variant::Sotw && !full {
            // Absence cannot be said here.
            let (kept, absent): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| matches!(change, Change::Upsert(_)));
            kind.ledger.assume(&absent);
            changes = kept;
        }
        let must = (!kind.answered && (kind.ledger.wildcard() || full)) || (self.announce && kind.announced.as_ref() != Some(&revision));
        if changes.is_empty() && !must {
            self.current.push(Event::Current { type_url: type_url.clone(), revision });
            return None;
        }
        if full {
            let names: BTreeSet<Name> = changes.iter().map(|change| change.name().clone()).collect();
            let rest = kind.ledger.everything(current).into_iter().filter(|resource| !names.contains(&resource.name));
            changes.extend(rest.map(Change::Upsert));
        }
        self.nonces += 1;
        let nonce = self.nonces.to_string();
        kind.ledger.offer(nonce.clone(), revision.clone(), &changes);
        kind.nonce.clone_from(&nonce);
        kind.answered = true;
        kind.announced = Some(revision.clone());
        let (mut resources, mut removed) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Upsert(resource) => resources.push(resource),
                Change::Remove(name) => removed.push(name),
            }
        }
        Some(Answer { type_url: type_url.clone(), nonce, revision, resources, removed })
    }

    /// Envoy warms a cluster that it is sent, changed or not, and waits for its endpoints even if it has them. So the endpoints of every cluster in the answer
    /// follow it, and those that no cluster's name explains (`service_name`), for they may be meant.
    fn repeat_endpoints(&mut self, answer: &Answer, snapshot: &Snapshot) {
        if &*answer.type_url != type_url::CLUSTER || answer.resources.is_empty() {
            return;
        }
        let Some(endpoints) = self.types.get_mut(type_url::ENDPOINT) else {
            self.warming.extend(answer.resources.iter().map(|cluster| cluster.name.clone()));
            return;
        };
        let sent: BTreeSet<&Name> = answer.resources.iter().map(|cluster| &cluster.name).collect();
        let unchanged = |name: &Name| !sent.contains(name) && snapshot.resource(type_url::CLUSTER, name).is_some();
        let mut again: Vec<Name> = endpoints.ledger.names().iter().filter(|name| !unchanged(name)).cloned().collect();
        if endpoints.ledger.wildcard()
            && let Some(current) = snapshot.resources(type_url::ENDPOINT)
        {
            again.extend(current.keys().filter(|name| !unchanged(name)).cloned());
        }
        endpoints.ledger.force(again);
        endpoints.dirty = true;
    }

    /// Takes the waiting snapshot over, at once, or when the round of the current one is complete.
    fn advance(&mut self) {
        let revision = self.snapshot.as_ref().map(|snapshot| snapshot.revision.as_str());
        let open = |kind: &Type| kind.ledger.in_flight() || (!kind.ledger.wants_nothing() && kind.announced.as_deref() != revision);
        if self.announce && revision.is_some() && self.types.values().any(open) {
            return;
        }
        let Some(next) = self.next.take() else { return };
        let previous = self.snapshot.replace(next.clone());
        for (type_url, kind) in &mut self.types {
            let before = previous.as_ref().and_then(|snapshot| snapshot.types.get(type_url));
            let same = match (before, next.types.get(type_url)) {
                (Some(before), Some(now)) => Arc::ptr_eq(before, now),
                _ => false,
            };
            kind.dirty |= self.announce || !same;
        }
    }
}

/// Whether a state-of-the-world response of this type is the full set, so that absence means removal. By Envoy's protocol page: listeners and clusters; we
/// extend it to whatever is subscribed to as a whole, as Istio's MCP does.
pub(super) fn is_full(type_url: &str, wildcard: bool) -> bool {
    wildcard || matches!(type_url, type_url::LISTENER | type_url::CLUSTER)
}

/// Istio's push order (`PushOrder` of its discovery server): what is referred to goes before what refers to it, as far as Envoy allows.
pub(super) fn rank(type_url: &str) -> usize {
    [type_url::CLUSTER, type_url::ENDPOINT, type_url::LISTENER, type_url::ROUTE, type_url::SECRET]
        .iter()
        .position(|known| *known == type_url)
        .unwrap_or(usize::MAX)
}
