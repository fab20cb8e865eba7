//! Incremental xDS (delta), without I/O: the server's and the client's half of one stream.
//!
//! The rules are those of "Incremental xDS" on Envoy's protocol page: changes and removals by name, one nonce a response, subscriptions that come and go,
//! and a first request that says what the client kept from the stream before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as WireResource};
use mesh_proto::google::rpc::Status;
use mesh_proto::type_url;

use super::detail;
use super::ledger::Name;
use super::provider::{Limits, Provider, Variant, Violation, rank};
use super::{Event, Interest, Rejection, Resource, Sink, Snapshot, Update};

/// Subscribes to everything.
pub(super) const WILDCARD: &str = "*";

/// The server's half of a stream.
#[derive(Debug)]
pub(super) struct Server {
    provider: Provider,
}

impl Server {
    pub(super) fn new(limits: Limits) -> Self {
        Self { provider: Provider::new(Variant::Delta, limits) }
    }

    pub(super) fn announce_revisions(&mut self) {
        self.provider.announce_revisions();
    }

    pub(super) fn feed(&mut self, snapshot: Arc<Snapshot>) {
        self.provider.feed(snapshot);
    }

    /// Takes a request: an ACK, a NACK, a change of subscriptions, or several of them at once.
    pub(super) fn request(&mut self, request: DeltaDiscoveryRequest) -> Result<Vec<Event>, Violation> {
        let (type_url, _, first) = self.provider.entry(&request.type_url)?;
        let mut events = Vec::new();
        if !request.response_nonce.is_empty() {
            let refusal = request.error_detail.as_ref().map(|status| (status.message.clone(), detail::culprits(status)));
            events.extend(self.provider.settle(&type_url, &request.response_nonce, refusal));
        }
        self.provider.check(&type_url, request.initial_resource_versions.len())?;
        let warming = if first && *type_url == *type_url::ENDPOINT { self.provider.take_warming() } else { BTreeSet::new() };
        let (type_url, kind, _) = self.provider.entry(&request.type_url)?;
        let ledger = &mut kind.ledger;
        // What the client kept from the stream before counts at its first word only.
        let resumed =
            request.initial_resource_versions.into_iter().filter(|_| first).map(|(name, version)| (Name::from(name), version.into()));
        let resumed: BTreeMap<Name, Arc<str>> = resumed.collect();
        // A first request that names nothing means everything: how it was before `*`, and still Envoy's way with listeners and clusters.
        if first && request.resource_names_subscribe.is_empty() {
            ledger.subscribe_all();
        }
        // Before what is given up, so that what passes from one kind of subscription to the other is not forgotten in between.
        for name in &request.resource_names_subscribe {
            if name == WILDCARD {
                ledger.subscribe_all();
            } else {
                ledger.subscribe(name.as_str().into(), resumed.contains_key(name.as_str()));
            }
        }
        for name in &request.resource_names_unsubscribe {
            if name == WILDCARD { ledger.unsubscribe_all() } else { ledger.unsubscribe(&name.as_str().into()) }
        }
        if first {
            let (wildcard, names) = (ledger.wildcard(), ledger.names().clone());
            ledger.force(resumed.keys().filter(|name| warming.contains(*name)).cloned());
            ledger.resume(resumed.into_iter().filter(|(name, _)| wildcard || names.contains(name)));
        }
        let names = ledger.names().len();
        if first || !request.resource_names_subscribe.is_empty() || !request.resource_names_unsubscribe.is_empty() {
            kind.touch();
            events.push(Event::Subscribed { type_url: type_url.clone(), interest: kind.interest() });
        }
        self.provider.check(&type_url, names)?;
        Ok(events)
    }

    /// What the last look found to be current.
    pub(super) fn take_current(&mut self) -> Vec<Event> {
        self.provider.take_current()
    }

    /// The next response, if there is anything to say.
    pub(super) fn poll(&mut self) -> Option<(DeltaDiscoveryResponse, Event)> {
        let answer = self.provider.poll()?;
        let event = Event::Sent {
            type_url: answer.type_url.clone(),
            revision: answer.revision.clone(),
            resources: answer.resources.len(),
            removed: answer.removed.len(),
        };
        let resources = answer.resources.into_iter().map(|resource| WireResource {
            name: resource.name.to_string(),
            version: resource.version.to_string(),
            resource: Some(resource.body.as_ref().clone()),
            ..WireResource::default()
        });
        let response = DeltaDiscoveryResponse {
            system_version_info: answer.revision.to_string(),
            resources: resources.collect(),
            type_url: answer.type_url.to_string(),
            removed_resources: answer.removed.iter().map(ToString::to_string).collect(),
            nonce: answer.nonce,
            ..DeltaDiscoveryResponse::default()
        };
        Some((response, event))
    }
}

/// The client's half: outlives streams, so that a new one resumes where the last ended.
#[derive(Debug)]
pub(super) struct Client {
    node: Node,
    /// Whether this stream has carried the node.
    introduced: bool,
    types: BTreeMap<Arc<str>, Type>,
    receipts: VecDeque<Receipt>,
}

#[derive(Debug)]
struct Type {
    interest: Interest,
    /// Accepted, by version. Survives streams.
    held: BTreeMap<Name, Arc<str>>,
    /// What the server of this stream has been told; `None` before the first request.
    told: Option<Interest>,
    /// What was wanted all the time since then. A name that was given up and is wanted again must be asked for again, or it would not come.
    kept: Interest,
    /// Whether this stream has brought an answer.
    answered: bool,
}

/// The acknowledgement of one response.
#[derive(Debug)]
struct Receipt {
    type_url: Arc<str>,
    nonce: String,
    error: Option<Status>,
}

impl Client {
    pub(super) fn new(node: Node) -> Self {
        Self { node, introduced: false, types: BTreeMap::new(), receipts: VecDeque::new() }
    }

    /// A new stream: the server knows nothing.
    pub(super) fn connected(&mut self) {
        self.introduced = false;
        self.receipts.clear();
        for kind in self.types.values_mut() {
            kind.told = None;
            kind.kept = kind.interest.clone();
            kind.answered = false;
        }
    }

    pub(super) fn subscribe(&mut self, type_url: &Arc<str>, interest: Interest) {
        match self.types.get_mut(type_url) {
            Some(kind) => {
                kind.held.retain(|name, _| interest.wants(name));
                kind.kept = kind.kept.intersection(&interest);
                kind.interest = interest;
            }
            None => {
                let kept = interest.clone();
                self.types.insert(type_url.clone(), Type { interest, held: BTreeMap::new(), told: None, kept, answered: false });
            }
        }
    }

    /// The next request, if there is anything to say: receipts first, then subscriptions in the order in which answers are sent.
    pub(super) fn poll(&mut self) -> Option<DeltaDiscoveryRequest> {
        let mut request = match self.receipts.pop_front() {
            Some(receipt) => DeltaDiscoveryRequest {
                type_url: receipt.type_url.to_string(),
                response_nonce: receipt.nonce,
                error_detail: receipt.error,
                ..DeltaDiscoveryRequest::default()
            },
            None => self.subscription()?,
        };
        if !std::mem::replace(&mut self.introduced, true) {
            request.node = Some(self.node.clone());
        }
        Some(request)
    }

    fn subscription(&mut self) -> Option<DeltaDiscoveryRequest> {
        let news = |kind: &Type| match &kind.told {
            // An empty first request would mean everything.
            None => !kind.interest.wants_nothing(),
            Some(told) => *told != kind.interest || !kind.kept.includes(&kind.interest),
        };
        let (type_url, kind) = self.types.iter_mut().filter(|(_, kind)| news(kind)).min_by_key(|(url, _)| rank(url))?;
        // What was given up meanwhile, and is wanted again, is unsubscribed in this request and subscribed in the next.
        let wanted = match &kind.told {
            Some(told) if !kind.kept.includes(&told.intersection(&kind.interest)) => kind.kept.intersection(&kind.interest),
            _ => kind.interest.clone(),
        };
        let nothing = Interest::Names(BTreeSet::new());
        let (subscribe, unsubscribe) = difference(kind.told.as_ref().unwrap_or(&nothing), &wanted);
        let mut request = DeltaDiscoveryRequest {
            type_url: type_url.to_string(),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            ..DeltaDiscoveryRequest::default()
        };
        if kind.told.is_none() {
            request.initial_resource_versions = kind.held.iter().map(|(name, version)| (name.to_string(), version.to_string())).collect();
        }
        kind.told = Some(wanted);
        kind.kept = kind.interest.clone();
        Some(request)
    }

    /// Takes a response: hands it to the sink and queues its receipt. What is no longer wanted is acknowledged and not handed over.
    pub(super) fn response(&mut self, response: DeltaDiscoveryResponse, sink: &mut dyn Sink) {
        let Some((type_url, kind)) = self.types.iter_mut().find(|(url, _)| ***url == *response.type_url) else {
            tracing::debug!(type_url = response.type_url, "answer for a type that was never asked for");
            return;
        };
        let mut rejections = Vec::new();
        let mut offered: BTreeMap<Name, Arc<str>> = BTreeMap::new();
        let mut upserts = Vec::new();
        for wire in response.resources {
            let name: Name = wire.name.into();
            if !kind.interest.wants(&name) {
                continue;
            }
            let Some(body) = wire.resource else {
                // A heartbeat of a resource with a time to live carries no body.
                if kind.held.get(&name).is_none_or(|version| **version != *wire.version) {
                    rejections.push(Rejection { name, reason: "resource: missing, and this version is not held".into() });
                }
                continue;
            };
            let resource = Resource::with_version(name.clone(), wire.version, body);
            if offered.insert(name.clone(), resource.version.clone()).is_some() {
                rejections.push(Rejection { name, reason: "occurs twice in one response".into() });
            } else {
                upserts.push(resource);
            }
        }
        let removed = response.removed_resources.into_iter().map(Name::from);
        let removed: Vec<Name> = removed.filter(|name| kind.interest.wants(name) && !offered.contains_key(name)).collect();
        for name in &removed {
            kind.held.remove(name);
        }
        let first = !std::mem::replace(&mut kind.answered, true);
        let revision = response.system_version_info.parse().ok();
        rejections.extend(sink.apply(Update { type_url: type_url.clone(), revision, upserts, removed, first }));
        let refused: BTreeSet<&Name> = rejections.iter().map(|rejection| &rejection.name).collect();
        kind.held.extend(offered.into_iter().filter(|(name, _)| !refused.contains(name)));
        let error = (!rejections.is_empty()).then(|| detail::refusal(&rejections));
        self.receipts.push_back(Receipt { type_url: type_url.clone(), nonce: response.nonce, error });
    }
}

/// What to subscribe and unsubscribe to get from one interest to the other.
fn difference(told: &Interest, wanted: &Interest) -> (Vec<String>, Vec<String>) {
    let text = |names: &BTreeSet<Name>| names.iter().map(ToString::to_string).collect();
    let all = || vec![WILDCARD.to_owned()];
    match (told, wanted) {
        (Interest::All, Interest::All) => (Vec::new(), Vec::new()),
        (Interest::All, Interest::Names(names)) => (text(names), all()),
        (Interest::Names(names), Interest::All) => (all(), text(names)),
        (Interest::Names(old), Interest::Names(new)) => {
            (new.difference(old).map(ToString::to_string).collect(), old.difference(new).map(ToString::to_string).collect())
        }
    }
}
