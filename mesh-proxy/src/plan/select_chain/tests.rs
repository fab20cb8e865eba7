//! Which filter chain a connection gets, in Envoy's order of criteria.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::plan::fixture::{chain, listener};

fn facts() -> ConnectionFacts {
    ConnectionFacts {
        destination: "10.1.2.3:443".parse().unwrap(),
        source: "192.168.1.9:5000".parse().unwrap(),
        direct_source: "192.168.1.9".parse().unwrap(),
        server_name: None,
        tls: false,
        application_protocols: Vec::new(),
    }
}

fn nets(list: &[&str]) -> Vec<IpNet> {
    list.iter().map(|net| net.parse().unwrap()).collect()
}

fn names(list: &[&str]) -> Vec<Arc<str>> {
    list.iter().map(|name| Arc::from(*name)).collect()
}

fn any() -> ChainMatch {
    ChainMatch::default()
}

/// The name of the chain chosen, chains being named `0`, `1`, … and the default chain `default`.
fn chosen(matches: Vec<ChainMatch>, facts: &ConnectionFacts) -> String {
    let listener = listener(matches.into_iter().enumerate().map(|(i, m)| chain(&i.to_string(), m)).collect());
    select_chain(&listener, facts).unwrap().chain.name.to_string()
}

#[test]
fn each_criterion_the_more_specific_wins() {
    let tls = ConnectionFacts {
        tls: true,
        server_name: Some("www.a.example.com".into()),
        application_protocols: names(&["h2", "http/1.1"]),
        ..facts()
    };
    let cases: Vec<(Vec<ChainMatch>, &ConnectionFacts, &str)> = vec![
        (vec![any(), ChainMatch { destination_port: Some(443), ..any() }], &tls, "1"),
        (vec![any(), ChainMatch { destination_port: Some(80), ..any() }], &tls, "0"),
        (
            vec![
                ChainMatch { destination_ranges: nets(&["10.0.0.0/8"]), ..any() },
                ChainMatch { destination_ranges: nets(&["172.16.0.0/12", "10.1.0.0/16"]), ..any() },
            ],
            &tls,
            "1",
        ),
        (
            vec![
                ChainMatch { server_names: names(&["*.example.com"]), ..any() },
                ChainMatch { server_names: names(&["*.a.example.com"]), ..any() },
                any(),
            ],
            &tls,
            "1",
        ),
        (
            vec![
                ChainMatch { server_names: names(&["*.a.example.com"]), ..any() },
                ChainMatch { server_names: names(&["www.a.example.com"]), ..any() },
            ],
            &tls,
            "1",
        ),
        (
            vec![
                ChainMatch { transport_protocol: Some("raw_buffer".into()), ..any() },
                ChainMatch { transport_protocol: Some("tls".into()), ..any() },
            ],
            &tls,
            "1",
        ),
        (
            vec![
                ChainMatch { application_protocols: names(&["http/1.1"]), ..any() },
                ChainMatch { application_protocols: names(&["h2"]), ..any() },
            ],
            &tls,
            "1",
        ),
        (vec![any(), ChainMatch { direct_source_ranges: nets(&["192.168.0.0/16"]), ..any() }], &tls, "1"),
        (
            vec![
                ChainMatch { source_type: SourceType::SameIpOrLoopback, ..any() },
                ChainMatch { source_type: SourceType::External, ..any() },
            ],
            &tls,
            "1",
        ),
        (vec![any(), ChainMatch { source_ranges: nets(&["192.168.1.9/32"]), ..any() }], &tls, "1"),
        (vec![any(), ChainMatch { source_ports: vec![5000], ..any() }], &tls, "1"),
    ];
    for (matches, facts, expected) in cases {
        assert_eq!(chosen(matches.clone(), facts), expected, "{matches:?}");
    }
}

#[test]
fn no_way_back() {
    // The port's chain wants TLS: plaintext gets the default, not the chain for any port.
    let matches = vec![any(), ChainMatch { destination_port: Some(443), transport_protocol: Some("tls".into()), ..any() }];
    assert_eq!(chosen(matches, &facts()), "default");
    // The server name outweighs the protocol.
    let tls = ConnectionFacts { tls: true, server_name: Some("a.b".into()), ..facts() };
    let matches = vec![
        ChainMatch { server_names: names(&["a.b"]), application_protocols: names(&["h2"]), ..any() },
        ChainMatch { transport_protocol: Some("tls".into()), ..any() },
    ];
    assert_eq!(chosen(matches, &tls), "default");
}

#[test]
fn loopback_is_local() {
    let local = ConnectionFacts { source: "127.0.0.1:1".parse().unwrap(), ..facts() };
    let matches = vec![any(), ChainMatch { source_type: SourceType::SameIpOrLoopback, ..any() }];
    assert_eq!(chosen(matches.clone(), &local), "1");
    let same = ConnectionFacts { source: "10.1.2.3:1".parse().unwrap(), ..facts() };
    assert_eq!(chosen(matches, &same), "1");
}

#[test]
fn wildcards_need_a_label() {
    let given = |name: &str| ConnectionFacts { tls: true, server_name: Some(name.into()), ..facts() };
    let matches = vec![ChainMatch { server_names: names(&["*.a.b"]), ..any() }];
    for (name, expected) in [("x.a.b", "0"), ("x.y.a.b", "0"), ("a.b", "default"), (".a.b", "default"), ("xa.b", "default")] {
        assert_eq!(chosen(matches.clone(), &given(name)), expected, "{name}");
    }
}

#[test]
fn says_what_chose() {
    let matches = ChainMatch { destination_port: Some(443), source_ports: vec![5000], ..any() };
    let listener = listener(vec![chain("c", matches), chain("d", any())]);
    let selection = select_chain(&listener, &facts()).unwrap();
    assert_eq!(selection.to_string(), "filter chain `c` by destination_port, source_ports");
    let other = ConnectionFacts { source: "1.1.1.1:1".parse().unwrap(), ..facts() };
    assert_eq!(select_chain(&listener, &other).unwrap().to_string(), "default filter chain `default`");
}

fn some_match() -> impl Strategy<Value = ChainMatch> {
    let range = || prop::sample::subsequence(nets(&["10.0.0.0/8", "10.1.0.0/16", "192.168.0.0/16", "0.0.0.0/0"]), 0..2);
    (
        prop::sample::select(vec![None, Some(443), Some(80)]),
        range(),
        prop::sample::subsequence(names(&["a.b", "*.b", "c.d"]), 0..2),
        prop::sample::select(vec![None, Some(Arc::<str>::from("tls")), Some("raw_buffer".into())]),
        prop::sample::subsequence(names(&["h2", "http/1.1"]), 0..2),
        range(),
        prop::sample::select(vec![SourceType::Any, SourceType::External, SourceType::SameIpOrLoopback]),
        prop::sample::subsequence(vec![5000u16, 1], 0..2),
    )
        .prop_map(|(port, ranges, server_names, transport, alpn, source_ranges, source_type, source_ports)| ChainMatch {
            destination_port: port,
            destination_ranges: ranges,
            server_names,
            transport_protocol: transport,
            application_protocols: alpn,
            source_ranges,
            source_type,
            source_ports,
            ..any()
        })
}

fn some_facts() -> impl Strategy<Value = ConnectionFacts> {
    (
        prop::sample::select(vec!["10.1.2.3:443", "10.9.9.9:80", "127.0.0.1:443"]),
        prop::sample::select(vec!["192.168.1.9:5000", "127.0.0.1:1", "10.1.2.3:7"]),
        prop::sample::select(vec![None, Some("a.b"), Some("x.b"), Some("c.d")]),
        prop::sample::select(vec![vec![], vec!["h2"], vec!["http/1.1", "h2"]]),
    )
        .prop_map(|(destination, source, server_name, alpn)| {
            let source: std::net::SocketAddr = source.parse().unwrap();
            ConnectionFacts {
                destination: destination.parse().unwrap(),
                source,
                direct_source: source.ip(),
                server_name: server_name.map(Arc::from),
                tls: server_name.is_some(),
                application_protocols: names(&alpn),
            }
        })
}

proptest! {
    #[test]
    fn what_is_chosen_matches_in_every_criterion(matches in prop::collection::vec(some_match(), 0..6), facts in some_facts()) {
        let listener = listener(matches.into_iter().enumerate().map(|(i, m)| chain(&i.to_string(), m)).collect());
        let selection = select_chain(&listener, &facts).unwrap();
        let m = &selection.chain.matcher;
        prop_assert!(m.destination_port.is_none_or(|port| port == facts.destination.port()));
        prop_assert!(m.destination_ranges.is_empty() || m.destination_ranges.iter().any(|r| r.contains(&facts.destination.ip())));
        prop_assert!(m.source_ranges.is_empty() || m.source_ranges.iter().any(|r| r.contains(&facts.source.ip())));
        prop_assert!(m.source_ports.is_empty() || m.source_ports.contains(&facts.source.port()));
        prop_assert!(m.transport_protocol.as_deref().is_none_or(|p| (p == "tls") == facts.tls));
        prop_assert!(m.application_protocols.is_empty() || m.application_protocols.iter().any(|p| facts.application_protocols.contains(p)));
        if !m.server_names.is_empty() {
            let given = facts.server_name.as_deref().unwrap();
            prop_assert!(m.server_names.iter().any(|n| **n == *given || n.strip_prefix('*').is_some_and(|s| given.ends_with(s))));
        }
        let known = listener.chains.iter().chain(&listener.default_chain).any(|chain| Arc::ptr_eq(chain, selection.chain));
        prop_assert!(known, "a decision names existing configuration");
    }
}
