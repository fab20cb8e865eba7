//! Route tables: inheritance, rewriting, domains.

use std::time::Duration;

use super::*;
use crate::snapshot::{Action, FilterOverride, Forward, Rewrite, Route, Target};

fn route(virtual_host: &str) -> Arc<Route> {
    let (snapshot, rejections) = table(virtual_host);
    assert_eq!(rejections, []);
    let table = snapshot.route_table(snapshot.route_table_names["r"]).unwrap();
    table.virtual_hosts[0].routes[0].clone()
}

fn forward(route: &Route) -> &Forward {
    let Action::Forward(forward) = &route.action else { unreachable!("the route forwards") };
    forward
}

#[test]
fn defaults_are_envoys() {
    let route = route("{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a}}]}");
    let forward = forward(&route);
    assert_eq!(forward.timeout, Some(Duration::from_secs(15)));
    assert!(forward.retry.is_none() && forward.mirrors.is_empty() && route.matcher.case_sensitive);
    assert_eq!(forward.cluster_not_found, http::StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn what_the_virtual_host_says_is_folded_in() {
    const FAULT: &str = "'@type': type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, abort: {http_status: 503, percentage: {numerator: 20}}";
    const OFF: &str = "'@type': type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true";
    let route = route(&format!(
        "{{name: v, domains: ['*'], retry_policy: {{retry_on: 'gateway-error, bogus', num_retries: 3}},
          typed_per_filter_config: {{fault: {{{FAULT}}}, other: {{{OFF}}}}},
          routes: [{{match: {{prefix: /}}, route: {{cluster: a, timeout: 0s}}, typed_per_filter_config: {{fault: {{{OFF}}}}}}}]}}"
    ));
    let retry = forward(&route).retry.as_ref().unwrap();
    assert!(retry.on.gateway_error && !retry.on.server_error && retry.retries == 3);
    assert_eq!(forward(&route).timeout, None);
    assert_eq!(route.overrides.len(), 2);
    assert!(route.overrides.iter().all(|(_, filter)| matches!(filter, FilterOverride::Disabled)));
}

#[test]
fn weights_and_rewrites() {
    let route = route(
        "{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {regex_rewrite: {pattern: {regex: '^/v(\\d)/'}, substitution: '/\\1$/'},
          weighted_clusters: {clusters: [{name: a, weight: 80}, {name: b, weight: 20, request_headers_to_add: [{header: {key: x, value: '%REQ(y)%'}}]}]}}}]}",
    );
    let Target::Weighted { clusters, total: 100, draw: None } = &forward(&route).target else { unreachable!("the target has weights") };
    assert_eq!(clusters.iter().map(|part| part.weight).collect::<Vec<_>>(), [80, 20]);
    assert_eq!(clusters[1].headers.request.set.len(), 1);
    let Some(Rewrite::Regex { pattern, substitution }) = &forward(&route).rewrite else { unreachable!("there is a rewrite") };
    assert_eq!(pattern.replace_all("/v2/x", &**substitution), "/2$/x");
}

#[test]
fn domains_are_indexed_longest_first() {
    let (snapshot, rejections) = table("{name: a, domains: [X.y, '*.y', 'x.*']}, {name: b, domains: ['*.x.y', '*', 'x.y.*', 'x.y:80']}");
    assert_eq!(rejections, []);
    let hosts = &snapshot.route_tables[0].as_ref().unwrap().hosts;
    assert_eq!((hosts.exact["x.y"], hosts.exact["x.y:80"], hosts.any), (0, 1, Some(1)));
    assert_eq!(hosts.suffix, [(".x.y".into(), 1), (".y".into(), 0)]);
    assert_eq!(hosts.prefix, [("x.y.".into(), 1), ("x.".into(), 0)]);
}

#[test]
fn provenance_and_services_come_from_istios_metadata() {
    let route = route(
        "{name: v, domains: ['*'], routes: [{match: {prefix: /}, metadata: {filter_metadata: {istio: {config: /x/y}}}, redirect: {https_redirect: true}}]}",
    );
    assert_eq!(route.provenance.as_deref(), Some("/x/y"));
    let wire = cluster("c", "metadata: {filter_metadata: {istio: {services: [{host: h, name: a, namespace: s}]}}}");
    let (snapshot, _) = crate::xds::compile(vec![], vec![wire], vec![], vec![]);
    let service = snapshot.cluster_by_name("c").unwrap().service.clone().unwrap();
    assert_eq!((&*service.host, &*service.name, &*service.namespace), ("h", "a", "s"));
}
