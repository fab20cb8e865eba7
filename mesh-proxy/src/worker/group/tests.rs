//! Who lives on after a push, who is waited for, who is forced.

#![allow(clippy::unwrap_used)]

use mesh_proto::{envoy::config::listener::v3::Listener, json};
use tokio::task::LocalSet;

use super::*;

/// A snapshot whose listener has these chains: name, port that it takes, certificate ("" is plaintext), route configuration.
fn snapshot(chains: &[(&str, u16, &str, &str)]) -> Arc<Snapshot> {
    let chains: Vec<String> = chains.iter().map(|(name, port, certificate, routes)| chain(name, *port, certificate, routes)).collect();
    let listener =
        format!("{{name: l, address: {{socket_address: {{address: 127.0.0.1, port_value: 1}}}}, filter_chains: [{}]}}", chains.join(", "));
    let listener: Listener = json::from_yaml(&listener).unwrap();
    let (snapshot, refused) = crate::xds::compile(vec![listener], vec![], vec![], vec![]);
    assert_eq!(refused, []);
    snapshot
}

fn chain(name: &str, port: u16, certificate: &str, routes: &str) -> String {
    let tls = match certificate {
        "" => String::new(),
        secret => format!(
            r#"transport_socket: {{name: tls, typed_config: {{"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext,
            common_tls_context: {{tls_certificate_sds_secret_configs: [{{name: {secret}, sds_config: {{ads: {{}}}}}}]}}}}}},"#
        ),
    };
    format!(
        r#"{{name: "{name}", {tls} filter_chain_match: {{destination_port: {port}}}, filters: [{{name: hcm, typed_config:
        {{"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: x,
        rds: {{route_config_name: {routes}, config_source: {{ads: {{}}}}}}, http_filters: [{{name: router, typed_config:
        {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]}}}}]}}"#
    )
}

fn chain_of(snapshot: &Snapshot, position: usize) -> Arc<FilterChain> {
    snapshot.listeners[0].as_ref().unwrap().chains[position].clone()
}

#[test]
fn only_a_chain_that_takes_the_same_connections_succeeds() {
    let slot = ListenerSlot(0);
    let before = snapshot(&[("", 1, "", "one"), ("", 2, "", "two"), ("same", 3, "", "three"), ("same", 4, "", "four")]);
    let [one, two, three, four] = [0, 1, 2, 3].map(|position| chain_of(&before, position));
    for (old, position) in [(&one, 0), (&two, 1), (&three, 2), (&four, 3)] {
        assert!(Arc::ptr_eq(successor(&before, slot, old).unwrap(), &chain_of(&before, position)), "each is its own");
    }
    let after = snapshot(&[("", 2, "", "other"), ("same", 4, "", "other"), ("", 5, "", "five")]);
    assert!(successor(&after, slot, &one).is_none(), "another chain is first now");
    assert!(Arc::ptr_eq(successor(&after, slot, &two).unwrap(), &chain_of(&after, 0)), "it moved, and has new routes");
    assert!(successor(&after, slot, &three).is_none(), "a chain of its name takes other connections");
    assert!(Arc::ptr_eq(successor(&after, slot, &four).unwrap(), &chain_of(&after, 1)));
    let secured = snapshot(&[("", 2, "cert", "other")]);
    assert!(successor(&secured, slot, &two).is_none(), "a plaintext connection is none of a TLS chain");
}

#[tokio::test]
async fn who_joins_a_chain_that_is_gone_is_drained_and_forced() {
    let run = async {
        let groups = Groups::new(LocalTasks::default(), Duration::from_millis(20));
        let (before, after) = (snapshot(&[("a", 1, "", "r")]), snapshot(&[("b", 2, "", "r")]));
        let early = groups.join(&before, ListenerSlot(0), &chain_of(&before, 0));
        assert_eq!(*early.borrow(), Phase::Open);
        groups.swapped(&after);
        assert_eq!(*early.borrow(), Phase::Draining);
        let mut late = groups.join(&after, ListenerSlot(0), &chain_of(&before, 0));
        assert_eq!(*late.borrow(), Phase::Draining);
        late.wait_for(|phase| *phase == Phase::Forced).await.unwrap();
        let back = groups.join(&before, ListenerSlot(0), &chain_of(&before, 0));
        assert_eq!(*back.borrow(), Phase::Open, "the chain came back, and with it a new group");
    };
    LocalSet::new().run_until(run).await;
}

#[tokio::test]
async fn a_drain_waits_for_all_and_forces_all() {
    let run = async {
        let groups = Groups::new(LocalTasks::default(), Duration::from_secs(600));
        let (before, after) = (snapshot(&[("a", 1, "", "r")]), snapshot(&[("b", 2, "", "r")]));
        let opening = groups.opening();
        let ending = groups.join(&before, ListenerSlot(0), &chain_of(&before, 0));
        groups.swapped(&after);
        let mut members = vec![ending];
        let late = async {
            tokio::task::yield_now().await;
            members.push(groups.join(&after, ListenerSlot(0), &chain_of(&after, 0)));
            assert_eq!(*members[1].borrow(), Phase::Draining);
            drop(opening);
            for member in &mut members {
                member.wait_for(|phase| *phase == Phase::Forced).await.unwrap();
            }
            members.clear();
        };
        let deadline = Duration::from_millis(20);
        let start = std::time::Instant::now();
        tokio::join!(groups.drain(deadline), late);
        assert!(start.elapsed() >= deadline, "it waits for those who joined late");
        assert_eq!(*groups.opening().borrow(), Phase::Forced);
    };
    LocalSet::new().run_until(run).await;
}
