//! The forms of values.
#![allow(clippy::unwrap_used)]

use mesh_config::resource::{AuthorizationPolicy, Object};
use mesh_proto::envoy::config::rbac::v3::permission;

use super::*;
use crate::testing::snapshot;

fn rules(yaml: &str, tcp: bool) -> Vec<(String, WirePolicy)> {
    let text =
        format!("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: shop}}\nspec:\n{yaml}");
    let snapshot = snapshot(&text);
    let object: std::sync::Arc<Object<AuthorizationPolicy>> = snapshot.list().next().unwrap().clone();
    let domains = ["cluster.local".parse().unwrap(), "old.example".parse().unwrap()];
    translate(&Policy { object, dry_run: false }, Place { tcp, namespace: "shop", trust_domains: &domains })
}

#[test]
fn an_http_attribute_on_a_tcp_port_tightens() {
    let mixed = |action: &str| format!("  action: {action}\n  rules: [{{to: [{{operation: {{methods: [GET], ports: [\"80\"]}}}}]}}]\n");
    // ALLOW: the rule is dropped. DENY: the port is denied whatever the method.
    assert!(rules(&mixed("ALLOW"), true).is_empty());
    let denied = rules(&mixed("DENY"), true);
    let Some(permission::Rule::AndRules(parts)) = &denied[0].1.permissions[0].rule else { panic!("{denied:?}") };
    assert_eq!(parts.rules.len(), 1);
    assert_eq!(rules(&mixed("ALLOW"), false).len(), 1);
}

#[test]
fn one_unusable_alternative_of_an_allow_rule_hurts_only_itself() {
    let list = rules("  rules: [{to: [{operation: {methods: [GET]}}, {operation: {ports: [\"80\"]}}]}]\n", true);
    assert_eq!(list[0].1.permissions.len(), 1);
}

#[test]
fn aliases_of_the_trust_domain_are_the_same_principals() {
    let list = rules("  rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/b]}}]}]\n", false);
    let text = format!("{:?}", list[0].1.principals);
    assert!(text.contains("spiffe://cluster.local/ns/a/sa/b") && text.contains("spiffe://old.example/ns/a/sa/b"), "{text}");
}

#[test]
fn dots_in_service_accounts_are_dots() {
    let list = rules("  rules: [{from: [{source: {serviceAccounts: [web.v1]}}]}]\n", false);
    let text = format!("{:?}", list[0].1.principals);
    assert!(text.contains(r"spiffe://[^/]+/ns/shop/sa/web\\.v1"), "{text}");
}

#[test]
fn names_are_istios() {
    let list = rules("  rules: [{}, {}]\n", false);
    let names: Vec<&str> = list.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ns[shop]-policy[p]-rule[0]", "ns[shop]-policy[p]-rule[1]"]);
}
