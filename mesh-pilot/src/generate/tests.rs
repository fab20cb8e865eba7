//! What goldens do not show: versions across revisions, isolation of callers.
#![allow(clippy::unwrap_used)]

use mesh_proto::{
    any::unpack,
    envoy::config::{listener::v3::Listener, route::v3::RouteConfiguration},
    type_url,
};
use proptest::prelude::*;

use super::*;
use crate::{
    scope::Interception,
    testing::{scope, split, world},
};

#[test]
fn only_what_changed_gets_a_new_version() {
    let scope = scope("shop", "a");
    let (before, after) = (generate(&world(&split(80)), &scope), generate(&world(&split(50)), &scope));
    assert_ne!(before.revision, after.revision);
    for url in [type_url::CLUSTER, type_url::ENDPOINT, type_url::LISTENER] {
        assert_eq!(before.resources(url), after.resources(url), "{url}");
    }
    assert_ne!(before.resource(type_url::ROUTE, "http_proxy"), after.resource(type_url::ROUTE, "http_proxy"));
}

#[test]
fn every_table_and_cluster_that_is_named_is_there() {
    let snapshot = generate(&world(&split(80)), &scope("shop", "a"));
    let clusters = snapshot.resources(type_url::CLUSTER).unwrap();
    let endpoints = snapshot.resources(type_url::ENDPOINT).unwrap();
    assert!(endpoints.keys().all(|name| clusters.contains_key(name)));
    assert!(snapshot.resource(type_url::ROUTE, "http_proxy").is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_order_of_the_input_changes_nothing(order in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle()) {
        let document = |n: usize| format!("{}---\n", split(10 + 5 * u32::try_from(n).unwrap()).replace("web", &format!("web{n}")));
        let sorted: String = (0..8).map(document).collect();
        let shuffled: String = order.iter().map(|n| document(*n)).collect();
        let scope = scope("shop", "a");
        let (one, other) = (generate(&world(&sorted), &scope), generate(&world(&shuffled), &scope));
        prop_assert_eq!(one.types, other.types);
        prop_assert_eq!(one.revision, other.revision);
    }
}

const CONFLICTS: &str = include_str!("../../tests/golden/conflicts.in.yaml");

/// The server names of a listener's chains, and of the default chain whether it is there.
fn chains(snapshot: &Snapshot, name: &str) -> (Vec<String>, bool) {
    let listener: Listener = unpack(&snapshot.resource(type_url::LISTENER, name).unwrap().body).unwrap();
    let chains = listener.filter_chains.iter().map(|chain| {
        let matcher = chain.filter_chain_match.clone().unwrap_or_default();
        [matcher.transport_protocol, matcher.application_protocols.concat(), matcher.server_names.join(",")].join(" ")
    });
    (chains.collect(), listener.default_filter_chain.is_some())
}

fn conflicts(list: Vec<Conflict>) -> Vec<String> {
    list.into_iter().map(|conflict| format!("{} {}", conflict.listener, conflict.server_name)).collect()
}

#[test]
fn a_server_name_of_a_gateways_port_is_its_oldest_servers() {
    let gateway = ProxyScope {
        role: Role::Router,
        ip: "10.1.1.1".parse().unwrap(),
        labels: [("istio".to_owned(), "gw".to_owned())].into(),
        ..scope("edge", "gw")
    };
    let (snapshot, dropped) = generate_reporting(&world(CONFLICTS), &gateway);
    let (chains, _) = chains(&snapshot, "0.0.0.0_443");
    assert_eq!(chains, ["tls  a.example.com,b.example.com", "tls  c.example.com", "tls  d.example.com"]);
    assert_eq!(conflicts(dropped.conflicts), ["b.example.com", "a.example.com", "c.example.com"].map(|name| format!("0.0.0.0_443 {name}")));
}

#[test]
fn a_gateway_serves_every_host_in_which_server_and_rule_meet() {
    let gateway = ProxyScope {
        role: Role::Router,
        ip: "10.1.1.1".parse().unwrap(),
        labels: [("istio".to_owned(), "gw".to_owned())].into(),
        ..scope("edge", "gw")
    };
    let snapshot = generate(&world(CONFLICTS), &gateway);
    let table: RouteConfiguration = unpack(&snapshot.resource(type_url::ROUTE, "http.80").unwrap().body).unwrap();
    let domains: Vec<String> = table.virtual_hosts.iter().flat_map(|host| host.domains.clone()).collect();
    assert_eq!(domains, ["a.example.com", "b.example.com", "www.example.org"]);
}

#[test]
fn services_without_addresses_share_the_listener_of_their_port() {
    let sidecar = ProxyScope { interception: Interception::Redirect, ip: "10.1.1.2".parse().unwrap(), ..scope("shop", "c") };
    let (snapshot, dropped) = generate_reporting(&world(CONFLICTS), &sidecar);
    let tls = ["tls  one.example.net", "tls  two.example.net", "tls  three.example.net"];
    let (mut seen, default) = chains(&snapshot, "0.0.0.0_8443");
    seen.sort();
    let mut expected = tls.map(ToOwned::to_owned);
    expected.sort();
    assert_eq!(seen, expected);
    assert!(default);
    let (mut seen, default) = chains(&snapshot, "0.0.0.0_9000");
    seen.sort();
    assert_eq!(seen, ["  ", "raw_buffer http/1.0http/1.1h2c "]);
    assert!(!default);
    assert!(snapshot.resource(type_url::ROUTE, "9000").is_some());
    assert_eq!(conflicts(dropped.conflicts), ["0.0.0.0_9000 *"]);
}

#[test]
fn a_policy_holds_on_a_port_that_no_service_declares() {
    let yaml = r#"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: c}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: c, namespace: shop}
spec: {address: 10.1.1.2, labels: {app: c}, serviceAccount: c}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: c, namespace: shop}
spec:
  selector: {matchLabels: {app: c}}
  mtls: {mode: PERMISSIVE}
  portLevelMtls: {8080: {mode: DISABLE}, 9999: {mode: STRICT}, 9998: {mode: UNSET}}
"#;
    let sidecar = ProxyScope { interception: Interception::Redirect, ip: "10.1.1.2".parse().unwrap(), ..scope("shop", "c") };
    let snapshot = generate(&world(yaml), &sidecar);
    let listener: Listener = unpack(&snapshot.resource(type_url::LISTENER, "virtualInbound").unwrap().body).unwrap();
    let at = |port: u32| {
        let chains = listener.filter_chains.iter().filter(|chain| {
            chain.filter_chain_match.as_ref().and_then(|matcher| matcher.destination_port).is_some_and(|number| number.value == port)
        });
        let transports =
            chains.map(|chain| (chain.filter_chain_match.clone().unwrap().transport_protocol, chain.transport_socket.is_some()));
        transports.collect::<Vec<_>>()
    };
    // Plaintext finds no chain: the connection is closed.
    assert_eq!(at(9999), [("tls".to_owned(), true)]);
    assert_eq!(at(8080), [(String::new(), false)]);
    assert!(at(9998).is_empty());
}

#[test]
fn a_sidecars_own_tls_that_does_not_hold_is_reported() {
    let world = world(include_str!("../../tests/golden/ingress-tls.in.yaml"));
    assert_eq!(generate_reporting(&world, &scope("shop", "web")).1.ingress_tls, [8444]);
    assert!(generate_reporting(&world, &scope("bank", "a")).1.ingress_tls.is_empty());
}
