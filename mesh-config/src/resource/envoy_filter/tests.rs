//! Rules of `EnvoyFilter`, by what they say.

use expect_test::expect;

use crate::resource::{Kind, golden::check};

#[test]
fn patches_in_order() {
    check(
        Kind::EnvoyFilter,
        r#"workloadSelector: {labels: {a: b}}, configPatches: [{applyTo: CLUSTER, match: {context: SIDECAR_OUTBOUND, cluster: {service: a}}, patch: {operation: MERGE, value: {lb_policy: RING_HASH, dns_refresh_rate: 500ms, connectTimeout: 1s}}}, {applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}}}}, patch: {operation: INSERT_BEFORE, value: {name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, default_source_code: {inline_string: "x = 1"}}}}}], priority: -1"#,
        &expect![[r#""#]],
    );
    check(
        Kind::EnvoyFilter,
        r#"configPatches: [{applyTo: HTTP_FILTER, match: {context: WAYPOINT, waypoint: {}}, patch: {}}]"#,
        &expect![[r#""#]],
    );
    check(
        Kind::EnvoyFilter,
        r#"configPatches: [{applyTo: HTTP_FILTER, patch: {operation: ADD, value: {name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.golang.v3alpha.Config, library_id: a}}}}]"#,
        &expect![[r#""#]],
    );
}

#[test]
fn what_a_patch_needs() {
    check(
        Kind::EnvoyFilter,
        r#"configPatches: [{}, {applyTo: CLUSTER}, {applyTo: CLUSTER, patch: {value: {}}}, {applyTo: CLUSTER, patch: {operation: ADD}}, {applyTo: CLUSTERS}]"#,
        &expect![[r#"
            error spec.configPatches[4].applyTo: Unsupported value: "CLUSTERS"
        "#]],
    );
    check(
        Kind::EnvoyFilter,
        r#"configPatches: [{}, {applyTo: CLUSTER}, {applyTo: CLUSTER, patch: {value: {}}}, {applyTo: CLUSTER, patch: {operation: ADD}}]"#,
        &expect![[r#"
            error spec.configPatches[0].applyTo: it is not said what the patch applies to
            error spec.configPatches[1].patch: there is no patch
            error spec.configPatches[2].patch.operation: it is not said what to do
            error spec.configPatches[3].patch.value: ADD needs a value
        "#]],
    );
}

#[test]
fn matches() {
    check(
        Kind::EnvoyFilter,
        r#"configPatches: [{applyTo: VIRTUAL_HOST, match: {cluster: {}}, patch: {operation: REMOVE}}, {applyTo: CLUSTER, match: {listener: {}}, patch: {operation: REMOVE}}, {applyTo: LISTENER, match: {routeConfiguration: {}, cluster: {}}, patch: {operation: REMOVE}}, {applyTo: CLUSTER, match: {context: GATEWAY, waypoint: {portNumber: 0}}, patch: {operation: REMOVE}}]"#,
        &expect![[r#"
            error spec.configPatches[2].match: only one of cluster, listener, routeConfiguration, waypoint can be set, found cluster and routeConfiguration
            error spec.configPatches[3].match.waypoint.portNumber: port must be between 1-65535 (found `0`)
            error spec.configPatches[3].match: only support waypointMatch when context is WAYPOINT
            error spec.configPatches[0].match.cluster: VIRTUAL_HOST objects cannot be matched by cluster
            error spec.configPatches[1].match.listener: CLUSTER objects cannot be matched by listener
            error spec.configPatches[2].match.routeConfiguration: LISTENER objects cannot be matched by routeConfiguration
            error spec.configPatches[2].match.cluster: LISTENER objects cannot be matched by cluster
        "#]],
    );
    check(
        Kind::EnvoyFilter,
        r#"configPatches: [{applyTo: LISTENER, match: {proxy: {proxyVersion: "("}, listener: {filterChain: {filter: {name: envoy.tcp_proxy}}}}, patch: {operation: REMOVE}}, {applyTo: LISTENER, match: {proxy: {proxyVersion: "a++"}}, patch: {operation: REMOVE}}]"#,
        &expect![[r#"
            error spec.configPatches[0].match.proxy.proxyVersion: invalid regex for proxy version: error: unclosed group (found `(`)
            warning spec.configPatches[0].match.listener.filterChain.filter: filter match has no effect when used with LISTENER
            warning spec.configPatches[0].match.listener.filterChain.filter.name: deprecated filter name (found `envoy.tcp_proxy`)
            error spec.configPatches[1].match.proxy.proxyVersion: invalid regex for proxy version: `+` repeats what is already repeated: put the inner part in a group (found `a++`)
        "#]],
    );
    check(
        Kind::EnvoyFilter,
        r#"configPatches: [{applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {}}}}, patch: {operation: REMOVE}}, {applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {name: a, subFilter: {}}}}}, patch: {operation: REMOVE}}, {applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: a, subFilter: {name: b}}}}}, patch: {operation: REMOVE}}, {applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: envoy.http_connection_manager, subFilter: {name: envoy.lua}}}}}, patch: {operation: REMOVE}}]"#,
        &expect![[r#"
            error spec.configPatches[0].match.listener.filterChain.filter.name: filter match has no name to match on
            error spec.configPatches[1].match.listener.filterChain.filter.subFilter: subfilter match can be used with applyTo HTTP_FILTER only
            error spec.configPatches[2].match.listener.filterChain.filter.subFilter: subfilter match requires filter match with the HTTP connection manager
            warning spec.configPatches[3].match.listener.filterChain.filter.name: deprecated filter name (found `envoy.http_connection_manager`)
            warning spec.configPatches[3].match.listener.filterChain.filter.subFilter.name: deprecated filter name (found `envoy.lua`)
        "#]],
    );
}

#[test]
fn values() {
    check(
        Kind::EnvoyFilter,
        r#"configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {name: false}}}, {applyTo: CLUSTER, patch: {operation: MERGE, value: {lb_polcy: RANDOM, circuit_breakers: {thresholds: [{max_conections: 1}]}, transport_socket: {name: tls}}}}]"#,
        &expect![[r#"
            error spec.configPatches[0].patch.value.name: expected a string (quote it if text is meant), found false
            warning spec.configPatches[1].patch.value.circuit_breakers.thresholds[0].max_conections: envoy.config.cluster.v3.CircuitBreakers.Thresholds has no such field
            warning spec.configPatches[1].patch.value.lb_polcy: envoy.config.cluster.v3.Cluster has no such field
            warning spec.configPatches[1].patch.value.transport_socket: an extension by name without typed_config is deprecated (found `tls`)
        "#]],
    );
    check(
        Kind::EnvoyFilter,
        r#"configPatches: [{applyTo: NETWORK_FILTER, patch: {operation: INSERT_FIRST, value: {name: a, typed_config: {"@type": type.googleapis.com/envoy.config.filter.network.ext_authz.v2.ExtAuthz}}}}, {applyTo: EXTENSION_CONFIG, patch: {operation: ADD, value: {name: a, typed_config: {"@type": example.com/a.B, c: d}}}}, {applyTo: LISTENER_FILTER, patch: {operation: ADD, value: {name: a}}}]"#,
        &expect![[r#"
            error spec.configPatches[0].patch.value.typed_config["@type"]: referenced type unknown (found `type.googleapis.com/envoy.config.filter.network.ext_authz.v2.ExtAuthz`)
            error spec.configPatches[1].patch.value.typed_config["@type"]: referenced type unknown (found `example.com/a.B`)
            warning spec.configPatches[2].patch.value: an extension by name without typed_config is deprecated (found `a`)
        "#]],
    );
    check(
        Kind::EnvoyFilter,
        r#"configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: soon}}}, {applyTo: HTTP_ROUTE, patch: {operation: MERGE, value: {route: {cluster: a, weighted_clusters: {}}}}}]"#,
        &expect![[r#"
            error spec.configPatches[0].patch.value.connect_timeout: not a google.protobuf.Duration: failed to parse duration
            error spec.configPatches[1].patch.value.route.weighted_clusters: only one member of cluster_specifier may be set, but cluster is set too
        "#]],
    );
    check(
        Kind::EnvoyFilter,
        r#"workloadSelector: {labels: {"*": "b*"}}, targetRefs: [{kind: a, name: b}]"#,
        &expect![[r#"
            error spec.workloadSelector.labels["*"]: wildcard is not supported in selector (found `b*`)
            error spec: only one of targetRefs or workloadSelector can be set
            error spec.workloadSelector.labels: label keys must be whole and not empty
        "#]],
    );
}
