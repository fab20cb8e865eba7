//! Precedence, inheritance and visibility.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    scope::Role,
    testing::{scope, world},
};

const SERVICES: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: private, namespace: bank, annotations: {networking.istio.io/exportTo: "."}}
spec: {selector: {app: x}, ports: [{name: http, port: 80}]}
---
"#;

fn with(yaml: &str) -> World {
    world(&format!("{SERVICES}{yaml}"))
}

#[test]
fn rules_are_looked_up_by_client_then_service_then_root_namespace_and_merged() {
    let rule = |namespace: &str, name: &str, extra: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  host: web.shop.svc.cluster.local\n{extra}---\n"
        )
    };
    let find = |yaml: &str, client: &str| {
        let world = with(yaml);
        let host = "web.shop.svc.cluster.local".parse().unwrap();
        world
            .destination_rule(&scope(client, "a"), &host, "shop")
            .map(|rule| (rule.provenance.clone(), rule.subsets.iter().map(|s| s.name.clone()).collect::<Vec<_>>()))
    };
    let name = |found: Option<(String, Vec<String>)>| found.map(|(provenance, _)| provenance.rsplit('/').next().unwrap().to_owned());
    let all = rule("shop", "service", "") + &rule("bank", "client", "") + &rule("istio-system", "root", "");
    assert_eq!(name(find(&all, "bank")).as_deref(), Some("client"));
    assert_eq!(name(find(&all, "other")).as_deref(), Some("service"));
    let hidden = rule("shop", "service", "  exportTo: [\".\"]\n") + &rule("istio-system", "root", "");
    assert_eq!(name(find(&hidden, "other")).as_deref(), Some("root"));
    assert_eq!(name(find(&hidden, "shop")).as_deref(), Some("service"));
    let merged = rule("shop", "a", "  subsets: [{name: v1, labels: {version: v1}}]\n")
        + &rule("shop", "b", "  subsets: [{name: v1, labels: {version: other}}, {name: v2, labels: {version: v2}}]\n");
    let (provenance, subsets) = find(&merged, "shop").unwrap();
    assert!(provenance.ends_with("/a"));
    assert_eq!(subsets, ["v1", "v2"]);
}

#[test]
fn peer_authentication_is_inherited_level_by_level() {
    let world = with(
        r#"
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: mesh, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: selected-root, namespace: istio-system}
spec: {selector: {matchLabels: {app: web}}, mtls: {mode: DISABLE}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: namespace, namespace: bank}
spec: {mtls: {mode: PERMISSIVE}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: web, namespace: bank}
spec: {selector: {matchLabels: {app: web}}, mtls: {mode: UNSET}, portLevelMtls: {9000: {mode: DISABLE}}}
"#,
    );
    let labels = Labels::from([("app".to_owned(), "web".to_owned())]);
    let mode = |namespace: &str, port: u16| world.mutual_tls(namespace, &labels, port);
    // A selector in the root namespace is not mesh-wide.
    assert_eq!(mode("shop", 80), MutualTlsMode::Strict);
    assert_eq!(mode("bank", 80), MutualTlsMode::Permissive);
    assert_eq!(mode("bank", 9000), MutualTlsMode::Disable);
    assert_eq!(with("").mutual_tls("shop", &labels, 80), MutualTlsMode::Permissive);
}

#[test]
fn a_proxy_sees_what_is_exported_and_imported() {
    let hosts = |world: &World, namespace: &str| -> Vec<String> {
        world.view(&scope(namespace, "a")).services.iter().map(|service| service.id.hostname.to_string()).collect()
    };
    let open = with("");
    assert_eq!(hosts(&open, "shop"), ["web.shop.svc.cluster.local"]);
    assert_eq!(hosts(&open, "bank"), ["private.bank.svc.cluster.local", "web.shop.svc.cluster.local"]);
    let scoped = with(
        r#"
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: bank}
spec: {egress: [{hosts: ["./*"]}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: root, namespace: istio-system}
spec: {egress: [{hosts: ["~/*"]}]}
"#,
    );
    assert_eq!(hosts(&scoped, "bank"), ["private.bank.svc.cluster.local"]);
    assert!(hosts(&scoped, "shop").is_empty());
}

#[test]
fn of_several_rules_for_a_host_the_most_specific_counts_then_the_oldest() {
    let rule = |name: &str, host: &str, created: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop, creationTimestamp: \"{created}\"}}\nspec: {{hosts: [\"{host}\"], http: [{{route: [{{destination: {{host: web}}}}]}}]}}\n---\n"
        )
    };
    let world = with(
        &(rule("wide", "*.cluster.local", "2020-01-01T00:00:00Z")
            + &rule("wider", "*.local", "2019-01-01T00:00:00Z")
            + &rule("young", "web", "2022-01-01T00:00:00Z")
            + &rule("old", "web.shop.svc.cluster.local", "2021-01-01T00:00:00Z")),
    );
    let view = world.view(&scope("shop", "a"));
    let winner = |host: &str| {
        let host = host.parse().unwrap();
        crate::generate::rule_for(&view.routing, &host).map(|rule| rule.object.meta.name.clone())
    };
    assert_eq!(winner("web.shop.svc.cluster.local").as_deref(), Some("old"));
    assert_eq!(winner("other.shop.svc.cluster.local").as_deref(), Some("wide"));
    assert_eq!(winner("printer.local").as_deref(), Some("wider"));
    assert_eq!(winner("example.com"), None);
}

#[test]
fn the_registry_says_what_a_proxy_is_not_the_proxy() {
    let entry = |name: &str, namespace: &str, labels: &str, account: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{address: 127.9.9.11, labels: {labels}, serviceAccount: {account}}}\n---\n"
        )
    };
    let app = |world: &World, scope: &ProxyScope| world.labels(scope).get("app").cloned().unwrap_or_default();
    let scope = scope("shop", "a");
    assert_eq!(app(&with(&entry("x", "shop", "{app: web}", "a")), &scope), "web");
    assert_eq!(app(&with(&entry("x", "shop", "{}", "a")), &scope), "");
    // Somebody else at this address, or nobody: there is only what the proxy says.
    assert_eq!(app(&with(&entry("x", "bank", "{app: web}", "a")), &scope), "a");
    assert_eq!(app(&with(&entry("x", "shop", "{app: web}", "other")), &scope), "a");
    // Of several that it is, the one that it says.
    let several = entry("x", "shop", "{app: web}", "a") + &entry("z", "shop", "{app: a}", "a");
    assert_eq!(app(&with(&several), &scope), "a");
}

#[test]
fn a_proxy_that_relabels_itself_changes_nothing() {
    let world = with(
        r#"
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web, namespace: shop}
spec: {address: 127.9.9.11, labels: {app: web}, serviceAccount: a}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: shop}
spec: {selector: {matchLabels: {app: web}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web, namespace: shop}
spec: {workloadSelector: {labels: {app: web}}, egress: [{hosts: ["~/*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [web], http: [{match: [{sourceLabels: {app: web}}], directResponse: {status: 403}}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec: {host: web, workloadSelector: {matchLabels: {app: web}}, trafficPolicy: {tls: {mode: DISABLE}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
"#,
    );
    for role in [Role::Sidecar, Role::Router] {
        let liar = ProxyScope { role, ..scope("shop", "a") };
        let honest = ProxyScope { labels: Labels::from([("app".to_owned(), "web".to_owned())]), ..liar.clone() };
        assert_eq!(crate::generate::generate(&world, &liar).types, crate::generate::generate(&world, &honest).types);
    }
}
