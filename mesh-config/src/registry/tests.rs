//! Services, workloads and endpoints out of resources, whatever their order.

#![allow(clippy::unwrap_used)]
//! Who is behind what, and that neither order nor a neighbour changes it.

mod histories;
mod kubernetes;

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::{
    load,
    resource::{Key, Kind, Meta, Object, Resource, WorkloadEntry, service},
    snapshot::Builder,
};

fn registry(yaml: &str) -> Registry {
    let loaded = load::documents("mesh.yaml", yaml.as_bytes());
    let errors: Vec<String> = loaded.diagnostics.iter().filter(|d| d.is_error()).map(ToString::to_string).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    let builder: Builder = loaded.objects.into_iter().map(|object| object.resource).collect();
    Registry::build(&builder.build())
}

fn describe(registry: &Registry) -> String {
    let mut text = String::new();
    for service in registry.services() {
        writeln!(text, "{} {:?} {:?}", service.id, service.resolution, service.location).unwrap();
        for port in &service.ports {
            let protocol = port.protocol.map_or("sniffed", |protocol| protocol.as_str());
            writeln!(text, "  {} {} {protocol}", port.number, port.name).unwrap();
            for endpoint in registry.all_endpoints(&service.id, port.number) {
                let workload = &endpoint.workload;
                let account = &workload.service_account;
                write!(text, "    {} {} x{} {:?} {account}", endpoint.address, workload.id, workload.weight, workload.tls).unwrap();
                for address in &endpoint.additional_addresses {
                    write!(text, " +{address}").unwrap();
                }
                if endpoint.health != Health::Healthy {
                    write!(text, " {:?}", endpoint.health).unwrap();
                }
                text.push('\n');
            }
        }
    }
    text
}

fn check(yaml: &str, expected: Expect) {
    expected.assert_eq(&describe(&registry(yaml)));
}

#[test]
fn workloads_stand_behind_the_services_that_select_them() {
    check(
        "apiVersion: v1
kind: Service
metadata: {name: ads, namespace: shop}
spec:
  selector: {app: ads}
  ports:
  - {name: http, port: 80, targetPort: 9080}
  - {name: admin, port: 81, targetPort: manage}
  - {name: tcp-raw, port: 82}
---
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: ads-v1, namespace: shop}
spec: {address: 127.1.2.11, labels: {app: ads, version: v1}, serviceAccount: ads, weight: 4}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: ads-v2, namespace: shop, labels: {app: ads}}
spec: {address: 127.1.2.12, ports: {http: 8000, manage: 8001}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: ads-v3, namespace: elsewhere}
spec: {address: 127.1.2.13, labels: {app: ads}}
",
        expect![[r#"
            shop/ads.shop.svc.cluster.local Static MeshInternal
              80 http HTTP
                127.1.2.11:9080 shop/ads-v1 x4 Istio ads
                127.1.2.12:9080 shop/ads-v2 x1 Disabled 
              81 admin sniffed
                127.1.2.12:8001 shop/ads-v2 x1 Disabled 
              82 tcp-raw TCP
                127.1.2.11:82 shop/ads-v1 x4 Istio ads
                127.1.2.12:82 shop/ads-v2 x1 Disabled 
            shop/nobody.shop.svc.cluster.local Static MeshInternal
              80  sniffed
        "#]],
    );
}

#[test]
fn service_entries_have_endpoints_of_their_own() {
    check(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: dns}
spec:
  hosts: [a.example.com, b.example.com]
  resolution: DNS
  ports: [{number: 443, name: tls, protocol: TLS, targetPort: 8443}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: fixed}
spec:
  hosts: [c.example.com]
  addresses: [240.0.0.1]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{number: 80, name: web, protocol: HTTP}, {number: 90, name: raw}]
  endpoints:
  - {address: 10.0.0.1, ports: {web: 8080}}
  - {address: 10.0.0.2, labels: {security.istio.io/tlsMode: istio}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: socket}
spec:
  hosts: [d.example.com]
  resolution: STATIC
  ports: [{number: 80, name: web, protocol: HTTP}]
  endpoints: [{address: unix:///run/app.sock}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: chosen}
spec:
  hosts: [e.example.com]
  resolution: STATIC
  workloadSelector: {labels: {app: e}}
  ports: [{number: 80, name: web, protocol: HTTP, targetPort: 81}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild}
spec:
  hosts: ['*.example.org']
  ports: [{number: 443, name: tls, protocol: TLS}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: e}
spec: {address: 10.0.0.5, labels: {app: e}}
",
        expect![[r#"
            default/*.example.org Passthrough MeshExternal
              443 tls TLS
            default/a.example.com Dns MeshExternal
              443 tls TLS
                a.example.com:8443 default/dns/a.example.com x1 Disabled 
            default/b.example.com Dns MeshExternal
              443 tls TLS
                b.example.com:8443 default/dns/b.example.com x1 Disabled 
            default/c.example.com Static MeshInternal
              80 web HTTP
                10.0.0.1:8080 default/fixed/0 x1 Disabled 
                10.0.0.2:80 default/fixed/1 x1 Istio 
              90 raw sniffed
                10.0.0.1:90 default/fixed/0 x1 Disabled 
                10.0.0.2:90 default/fixed/1 x1 Istio 
            default/d.example.com Static MeshExternal
              80 web HTTP
                unix:///run/app.sock default/socket/0 x1 Disabled 
            default/e.example.com Static MeshExternal
              80 web HTTP
                10.0.0.5:81 default/e x1 Disabled 
        "#]],
    );
}

#[test]
fn a_host_name_means_the_viewers_own_service_first() {
    let registry = registry(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: one}
spec: {hosts: [x.example.com], ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: two}
spec: {hosts: [x.example.com], ports: [{number: 80, name: http, protocol: HTTP}], exportTo: ['.']}
",
    );
    let host = "x.example.com".parse().unwrap();
    for (viewer, owner) in [("one", "one"), ("two", "two"), ("three", "one")] {
        assert_eq!(registry.resolve(&host, viewer).unwrap().id.namespace, owner, "{viewer}");
    }
}

#[test]
fn a_workload_knows_its_services() {
    let registry = registry(
        "apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: a}
spec: {address: 10.0.0.1, labels: {app: a}}
",
    );
    let workload = registry.workload_entry("default", "a").unwrap();
    assert_eq!(registry.workloads_at("10.0.0.1".parse().unwrap()).next(), Some(workload));
    let [instance] = registry.instances(&workload.id) else { panic!("one instance") };
    assert_eq!((instance.port.number, instance.target_port), (80, 8080));
    assert_eq!(instance.service.hostname.as_str(), "a.default.svc.cluster.local");
}

fn workload(name: &str, app: &str, number: u8) -> Resource {
    let spec = WorkloadEntry {
        address: format!("10.0.0.{number}"),
        labels: [("app".to_owned(), app.to_owned())].into(),
        ..WorkloadEntry::default()
    };
    Object { meta: Meta::new("default", name), spec }.into()
}

fn service(app: &str) -> Resource {
    let spec = crate::resource::Service {
        selector: [("app".to_owned(), app.to_owned())].into(),
        ports: vec![service::Port { name: "http".into(), port: 80, ..service::Port::default() }],
        ..crate::resource::Service::default()
    };
    Object { meta: Meta::new("default", app), spec }.into()
}

fn world() -> impl Strategy<Value = Vec<Resource>> {
    proptest::collection::btree_map("[a-f]", ("[x-z]", 1u8..250), 0..6).prop_map(|workloads| {
        let mut resources: Vec<Resource> = ["x", "y", "z"].into_iter().map(service).collect();
        resources.extend(workloads.iter().map(|(name, (app, number))| workload(name, app, *number)));
        resources
    })
}

proptest! {
    #[test]
    fn order_does_not_matter(resources in world().prop_shuffle()) {
        let mut sorted = resources.clone();
        sorted.sort_by_key(|resource| (resource.kind(), resource.meta().key()));
        let one = Registry::build(&resources.into_iter().collect::<Builder>().build());
        let other = Registry::build(&sorted.into_iter().collect::<Builder>().build());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn a_workload_that_goes_takes_only_its_own_endpoints(resources in world(), which in 0usize..6) {
        let mut builder: Builder = resources.iter().cloned().collect();
        let before = Registry::build(&builder.build());
        let workloads: Vec<Key> =
            resources.iter().filter(|r| r.kind() == Kind::WorkloadEntry).map(|r| r.meta().key()).collect();
        prop_assume!(!workloads.is_empty());
        let gone = &workloads[which % workloads.len()];
        builder.remove(Kind::WorkloadEntry, gone);
        let after = Registry::build(&builder.build());
        for service in before.services() {
            let left: Vec<_> =
                before.endpoints(&service.id, 80).iter().filter(|e| e.workload.id.name != gone.name).cloned().collect();
            prop_assert_eq!(after.endpoints(&service.id, 80), left.as_slice());
        }
    }
}
