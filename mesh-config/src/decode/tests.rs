//! Every kind there and back, and mistakes with their places.

#![allow(clippy::unwrap_used)]
//! YAML → type → JSON → type: nothing is lost on the way, whatever the kind.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::load;

/// One object of each kind with most of its fields.
const OBJECTS: &str = include_str!("tests/objects.yaml");

#[test]
fn every_kind_survives_the_way_to_json_and_back() {
    let loaded = load::documents("objects.yaml", OBJECTS.as_bytes());
    let messages: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    assert!(messages.is_empty(), "{}", messages.join("\n\n"));
    let kinds: std::collections::BTreeSet<Kind> = loaded.objects.iter().map(|object| object.resource.kind()).collect();
    for kind in Kind::ALL.iter().filter(|kind| kind.group().ends_with("istio.io")) {
        assert!(kinds.contains(kind), "{kind} is not in the example");
    }
    for object in loaded.objects {
        let json = object.resource.to_json();
        let back = Resource::from_json(object.resource.kind(), &json).unwrap();
        assert_eq!(back, object.resource);
        assert_eq!(back.to_json(), json);
    }
}

/// What the example says is what the JSON says: no field is read and dropped.
#[test]
fn every_field_of_the_example_is_in_the_json() {
    let documents = mesh_proto::yaml::parse(OBJECTS).unwrap();
    let loaded = load::documents("objects.yaml", OBJECTS.as_bytes());
    for (document, object) in documents.iter().zip(&loaded.objects) {
        assert_eq!(object.resource.to_json()["spec"], document.root.to_json()["spec"], "{}", object.resource.kind());
    }
}

#[test]
fn json_without_positions_still_says_where() {
    let body = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "a"},
        "spec": {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a", "port": {"number": 99999}}}]}]},
    });
    let error = Resource::from_json(Kind::VirtualService, &body).unwrap_err();
    assert_eq!(error.path(), "spec.http[0].route[0].destination.port.number");
    assert_eq!(error.span(), None);
    expect_test::expect!["spec.http[0].route[0].destination.port.number: Invalid value: integer `99999`: port must be between 1-65535, expected a number from 0 to 65535"]
        .assert_eq(&error.to_string());
    assert!(Resource::from_json(Kind::Gateway, &body).is_err(), "another kind");
}

#[test]
fn a_list_that_is_written_and_empty_is_not_taken_for_absent() {
    let policy = |rule: Value| {
        let body = json!({"metadata": {"name": "a"}, "spec": {"rules": [rule]}});
        Resource::from_json(Kind::AuthorizationPolicy, &body)
    };
    assert!(policy(json!({})).is_ok());
    for rule in [json!({"from": []}), json!({"from": [{"source": {"principals": []}}]}), json!({"to": [{"operation": {"paths": []}}]})] {
        assert!(policy(rule.clone()).is_err(), "{rule}");
    }
}

#[test]
fn null_is_absent() {
    let body = json!({"metadata": {"name": "a", "labels": null}, "spec": {"host": "a", "trafficPolicy": null, "subsets": null}});
    let Resource::DestinationRule(rule) = Resource::from_json(Kind::DestinationRule, &body).unwrap() else { panic!() };
    assert_eq!(rule.spec.traffic_policy, None);
}

proptest! {
    /// Whatever a peer sends, the reader answers and does not panic.
    #[test]
    fn any_json_is_answered(kind in 0..Kind::ALL.len(), spec in json_value()) {
        let body = json!({"metadata": {"name": "a"}, "spec": spec});
        if let Ok(resource) = Resource::from_json(Kind::ALL[kind], &body) {
            let _ = resource.validate();
            let back = Resource::from_json(resource.kind(), &resource.to_json()).unwrap();
            prop_assert_eq!(back, resource);
        }
    }

    /// A VirtualService of any shape survives.
    #[test]
    fn a_route_survives(weights in proptest::collection::vec(0..200i32, 1..4), millis in 1u64..100_000, text in "[a-z/]{1,8}", which in 0..3usize) {
        let uri = [json!({"exact": text}), json!({"prefix": text}), json!({"regex": text})][which].clone();
        let route: Vec<Value> = weights.iter().map(|weight| json!({"destination": {"host": "a"}, "weight": weight})).collect();
        let body = json!({"metadata": {"name": "a"}, "spec": {"hosts": ["a"], "http": [
            {"match": [{"uri": uri}], "route": route, "timeout": format!("{millis}ms")}
        ]}});
        let resource = Resource::from_json(Kind::VirtualService, &body).unwrap();
        prop_assert_eq!(Resource::from_json(Kind::VirtualService, &resource.to_json()).unwrap(), resource);
    }
}

/// Random JSON with field names that occur in specs.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-zA-Z0-9*./:]{0,8}".prop_map(Value::from),
        prop_oneof![Just("5s"), Just("STRICT"), Just("ALLOW"), Just("HTTP"), Just("1.2.3.4")].prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "hosts",
        "host",
        "http",
        "route",
        "match",
        "uri",
        "exact",
        "destination",
        "port",
        "number",
        "name",
        "protocol",
        "servers",
        "tls",
        "mode",
        "rules",
        "from",
        "source",
        "principals",
        "selector",
        "matchLabels",
        "ports",
        "address",
        "endpoints",
        "egress",
        "trafficPolicy",
        "subsets",
        "mtls",
        "portLevelMtls",
        "80",
        "loadBalancer",
        "simple",
    ]);
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(names.clone().prop_map(String::from), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
