//! Single rules of the protocol, as Envoy's documentation and Istio's behaviour state them.

use std::sync::Arc;

use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use mesh_proto::google::rpc::Status;
use mesh_proto::type_url::{CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET};

use super::super::server::{Limits, Violation, named};
use super::super::{Event, Interest, Snapshot, sotw, state};
use super::simulation::{BAD, Content, Delta, NAMES, Pair, Simulation, Sotw, resource, snapshot};

fn delta(type_url: &str, subscribe: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: type_url.into(),
        resource_names_subscribe: subscribe.iter().map(ToString::to_string).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn delta_server(content: &[(&'static str, &'static str, u8)]) -> state::Server {
    let mut server = state::Server::new(Limits::default());
    server.feed(snapshot(&content.iter().map(|(kind, name, version)| ((*kind, *name), *version)).collect()));
    server
}

/// What a delta server says until it waits: (type, upserted names, removed names).
fn said(server: &mut state::Server) -> Vec<(String, Vec<String>, Vec<String>)> {
    let mut said = Vec::new();
    while let Some((response, _)) = server.poll() {
        let names = response.resources.into_iter().map(|resource| resource.name).collect();
        server.request(DeltaDiscoveryRequest { response_nonce: response.nonce, ..delta(&response.type_url, &[]) }).unwrap();
        said.push((response.type_url, names, response.removed_resources));
    }
    said
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_is_answered_before_the_first_snapshot() {
    let mut server = state::Server::new(Limits::default());
    server.request(delta(LISTENER, &[])).unwrap();
    assert!(server.poll().is_none());
    server.feed(snapshot(&Content::new()));
    assert_eq!(said(&mut server), [(LISTENER.into(), vec![], vec![])], "an empty answer tells a wildcard that there is nothing");
}

#[test]
fn a_name_that_does_not_exist_is_removed_once() {
    let mut server = delta_server(&[(ROUTE, "a", 1)]);
    server.request(delta(ROUTE, &["a", "x"])).unwrap();
    assert_eq!(said(&mut server), [(ROUTE.into(), names(&["a"]), names(&["x"]))]);
    server.feed(snapshot(&[((ROUTE, "a"), 2)].into()));
    assert_eq!(said(&mut server), [(ROUTE.into(), names(&["a"]), vec![])]);
    server.request(delta(ROUTE, &["x"])).unwrap();
    assert_eq!(said(&mut server), [(ROUTE.into(), vec![], names(&["x"]))], "asked again, answered again");
}

#[test]
fn the_push_order_is_istios() {
    let content = [SECRET, ROUTE, LISTENER, ENDPOINT, CLUSTER].map(|kind| (kind, "a", 1));
    let mut server = delta_server(&content);
    for kind in ["a/b/Other", SECRET, ROUTE, LISTENER, ENDPOINT, CLUSTER] {
        server.request(delta(kind, &["*"])).unwrap();
    }
    let order: Vec<String> = said(&mut server).into_iter().map(|(kind, ..)| kind).collect();
    // The endpoints are not repeated: they had not been sent when the clusters were.
    assert_eq!(order, [CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, "a/b/Other"]);
}

#[test]
fn endpoints_follow_their_changed_cluster() {
    let content = |version| Content::from([((CLUSTER, "a"), version), ((CLUSTER, "b"), 1), ((ENDPOINT, "a"), 1), ((ENDPOINT, "b"), 1)]);
    let mut server = state::Server::new(Limits::default());
    server.feed(snapshot(&content(1)));
    server.request(delta(CLUSTER, &[])).unwrap();
    server.request(delta(ENDPOINT, &["a", "b"])).unwrap();
    said(&mut server);
    server.feed(snapshot(&content(2)));
    assert_eq!(said(&mut server), [(CLUSTER.into(), names(&["a"]), vec![]), (ENDPOINT.into(), names(&["a"]), vec![])]);

    let mut simulation = Simulation::<Sotw>::new();
    simulation.content = content(1);
    simulation.reconnect();
    simulation.subscribe(CLUSTER, Interest::All);
    simulation.subscribe(ENDPOINT, Interest::names(["a", "b"]));
    simulation.settle();
    simulation.events.clear();
    simulation.set(CLUSTER, "a", Some(2));
    simulation.settle();
    let sent: Vec<(&str, usize)> = simulation
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Sent { type_url, resources, .. } => Some((&**type_url, *resources)),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [(CLUSTER, 2), (ENDPOINT, 2)], "clusters in full, so all endpoints");
}

#[test]
fn endpoints_follow_a_cluster_that_changed_while_the_client_was_away() {
    let mut server = delta_server(&[(CLUSTER, "a", 2), (CLUSTER, "b", 1), (ENDPOINT, "a", 1), (ENDPOINT, "b", 1)]);
    let held = |kind: &str, name: &str| (name.to_owned(), resource(kind, name, 1).version.to_string());
    let resume = |kind: &str, wanted: &[&str]| DeltaDiscoveryRequest {
        initial_resource_versions: [held(kind, "a"), held(kind, "b")].into(),
        ..delta(kind, wanted)
    };
    server.request(resume(CLUSTER, &[])).unwrap();
    assert_eq!(said(&mut server), [(CLUSTER.into(), names(&["a"]), vec![])]);
    server.request(resume(ENDPOINT, &["a", "b"])).unwrap();
    assert_eq!(
        said(&mut server),
        [(ENDPOINT.into(), names(&["a"]), vec![])],
        "the client warms the cluster and waits, although it holds these endpoints"
    );
}

/// Envoy may or may not have applied what came with a refused resource, so going back to the state before is a change.
#[test]
fn what_came_with_a_refused_resource_is_sent_again_even_if_it_went_back() {
    let mut simulation = Simulation::<Delta>::new();
    simulation.anonymous = true;
    simulation.consumer.gives_up = true;
    simulation.consumer.refuses = ["b"].into();
    simulation.subscribe(CLUSTER, Interest::All);
    simulation.set(CLUSTER, "a", Some(1));
    simulation.set(CLUSTER, "b", Some(1));
    simulation.settle();
    simulation.content.insert((CLUSTER, "a"), 2);
    simulation.set(CLUSTER, "b", Some(BAD));
    simulation.settle();
    simulation.content.insert((CLUSTER, "a"), 1);
    simulation.set(CLUSTER, "b", Some(1));
    simulation.settle();
    simulation.check().unwrap();
}

#[test]
fn one_response_of_a_type_is_in_flight_and_newer_snapshots_coalesce() {
    let mut server = delta_server(&[(LISTENER, "a", 1)]);
    server.request(delta(LISTENER, &[])).unwrap();
    let (first, _) = server.poll().unwrap();
    for version in 2..10 {
        server.feed(snapshot(&[((LISTENER, "a"), version)].into()));
        assert!(server.poll().is_none());
    }
    server.request(DeltaDiscoveryRequest { response_nonce: "stale".into(), ..delta(LISTENER, &[]) }).unwrap();
    assert!(server.poll().is_none(), "a stale nonce acknowledges nothing");
    server.request(DeltaDiscoveryRequest { response_nonce: first.nonce, ..delta(LISTENER, &[]) }).unwrap();
    let (second, _) = server.poll().unwrap();
    assert_eq!(second.resources[0].version, *resource(LISTENER, "a", 9).version);
}

#[test]
fn a_resumed_stream_gets_the_difference() {
    let mut server = delta_server(&[(CLUSTER, "a", 1), (CLUSTER, "b", 2)]);
    let held = |name: &str, version| (name.to_owned(), resource(CLUSTER, name, version).version.to_string());
    let initial_resource_versions = [held("a", 1), held("b", 1), held("c", 1)].into();
    server.request(DeltaDiscoveryRequest { initial_resource_versions, ..delta(CLUSTER, &["*"]) }).unwrap();
    assert_eq!(said(&mut server), [(CLUSTER.into(), names(&["b"]), names(&["c"]))]);
}

#[test]
fn wildcard_and_names_are_independent() {
    let mut server = delta_server(&[(LISTENER, "a", 1), (LISTENER, "b", 1)]);
    server.request(delta(LISTENER, &["*", "a"])).unwrap();
    assert_eq!(said(&mut server), [(LISTENER.into(), names(&["a", "b"]), vec![])]);
    let unsubscribe = |name: &str| DeltaDiscoveryRequest { resource_names_unsubscribe: names(&[name]), ..delta(LISTENER, &[]) };
    server.request(unsubscribe("*")).unwrap();
    server.feed(snapshot(&[((LISTENER, "a"), 2), ((LISTENER, "b"), 2)].into()));
    assert_eq!(said(&mut server), [(LISTENER.into(), names(&["a"]), vec![])]);
    server.request(unsubscribe("a")).unwrap();
    server.feed(snapshot(&[((LISTENER, "a"), 3)].into()));
    assert_eq!(said(&mut server), []);
}

fn keeps_the_last_good<P: Pair>(anonymous: bool) {
    let mut simulation = Simulation::<P>::new();
    simulation.anonymous = anonymous;
    simulation.consumer.refuses = ["a"].into();
    simulation.subscribe(CLUSTER, Interest::All);
    for name in NAMES {
        simulation.set(CLUSTER, name, Some(1));
    }
    simulation.settle();
    simulation.set(CLUSTER, "b", Some(2));
    simulation.set(CLUSTER, "a", Some(BAD));
    simulation.settle();
    let held = |simulation: &Simulation<P>, name: &str| simulation.consumer.held.get(&(CLUSTER.to_owned(), name.to_owned())).cloned();
    assert_eq!(held(&simulation, "a").as_ref(), Some(&*resource(CLUSTER, "a", 1).body));
    assert_eq!(held(&simulation, "b").as_ref(), Some(&*resource(CLUSTER, "b", 2).body));
    let nack = simulation.events.iter().find_map(|event| match event {
        Event::Nack { message, names, .. } => Some((message.clone(), names.clone())),
        _ => None,
    });
    let culprits: Vec<Arc<str>> = if anonymous { vec![] } else { vec!["a".into()] };
    assert_eq!(nack, Some(("a: it is bad".into(), culprits)));
    simulation.set(CLUSTER, "a", Some(4));
    simulation.settle();
    assert_eq!(held(&simulation, "a").as_ref(), Some(&*resource(CLUSTER, "a", 4).body));
    simulation.check().unwrap();
}

#[test]
fn a_refused_resource_keeps_its_last_good_and_is_offered_again_when_it_changes() {
    for anonymous in [false, true] {
        keeps_the_last_good::<Delta>(anonymous);
        keeps_the_last_good::<Sotw>(anonymous);
    }
}

#[test]
fn a_new_stream_says_what_is_held_and_not_what_was_refused() {
    let mut simulation = Simulation::<Delta>::new();
    simulation.consumer.refuses = ["a"].into();
    simulation.subscribe(CLUSTER, Interest::All);
    for (name, version) in [("a", 1), ("b", 1), ("c", BAD)] {
        simulation.set(CLUSTER, name, Some(version));
    }
    simulation.settle();
    simulation.set(CLUSTER, "a", Some(BAD));
    simulation.settle();
    simulation.reconnect();
    let held = simulation.client.poll().unwrap().initial_resource_versions;
    let expected =
        [("a", 1), ("b", 1), ("c", BAD)].map(|(name, version)| (name.to_owned(), resource(CLUSTER, name, version).version.to_string()));
    assert_eq!(held, expected.into());
}

#[test]
fn a_culprit_that_is_named_does_not_travel_with_its_siblings() {
    let mut simulation = Simulation::<Delta>::new();
    simulation.consumer.refuses = ["a"].into();
    simulation.subscribe(CLUSTER, Interest::All);
    for name in NAMES {
        simulation.set(CLUSTER, name, Some(BAD));
    }
    simulation.settle();
    simulation.consumer.upserts = 0;
    simulation.set(CLUSTER, "b", Some(1));
    simulation.settle();
    assert_eq!(simulation.consumer.upserts, 1);
}

#[test]
fn sotw_removes_by_absence_only_where_sets_are_full() {
    let mut simulation = Simulation::<Sotw>::new();
    for kind in [LISTENER, ROUTE] {
        simulation.set(kind, "a", Some(1));
        simulation.set(kind, "b", Some(1));
        simulation.subscribe(kind, Interest::names(["a", "b"]));
    }
    simulation.settle();
    simulation.set(LISTENER, "a", None);
    simulation.set(ROUTE, "a", None);
    simulation.settle();
    let held: Vec<(&str, &str)> = simulation.consumer.held.keys().map(|(kind, name)| (&**kind, &**name)).collect();
    assert_eq!(held, [(LISTENER, "b"), (ROUTE, "a"), (ROUTE, "b")]);
}

#[test]
fn sotw_answers_a_newly_subscribed_name_and_ignores_stale_requests() {
    let mut server = sotw::Server::new(Limits::default());
    server.feed(snapshot(&[((ENDPOINT, "a"), 1), ((ENDPOINT, "b"), 1)].into()));
    let request = |nonce: &str, wanted: &[&str]| DiscoveryRequest {
        type_url: ENDPOINT.into(),
        resource_names: names(wanted),
        response_nonce: nonce.into(),
        ..DiscoveryRequest::default()
    };
    server.request(request("", &["a"])).unwrap();
    let (first, _) = server.poll().unwrap();
    assert!(server.request(request("", &["b"])).unwrap().is_empty(), "it crossed the response");
    server.request(request(&first.nonce, &["a", "b"])).unwrap();
    let (second, _) = server.poll().unwrap();
    assert_eq!(second.resources, [resource(ENDPOINT, "b", 1).body.as_ref().clone()]);
    server.request(request(&second.nonce, &["a", "b"])).unwrap();
    assert!(server.poll().is_none());
}

#[test]
fn what_a_peer_can_make_us_remember_is_bounded() {
    let mut server = state::Server::new(Limits { names: 2, types: 1, ..Limits::default() });
    assert_eq!(server.request(delta("", &[])), Err(Violation::NoType));
    server.request(delta(ROUTE, &["a", "b"])).unwrap();
    assert_eq!(server.request(delta(LISTENER, &[])), Err(Violation::Types { limit: 1 }));
    assert_eq!(server.request(delta(ROUTE, &["c"])), Err(Violation::Names { type_url: ROUTE.into(), limit: 2 }));
}

#[test]
fn a_peers_words_are_bounded() {
    let mut server = delta_server(&[(ROUTE, "a", 1)]);
    server.request(delta(ROUTE, &["a"])).unwrap();
    let (response, _) = server.poll().unwrap();
    let error = Status { code: 3, message: "\u{e4}".repeat(1 << 20), details: vec![] };
    let nack = DeltaDiscoveryRequest { response_nonce: response.nonce, error_detail: Some(error), ..delta(ROUTE, &[]) };
    let events = server.request(nack).unwrap();
    let [Event::Nack { message, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(message.len(), 4096);

    assert!(Limits::default().request <= 4 << 20, "a peer sends names, not resources");
    let node = |bytes: usize| Node { id: "x".repeat(bytes), ..Node::default() };
    assert!(named(node(1024)).is_ok());
    assert_eq!(named(node(1025)), Err(Violation::Node { field: "id", limit: 1024 }));
}

/// A server that lost sight of `a` (and perhaps more) over a restart.
fn forgetful(uncertain: Option<Interest>, revision: &str) -> Arc<Snapshot> {
    let mut builder = Snapshot::builder();
    builder.insert(ROUTE, resource(ROUTE, "b", 1));
    if let Some(names) = uncertain {
        builder.uncertain(ROUTE, names);
    }
    Arc::new(builder.build_at(revision.parse().unwrap()))
}

#[test]
fn what_the_server_lost_sight_of_is_not_told_to_be_gone() {
    let versions = [("a", "1"), ("c", "1")].map(|(name, version)| (name.to_owned(), version.to_owned()));
    for (subscribe, uncertain, gone) in
        [(&["*"][..], Interest::names(["a"]), &["c"][..]), (&["*"], Interest::All, &[]), (&["a", "b", "c"], Interest::names(["a"]), &["c"])]
    {
        let mut server = state::Server::new(Limits::default());
        server.feed(forgetful(Some(uncertain), "1"));
        let resume = DeltaDiscoveryRequest { initial_resource_versions: versions.clone().into(), ..delta(ROUTE, subscribe) };
        server.request(resume).unwrap();
        assert_eq!(said(&mut server), [(ROUTE.into(), names(&["b"]), names(gone))]);
        // Once the server is sure again, what is gone is gone.
        server.feed(forgetful(None, "2"));
        let rest: Vec<&str> = ["a", "c"].into_iter().filter(|name| !gone.contains(name)).collect();
        assert_eq!(said(&mut server), [(ROUTE.into(), vec![], names(&rest))]);
    }
}

#[test]
fn what_this_stream_was_given_is_told_to_be_gone_even_by_an_uncertain_server() {
    let mut server = delta_server(&[(ROUTE, "a", 1), (ROUTE, "b", 1)]);
    let versions = [("a".to_owned(), "0".to_owned())].into();
    server.request(DeltaDiscoveryRequest { initial_resource_versions: versions, ..delta(ROUTE, &["*"]) }).unwrap();
    assert_eq!(said(&mut server), [(ROUTE.into(), names(&["a", "b"]), vec![])]);
    server.feed(forgetful(Some(Interest::All), "2"));
    assert_eq!(said(&mut server), [(ROUTE.into(), vec![], names(&["a"]))]);
}
