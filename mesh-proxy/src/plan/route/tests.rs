//! Which virtual host, route and cluster a request gets.

#![allow(clippy::unwrap_used)]

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::{
    plan::fixture::{forward_to, path_match, route_to, table, tcp_proxy},
    snapshot::{HeaderKey, HeaderMatcher, HeaderTest, Percent, QueryMatcher, StringMatcher, StringPattern},
};

fn request<'a>(authority: &'a str, path: &'a str, headers: &'a HeaderMap) -> RequestFacts<'a> {
    RequestFacts { method: &Method::GET, scheme: "http", authority, path, headers, tls: None }
}

fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in list {
        map.append(*name, HeaderValue::from_static(value));
    }
    map
}

fn exact(text: &str) -> StringMatcher {
    StringMatcher { pattern: StringPattern::Exact(text.into()), ignore_case: false }
}

fn all(path: &str) -> RouteMatch {
    path_match(PathMatch::Prefix(path.into()))
}

#[test]
fn virtual_hosts() {
    let table = table(&[
        ("any", &["*"]),
        ("exact", &["www.a.com", "www.a.com:8080"]),
        ("suffix", &["*.a.com"]),
        ("longer", &["*-bar.a.com"]),
        ("prefix", &["www.*"]),
        ("longer prefix", &["www.b.*"]),
    ]);
    let cases = [
        ("www.a.com", "exact"),
        ("WWW.A.com", "exact"),
        ("www.a.com:8080", "exact"),
        ("www.a.com:80", "prefix"),
        ("x.a.com", "suffix"),
        ("foo-bar.a.com", "longer"),
        (".a.com", "any"),
        ("www.c.org", "prefix"),
        ("www.b.org", "longer prefix"),
        ("nothing", "any"),
    ];
    for (authority, expected) in cases {
        assert_eq!(&*virtual_host(&table, authority).unwrap().name, expected, "{authority}");
    }
    let mut ignoring = table;
    ignoring.ignore_port = true;
    assert_eq!(&*virtual_host(&ignoring, "www.a.com:80").unwrap().name, "exact");
    assert!(virtual_host(&ignoring, "").is_none(), "no authority, no virtual host");
}

#[test]
fn only_a_catch_all_takes_everything() {
    let table = table(&[("any", &["*"])]);
    assert!(virtual_host(&table, "").is_some());
    assert!(virtual_host(&crate::plan::fixture::table(&[("a", &["a"])]), "b").is_none());
}

#[test]
fn ports() {
    let cases = [
        ("a:80", StripPort::No, "a:80"),
        ("a:80", StripPort::Matching, "a"),
        ("a:81", StripPort::Matching, "a:81"),
        ("a:81", StripPort::Any, "a"),
        ("[::1]:80", StripPort::Any, "[::1]"),
        ("[::1]", StripPort::Any, "[::1]"),
        ("a", StripPort::Any, "a"),
    ];
    for (authority, mode, expected) in cases {
        assert_eq!(strip_port(authority, mode, 80), expected, "{authority} {mode:?}");
    }
}

#[test]
fn paths() {
    let regex = |pattern: &str| PathMatch::Regex(regex::Regex::new(&format!("^(?:{pattern})$")).unwrap());
    let insensitive = |path: PathMatch| RouteMatch { case_sensitive: false, ..path_match(path) };
    let cases = [
        (all("/foo"), "/foobar", true),
        (all("/foo"), "/Foo", false),
        (insensitive(PathMatch::Prefix("/foo".into())), "/FOO/x", true),
        (path_match(PathMatch::SegmentPrefix("/foo".into())), "/foobar", false),
        (path_match(PathMatch::SegmentPrefix("/foo".into())), "/foo/bar", true),
        (path_match(PathMatch::SegmentPrefix("/foo".into())), "/foo?x", true),
        (path_match(PathMatch::Exact("/foo".into())), "/foo?x=1", true),
        (path_match(PathMatch::Exact("/foo".into())), "/foo#frag", true),
        (path_match(PathMatch::Exact("/foo".into())), "/foo/", false),
        (path_match(regex("/f[a-z]+")), "/foo?bar", true),
        (path_match(regex("/f[a-z]+")), "/foo/bar", false),
        (path_match(PathMatch::Connect), "/foo", false),
        (all("/"), "", false),
    ];
    let none = HeaderMap::new();
    for (matcher, path, expected) in cases {
        assert_eq!(matches(&matcher, &request("a", path, &none), 0), expected, "{matcher:?} {path}");
    }
    let connect = RequestFacts { method: &Method::CONNECT, ..request("a:443", "", &none) };
    assert!(matches(&path_match(PathMatch::Connect), &connect, 0));
    assert!(!matches(&all("/"), &connect, 0));
}

#[test]
fn conditions_besides_the_path() {
    let header = HeaderMatcher {
        name: HeaderKey::Name("x-user".parse().unwrap()),
        test: HeaderTest::Value(exact("tester")),
        invert: false,
        missing_as_empty: false,
    };
    let method = HeaderMatcher { name: HeaderKey::Method, test: HeaderTest::Value(exact("GET")), ..header.clone() };
    let query = QueryMatcher { name: "v".into(), value: Some(exact("2")) };
    let with = |change: &dyn Fn(&mut RouteMatch)| {
        let mut matcher = all("/");
        change(&mut matcher);
        matcher
    };
    let cases = [
        (with(&|m| m.headers = vec![header.clone(), method.clone()]), "/", &[("x-user", "tester")][..], true),
        (with(&|m| m.headers = vec![header.clone()]), "/", &[("x-user", "other")], false),
        (with(&|m| m.query = vec![query.clone()]), "/?v=2", &[], true),
        (with(&|m| m.query = vec![query.clone()]), "/?v=1&v=2", &[], false),
        (with(&|m| m.grpc = true), "/", &[("content-type", "application/grpc+proto")], true),
        (with(&|m| m.grpc = true), "/", &[("content-type", "application/grpc-web")], false),
        (with(&|m| m.fraction = Some(Percent { numerator: 8, denominator: 100 })), "/", &[], true),
        (with(&|m| m.fraction = Some(Percent { numerator: 7, denominator: 100 })), "/", &[], false),
        (with(&|m| m.client_cert_presented = Some(true)), "/", &[], false),
        (with(&|m| m.client_cert_validated = Some(false)), "/", &[], true),
    ];
    for (matcher, path, given, expected) in cases {
        assert_eq!(matches(&matcher, &request("a", path, &headers(given)), 107), expected, "{matcher:?} {path}");
    }
}

#[test]
fn the_first_route_that_matches() {
    let mut table = table(&[("vh", &["*"])]);
    let routes = vec![route_to("special", all("/a/b"), 1), route_to("general", all("/a"), 2), route_to("dead", all("/a/b/c"), 3)];
    Arc::get_mut(&mut table.virtual_hosts[0]).unwrap().routes = routes;
    let none = HeaderMap::new();
    let decide = |path| route(&table, &request("x", path, &none), 0);
    let decision = decide("/a/b/c");
    let matched = decision.matched().unwrap();
    assert_eq!((&*matched.route.name, matched.index, matched.cluster(&Snapshot::default())), ("special", 0, Some(ClusterSlot(1))));
    assert_eq!(decision.provenance(&table).to_string(), "route table t > virtual host vh > route #0 `special` (from config of special)");
    assert!(matches!(decide("/z"), RouteDecision::NoRoute { .. }));
}

#[test]
fn weighted_clusters() {
    let part = |cluster, weight| WeightedCluster {
        cluster: ClusterSlot(cluster),
        weight,
        headers: Default::default(),
        host_rewrite: None,
        overrides: Vec::new(),
    };
    let mut table = table(&[("vh", &["*"])]);
    let target =
        Target::Weighted { clusters: vec![part(1, 80), part(2, 0), part(3, 20)], total: 100, draw: Some("x-draw".parse().unwrap()) };
    let weighted = Route { action: forward_to(target), ..Arc::try_unwrap(route_to("w", all("/"), 0)).unwrap() };
    Arc::get_mut(&mut table.virtual_hosts[0]).unwrap().routes = vec![Arc::new(weighted)];
    let part_at = |draw, given: &[(&'static str, &'static str)]| {
        let decision = route(&table, &request("x", "/", &headers(given)), draw);
        decision.matched().unwrap().part().unwrap().cluster.0
    };
    for (draw, expected) in [(0, 1), (79, 1), (80, 3), (99, 3), (100, 1)] {
        assert_eq!(part_at(draw, &[]), expected, "{draw}");
    }
    assert_eq!(part_at(0, &[("x-draw", "85")]), 3);
    assert_eq!(part_at(0, &[("x-draw", "85"), ("x-draw", "86")]), 1, "two values are none");
    assert_eq!(part_at(0, &[("x-draw", "nonsense")]), 1);
    let split = (0..1000).filter(|draw| part_at(*draw, &[]) == 1).count();
    assert_eq!(split, 800);
}

#[test]
fn tcp_clusters_by_weight() {
    let mut proxy = tcp_proxy();
    assert_eq!(tcp_cluster(&proxy, 17), Some(ClusterSlot(0)));
    proxy.clusters = vec![(ClusterSlot(1), 0), (ClusterSlot(2), 3), (ClusterSlot(3), 1)];
    let picks: Vec<u32> = (0..5).map(|draw| tcp_cluster(&proxy, draw).unwrap().0).collect();
    assert_eq!(picks, [2, 2, 2, 3, 2]);
}

#[test]
fn clusters_by_header() {
    let mut table = table(&[("vh", &["*"])]);
    let target = Target::Header("x-cluster".parse().unwrap());
    let named = Route { action: forward_to(target), ..Arc::try_unwrap(route_to("h", all("/"), 0)).unwrap() };
    Arc::get_mut(&mut table.virtual_hosts[0]).unwrap().routes = vec![Arc::new(named)];
    let mut snapshot = Snapshot::default();
    snapshot.cluster_names.insert("c".into(), ClusterSlot(7));
    let cluster = |given: &[(&'static str, &'static str)]| {
        route(&table, &request("x", "/", &headers(given)), 0).matched().unwrap().cluster(&snapshot)
    };
    assert_eq!(cluster(&[("x-cluster", "c")]), Some(ClusterSlot(7)));
    assert_eq!(cluster(&[("x-cluster", "d")]), None);
    assert_eq!(cluster(&[]), None);
}

#[test]
fn tls_may_be_required() {
    let mut table = table(&[("vh", &["*"])]);
    Arc::get_mut(&mut table.virtual_hosts[0]).unwrap().require_tls = true;
    let none = HeaderMap::new();
    let plain = request("x", "/", &none);
    assert!(matches!(route(&table, &plain, 0), RouteDecision::RequireTls { .. }));
    let secure = RequestFacts { scheme: "https", ..plain };
    assert!(matches!(route(&table, &secure, 0), RouteDecision::NoRoute { .. }));
}

proptest! {
    #[test]
    fn decisions_name_existing_configuration(
        authority in prop::sample::select(vec!["a.com", "x.a.com", "b", "www.q", ""]),
        path in prop::sample::select(vec!["/", "/a", "/a/b", "/c?d"]),
        prefixes in prop::collection::vec(prop::sample::select(vec!["/", "/a", "/a/b", "/c"]), 0..4),
        draw in any::<u64>(),
    ) {
        let mut table = table(&[("one", &["a.com"]), ("two", &["*.a.com", "www.*"]), ("any", &["*"])]);
        for host in &mut table.virtual_hosts {
            let routes = prefixes.iter().map(|prefix| route_to(prefix, all(prefix), 0)).collect();
            Arc::get_mut(host).unwrap().routes = routes;
        }
        let none = HeaderMap::new();
        let request = request(authority, path, &none);
        match route(&table, &request, draw) {
            RouteDecision::Matched(matched) => {
                let host = table.virtual_hosts.iter().find(|host| Arc::ptr_eq(host, &matched.virtual_host)).unwrap();
                prop_assert!(Arc::ptr_eq(&host.routes[matched.index], &matched.route));
                prop_assert!(matches(&matched.route.matcher, &request, draw));
                prop_assert!(!host.routes[..matched.index].iter().any(|earlier| matches(&earlier.matcher, &request, draw)));
            }
            RouteDecision::NoRoute { virtual_host } => {
                prop_assert!(!virtual_host.routes.iter().any(|route| matches(&route.matcher, &request, draw)));
            }
            RouteDecision::NoVirtualHost => prop_assert!(authority.is_empty()),
            RouteDecision::RequireTls { .. } => prop_assert!(false),
        }
    }
}
