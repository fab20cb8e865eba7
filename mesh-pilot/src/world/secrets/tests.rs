//! Who gets what.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    generate::generate,
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

#[test]
fn only_the_authenticated_namespace_decides() {
    let world = world(SECRETS);
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
fn a_sidecar_of_the_namespace_gets_only_what_its_own_configuration_names() {
    let world = World::build(crate::testing::snapshot(SECRETS), settings());
    let snapshot = generate(&world, &proxy("edge", true));
    let names: Vec<&str> =
        snapshot.resources(mesh_proto::type_url::SECRET).into_iter().flat_map(|secrets| secrets.keys().map(|name| &**name)).collect();
    // By the DestinationRule: the gateways' servers are no business of a sidecar's.
    assert_eq!(names, ["kubernetes://secure", "kubernetes://secure-cacert"]);
}
