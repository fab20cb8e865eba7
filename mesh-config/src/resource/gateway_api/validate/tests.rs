//! What the API server refuses and why, what it takes, and what is doubtful all the same.

#![allow(clippy::unwrap_used)]

mod gateway;
mod route;

use crate::{
    load::documents,
    resource::{Kind, Resource, Spec as _, gateway_api},
};

/// A spec of `kind` (`group/version` as given), with the findings that it must have: `path: part of the rule`.
type Case = (&'static str, &'static str, &'static [&'static str]);

/// Goes through a table of cases, all of one kind.
fn table(kind: &str, cases: &[Case]) {
    let mut wrong = Vec::new();
    for (version, spec, expected) in cases {
        let group = if kind.starts_with('X') { "gateway.networking.x-k8s.io" } else { gateway_api::GROUP };
        let text = format!("{{apiVersion: {group}/{version}, kind: {kind}, metadata: {{name: a, namespace: b}}, spec: {spec}}}");
        let loaded = documents("a.yaml", text.as_bytes());
        let found: Vec<String> = loaded.diagnostics.iter().map(|found| format!("{}: {}", found.field_path, found.message)).collect();
        let fits = found.len() == expected.len()
            && expected.iter().all(|expected| {
                let (path, rule) = expected.split_once(": ").unwrap();
                loaded.diagnostics.iter().any(|found| found.field_path == path && found.message.contains(rule))
            });
        if !fits {
            wrong.push(format!("{text}\n expected {expected:#?}\n    found {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_is_left_out_has_the_defaults_of_the_api_and_survives_a_round_trip() {
    let text =
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: a, namespace: b}, spec: {parentRefs: [{name: gw}]}}";
    let loaded = documents("a.yaml", text.as_bytes());
    let resource = &loaded.objects[0].resource;
    let route = gateway_api::HttpRoute::of(resource).unwrap();
    let parent = route.spec.parent_refs[0].target();
    assert_eq!((parent.group, parent.kind, parent.namespace, parent.name), (gateway_api::GROUP, "Gateway", None, "gw"));
    assert_eq!(route.spec.rules.len(), 1);
    assert_eq!(route.spec.rules[0].matches.len(), 1);
    assert_eq!(route.spec.rules[0].matches[0].path.value(), "/");
    assert_eq!(Resource::from_json(Kind::HttpRoute, &resource.to_json()).unwrap(), *resource);
    let backend: gateway_api::refs::BackendRef = serde_json::from_value(serde_json::json!({"name": "s", "port": 80})).unwrap();
    assert_eq!((backend.target().group, backend.target().kind, backend.weight()), ("", "Service", 1));
}

#[test]
fn a_selector_that_cannot_be_understood_selects_nothing() {
    let selector = |json| serde_json::from_value::<gateway_api::listener::NamespaceSelector>(json).unwrap();
    let labels = [("team".to_owned(), "shop".to_owned())].into();
    let one = |operator: &str, values: &[&str]| {
        selector(serde_json::json!({"matchExpressions": [{"key": "team", "operator": operator, "values": values}]})).selects(&labels)
    };
    assert!(one("In", &["shop", "web"]) && one("Exists", &[]) && one("NotIn", &["web"]));
    assert!(!one("In", &["web"]) && !one("NotIn", &["shop"]) && !one("DoesNotExist", &[]) && !one("NotIn", &[]) && !one("in", &["shop"]));
    assert!(selector(serde_json::json!({})).selects(&labels));
    assert!(!selector(serde_json::json!({"matchLabels": {"team": "web"}})).selects(&labels));
}

#[test]
fn a_grant_allows_what_it_names() {
    let grant: gateway_api::ReferenceGrant = serde_json::from_value(serde_json::json!({
        "from": [{"group": gateway_api::GROUP, "kind": "HTTPRoute", "namespace": "web"}],
        "to": [{"group": "", "kind": "Service", "name": "s"}, {"group": "", "kind": "Secret"}],
    }))
    .unwrap();
    let route = (gateway_api::GROUP, "HTTPRoute", "web");
    assert!(grant.allows(route, ("", "Service", "s")) && grant.allows(route, ("", "Secret", "any")));
    assert!(!grant.allows(route, ("", "Service", "t")) && !grant.allows((gateway_api::GROUP, "HTTPRoute", "shop"), ("", "Service", "s")));
    assert!(!grant.allows((gateway_api::GROUP, "TCPRoute", "web"), ("", "Service", "s")));
}
