//! A client and a server half with a network between them that a test drives message by message.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mesh_proto::any::pack;
use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::config::{
    cluster::v3::Cluster, endpoint::v3::ClusterLoadAssignment, listener::v3::Listener, route::v3::RouteConfiguration,
};
use mesh_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse};
use mesh_proto::google::protobuf::Any;
use mesh_proto::type_url::{CLUSTER, ENDPOINT, LISTENER, ROUTE};

use super::super::client::Half as ClientHalf;
use super::super::provider::is_full;
use super::super::server::{Half as ServerHalf, Limits};
use super::super::{Event, Interest, Rejection, Resource, Sink, Snapshot, Update, sotw, state};

pub(super) const TYPES: [&str; 4] = [LISTENER, ROUTE, CLUSTER, ENDPOINT];
pub(super) const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A resource whose version can be read in its body.
pub(super) fn resource(type_url: &str, name: &str, version: u8) -> Resource {
    let name = name.to_owned();
    let mark = version.to_string();
    let mut body = match type_url {
        LISTENER => pack(&Listener { name: name.clone(), stat_prefix: mark, ..Listener::default() }),
        ROUTE => pack(&RouteConfiguration { name: name.clone(), internal_only_headers: vec![mark], ..RouteConfiguration::default() }),
        CLUSTER => pack(&Cluster { name: name.clone(), alt_stat_name: mark, ..Cluster::default() }),
        _ => pack(&ClusterLoadAssignment {
            cluster_name: name.clone(),
            named_endpoints: [(mark, Default::default())].into(),
            ..Default::default()
        }),
    };
    body.type_url = type_url.to_owned();
    Resource::new(name, body)
}

/// Content: (type, name) -> version.
pub(super) type Content = BTreeMap<(&'static str, &'static str), u8>;

pub(super) fn snapshot(content: &Content) -> Arc<Snapshot> {
    let mut builder = Snapshot::builder();
    for ((type_url, name), version) in content {
        builder.insert(type_url, resource(type_url, name, *version));
    }
    Arc::new(builder.build())
}

/// Both halves of a variant, and how to look into its messages.
pub(super) trait Pair {
    type Client: ClientHalf<Request = Self::Request, Response = Self::Response>;
    type Server: ServerHalf<Request = Self::Request, Response = Self::Response>;
    type Request: Clone + std::fmt::Debug;
    type Response: Clone + std::fmt::Debug;
    const SOTW: bool;

    fn client() -> Self::Client;
    fn request_type(request: &Self::Request) -> &str;
    fn response_type(response: &Self::Response) -> &str;
    /// Makes a NACK look as Envoy's: only a message.
    fn anonymise(request: &mut Self::Request);
}

pub(super) struct Delta;
pub(super) struct Sotw;

impl Pair for Delta {
    type Client = state::Client;
    type Server = state::Server;
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;
    const SOTW: bool = false;

    fn client() -> state::Client {
        state::Client::new(Node::default())
    }

    fn request_type(request: &DeltaDiscoveryRequest) -> &str {
        &request.type_url
    }

    fn response_type(response: &DeltaDiscoveryResponse) -> &str {
        &response.type_url
    }

    fn anonymise(request: &mut DeltaDiscoveryRequest) {
        if let Some(error) = &mut request.error_detail {
            error.details.clear();
        }
    }
}

impl Pair for Sotw {
    type Client = sotw::Client;
    type Server = sotw::Server;
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;
    const SOTW: bool = true;

    fn client() -> sotw::Client {
        sotw::Client::new(Node::default())
    }

    fn request_type(request: &DiscoveryRequest) -> &str {
        &request.type_url
    }

    fn response_type(response: &DiscoveryResponse) -> &str {
        &response.type_url
    }

    fn anonymise(request: &mut DiscoveryRequest) {
        if let Some(error) = &mut request.error_detail {
            error.details.clear();
        }
    }
}

/// A consumer that refuses certain resources and keeps the last good ones.
#[derive(Default)]
pub(super) struct Consumer {
    pub(super) held: BTreeMap<(String, String), Any>,
    pub(super) revisions: BTreeMap<String, String>,
    pub(super) removals: Vec<String>,
    pub(super) upserts: usize,
    /// Refused: version 3 of these names.
    pub(super) refuses: BTreeSet<&'static str>,
    /// Gives up a response at the first resource it refuses, as Envoy does with most types: what comes later in it is not applied.
    pub(super) gives_up: bool,
}

pub(super) const BAD: u8 = 3;

impl Consumer {
    pub(super) fn refuses(&self, type_url: &str, resource: &Resource) -> bool {
        self.refuses.iter().any(|name| **name == *resource.name && *resource.body == *super::simulation::resource(type_url, name, BAD).body)
    }
}

impl Sink for Consumer {
    fn apply(&mut self, update: Update) -> Vec<Rejection> {
        let mut rejections = Vec::new();
        self.revisions.insert(update.type_url.to_string(), update.revision.map(|revision| revision.to_string()).unwrap_or_default());
        for resource in update.upserts {
            self.upserts += 1;
            if self.refuses(&update.type_url, &resource) || (self.gives_up && !rejections.is_empty()) {
                rejections.push(Rejection { name: resource.name, reason: "it is bad".into() });
            } else {
                self.held.insert((update.type_url.to_string(), resource.name.to_string()), resource.body.as_ref().clone());
            }
        }
        for name in update.removed {
            self.held.remove(&(update.type_url.to_string(), name.to_string()));
            self.removals.push(name.to_string());
        }
        rejections
    }
}

pub(super) struct Simulation<P: Pair> {
    pub(super) client: P::Client,
    pub(super) server: P::Server,
    pub(super) consumer: Consumer,
    pub(super) content: Content,
    pub(super) interests: BTreeMap<&'static str, Interest>,
    pub(super) events: Vec<Event>,
    pub(super) announce: bool,
    /// NACKs do not name culprits.
    pub(super) anonymous: bool,
    up: VecDeque<P::Request>,
    down: VecDeque<P::Response>,
    pub(super) responses: usize,
}

impl<P: Pair> Simulation<P> {
    pub(super) fn new() -> Self {
        Self {
            client: P::client(),
            server: P::Server::new(Limits::default()),
            consumer: Consumer::default(),
            content: Content::new(),
            interests: BTreeMap::new(),
            events: Vec::new(),
            announce: false,
            anonymous: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
            responses: 0,
        }
    }

    pub(super) fn set(&mut self, type_url: &'static str, name: &'static str, version: Option<u8>) {
        match version {
            Some(version) => self.content.insert((type_url, name), version),
            None => self.content.remove(&(type_url, name)),
        };
        self.server.feed(snapshot(&self.content));
    }

    pub(super) fn subscribe(&mut self, type_url: &'static str, interest: Interest) {
        self.consumer.held.retain(|(held, name), _| held != type_url || interest.wants(name));
        self.client.subscribe(&type_url.into(), interest.clone());
        self.interests.insert(type_url, interest);
    }

    /// The stream is gone with all that was under way; the new server may be another replica.
    pub(super) fn reconnect(&mut self) {
        self.up.clear();
        self.down.clear();
        self.server = P::Server::new(Limits::default());
        if self.announce {
            self.server.announce_revisions();
        }
        self.server.feed(snapshot(&self.content));
        self.client.connected();
    }

    pub(super) fn client_speaks(&mut self) -> bool {
        let Some(mut request) = self.client.poll() else { return false };
        if self.anonymous {
            P::anonymise(&mut request);
        }
        self.up.push_back(request);
        true
    }

    pub(super) fn server_speaks(&mut self) -> bool {
        let Some((response, event)) = self.server.poll() else { return false };
        self.events.push(event);
        self.down.push_back(response);
        self.responses += 1;
        true
    }

    /// Delivers the oldest request of some type.
    pub(super) fn deliver_up(&mut self, pick: usize, twice: bool) -> bool {
        let Some(index) = oldest(&self.up, pick, P::request_type) else { return false };
        let Some(request) = self.up.remove(index) else { return false };
        if twice {
            self.events.extend(self.server.request(request.clone()).unwrap());
        }
        self.events.extend(self.server.request(request).unwrap());
        true
    }

    /// Delivers the oldest response of some type.
    pub(super) fn deliver_down(&mut self, pick: usize, twice: bool) -> bool {
        let Some(index) = oldest(&self.down, pick, P::response_type) else { return false };
        let Some(response) = self.down.remove(index) else { return false };
        if twice {
            self.client.response(response.clone(), &mut self.consumer);
        }
        self.client.response(response, &mut self.consumer);
        true
    }

    /// Lets everything happen until nothing does. Panics if that never comes: client and server would be quarrelling.
    pub(super) fn settle(&mut self) {
        for _ in 0..2_000 {
            let mut moved = false;
            while self.client_speaks() {
                moved = true;
            }
            while self.deliver_up(0, false) {
                moved = true;
            }
            while self.server_speaks() {
                moved = true;
            }
            while self.deliver_down(0, false) {
                moved = true;
            }
            if !moved {
                return;
            }
        }
        panic!("client and server never come to rest");
    }

    /// Whether something refused may keep the consumer from what comes with it.
    fn spoilt(&self, type_url: &str) -> bool {
        let bad =
            |name: &&'static str| self.content.iter().any(|((known, of), version)| *known == type_url && of == name && *version == BAD);
        self.consumer.gives_up && self.consumer.refuses.iter().any(bad)
    }

    /// Whether the consumer has what a fresh one would get, except where it refused that: there it has something older, or nothing.
    pub(super) fn check(&self) -> Result<(), String> {
        for (type_url, interest) in &self.interests {
            for name in NAMES.into_iter().filter(|name| interest.wants(name)) {
                let held = self.consumer.held.get(&((*type_url).to_owned(), name.to_owned()));
                let Some(version) = self.content.get(&(*type_url, name)) else {
                    let can_tell = !P::SOTW || is_full(type_url, *interest == Interest::All);
                    if can_tell && held.is_some() {
                        return Err(format!("{type_url} {name} is gone and still held"));
                    }
                    continue;
                };
                let current = resource(type_url, name, *version);
                if self.consumer.refuses(type_url, &current) {
                    if held == Some(&*current.body) {
                        return Err(format!("{type_url} {name} was refused and is held"));
                    }
                } else if held != Some(&*current.body) && !self.spoilt(type_url) {
                    return Err(format!("{type_url} {name} should be at {version}, is {held:?}"));
                }
            }
        }
        Ok(())
    }
}

fn oldest<T>(queue: &VecDeque<T>, pick: usize, type_of: impl Fn(&T) -> &str) -> Option<usize> {
    let mut seen = BTreeSet::new();
    let heads: Vec<usize> = queue.iter().enumerate().filter(|(_, message)| seen.insert(type_of(message))).map(|(index, _)| index).collect();
    (!heads.is_empty()).then(|| heads[pick % heads.len()])
}
