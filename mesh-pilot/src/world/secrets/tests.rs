//! Who gets what.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    generate::generate,
    scope::Role,
    settings::MeshSettings,
    testing::{scope, settings, world},
    world::World,
};

/// Secrets of the golden case: `edge/secure` with certificate, key and CA, `edge/clients` with a CA, `shop/theirs` with certificate and key.
const SECRETS: &str = include_str!("../../../tests/golden/secrets.in.yaml");

fn proxy(namespace: &str, authenticated: bool) -> ProxyScope {
    ProxyScope { is_authenticated: authenticated, ..scope(namespace, "gw") }
}

fn outcome(world: &World, scope: &ProxyScope, name: &str) -> String {
    match world.secret(scope, name) {
        Ok(Material::Pair { .. }) => "pair".into(),
        Ok(Material::Bundle { .. }) => "bundle".into(),
        Err(reason) => reason.to_string(),
    }
}

/// A World where the labels of nobody's registration count.
fn trusting() -> World {
    let settings = MeshSettings { trust_claimed_labels: true, ..settings() };
    World::build(crate::testing::snapshot(SECRETS), settings)
}

#[test]
fn only_the_authenticated_namespace_decides() {
    let world = trusting();
    let (edge, shop, nobody) = (proxy("edge", true), proxy("shop", true), proxy("edge", false));
    for (scope, name, expected) in [
        (&edge, "kubernetes://secure", "pair"),
        (&edge, "kubernetes://edge/secure", "pair"),
        (&edge, "kubernetes-gateway://edge/secure", "pair"),
        (&edge, "kubernetes://secure-cacert", "bundle"),
        (&edge, "kubernetes://clients-cacert", "bundle"),
        (&shop, "kubernetes://theirs", "pair"),
        (&edge, "kubernetes://clients", "has no certificate"),
        (&shop, "kubernetes://theirs-cacert", "has no CA bundle"),
        (&edge, "kubernetes://nowhere", "no Secret edge/nowhere"),
        (&shop, "kubernetes://secure", "no Secret shop/secure"),
        (&edge, "kubernetes://shop/theirs", "in namespace shop"),
        (&shop, "kubernetes-gateway://edge/secure", "in namespace edge"),
        (&nobody, "kubernetes://secure", "has not proven"),
        (&nobody, "kubernetes://secure-cacert", "has not proven"),
        (&edge, "secure", "only names of Secrets"),
        (&edge, "kubernetes://", "only names of Secrets"),
        (&edge, "kubernetes:///secure", "only names of Secrets"),
        (&edge, "kubernetes://shop/edge/secure", "only names of Secrets"),
        (&edge, "sds://secure", "only names of Secrets"),
        (&edge, "default", "only names of Secrets"),
    ] {
        let outcome = outcome(&world, scope, name);
        assert!(outcome.contains(expected), "{name} to {}: {outcome}", scope.namespace);
    }
}

#[test]
fn nothing_prints_a_key() {
    let world = world(SECRETS);
    let key = SECRETS.split("tls.key: ").nth(1).unwrap().split([',', '}']).next().unwrap();
    let printed = format!("{world:?}");
    assert!(!printed.contains(key) && !printed.contains("PRIVATE KEY"));
    let received = crate::testing::received(SECRETS);
    assert!(!format!("{received:?}").contains(key));
    let pages: String = world.snapshot().resources().map(|resource| resource.to_redacted_json().to_string()).collect();
    assert!(pages.contains("sha256:") && !pages.contains(key));
}

#[test]
fn what_a_proxy_claims_to_be_opens_nothing() {
    let strict = world(SECRETS);
    let at = |ip: &str, account: &str| ProxyScope {
        ip: ip.parse().unwrap(),
        service_account: account.parse().unwrap(),
        labels: [("istio".to_owned(), "gw".to_owned())].into(),
        ..proxy("edge", true)
    };
    let secure = "kubernetes://secure";
    // The gateway, the same account elsewhere, another account at the gateway's address.
    assert_eq!(outcome(&strict, &at("10.1.1.1", "gw"), secure), "pair");
    for stranger in [at("10.1.1.9", "gw"), at("10.1.1.1", "app"), at("10.1.1.2", "gw")] {
        assert!(outcome(&strict, &stranger, secure).contains("no workload"), "{stranger:?}");
        assert_eq!(outcome(&trusting(), &stranger, secure), "pair");
    }
    // A workload that is known has its registered labels, whatever it claims: the Gateway does not select it.
    let relabelled = ProxyScope { role: Role::Router, ..at("10.1.1.4", "app") };
    assert_eq!(strict.gateway_ports(&relabelled).len(), 0);
    // One whose account nobody has written down runs as `default`.
    let entry = |account: &str| {
        let spec = "spec: {address: 10.1.1.5, labels: {istio: gw}}";
        let nameless = format!(
            "{SECRETS}\n---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: x, namespace: edge}}\n{spec}\n"
        );
        outcome(&world(&nameless), &at("10.1.1.5", account), secure)
    };
    assert_eq!(entry("default"), "pair");
    assert!(entry("app").contains("no workload"));
}

#[test]
fn a_sidecar_of_the_namespace_gets_only_what_a_rule_that_selects_it_names() {
    let names = |label: &str| -> Vec<String> {
        let scope = ProxyScope { labels: [("app".to_owned(), label.to_owned())].into(), ..proxy("edge", true) };
        let snapshot = generate(&trusting(), &scope);
        snapshot.resources(mesh_proto::type_url::SECRET).into_iter().flat_map(|secrets| secrets.keys().map(ToString::to_string)).collect()
    };
    // By the DestinationRule: the gateways' servers are no business of a sidecar's.
    assert_eq!(names("client"), ["kubernetes://secure", "kubernetes://secure-cacert"]);
    assert!(names("other").is_empty());
    let (_, report) = crate::generate::generate_reporting(&trusting(), &proxy("edge", true));
    let refusals: Vec<_> = report.refusals.iter().map(|refusal| (refusal.name.as_str(), &refusal.reason)).collect();
    assert_eq!(refusals, [("kubernetes://secure", &Withheld::Unselected)]);
}
