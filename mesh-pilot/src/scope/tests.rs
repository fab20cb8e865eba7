//! Node messages, good and bad.
#![allow(clippy::unwrap_used)]

use mesh_proto::google::protobuf::{Struct, Value, value::Kind};

use super::*;

fn text(value: &str) -> Value {
    Value { kind: Some(Kind::StringValue(value.into())) }
}

fn node(id: &str, metadata: &[(&str, Value)]) -> Node {
    let fields = metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Node { id: id.into(), metadata: Some(Struct { fields }), user_agent_name: "mesh-proxy".into(), ..Default::default() }
}

const ID: &str = "sidecar~127.3.2.11~frontend-1.shop~shop.svc.cluster.local";

#[test]
fn a_sidecar_of_the_local_mesh() {
    let apps = Struct { fields: [("8080".to_owned(), text("unix:///run/app.sock"))].into() };
    let scope = ProxyScope::from_node(&node(
        ID,
        &[
            ("NAMESPACE", text("shop")),
            ("SERVICE_ACCOUNT", text("frontend")),
            ("INTERCEPTION_MODE", text("NONE")),
            ("HTTP_PROXY_PORT", text("15080")),
            ("APP_ENDPOINTS", Value { kind: Some(Kind::StructValue(apps)) }),
        ],
    ))
    .unwrap();
    assert_eq!(scope.role, Role::Sidecar);
    assert_eq!(scope.client, Client::MeshProxy);
    assert_eq!(scope.interception, Interception::None);
    assert_eq!(scope.http_proxy_port, Some(15080));
    assert_eq!(scope.app_endpoints[&8080], AppEndpoint::Unix("/run/app.sock".into()));
    assert_eq!(scope.bind_address("0.0.0.0"), "127.3.2.11");
}

#[test]
fn the_certificate_must_name_the_same_workload() {
    let scope = ProxyScope::from_node(&node(ID, &[("SERVICE_ACCOUNT", text("frontend"))])).unwrap();
    let settings = MeshSettings::new("cluster.local".parse().unwrap());
    let check = |id: &str| scope.clone().authenticated(&id.parse().unwrap(), &settings).is_ok_and(|scope| scope.is_authenticated);
    assert!(check("spiffe://cluster.local/ns/shop/sa/frontend"));
    assert!(!check("spiffe://cluster.local/ns/shop/sa/other"));
    assert!(!check("spiffe://cluster.local/ns/bank/sa/frontend"));
    assert!(!check("spiffe://elsewhere/ns/shop/sa/frontend"));
    assert!(!check("spiffe://cluster.local/ns/shop"));
}

#[test]
fn malformed_nodes_are_refused() {
    for id in ["", "sidecar~1.2.3.4", "sidecar~x~a.b~c", "ztunnel~1.2.3.4~a.b~c", "sidecar~1.2.3.4~a~c", "sidecar~1.2.3.4~a.B_~c"] {
        assert!(ProxyScope::from_node(&node(id, &[])).is_err(), "{id}");
    }
    let apps = Struct { fields: [("80".to_owned(), text("10.0.0.1:80"))].into() };
    for metadata in [
        ("NAMESPACE", text("bank")),
        ("INTERCEPTION_MODE", text("MAGIC")),
        ("HTTP_PROXY_PORT", text("0")),
        ("LABELS", text("app=x")),
        ("APP_ENDPOINTS", Value { kind: Some(Kind::StructValue(apps)) }),
    ] {
        assert!(ProxyScope::from_node(&node(ID, std::slice::from_ref(&metadata))).is_err(), "{metadata:?}");
    }
}

#[test]
fn what_a_peer_can_make_us_keep_is_bounded() {
    let labels =
        |key: &str, value: &str| Value { kind: Some(Kind::StructValue(Struct { fields: [(key.to_owned(), text(value))].into() })) };
    let refused = |id: &str, field: &str, value: Value| ProxyScope::from_node(&node(id, &[(field, value)])).err().map(|e| e.to_string());
    let long = |n: usize| "x".repeat(n);
    assert_eq!(refused(ID, "LABELS", labels(&long(317), &long(63))), None);
    for (id, field, value) in [
        (ID.to_owned(), "LABELS", labels("app", &long(64))),
        (ID.to_owned(), "LABELS", labels(&long(318), "x")),
        (ID.to_owned(), "APP_ENDPOINTS", labels("80", &format!("unix:///{}", long(256)))),
        (ID.to_owned(), "CLUSTER_ID", text(&long(254))),
        (ID.to_owned(), "NETWORK", text(&long(254))),
        (format!("sidecar~1.2.3.4~a.shop~{}", long(254)), "X", text("")),
        (format!("sidecar~1.2.3.4~{}.shop~x", long(640)), "X", text("")),
    ] {
        let error = refused(&id, field, value).unwrap();
        assert!(error.contains("bytes, more than") && error.len() < 500, "{error}");
    }
    let mut somewhere = node(ID, &[]);
    somewhere.locality = Some(mesh_proto::envoy::config::core::v3::Locality { region: long(254), ..Default::default() });
    assert!(ProxyScope::from_node(&somewhere).is_err());
}
