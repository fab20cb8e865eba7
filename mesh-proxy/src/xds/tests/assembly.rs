//! What is waited for, what is kept, what is forgotten.

use std::sync::Arc;

use super::*;

const RDS: &str = "rds: {route_config_name: r, config_source: {ads: {}}}";

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn routes(cluster: &str) -> RouteConfiguration {
    wire(&format!(
        "{{name: r, virtual_hosts: [{{name: v, domains: ['*'], routes: [{{match: {{prefix: /}}, route: {{cluster: {cluster}}}}}]}}]}}"
    ))
}

#[test]
fn a_listener_waits_for_its_routes() {
    let mut assembler = Assembler::new();
    assert!(assembler.listeners(vec![http_listener("l", RDS, "")], &[]).is_empty());
    assert!(assembler.snapshot().listener_names.is_empty());
    assert_eq!(assembler.wanted().routes, ["r".into()].into());
    assert_eq!(assembler.waiting(), ["r".into()].into());
    assert!(assembler.routes(vec![routes("a")], &[]).is_empty());
    let snapshot = assembler.snapshot();
    let listener = snapshot.listener(snapshot.listener_names["l"]).unwrap().clone();
    assert!(snapshot.route_table(snapshot.route_table_names["r"]).is_some());

    // Another version that needs a table which is not there: the one before stays.
    let other = RDS.replace("config_name: r", "config_name: s");
    assert!(assembler.listeners(vec![http_listener("l", &other, "")], &[]).is_empty());
    let snapshot = assembler.snapshot();
    assert!(Arc::ptr_eq(snapshot.listener(snapshot.listener_names["l"]).unwrap(), &listener));
    assert_eq!(assembler.wanted().routes, ["r".into(), "s".into()].into());
    // The server says that there is none: the listener goes into force and answers 404.
    assembler.routes(vec![], &names(&["s"]));
    let snapshot = assembler.snapshot();
    assert!(!Arc::ptr_eq(snapshot.listener(snapshot.listener_names["l"]).unwrap(), &listener));
    assert_eq!(assembler.wanted().routes, ["s".into()].into());
}

#[test]
fn a_route_update_rebuilds_nothing_else() {
    let mut assembler = Assembler::new();
    assembler.clusters(vec![eds("a", ""), eds("b", "")], &[]);
    assembler.endpoints(vec![assignment("a", &[1]), assignment("b", &[2])], &[]);
    assembler.listeners(vec![http_listener("l", RDS, "")], &[]);
    assembler.routes(vec![routes("a")], &[]);
    let one = assembler.snapshot();
    assert!(Arc::ptr_eq(&one, &assembler.snapshot()), "nothing changed");
    assembler.routes(vec![routes("a")], &[]);
    assembler.clusters(vec![eds("a", "")], &[]);
    assembler.endpoints(vec![assignment("a", &[1])], &[]);
    assert!(Arc::ptr_eq(&one, &assembler.snapshot()), "the same again changes nothing");

    assembler.routes(vec![routes("b")], &[]);
    let two = assembler.snapshot();
    assert_eq!(two.generation, one.generation + 1);
    assert!(Arc::ptr_eq(one.listeners[0].as_ref().unwrap(), two.listeners[0].as_ref().unwrap()));
    for name in ["a", "b"] {
        assert!(Arc::ptr_eq(one.cluster_by_name(name).unwrap(), two.cluster_by_name(name).unwrap()));
    }
    let slot = one.route_table_names["r"];
    assert!(!Arc::ptr_eq(one.route_table(slot).unwrap(), two.route_table(slot).unwrap()));
}

#[test]
fn slots_are_for_life() {
    let mut assembler = Assembler::new();
    assembler.clusters(vec![cluster("a", ""), cluster("b", "")], &[]);
    let before = assembler.snapshot();
    assembler.clusters(vec![cluster("c", "")], &names(&["a"]));
    let after = assembler.snapshot();
    assert!(after.cluster_by_name("a").is_none() && after.cluster(before.cluster_names["a"]).is_none());
    assert_eq!(after.cluster_names["b"], before.cluster_names["b"]);
    assembler.clusters(vec![cluster("a", "")], &[]);
    assert_eq!(assembler.snapshot().cluster_names["a"], before.cluster_names["a"]);
}

#[test]
fn endpoints_are_joined_and_keep_their_state() {
    let mut assembler = Assembler::new();
    assembler.clusters(vec![eds("a", "")], &[]);
    assert!(assembler.snapshot().cluster_by_name("a").unwrap().warming);
    assert_eq!(assembler.wanted().endpoints, ["a".into()].into());
    assembler.endpoints(vec![assignment("a", &[1, 2])], &[]);
    let one = assembler.snapshot();
    let first = one.cluster_by_name("a").unwrap();
    assert!(!first.warming);
    // A new version of the cluster keeps the endpoints, and they their states.
    assembler.clusters(vec![eds("a", "connect_timeout: 3s")], &[]);
    assembler.endpoints(vec![assignment("a", &[2, 3])], &[]);
    let two = assembler.snapshot();
    let second = two.cluster_by_name("a").unwrap();
    assert!(!second.warming);
    let endpoint = |cluster: &crate::snapshot::Cluster, at: usize| cluster.endpoints.priorities[0][0].endpoints[at].state.clone();
    assert!(Arc::ptr_eq(&endpoint(first, 1), &endpoint(second, 0)));
    assert!(Arc::ptr_eq(&first.state, &second.state));
}

#[test]
fn a_cluster_that_turns_to_eds_waits_behind_its_version_before() {
    let mut assembler = Assembler::new();
    assembler.clusters(vec![cluster("a", "")], &[]);
    assembler.snapshot();
    assembler.clusters(vec![eds("a", "")], &[]);
    assert_eq!(assembler.snapshot().cluster_by_name("a").unwrap().discovery, crate::snapshot::Discovery::Static);
    assembler.stop_waiting();
    let snapshot = assembler.snapshot();
    let now = snapshot.cluster_by_name("a").unwrap();
    assert!(matches!(now.discovery, crate::snapshot::Discovery::Eds(_)) && !now.warming);
}

#[test]
fn a_bad_resource_hurts_only_itself() {
    let mut assembler = Assembler::new();
    assembler.clusters(vec![cluster("a", "connect_timeout: 1s"), cluster("b", "")], &[]);
    let before = assembler.snapshot();
    let rejections = assembler.clusters(vec![cluster("a", "connect_timeout: 0s"), cluster("b", "connect_timeout: 2s")], &[]);
    assert_eq!(rejections.len(), 1);
    assert_eq!(rejections[0].reason, "connect_timeout: must be more than zero");
    let after = assembler.snapshot();
    assert!(Arc::ptr_eq(before.cluster_by_name("a").unwrap(), after.cluster_by_name("a").unwrap()));
    assert!(!Arc::ptr_eq(before.cluster_by_name("b").unwrap(), after.cluster_by_name("b").unwrap()));
}

#[test]
fn unchanged_chains_are_taken_over() {
    let chain = |port: u16, prefix: &str| {
        format!(
            r#"{{filter_chain_match: {{destination_port: {port}}}, filters: [{{name: t, typed_config:
            {{"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: {prefix}, cluster: a}}}}]}}"#
        )
    };
    let listener = |chains: [String; 2]| -> Listener {
        let chains = chains.join(", ");
        wire(&format!("{{name: l, address: {{socket_address: {{address: 127.0.0.1, port_value: 1}}}}, filter_chains: [{chains}]}}"))
    };
    let mut assembler = Assembler::new();
    assert_eq!(assembler.listeners(vec![listener([chain(1, "x"), chain(2, "x")])], &[]), []);
    let one = assembler.snapshot();
    assembler.listeners(vec![listener([chain(1, "x"), chain(2, "other")])], &[]);
    let two = assembler.snapshot();
    let chains = |snapshot: &Snapshot| snapshot.listeners[0].as_ref().unwrap().chains.clone();
    assert!(Arc::ptr_eq(&chains(&one)[0], &chains(&two)[0]));
    assert!(!Arc::ptr_eq(&chains(&one)[1], &chains(&two)[1]));
    assert_ne!(chains(&one)[1].hash, chains(&two)[1].hash);
}
