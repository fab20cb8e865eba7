//! Which resources who is served.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::{pair, secret, snapshot};

fn gateway(credential: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: g, namespace: edge}}
spec:
  selector: {{app: g}}
  servers: [{{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: [a.example.com], tls: {{mode: SIMPLE, credentialName: {credential}}}}}]
"
    )
}

fn names(snapshot: &xds::Snapshot, kind: Kind) -> Vec<String> {
    snapshot.resources(&mcp::type_url(kind.id())).into_iter().flat_map(|list| list.keys().map(ToString::to_string)).collect()
}

fn published(yaml: &str) -> Served {
    let (outlet, served) = Outlet::new();
    outlet.put(&snapshot(yaml), &Uncertain::default());
    served.borrow().clone().unwrap()
}

#[test]
fn a_secret_is_served_to_the_trusted_only_and_only_if_something_refers_to_it() {
    let (chain, key) = pair();
    let values: &[(&str, &str)] = &[("tls.crt", &chain), ("tls.key", &key)];
    let secrets = [secret("edge", "cert", values), secret("edge", "other", values), secret("edge", "cert-cacert", &[("ca.crt", &chain)])];
    let served = published(&format!("{}---\n{}", secrets.join("---\n"), gateway("cert")));
    assert_eq!(names(&served.trusted, Kind::Secret), ["edge/cert", "edge/cert-cacert"]);
    assert_eq!(names(&served.trusted, Kind::Gateway), ["edge/g"]);
    assert!(served.others.resources(&mcp::type_url("Secret")).is_none());
    assert_eq!(names(&served.others, Kind::Gateway), ["edge/g"]);
    assert_eq!(served.trusted.revision, served.others.revision);
    let without = published(&secrets.join("---\n"));
    assert!(names(&without.trusted, Kind::Secret).is_empty());
}

#[test]
fn what_is_kubernetes_own_business_is_not_served_and_changes_no_revision() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{name: http, port: 80}]}\n";
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\n";
    let served = published(service);
    let with = published(&format!("{service}---\n{map}"));
    assert!(!with.trusted.types.contains_key(&*mcp::type_url("ConfigMap")));
    assert!(!with.trusted.types.contains_key(&*mcp::type_url("Pod")));
    assert_eq!(served.trusted.revision, with.trusted.revision);
}

#[test]
fn what_did_not_change_is_shared() {
    let service =
        |port: u16| format!("apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {{ports: [{{name: http, port: {port}}}]}}\n---\n");
    let (outlet, served) = Outlet::new();
    let put = |port| {
        outlet.put(&snapshot(&format!("{}{}", service(port), gateway("cert"))), &Uncertain::default());
        served.borrow().clone().unwrap()
    };
    let (first, second) = (put(80), put(81));
    let list = |served: &Served, kind: &str| served.trusted.resources(&mcp::type_url(kind)).unwrap().clone();
    assert!(Arc::ptr_eq(&list(&first, "Gateway"), &list(&second, "Gateway")));
    assert!(!Arc::ptr_eq(&list(&first, "Service"), &list(&second, "Service")));
    assert!(Arc::ptr_eq(&list(&first, mcp::WORKLOAD), &list(&second, mcp::WORKLOAD)));
    assert_ne!(first.trusted.revision, second.trusted.revision);
}

#[test]
fn a_pod_is_not_served_and_the_workload_that_it_is_is() {
    let text = "apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {selector: {app: a}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a-1, namespace: shop, labels: {app: a}}
spec: {serviceAccountName: a, containers: [{name: a, image: a}]}
status: {phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: \"True\"}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop}
spec: {address: 10.0.0.2, labels: {app: a}, serviceAccount: a}
";
    let (outlet, served) = Outlet::new();
    outlet.put(&snapshot(text), &Uncertain::default());
    let first = served.borrow().clone().unwrap();
    let list = |served: &Served, kind: &str| -> Vec<String> {
        served.trusted.resources(&mcp::type_url(kind)).unwrap().keys().map(ToString::to_string).collect()
    };
    assert_eq!(list(&first, mcp::WORKLOAD), ["Kubernetes/Pod/shop/a-1", "Kubernetes/WorkloadEntry/shop/w"]);
    assert_eq!(list(&first, mcp::SERVICE), ["shop/a.shop.svc.cluster.local"]);
    assert!(first.trusted.resources(&mcp::type_url("Pod")).is_none());
    // One goes: the other is not made anew.
    let without: String = text.split("---\n").filter(|part| !part.contains("WorkloadEntry")).collect::<Vec<_>>().join("---\n");
    outlet.put(&snapshot(&without), &Uncertain::default());
    let second = served.borrow().clone().unwrap();
    assert_eq!(list(&second, mcp::WORKLOAD), ["Kubernetes/Pod/shop/a-1"]);
    let body = |served: &Served| served.trusted.resource(&mcp::type_url(mcp::WORKLOAD), "Kubernetes/Pod/shop/a-1").unwrap().body.clone();
    assert!(Arc::ptr_eq(&body(&first), &body(&second)));
}

#[test]
fn every_type_says_its_kinds_id() {
    let served = published(&gateway("cert"));
    for kind in Kind::ALL.iter().filter(|kind| extent(**kind) != Extent::None) {
        let resources = served.trusted.resources(&mcp::type_url(kind.id())).unwrap();
        assert!(resources.values().all(|resource| mcp::unpack(&resource.body).unwrap().kind == kind.id()));
    }
}
