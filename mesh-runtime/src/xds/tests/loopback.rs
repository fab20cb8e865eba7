//! Client and server over real sockets: TCP, Unix and TLS; restarts, refusals and drains.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::google::protobuf::Any;
use mesh_proto::type_url::{CLUSTER, ENDPOINT};
use tokio::sync::{mpsc, watch};
use tonic::Status;
use tonic::service::Routes;

use super::super::client::{Client, Config, Handle, Mode};
use super::super::server::{Limits, Server};
use super::super::{Connection, Event, Handler, Interest, Peer, Rejection, Sink, Snapshot, Subscription, Update};
use super::simulation::{Content, resource, snapshot};
use crate::backoff::{Jitter, Policy};
use crate::connect::{Connector, Target, Tls};
use crate::drain::{DrainTrigger, Drained};
use crate::grpc;
use crate::listen::{Address, Listener, Options};
use crate::svid::fixture::{Leaf, TestCa};
use crate::task::Tasks;
use crate::tls::{ALPN_H2, ClientAuth, Identity, Peers, Roots, client_config, server_config};

const PATIENCE: Duration = Duration::from_secs(20);

/// Admits everybody, or only one identity.
struct Door {
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    events: mpsc::UnboundedSender<Event>,
    only: Option<&'static str>,
}

impl Handler for Door {
    async fn open(&self, peer: Peer, node: Arc<Node>) -> Result<Subscription, Status> {
        assert_eq!(node.id, "test-node");
        let caller = peer.identity.map(|id| id.to_string());
        if self.only.is_some() && caller.as_deref() != self.only {
            return Err(Status::permission_denied(format!("{caller:?} is not on the list")));
        }
        let events = self.events.clone();
        Ok(Subscription::new(self.snapshots.clone()).observe(move |event| drop(events.send(event))))
    }
}

struct ServerSide {
    address: Address,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    events: mpsc::UnboundedReceiver<Event>,
    trigger: DrainTrigger,
    tasks: Tasks,
}

fn serve(address: &str, only: Option<&'static str>, options: grpc::Options) -> ServerSide {
    let listener = Listener::bind(&address.parse().unwrap(), Options::default()).unwrap();
    let address = listener.address().clone();
    let (snapshots, seen) = watch::channel(None);
    let (events_in, events) = mpsc::unbounded_channel();
    let (trigger, drain) = crate::drain::channel();
    let tasks = Tasks::new("server");
    let door = Arc::new(Door { snapshots: seen, events: events_in, only });
    let service = Server::new(door, tasks.spawner(), drain.clone(), Limits::default()).into_service();
    tasks.spawn("serve", grpc::serve(listener, Routes::new(service), options, drain));
    ServerSide { address, snapshots, events, trigger, tasks }
}

impl ServerSide {
    fn set(&self, content: &[(&'static str, &'static str, u8)]) {
        let content: Content = content.iter().map(|(kind, name, version)| ((*kind, *name), *version)).collect();
        self.snapshots.send_replace(Some(snapshot(&content)));
    }

    async fn event(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        let found = async {
            loop {
                let event = self.events.recv().await.unwrap();
                if wanted(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap()
    }

    async fn stop(self) {
        assert_eq!(self.trigger.drain(PATIENCE).await, Drained::Clean);
        tokio::time::timeout(PATIENCE, self.tasks.idle()).await.unwrap();
    }
}

type Held = BTreeMap<(String, String), Any>;

#[derive(Debug, Clone, Default)]
struct State {
    held: Held,
    removals: usize,
    connections: Vec<Connection>,
}

/// Follows clusters with endpoints, as a proxy does, and refuses a cluster named `bad`.
struct Follower {
    state: watch::Sender<State>,
    handle: Handle,
}

impl Sink for Follower {
    fn apply(&mut self, update: Update) -> Vec<Rejection> {
        let mut rejections = Vec::new();
        self.state.send_modify(|state| {
            for resource in update.upserts {
                if &*resource.name == "bad" {
                    rejections.push(Rejection { name: resource.name, reason: "name: must not be bad".into() });
                    continue;
                }
                if &*update.type_url == CLUSTER {
                    self.handle.add(ENDPOINT, resource.name.clone());
                }
                state.held.insert((update.type_url.to_string(), resource.name.to_string()), resource.body.as_ref().clone());
            }
            for name in update.removed {
                state.removals += 1;
                self.handle.remove(ENDPOINT, &name);
                state.held.remove(&(update.type_url.to_string(), name.to_string()));
                state.held.remove(&(ENDPOINT.to_owned(), name.to_string()));
            }
        });
        rejections
    }

    fn connection(&mut self, connection: Connection) {
        self.state.send_modify(|state| state.connections.push(connection));
    }
}

struct ClientSide {
    state: watch::Receiver<State>,
    _trigger: DrainTrigger,
    _tasks: Tasks,
}

fn follow(address: &Address, mode: Mode, tls: Option<Tls>) -> ClientSide {
    let channel = Connector::new().channel(&Target::from(address.clone()), tls);
    let node = Node { id: "test-node".into(), ..Node::default() };
    let backoff = Policy { initial: Duration::from_millis(5), max: Duration::from_millis(50), jitter: Jitter::Full };
    let client = Client::new(Config { backoff, ..Config::new(node, channel).mode(mode) });
    let handle = client.handle();
    handle.subscribe(CLUSTER, Interest::All);
    let (state_in, state) = watch::channel(State::default());
    let (trigger, drain) = crate::drain::channel();
    let tasks = Tasks::new("client");
    tasks.spawn("xds", client.run(Follower { state: state_in, handle }, drain));
    ClientSide { state, _trigger: trigger, _tasks: tasks }
}

impl ClientSide {
    async fn holds(&mut self, content: &[(&'static str, &'static str, u8)]) -> State {
        let expected: Held = content
            .iter()
            .map(|(kind, name, version)| (((*kind).to_owned(), (*name).to_owned()), resource(kind, name, *version).body.as_ref().clone()))
            .collect();
        self.reaches(|state| state.held == expected).await
    }

    async fn reaches(&mut self, wanted: impl FnMut(&State) -> bool) -> State {
        let reached = tokio::time::timeout(PATIENCE, self.state.wait_for(wanted)).await.ok().map(|state| state.unwrap().clone());
        reached.unwrap_or_else(|| panic!("not in time; it is {:?}", self.state.borrow()))
    }
}

async fn follows_changes(address: &str, mode: Mode) {
    let mut server = serve(address, None, grpc::Options::default());
    let mut client = follow(&server.address, mode, None);
    server.event(|event| matches!(event, Event::Subscribed { type_url, interest: Interest::All } if &**type_url == CLUSTER)).await;
    assert_eq!(client.state.borrow().held, Held::new(), "not ready is not empty");

    server.set(&[(CLUSTER, "a", 1), (ENDPOINT, "a", 1), (ENDPOINT, "b", 1)]);
    client.holds(&[(CLUSTER, "a", 1), (ENDPOINT, "a", 1)]).await;
    server.set(&[(CLUSTER, "a", 1), (CLUSTER, "b", 1), (CLUSTER, "bad", 1), (ENDPOINT, "a", 2), (ENDPOINT, "b", 1)]);
    client.holds(&[(CLUSTER, "a", 1), (ENDPOINT, "a", 2), (CLUSTER, "b", 1), (ENDPOINT, "b", 1)]).await;
    let nack = server.event(|event| matches!(event, Event::Nack { .. })).await;
    let Event::Nack { message, names, .. } = nack else { unreachable!() };
    assert_eq!((&*message, &*names), ("bad: name: must not be bad", &["bad".into()][..]));
    server.set(&[(CLUSTER, "b", 2), (ENDPOINT, "b", 1)]);
    client.holds(&[(CLUSTER, "b", 2), (ENDPOINT, "b", 1)]).await;

    drop(client);
    server.event(|event| *event == Event::Closed).await;
    server.stop().await;
}

#[tokio::test]
async fn delta_and_sotw_over_tcp_and_unix() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix://{}", folder.path().join("xds.sock").display());
    for mode in [Mode::Delta, Mode::Sotw] {
        follows_changes("127.0.0.1:0", mode).await;
        follows_changes(&unix, mode).await;
    }
}

#[tokio::test]
async fn a_restarted_server_removes_nothing_and_what_changed_meanwhile_arrives() {
    for mode in [Mode::Delta, Mode::Sotw] {
        let server = serve("127.0.0.1:0", None, grpc::Options::default());
        let address = server.address.to_string();
        let mut client = follow(&server.address, mode, None);
        let before = [(CLUSTER, "a", 1), (CLUSTER, "b", 1), (ENDPOINT, "a", 1), (ENDPOINT, "b", 1)];
        server.set(&before);
        client.holds(&before).await;
        server.stop().await;
        client.reaches(|state| matches!(state.connections.last(), Some(Connection::Disconnected { .. }))).await;

        let mut server = serve(&address, None, grpc::Options::default());
        server.event(|event| matches!(event, Event::Subscribed { .. })).await;
        let after = [(CLUSTER, "a", 2), (CLUSTER, "b", 1), (ENDPOINT, "a", 1), (ENDPOINT, "b", 2)];
        server.set(&after);
        let state = client.holds(&after).await;
        assert_eq!(state.removals, 0);
        server.stop().await;
    }
}

#[tokio::test]
async fn identities_are_proven_and_decide() {
    let ca = TestCa::new();
    let (pilot, proxy, stranger) = ("spiffe://td/ns/mesh/sa/pilot", "spiffe://td/ns/a/sa/b", "spiffe://td/ns/a/sa/c");
    let svid = |id: &str| ca.svid(&Leaf::of(id));
    let identity = |id: &str| Identity::Fixed(svid(id).certified_key().clone());
    let roots = || Roots::Fixed(svid(pilot).trust().clone());
    let auth = ClientAuth::Required(roots(), Peers::AnySpiffe);
    let options = grpc::Options { tls: Some(server_config(identity(pilot), auth, &[ALPN_H2]).unwrap()), ..grpc::Options::default() };
    let server = serve("127.0.0.1:0", Some(proxy), options);
    server.set(&[(CLUSTER, "a", 1)]);
    let as_ = |id: &str| {
        let config = client_config(Some(identity(id)), roots(), Peers::id(pilot.parse().unwrap()), &[ALPN_H2]).unwrap();
        follow(&server.address, Mode::Delta, Some(Tls { config, server_name: None }))
    };
    as_(proxy).holds(&[(CLUSTER, "a", 1)]).await;
    let refused = |state: &State| matches!(state.connections.first(), Some(Connection::Disconnected { reason }) if reason.contains("is not on the list"));
    as_(stranger).reaches(refused).await;
    server.stop().await;
}

#[tokio::test]
async fn a_forced_drain_cuts_off_who_does_not_leave() {
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), Options::default()).unwrap();
    let address = listener.address().clone();
    let (trigger, drain) = crate::drain::channel();
    // This server's streams do not see the drain, as those of a service that forgot to.
    let (_forgotten, other) = crate::drain::channel();
    let (_snapshots, seen) = watch::channel(Some(snapshot(&Content::from([((CLUSTER, "a"), 1)]))));
    let (events, _) = mpsc::unbounded_channel();
    let tasks = Tasks::new("server");
    let service =
        Server::new(Arc::new(Door { snapshots: seen, events, only: None }), tasks.spawner(), other, Limits::default()).into_service();
    tasks.spawn("serve", grpc::serve(listener, Routes::new(service), grpc::Options::default(), drain));
    let mut client = follow(&address, Mode::Delta, None);
    client.holds(&[(CLUSTER, "a", 1)]).await;
    assert_eq!(trigger.drain(Duration::from_millis(50)).await, Drained::Forced { holders: 1 });
    client.reaches(|state| matches!(state.connections.last(), Some(Connection::Disconnected { .. }))).await;
    tokio::time::timeout(PATIENCE, tasks.idle()).await.unwrap();
}
