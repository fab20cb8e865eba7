//! Envoy configurations as people write them, both ways.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::any::{pack, unpack};
use crate::envoy::admin::v3 as admin;
use crate::envoy::config::cluster::v3::{Cluster, cluster};
use crate::envoy::config::core::v3::{DataSource, data_source};
use crate::envoy::config::listener::v3::Listener;
use crate::envoy::config::route::v3::{Route, RouteConfiguration, route_match};
use crate::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use crate::envoy::extensions::transport_sockets::tls::v3::{Secret, TlsCertificate, secret};

const BOOTSTRAP: &str = r#"
node: {id: front, cluster: demo, metadata: {ROLE: gateway, PORTS: [80, 443.5], OPEN: yes}}
admin:
  address: {socket_address: {address: 127.0.0.1, portValue: "15000"}}
static_resources:
  listeners:
  - name: in
    address:
      socket_address: {address: 0.0.0.0, port_value: 8080}
    listener_filters:
    - name: envoy.filters.listener.tls_inspector
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          stream_idle_timeout: 1.5s
          codec_type: AUTO
          route_config:
            name: local
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: app, timeout: 0s, retry_policy: {num_retries: 2, retry_on: 5xx}}
                typed_per_filter_config:
                  envoy.filters.http.rbac:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute
          http_filters:
          - name: lua
            typed_config:
              "@type": type.googleapis.com/xds.type.v3.TypedStruct
              type_url: type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
              value: {abort: {http_status: 503, percentage: {numerator: 20}}}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: app
    connect_timeout: 0.25s
    lb_policy: LEAST_REQUEST
    type: STATIC
    circuit_breakers: {thresholds: [{max_connections: 100}]}
    load_assignment:
      cluster_name: app
      endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /tmp/app.sock}}}}]}]
"#;

fn connection_manager(bootstrap: &Bootstrap) -> hcm::HttpConnectionManager {
    use crate::envoy::config::listener::v3::filter::ConfigType;
    let filter = &bootstrap.static_resources.as_ref().unwrap().listeners[0].filter_chains[0].filters[0];
    let Some(ConfigType::TypedConfig(config)) = &filter.config_type else { panic!("no typed config") };
    unpack(config).unwrap()
}

#[test]
fn a_bootstrap_is_read() {
    let bootstrap = bootstrap_from_yaml(BOOTSTRAP).unwrap();
    let resources = bootstrap.static_resources.as_ref().unwrap();
    let cluster = &resources.clusters[0];
    assert_eq!(cluster.connect_timeout.map(|d| (d.seconds, d.nanos)), Some((0, 250_000_000)));
    assert_eq!(cluster.lb_policy, cluster::LbPolicy::LeastRequest as i32);
    assert_eq!(cluster.circuit_breakers.as_ref().unwrap().thresholds[0].max_connections.map(|n| n.value), Some(100));
    let manager = connection_manager(&bootstrap);
    let Some(hcm::http_connection_manager::RouteSpecifier::RouteConfig(routes)) = &manager.route_specifier else { panic!("no routes") };
    let route = &routes.virtual_hosts[0].routes[0];
    assert_eq!(route.r#match.as_ref().unwrap().path_specifier, Some(route_match::PathSpecifier::Prefix("/".into())));
    assert!(route.typed_per_filter_config["envoy.filters.http.rbac"].type_url.ends_with("RBACPerRoute"));
}

#[test]
fn what_is_read_prints_the_same() {
    let bootstrap = bootstrap_from_yaml(BOOTSTRAP).unwrap();
    let printed = encode(&bootstrap);
    assert_eq!(printed["admin"]["address"]["socket_address"]["port_value"], 15000);
    assert_eq!(printed["node"]["metadata"], json!({"ROLE": "gateway", "PORTS": [80, 443.5], "OPEN": true}));
    let manager = &printed["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(manager["stream_idle_timeout"], "1.500s");
    assert_eq!(manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["timeout"], "0s");
    assert_eq!(decode::<Bootstrap>(printed).unwrap(), bootstrap);
}

#[test]
fn typed_structs_become_what_they_stand_for() {
    use crate::envoy::extensions::filters::http::fault::v3::HttpFault;
    let manager = connection_manager(&bootstrap_from_yaml(BOOTSTRAP).unwrap());
    let Some(hcm::http_filter::ConfigType::TypedConfig(config)) = &manager.http_filters[0].config_type else { panic!("no config") };
    let fault: HttpFault = unpack(&resolve_typed_struct(config).unwrap()).unwrap();
    assert_eq!(fault.abort.unwrap().percentage.unwrap().numerator, 20);
    let old = decode_any(&json!({
        "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
        "type_url": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
        "value": {"abort": {"http_statu": 503}},
    }));
    let error = resolve_typed_struct(&old.unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("abort.http_statu: ") && error.ends_with("did you mean http_status?"), "{error}");
}

#[test]
fn errors_say_where_and_how_to_mend() {
    let message = |yaml: &str| bootstrap_from_yaml(yaml).unwrap_err().to_string();
    for (from, to, expected) in [
        (
            "prefix: /}",
            "prefx: /}",
            "line 27, column 25: static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0].routes[0].match.prefx: envoy.config.route.v3.RouteMatch has no such field; did you mean prefix?",
        ),
        ("0.25s", "0.25", "clusters[0].connect_timeout: not a google.protobuf.Duration"),
        ("LEAST_REQUEST", "LEST_REQUEST", "did you mean LEAST_REQUEST?"),
        ("name: app\n    connect", "name: 5\n    connect", "clusters[0].name: expected a string (quote it if text is meant), found 5"),
        ("port_value: 8080", "port_value: 80800000000", "expected an integer from 0 to 4294967295, found 80800000000"),
        ("port_value: 8080", "port_value: 8080, named_port: http", "only one member of port_specifier may be set"),
        ("port_value: 8080", "port_value: 8080, portValue: 1", "is set twice, as snake_case and as camelCase"),
        (
            "v3.TlsInspector",
            "v3.TlsInspektor",
            "typed_config[\"@type\"]: type \"type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspektor\" is not supported",
        ),
        ("\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "x: 1", "typed_config: an Any needs \"@type\""),
        ("domains: [\"*\"]", "domains: \"*\"", "domains: expected a list, found \"*\""),
    ] {
        assert!(BOOTSTRAP.contains(from), "{from}");
        let error = message(&BOOTSTRAP.replacen(from, to, 1));
        assert!(error.contains(expected), "{to}: {error}");
    }
}

#[test]
fn lenient_forms_of_protobuf_json() {
    let cluster: Cluster = decode(json!({
        "name": "c", "type": 3, "lbPolicy": "RING_HASH", "connect_timeout": "1s", "alt_stat_name": null,
        "perConnectionBufferLimitBytes": "32768", "ring_hash_lb_config": {"minimum_ring_size": "18446744073709551615"},
        "common_lb_config": {"healthy_panic_threshold": {"value": 0.1}},
    }))
    .unwrap();
    assert_eq!(cluster.per_connection_buffer_limit_bytes.map(|n| n.value), Some(32768));
    let printed = encode(&cluster);
    assert_eq!(printed["type"], "EDS");
    assert_eq!(printed["common_lb_config"]["healthy_panic_threshold"]["value"], 0.1);
    assert_eq!(printed["ring_hash_lb_config"]["minimum_ring_size"], "18446744073709551615");
    for text in ["aGk", "aGk=", "_-8=", "/+8"] {
        assert!(decode::<DataSource>(json!({"inline_bytes": text})).is_ok(), "{text}");
    }
    assert!(decode::<DataSource>(json!({"inline_bytes": "!"})).is_err());
}

#[test]
fn secrets_are_never_printed() {
    let key = DataSource { specifier: Some(data_source::Specifier::InlineBytes(b"-----BEGIN PRIVATE KEY".to_vec())), ..Default::default() };
    let chain = DataSource { specifier: Some(data_source::Specifier::InlineString("chain".into())), ..Default::default() };
    let certificate = TlsCertificate { private_key: Some(key), certificate_chain: Some(chain), ..Default::default() };
    let secret = Secret { name: "default".into(), r#type: Some(secret::Type::TlsCertificate(certificate)) };
    let dump = admin::SecretsConfigDump {
        dynamic_active_secrets: vec![admin::secrets_config_dump::DynamicSecret { secret: Some(pack(&secret)), ..Default::default() }],
        ..Default::default()
    };
    let printed = encode(&dump);
    let certificate = &printed["dynamic_active_secrets"][0]["secret"]["tls_certificate"];
    assert_eq!(certificate["private_key"]["inline_bytes"], "W3JlZGFjdGVkXQ==");
    assert_eq!(certificate["certificate_chain"]["inline_string"], "chain");
}

#[test]
fn config_dumps_print_what_is_unknown_too() {
    let unknown = Any { type_url: "type.googleapis.com/acme.Thing".into(), value: vec![1, 2, 3] };
    let broken = Any { type_url: crate::type_url::CLUSTER.into(), value: vec![0xff] };
    let listener = Listener { name: "l".into(), ..Default::default() };
    let dump = admin::ConfigDump { configs: vec![unknown, broken, pack(&listener), Any::default()] };
    assert_eq!(
        encode(&dump),
        json!({"configs": [
            {"@type": "type.googleapis.com/acme.Thing", "value": "AQID"},
            {"@type": crate::type_url::CLUSTER, "value": "/w=="},
            {"@type": crate::type_url::LISTENER, "name": "l"},
            {},
        ]})
    );
    let clusters = admin::Clusters { cluster_statuses: vec![admin::ClusterStatus { name: "c".into(), ..Default::default() }] };
    assert_eq!(encode(&clusters), json!({"cluster_statuses": [{"name": "c"}]}));
}

#[test]
fn well_known_types_inside_any() {
    let value = json!({"@type": "type.googleapis.com/google.protobuf.Duration", "value": "2s"});
    assert_eq!(encode_any(&decode_any(&value).unwrap()), value);
    let more = json!({"@type": "type.googleapis.com/google.protobuf.Duration", "value": "2s", "x": 1});
    assert!(decode_any(&more).is_err());
}

#[test]
fn nesting_is_bounded() {
    let mut deep = json!({"@type": crate::type_url::CLUSTER});
    for _ in 0..200 {
        deep = json!({"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": "n", "typed_config": deep});
    }
    assert_eq!(decode_any(&deep).unwrap_err().reason, Reason::TooDeep);

    let mut any = pack(&Route::default());
    for _ in 0..200 {
        any = pack(&crate::envoy::config::core::v3::TypedExtensionConfig { name: "n".into(), typed_config: Some(any) });
    }
    assert!(encode_any(&any).is_object());
}

#[test]
fn istios_messages_are_known() {
    for name in [
        "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
        "io.istio.http.peer_metadata.Config",
        "stats.PluginConfig",
        "envoy.tcp.metadataexchange.config.MetadataExchange",
        "istio.networking.nds.v1.NameTable",
        "mesh.mcp.v1.Object",
        "envoy.config.trace.v3.OpenTelemetryConfig",
        "envoy.admin.v3.ServerInfo",
        "envoy.admin.v3.Certificates",
        "xds.type.matcher.v3.Matcher",
    ] {
        assert!(knows(&format!("type.googleapis.com/{name}")), "{name}");
    }
    let stats =
        json!({"@type": "type.googleapis.com/stats.PluginConfig", "metrics": [{"dimensions": {"a": "b"}}], "tcp_reporting_duration": "5s"});
    assert_eq!(encode_any(&decode_any(&stats).unwrap()), stats);
}

#[test]
fn the_empty_object_is_the_default_message() {
    assert_eq!(decode::<RouteConfiguration>(json!({})).unwrap(), RouteConfiguration::default());
    assert_eq!(encode(&RouteConfiguration::default()), json!({}));
    assert!(decode::<RouteConfiguration>(json!([])).is_err());
}

/// Field names and values that hit, so that generated objects get somewhere.
fn likely_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9.]{0,6}|1.5s|NaN|type.googleapis.com/(envoy.config.cluster.v3.Cluster|google.protobuf.(Struct|Any|Duration))"
            .prop_map(Value::from),
    ];
    let key = "name|type|value|@type|metadata|filter_metadata|typed_config|clusters|static_resources|node|connect_timeout|[a-z]{1,3}";
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|pairs| pairs.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_panics(value in likely_json()) {
        let _ = decode::<Bootstrap>(value.clone());
        if let Ok(any) = decode_any(&value) {
            prop_assert!(encode_any(&any).is_object());
        }
    }

    #[test]
    fn no_any_panics(bytes in any::<Vec<u8>>(), name in "envoy.config.(cluster.v3.Cluster|route.v3.Route|core.v3.Node)|google.protobuf.(Any|Struct|Timestamp)") {
        let any = Any { type_url: format!("type.googleapis.com/{name}"), value: bytes };
        prop_assert!(encode_any(&any).is_object());
        let _ = resolve_typed_struct(&any);
    }
}
