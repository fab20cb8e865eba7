//! State-of-the-world xDS, without I/O: the server's and the client's half of one stream.
//!
//! Here a request repeats all names it wants, and answers the newest response by nonce; a request with an older nonce is void, since another will follow. A
//! response of listeners, clusters, or a wildcard is the full set, and absence removes; of other types it carries what changed, and absence says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_proto::any;
use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse, Resource as Wrapped};
use mesh_proto::google::protobuf::Any;
use mesh_proto::google::rpc::Status;
use mesh_proto::type_url;
use prost::Message;

use super::detail;
use super::ledger::Name;
use super::provider::{Limits, Provider, Variant, Violation, is_full, rank};
use super::state::WILDCARD;
use super::{Event, Interest, Rejection, Resource, Sink, Snapshot, Update};

/// The server's half of a stream.
#[derive(Debug)]
pub(super) struct Server {
    provider: Provider,
}

impl Server {
    pub(super) fn new(limits: Limits) -> Self {
        Self { provider: Provider::new(Variant::Sotw, limits) }
    }

    pub(super) fn announce_revisions(&mut self) {
        self.provider.announce_revisions();
    }

    pub(super) fn feed(&mut self, snapshot: Arc<Snapshot>) {
        self.provider.feed(snapshot);
    }

    /// Takes a request: an ACK, a NACK, other names, or several of them at once.
    pub(super) fn request(&mut self, request: DiscoveryRequest) -> Result<Vec<Event>, Violation> {
        let (type_url, kind, first) = self.provider.entry(&request.type_url)?;
        // A client that comes back may still write the nonce of a former stream.
        if !first && request.response_nonce != kind.nonce {
            return Ok(Vec::new());
        }
        let mut events = Vec::new();
        if !first {
            let refusal = request.error_detail.as_ref().map(|status| (status.message.clone(), detail::culprits(status)));
            events.extend(self.provider.settle(&type_url, &request.response_nonce, refusal));
        }
        self.provider.check(&type_url, request.resource_names.len())?;
        let (type_url, kind, _) = self.provider.entry(&request.type_url)?;
        let ledger = &mut kind.ledger;
        let named: BTreeSet<Name> =
            request.resource_names.iter().filter(|name| *name != WILDCARD).map(|name| name.as_str().into()).collect();
        // Naming nothing means everything, until something has been named.
        let legacy = request.resource_names.is_empty() && (first || (ledger.wildcard() && ledger.names().is_empty() && !kind.explicit));
        kind.explicit |= !request.resource_names.is_empty();
        let wildcard = legacy || named.len() < request.resource_names.iter().collect::<BTreeSet<_>>().len();
        let before = (ledger.wildcard(), ledger.names().clone());
        if wildcard {
            ledger.subscribe_all();
        }
        for name in before.1.difference(&named) {
            ledger.unsubscribe(name);
        }
        for name in named.difference(&before.1) {
            ledger.subscribe(name.clone(), false);
        }
        if before.0 && !wildcard {
            ledger.unsubscribe_all();
        }
        if first || before != (wildcard, named) {
            kind.touch();
            events.push(Event::Subscribed { type_url, interest: kind.interest() });
        }
        Ok(events)
    }

    /// What the last look found to be current.
    pub(super) fn take_current(&mut self) -> Vec<Event> {
        self.provider.take_current()
    }

    /// The next response, if there is anything to say.
    pub(super) fn poll(&mut self) -> Option<(DiscoveryResponse, Event)> {
        let answer = self.provider.poll()?;
        let event = Event::Sent {
            type_url: answer.type_url.clone(),
            revision: answer.revision.clone(),
            resources: answer.resources.len(),
            removed: answer.removed.len(),
        };
        let response = DiscoveryResponse {
            version_info: answer.revision.to_string(),
            resources: answer.resources.iter().map(|resource| resource.body.as_ref().clone()).collect(),
            type_url: answer.type_url.to_string(),
            nonce: answer.nonce,
            ..DiscoveryResponse::default()
        };
        Some((response, event))
    }
}

/// The client's half: outlives streams.
#[derive(Debug)]
pub(super) struct Client {
    node: Node,
    introduced: bool,
    types: BTreeMap<Arc<str>, Type>,
}

#[derive(Debug)]
struct Type {
    interest: Interest,
    /// Accepted, by content hash. Survives streams.
    held: BTreeMap<Name, Arc<str>>,
    /// The last accepted `version_info`. Survives streams.
    version: String,
    /// The newest response's nonce; of this stream.
    nonce: String,
    /// What the server of this stream has been told; `None` before the first request.
    told: Option<Interest>,
    /// What was wanted all the time since then. A name that was given up and is wanted again must be left out of one request, or it would not come.
    kept: Interest,
    /// What the requests wanted that followed the newest response, all of them and any of them: the server ignores those that its next response crosses.
    crossed: Option<(Interest, Interest)>,
    /// Whether names were ever sent on this stream, so that an empty list no longer means everything.
    explicit: bool,
    /// Whether an empty list was sent on this stream to mean everything.
    legacy: bool,
    /// A response waits for its ACK, or NACK.
    receipt: Option<Option<Status>>,
    answered: bool,
}

impl Client {
    pub(super) fn new(node: Node) -> Self {
        Self { node, introduced: false, types: BTreeMap::new() }
    }

    /// A new stream: the server knows nothing.
    pub(super) fn connected(&mut self) {
        self.introduced = false;
        for kind in self.types.values_mut() {
            kind.nonce.clear();
            kind.told = None;
            kind.kept = kind.interest.clone();
            kind.crossed = None;
            kind.explicit = false;
            kind.legacy = false;
            kind.receipt = None;
            kind.answered = false;
        }
    }

    pub(super) fn subscribe(&mut self, type_url: &Arc<str>, interest: Interest) {
        if let Some(kind) = self.types.get_mut(type_url) {
            kind.held.retain(|name, _| interest.wants(name));
            kind.kept = kind.kept.intersection(&interest);
            kind.interest = interest;
            return;
        }
        let kind = Type {
            kept: interest.clone(),
            crossed: None,
            interest,
            held: BTreeMap::new(),
            version: String::new(),
            nonce: String::new(),
            told: None,
            explicit: false,
            legacy: false,
            receipt: None,
            answered: false,
        };
        self.types.insert(type_url.clone(), kind);
    }

    /// The next request, if there is anything to say.
    pub(super) fn poll(&mut self) -> Option<DiscoveryRequest> {
        let news = |kind: &Type| match &kind.told {
            // An empty first request would mean everything.
            None => !kind.interest.wants_nothing(),
            Some(told) => kind.receipt.is_some() || *told != kind.interest || !kind.kept.includes(&kind.interest),
        };
        let (type_url, kind) = self.types.iter_mut().filter(|(_, kind)| news(kind)).min_by_key(|(url, _)| rank(url))?;
        // What was given up meanwhile, and is wanted again, is left out of this request and named in the next.
        let wanted = match &kind.told {
            Some(told) if !kind.kept.includes(&told.intersection(&kind.interest)) => kind.kept.intersection(&kind.interest),
            _ => kind.interest.clone(),
        };
        kind.kept = kind.interest.clone();
        let resource_names: Vec<String> = match &wanted {
            Interest::All if kind.explicit => vec![WILDCARD.to_owned()],
            Interest::All => Vec::new(),
            // Where an empty list may still read as "all", nothing must be said with a name.
            Interest::Names(names) if names.is_empty() && kind.legacy => vec![NOTHING.to_owned()],
            Interest::Names(names) => names.iter().map(ToString::to_string).collect(),
        };
        kind.explicit |= !resource_names.is_empty();
        kind.legacy |= wanted == Interest::All && resource_names.is_empty();
        if kind.receipt.is_none() {
            let told = kind.told.as_ref().unwrap_or(&wanted);
            let (all, any) = kind.crossed.take().unwrap_or_else(|| (wanted.clone(), told.clone()));
            kind.crossed = Some((all.intersection(&wanted), any.union(&wanted)));
        }
        kind.told = Some(wanted);
        let mut request = DiscoveryRequest {
            version_info: kind.version.clone(),
            resource_names,
            type_url: type_url.to_string(),
            response_nonce: kind.nonce.clone(),
            error_detail: kind.receipt.take().flatten(),
            ..DiscoveryRequest::default()
        };
        if !std::mem::replace(&mut self.introduced, true) {
            request.node = Some(self.node.clone());
        }
        Some(request)
    }

    /// Takes a response: hands what changed to the sink and prepares its receipt.
    pub(super) fn response(&mut self, response: DiscoveryResponse, sink: &mut dyn Sink) {
        let Some((type_url, kind)) = self.types.iter_mut().find(|(url, _)| ***url == *response.type_url) else {
            tracing::debug!(type_url = response.type_url, "answer for a type that was never asked for");
            return;
        };
        let mut rejections = Vec::new();
        let mut present: BTreeMap<Name, Resource> = BTreeMap::new();
        for (index, body) in response.resources.into_iter().enumerate() {
            match named(type_url, body) {
                Err(reason) => rejections.push(Rejection { name: format!("#{index}").into(), reason }),
                Ok(resource) if !kind.interest.wants(&resource.name) => {}
                Ok(resource) => {
                    if present.contains_key(&resource.name) {
                        rejections.push(Rejection { name: resource.name, reason: "occurs twice in one response".into() });
                    } else {
                        present.insert(resource.name.clone(), resource);
                    }
                }
            }
        }
        // A resource whose name cannot be read might be any of those that seem absent.
        let full = is_full(type_url, kind.interest == Interest::All) && rejections.is_empty();
        let removed: Vec<Name> = kind.held.keys().filter(|name| full && !present.contains_key(*name)).cloned().collect();
        for name in &removed {
            kind.held.remove(name);
        }
        present.retain(|name, resource| kind.held.get(name) != Some(&resource.version));
        let offered: Vec<(Name, Arc<str>)> = present.values().map(|resource| (resource.name.clone(), resource.version.clone())).collect();
        let first = !std::mem::replace(&mut kind.answered, true);
        let revision = response.version_info.parse().ok();
        let upserts = present.into_values().collect();
        rejections.extend(sink.apply(Update { type_url: type_url.clone(), revision, upserts, removed, first }));
        let refused: BTreeSet<&Name> = rejections.iter().map(|rejection| &rejection.name).collect();
        kind.held.extend(offered.into_iter().filter(|(name, _)| !refused.contains(name)));
        kind.nonce = response.nonce;
        if let Some((all, any)) = kind.crossed.take() {
            kind.kept = kind.kept.intersection(&all);
            kind.told = Some(any);
        }
        if rejections.is_empty() {
            kind.version = response.version_info;
            kind.receipt = Some(None);
        } else {
            kind.receipt = Some(Some(detail::refusal(&rejections)));
        }
    }
}

/// A name that no resource has.
const NOTHING: &str = "-";

/// The name of a bare resource is inside of it: field 1 of every xDS type. A `Resource` wrapper says it outside.
fn named(type_url: &str, body: Any) -> Result<Resource, String> {
    #[derive(Clone, PartialEq, Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
    }
    if any::is::<Wrapped>(&body) {
        let wrapped: Wrapped = any::unpack(&body).map_err(|error| error.to_string())?;
        let body = wrapped.resource.ok_or("resource: missing in its wrapper")?;
        return Ok(Resource::new(wrapped.name, body));
    }
    if type_url == type_url::NAME_TABLE {
        // Istio's name table has no name: there is one.
        return Ok(Resource::new("", body));
    }
    let Named { name } = Named::decode(body.value.as_slice()).map_err(|error| format!("cannot read its name: {error}"))?;
    if name.is_empty() { Err("name: empty; every resource needs one".into()) } else { Ok(Resource::new(name, body)) }
}
