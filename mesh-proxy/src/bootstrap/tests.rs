//! Bootstraps as users write them.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::snapshot::{Discovery, RouteSource, Terminal};

const STATIC: &str = r#"
node: {id: sidecar~1.2.3.4~a.b~b.svc.cluster.local, cluster: a.b}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}
layered_runtime: {layers: [{name: admin, admin_layer: {}}]}
stats_config: {stats_tags: [{tag_name: mesh, fixed_value: m}, {tag_name: x, regex: "(a)"}]}
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 0.0.0.0, port_value: 8080}}
    freebind: true
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          http_filters:
          - name: stats
            typed_config:
              "@type": type.googleapis.com/udpa.type.v1.TypedStruct
              type_url: type.googleapis.com/stats.PluginConfig
              value: {tcp_reporting_duration: 15s}
          - name: lua
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}
          - {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            name: local
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /api}
                route: {cluster: app, timeout: 3s, retry_policy: {retry_on: "5xx,reset", num_retries: 2}}
              - match: {prefix: /}
                direct_response: {status: 404}
  clusters:
  - name: app
    type: STATIC
    load_assignment:
      cluster_name: app
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9000}}}}]}]
  - name: xds
    type: STRICT_DNS
    load_assignment:
      cluster_name: xds
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: pilot, port_value: 15012}}}}]}]
dynamic_resources:
  lds_config: {ads: {}, resource_api_version: V3}
  cds_config: {ads: {}, resource_api_version: V3}
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    grpc_services: [{envoy_grpc: {cluster_name: xds}}]
"#;

#[test]
fn a_bootstrap_becomes_settings_and_a_snapshot() {
    let Loaded { config, mut assembler, report } = from_yaml(STATIC).unwrap();
    assert!(report.is_ok(), "{report}");
    assert_eq!(config.node.cluster, "a.b");
    assert_eq!(config.admin.unwrap().address.to_string(), "127.0.0.1:15000");
    let ads = config.ads.unwrap();
    assert!(ads.delta);
    assert_eq!(ads.target, Target::Cluster("xds".into()));
    assert_eq!((config.lds, config.cds), (Some(Source::Ads), Some(Source::Ads)));
    assert_eq!(config.stats_tags, [("mesh".into(), "m".into())]);

    let snapshot = assembler.snapshot();
    let app = snapshot.cluster_by_name("app").unwrap();
    assert_eq!(app.endpoints.priorities[0][0].endpoints[0].address.to_string(), "127.0.0.1:9000");
    let xds = snapshot.cluster_by_name("xds").unwrap();
    assert!(matches!(xds.discovery, Discovery::StrictDns { .. }));
    assert_eq!(xds.endpoints.names, [("pilot".into(), 15012)]);
    let listener = snapshot.listener(snapshot.listener_names["in"]).unwrap();
    let Terminal::Http(hcm) = &listener.chains[0].terminal else { unreachable!("the chain ends in HTTP") };
    assert_eq!(hcm.filters.len(), 3);
    let RouteSource::Inline(table) = &hcm.routes else { unreachable!("the routes are inline") };
    assert_eq!(table.virtual_hosts[0].routes.len(), 2);
}

#[test]
fn the_report_lists_what_has_no_effect_and_what_fails() {
    let report = from_yaml(STATIC).unwrap().report.to_string();
    for line in [
        "no effect: bootstrap: layered_runtime",
        "no effect: bootstrap: stats_config.stats_tags[1]",
        "no effect: listener in: freebind",
        "fails when used: listener in: filter_chains[0].filters[0].typed_config.http_filters[1]: HTTP filter lua",
        "the configuration is valid",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
}

#[test]
fn errors_name_the_field() {
    let broken = STATIC.replace("timeout: 3s", "timeout: -3s").replace("freebind: true", "transparent: true");
    let report = from_yaml(&broken).unwrap().report;
    assert_eq!(report.errors, ["listener \"in\": transparent: is not implemented: connections would be lost"]);
    let broken = STATIC.replace("timeout: 3s", "timeout: -3s");
    let report = from_yaml(&broken).unwrap().report;
    let path = "filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0].routes[0].route.timeout";
    assert!(report.errors[0].contains(path), "{report}");
    let broken = STATIC.replace("  ads_config:", "  x_config:");
    assert!(from_yaml(&broken).is_err());
}
