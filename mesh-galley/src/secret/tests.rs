//! What is taken of Secrets, and which are referred to.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::{pair, secret, snapshot};

fn admitted(values: &[(&str, &str)]) -> Admission {
    let snapshot = snapshot(&secret("edge", "s", values));
    admit(snapshot.resources().next().unwrap().clone())
}

#[test]
fn of_a_secret_only_what_tls_needs_is_taken() {
    let (chain, key) = pair();
    let Admission::Take(Resource::Secret(taken)) =
        admitted(&[("tls.crt", &chain), ("tls.key", &key), ("ca.crt", &chain), ("password", "p")])
    else {
        panic!("not taken")
    };
    assert_eq!(taken.spec.data.keys().collect::<Vec<_>>(), ["ca.crt", "tls.crt", "tls.key"]);
    assert!(matches!(admitted(&[("password", "p")]), Admission::Pass));
    assert!(matches!(admitted(&[("cacert", &chain)]), Admission::Take(_)));
}

#[test]
fn what_a_proxy_could_not_use_is_refused_without_showing_it() {
    let ((chain, key), (_, other)) = (pair(), pair());
    let line = key.lines().nth(1).unwrap().to_owned();
    for (values, why) in [
        (vec![("tls.crt", chain.as_str()), ("tls.key", other.as_str())], "does not belong"),
        (vec![("tls.crt", &chain), ("tls.key", &key[..key.len() / 2])], "private key"),
        (vec![("tls.crt", "garbage"), ("tls.key", &key)], "tls.crt"),
        (vec![("tls.crt", &key), ("tls.key", &chain)], "tls.crt"),
        (vec![("tls.crt", &chain), ("tls.key", &key), ("ca.crt", &chain), ("ca.crl", "garbage")], "revocation"),
    ] {
        let Admission::Refuse(reason) = admitted(&values) else { panic!("{why}: not refused") };
        assert!(reason.contains(why) && !reason.contains(&line[..20]), "{reason}");
    }
}

fn wanted(yaml: &str, secrets: &[&str]) -> Vec<String> {
    let references = References::of(&snapshot(yaml));
    secrets.iter().filter(|key| references.wants(&key.parse().unwrap())).map(ToString::to_string).collect()
}

#[test]
fn a_gateway_may_run_anywhere_unless_it_names_the_namespace() {
    let gateway = |credential: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: g, namespace: edge}}\nspec:\n  selector: {{app: g}}\n  servers: [{{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: [a.example.com], tls: {{mode: SIMPLE, credentialName: {credential}}}}}]\n"
        )
    };
    let all = ["edge/a", "shop/a", "edge/b", "edge/a-cacert"];
    assert_eq!(wanted(&gateway("a"), &all), ["edge/a", "shop/a", "edge/a-cacert"]);
    assert_eq!(wanted(&gateway("\"kubernetes://shop/a\""), &all), ["shop/a"]);
    assert_eq!(wanted(&gateway("\"builtin://a\""), &all), [""; 0]);
}

#[test]
fn a_rule_reaches_as_far_as_it_is_exported() {
    let rule = |export: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: r, namespace: shop}}\nspec:\n  host: a.example.com\n  exportTo: [{export}]\n  trafficPolicy: {{portLevelSettings: [{{port: {{number: 443}}, tls: {{mode: MUTUAL, credentialName: a}}}}]}}\n"
        )
    };
    assert_eq!(wanted(&rule("\"*\""), &["shop/a", "edge/a"]), ["shop/a", "edge/a"]);
    assert_eq!(wanted(&rule("\".\""), &["shop/a", "edge/a"]), ["shop/a"]);
}
