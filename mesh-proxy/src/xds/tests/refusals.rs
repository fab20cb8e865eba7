//! Each thing that is refused, and the path that the refusal names.

use super::*;

fn reason(listener: Listener) -> String {
    let (_, rejections) = crate::xds::compile(vec![listener], vec![], vec![], vec![]);
    rejections.into_iter().map(|rejection| rejection.reason).collect()
}

#[test]
fn clusters() {
    for (more, path) in [
        ("connect_timeout: 0s", "connect_timeout"),
        ("lb_policy: MAGLEV\nmaglev_lb_config: {table_size: 10}", "maglev_lb_config.table_size"),
        ("lb_policy: CLUSTER_PROVIDED", "lb_policy"),
        ("type: ORIGINAL_DST", "lb_policy"),
        ("type: EDS", "eds_cluster_config"),
        ("type: EDS\neds_cluster_config: {eds_config: {path: /x}}", "eds_cluster_config.eds_config"),
        ("eds_cluster_config: {eds_config: {ads: {}}}", "eds_cluster_config"),
        ("cluster_type: {name: x, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}}", "cluster_type"),
        ("dns_resolvers: [{pipe: {path: /x}}]", "dns_resolvers"),
        ("upstream_bind_config: {source_address: {address: 127.0.0.1, port_value: 7}}", "upstream_bind_config.source_address.port_value"),
        ("lb_subset_config: {subset_selectors: [{keys: [a]}], list_as_any: true}", "lb_subset_config.list_as_any"),
        ("outlier_detection: {max_ejection_percent: 101}", "outlier_detection.max_ejection_percent"),
        (
            "load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: h, port_value: 1}}}}]}]}",
            "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address",
        ),
        (
            "load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 1.1.1.1, port_value: 70000}}}}]}]}",
            "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value",
        ),
        (
            "transport_socket: {name: x, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}}",
            "transport_socket.typed_config",
        ),
        (
            "load_balancing_policy: {policies: [{typed_extension_config: {name: lb, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}}}]}",
            "load_balancing_policy.policies",
        ),
    ] {
        let (snapshot, rejections) = crate::xds::compile(vec![], vec![cluster("x", more), cluster("z", "")], vec![], vec![]);
        assert_eq!(rejections.len(), 1, "{more}");
        assert!(rejections[0].reason.starts_with(&format!("{path}: ")), "{more}: {}", rejections[0].reason);
        assert!(snapshot.cluster_by_name("x").is_none() && snapshot.cluster_by_name("z").is_some());
    }
}

#[test]
fn connection_managers() {
    for (more, path) in [
        ("codec_type: HTTP3", "codec_type"),
        ("original_ip_detection_extensions: [{name: x}]", "original_ip_detection_extensions"),
        (
            "common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}",
            "common_http_protocol_options.headers_with_underscores_action",
        ),
        ("path_normalization_options: {}", "path_normalization_options"),
        ("stream_idle_timeout: -1s", "stream_idle_timeout"),
        ("max_request_headers_kb: 9000", "max_request_headers_kb"),
        ("http2_protocol_options: {initial_stream_window_size: 5}", "http2_protocol_options.initial_stream_window_size"),
    ] {
        let reason = reason(http_listener("l", "route_config: {name: r}", more));
        assert!(reason.starts_with(&format!("filter_chains[0].filters[0].typed_config.{path}: ")), "{more}: {reason}");
    }
    let scoped = "scoped_routes: {name: s, rds_config_source: {ads: {}}, scope_key_builder: {fragments: [{header_value_extractor: {name: h, index: 0}}]}, scoped_rds: {scoped_rds_config_source: {ads: {}}}}";
    assert!(reason(http_listener("l", scoped, "")).contains("scoped_routes"));
}

#[test]
fn routes() {
    for (route, path) in [
        ("match: {prefix: /, cookies: [{name: c, string_match: {exact: x}}]}, route: {cluster: a}", "match.cookies"),
        ("match: {safe_regex: {regex: '('}}, route: {cluster: a}", "match.safe_regex.regex"),
        ("match: {safe_regex: {regex: 'a)|(b'}}, route: {cluster: a}", "match.safe_regex.regex"),
        ("match: {path_separated_prefix: /a/}, route: {cluster: a}", "match.path_separated_prefix"),
        ("match: {prefix: /, headers: [{name: 'a b', present_match: true}]}, route: {cluster: a}", "match.headers[0].name"),
        (
            "match: {prefix: /, headers: [{name: a, string_match: {prefix: ''}}]}, route: {cluster: a}",
            "match.headers[0].string_match.prefix",
        ),
        ("match: {prefix: /}, route: {cluster: ''}", "route.cluster"),
        ("match: {prefix: /}, route: {cluster: a, timeout: -1s}", "route.timeout"),
        (
            "match: {prefix: /}, route: {cluster: a, regex_rewrite: {pattern: {regex: a}, substitution: '\\1'}}",
            "route.regex_rewrite.substitution",
        ),
        ("match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: a, weight: 0}]}}", "route.weighted_clusters.clusters"),
        (
            "match: {prefix: /}, route: {weighted_clusters: {clusters: [{cluster_header: h, weight: 1}]}}",
            "route.weighted_clusters.clusters[0].cluster_header",
        ),
        (
            "match: {prefix: /}, request_headers_to_add: [{header: {key: ':path', value: x}}], route: {cluster: a}",
            "request_headers_to_add[0].header.key",
        ),
        (
            "match: {prefix: /}, request_headers_to_add: [{header: {key: x, value: '%NOPE%'}}], route: {cluster: a}",
            "request_headers_to_add[0].header.value",
        ),
        ("match: {prefix: /}, direct_response: {status: 42}", "direct_response.status"),
        ("match: {prefix: /}", ""),
    ] {
        let (snapshot, rejections) = table(&format!("{{name: v, domains: ['*'], routes: [{{{route}}}]}}"));
        assert_eq!(rejections.len(), 1, "{route}");
        let path = if path.is_empty() { "virtual_hosts[0].routes[0]: ".to_owned() } else { format!("virtual_hosts[0].routes[0].{path}: ") };
        assert!(rejections[0].reason.starts_with(&path), "{route}: {}", rejections[0].reason);
        assert!(snapshot.route_table_names.is_empty());
    }
    let (_, rejections) = table("{name: v, domains: [a.b, A.B]}");
    assert!(rejections[0].reason.starts_with("virtual_hosts[0].domains[1]: "), "{}", rejections[0].reason);
}

#[test]
fn listeners() {
    let base = "name: l\naddress: {socket_address: {address: 127.0.0.1, port_value: 1}}";
    let tcp = "filters: [{name: t, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: x, cluster: a}}]";
    for (more, path) in [
        ("filter_chains: []".to_owned(), "filter_chains"),
        ("filter_chains: [{filters: []}]".to_owned(), "filter_chains[0].filters"),
        (format!("filter_chains: [{{{tcp}}}, {{{tcp}}}]"), "filter_chains[1].filter_chain_match"),
        (
            format!("filter_chains: [{{{tcp}, filter_chain_match: {{address_suffix: 1.1.1.1}}}}]"),
            "filter_chains[0].filter_chain_match.address_suffix",
        ),
        (
            format!("filter_chains: [{{{tcp}, filter_chain_match: {{server_names: ['a*.b']}}}}]"),
            "filter_chains[0].filter_chain_match.server_names[0]",
        ),
        (
            format!("filter_chains: [{{{tcp}, filter_chain_match: {{prefix_ranges: [{{address_prefix: 1.1.1.1, prefix_len: 33}}]}}}}]"),
            "filter_chains[0].filter_chain_match.prefix_ranges[0].prefix_len",
        ),
        (format!("transparent: true\nfilter_chains: [{{{tcp}}}]"), "transparent"),
        (
            format!(
                "listener_filters: [{{name: x, typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc}}}}]\nfilter_chains: [{{{tcp}}}]"
            ),
            "listener_filters[0]",
        ),
    ] {
        let reason = reason(wire(&format!("{base}\n{more}")));
        assert!(reason.starts_with(&format!("{path}: ")), "{more}: {reason}");
    }
}

#[test]
fn filters_that_are_missing_answer_500_unless_they_are_optional() {
    let hcm = |filter: &str| -> Listener {
        let listener = http_listener("l", "route_config: {name: r}", "");
        let text = json::encode(&listener).to_string();
        let router = r#"{"name":"router""#;
        json::decode(serde_json::from_str(&text.replacen(router, &format!("{filter},{router}"), 1)).unwrap()).unwrap()
    };
    let lua =
        r#"{"name":"lua","is_optional":OPTIONAL,"typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"}}"#;
    for (optional, count) in [("true", 1), ("false", 2)] {
        let (snapshot, rejections) = crate::xds::compile(vec![hcm(&lua.replace("OPTIONAL", optional))], vec![], vec![], vec![]);
        assert_eq!(rejections, []);
        let listener = snapshot.listeners[0].as_ref().unwrap();
        let crate::snapshot::Terminal::Http(hcm) = &listener.chains[0].terminal else { unreachable!("the chain ends in HTTP") };
        assert_eq!(hcm.filters.len(), count);
        assert_eq!(matches!(hcm.filters[0].filter, crate::snapshot::HttpFilter::Refuse { .. }), optional == "false");
    }
}
