//! Services, slices, Pods and Nodes: one case for each form that they take in clusters.

use super::*;

fn pod(name: &str, ip: &str, more: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{app: web, security.istio.io/tlsMode: istio}}}}
spec:
  serviceAccountName: web
  nodeName: n1
  containers: [{{name: c, ports: [{{name: http, containerPort: 8080}}]}}]
status: {{podIP: {ip}, conditions: [{{type: Ready, status: 'True'}}]{more}}}
"
    )
}

fn slice(name: &str, family: &str, endpoints: &str) -> String {
    format!(
        "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}
addressType: {family}
ports: [{{name: http, port: 8080}}, {{name: admin, port: 9000}}]
endpoints: [{endpoints}]
"
    )
}

fn service(spec: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: http}}, {{name: admin, port: 81, targetPort: manage}}]{spec}}}
"
    )
}

fn named(pod: &str, ip: &str, conditions: &str) -> String {
    format!("{{addresses: ['{ip}'], targetRef: {{kind: Pod, name: {pod}, namespace: shop}}, conditions: {{{conditions}}}}}")
}

const NODE: &str = "---
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/region: r, topology.kubernetes.io/zone: z}}
";

#[test]
fn slices_say_ports_and_health() {
    let endpoints = [
        named("a", "10.0.0.1", "ready: true"),
        named("b", "10.0.0.2", "ready: false, serving: true, terminating: true"),
        named("c", "10.0.0.3", "ready: false"),
        named("d", "10.0.0.4", ""),
        named("unknown", "10.0.0.9", "ready: true"),
        "{addresses: [10.9.9.9]}".to_owned(),
    ];
    let pods: String = ["a", "b", "c", "d"].iter().enumerate().map(|(i, name)| pod(name, &format!("10.0.0.{}", i + 1), "")).collect();
    // A named target is each Pod's own, as the slice has it; an endpoint whose Pod has not been seen waits for it.
    check(
        &(service("") + &pods + &slice("web-1", "IPv4", &endpoints.join(", "))),
        expect![[r#"
            shop/web.shop.svc.cluster.local Static MeshInternal
              80 http HTTP
                10.0.0.1:8080 shop/a x1 Istio web
                10.0.0.4:8080 shop/d x1 Istio web
                10.9.9.9:8080 shop/web/10.9.9.9 x1 Disabled 
                10.0.0.2:8080 shop/b x1 Istio web Draining
                10.0.0.3:8080 shop/c x1 Istio web Unhealthy
              81 admin sniffed
                10.0.0.1:9000 shop/a x1 Istio web
                10.0.0.4:9000 shop/d x1 Istio web
                10.9.9.9:9000 shop/web/10.9.9.9 x1 Disabled 
                10.0.0.2:9000 shop/b x1 Istio web Draining
                10.0.0.3:9000 shop/c x1 Istio web Unhealthy
        "#]],
    );
}

#[test]
fn only_healthy_endpoints_get_requests_and_every_member_listens() {
    let registry = registry(&(service("") + &pod("a", "10.0.0.1", "") + &slice("s", "IPv4", &named("a", "10.0.0.1", "ready: false"))));
    let id: ServiceId = "shop/web.shop.svc.cluster.local".parse().unwrap();
    assert_eq!((registry.endpoints(&id, 80).len(), registry.all_endpoints(&id, 80).len()), (0, 1));
    let workload = registry.workloads().next().unwrap();
    assert_eq!(registry.instances(&workload.id).len(), 2);
    assert_eq!(registry.members(&id).count(), 1);
}

#[test]
fn an_address_goes_to_the_first_pod_that_has_it() {
    let yaml = service("") + &pod("a", "10.0.0.1", "") + &pod("b", "10.0.0.1", "") + &slice("s", "IPv4", "{addresses: [10.0.0.1]}");
    let loaded = load::documents("mesh.yaml", yaml.as_bytes());
    let mut index = Index::new(Settings::default());
    loaded.objects.iter().for_each(|object| drop(index.insert(&object.resource)));
    let behind = |index: &Index| -> Vec<String> {
        index.workloads().filter(|workload| !workload.services.is_empty()).map(|workload| workload.id.to_string()).collect()
    };
    assert_eq!(behind(&index), ["shop/a"]);
    index.remove(Kind::Pod, &Key::new("shop", "a"));
    assert_eq!(behind(&index), ["shop/b"]);
    index.remove(Kind::Pod, &Key::new("shop", "b"));
    assert_eq!(behind(&index), ["shop/web/10.0.0.1"]);
}

#[test]
fn without_slices_the_selector_chooses_pods() {
    let over = pod("over", "10.0.0.2", ", phase: Succeeded");
    let waiting = pod("waiting", "10.0.0.3", "").replace("'True'", "'False'");
    let leaving = pod("leaving", "10.0.0.4", "").replace("name: leaving,", "name: leaving, deletionTimestamp: '2026-01-01T00:00:00Z',");
    let pods = pod("a", "10.0.0.1", "") + &over + &waiting + &leaving;
    check(
        &(service("") + &pods),
        expect![[r#"
            shop/web.shop.svc.cluster.local Static MeshInternal
              80 http HTTP
                10.0.0.1:8080 shop/a x1 Istio web
                10.0.0.4:8080 shop/leaving x1 Istio web Draining
                10.0.0.3:8080 shop/waiting x1 Istio web Unhealthy
              81 admin sniffed
        "#]],
    );
    // What publishes addresses that are not ready counts them as ready.
    let registry = registry(&(service(", publishNotReadyAddresses: true") + &pods));
    assert_eq!(registry.endpoints(&"shop/web.shop.svc.cluster.local".parse().unwrap(), 80).len(), 3);
}

#[test]
fn both_ip_families_are_one_endpoint() {
    let yaml = service(", clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd00::96'], ipFamilies: [IPv4, IPv6]")
        + &pod("a", "10.0.0.1", ", podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]")
        + &slice("v6", "IPv6", &named("a", "fd00::1", "ready: true"))
        + &slice("v4", "IPv4", &named("a", "10.0.0.1", "ready: true"));
    let registry = registry(&yaml);
    assert_eq!(registry.services().next().unwrap().addresses, ["10.96.0.1", "fd00::96"]);
    expect![[r#"
        shop/web.shop.svc.cluster.local Static MeshInternal
          80 http HTTP
            10.0.0.1:8080 shop/a x1 Istio web +[fd00::1]:8080
          81 admin sniffed
            10.0.0.1:9000 shop/a x1 Istio web +[fd00::1]:9000
    "#]]
    .assert_eq(&describe(&registry));
    assert_eq!(registry.workloads_at("fd00::1".parse().unwrap()).count(), 1);
    // A service of the other family alone is reached there alone.
    let single = service(", ipFamilies: [IPv6]") + &pod("a", "10.0.0.1", ", podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]");
    let registry = super::registry(&single);
    let id = "shop/web.shop.svc.cluster.local".parse().unwrap();
    assert_eq!(registry.endpoints(&id, 80)[0].address.to_string(), "[fd00::1]:8080");
}

#[test]
fn headless_and_external_names() {
    let external = "---
apiVersion: v1
kind: Service
metadata: {name: out, namespace: shop}
spec: {type: ExternalName, externalName: db.example.com, selector: {app: web}, ports: [{port: 80}]}
";
    let stateful = pod("web-0", "10.0.0.1", "").replace("nodeName: n1", "nodeName: n1\n  hostname: web-0\n  subdomain: web");
    let yaml = service(", clusterIP: None") + external + &stateful + &slice("s", "IPv4", &named("web-0", "10.0.0.1", ""));
    let registry = registry(&yaml);
    expect![[r#"
        shop/out.shop.svc.cluster.local Alias("db.example.com") MeshExternal
          80  sniffed
        shop/web.shop.svc.cluster.local Passthrough MeshInternal
          80 http HTTP
            10.0.0.1:8080 shop/web-0 x1 Istio web
          81 admin sniffed
            10.0.0.1:9000 shop/web-0 x1 Istio web
    "#]]
    .assert_eq(&describe(&registry));
    assert_eq!(registry.workloads().next().unwrap().dns_name, "web-0.web");
    assert!(registry.service(&"shop/web.shop.svc.cluster.local".parse().unwrap()).unwrap().is_headless());
}

#[test]
fn a_place_comes_from_the_node_or_a_label() {
    let labelled = pod("b", "10.0.0.2", "").replace("labels: {", "labels: {istio-locality: r2.z2.s2, topology.istio.io/network: net-2, ");
    let registry = registry(&(NODE.to_owned() + &pod("a", "10.0.0.1", "") + &labelled));
    let places: Vec<_> = registry.workloads().map(|w| (w.locality.to_string(), w.network.clone(), w.node.clone())).collect();
    assert_eq!(places, [("r/z".into(), String::new(), "n1".into()), ("r2/z2/s2".into(), "net-2".to_owned(), "n1".to_owned())]);
    let workload = registry.workloads().next().unwrap();
    let labels =
        ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "kubernetes.io/hostname", "app", "topology.istio.io/network"];
    assert_eq!(labels.map(|name| workload.label(name)), [Some("r"), Some("z"), Some("n1"), Some("web"), None]);
}

#[test]
fn pods_are_known_by_what_made_them() {
    let owned = |kind: &str, owner: &str, label: &str| {
        pod("a", "10.0.0.1", "").replace(
            "namespace: shop, labels: {",
            &format!("namespace: shop, ownerReferences: [{{apiVersion: apps/v1, kind: {kind}, name: {owner}, uid: u, controller: true}}], labels: {{{label}"),
        )
    };
    for (yaml, name) in [
        (owned("ReplicaSet", "web-v1-5d8f", "pod-template-hash: 5d8f, "), "web-v1"),
        (owned("ReplicaSet", "web-v1", ""), "web-v1"),
        (owned("Job", "nightly-28123456", ""), "nightly"),
        (owned("StatefulSet", "web", ""), "web"),
        (pod("a", "10.0.0.1", ""), "a"),
    ] {
        assert_eq!(registry(&yaml).workloads().next().unwrap().workload_name, name, "{yaml}");
    }
}

#[test]
fn distribution_and_node_local_services() {
    let namespace = "---
apiVersion: v1
kind: Namespace
metadata: {name: shop, annotations: {networking.istio.io/traffic-distribution: PreferSameNode}}
";
    let of = |yaml: &str| {
        let registry = registry(yaml);
        let service = registry.services().next().unwrap();
        (service.traffic_distribution, service.node_local)
    };
    assert_eq!(
        of(&service(", trafficDistribution: PreferClose, internalTrafficPolicy: Local")),
        (TrafficDistribution::PreferSameZone, true)
    );
    assert_eq!(of(&(namespace.to_owned() + &service(""))), (TrafficDistribution::PreferSameNode, false));
}

#[test]
fn service_entries_select_pods_and_workload_entries() {
    let entry = "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.example.com]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8000}, {number: 90, name: raw, protocol: TCP}]
  workloadSelector: {labels: {app: web}}
";
    let workload = "---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: shop, labels: {app: web}}
spec: {address: 10.1.0.1, ports: {http: 7000}, labels: {app: other}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: named, namespace: shop, labels: {app: web}}
spec: {address: vm.example.com}
";
    let waiting = pod("waiting", "10.0.0.3", "").replace("'True'", "'False'");
    check(
        &(entry.to_owned() + workload + &pod("a", "10.0.0.1", "") + &waiting),
        expect![[r#"
            shop/web.example.com Static MeshInternal
              80 http HTTP
                10.0.0.1:8080 shop/a x1 Istio web
                10.1.0.1:7000 shop/vm x1 Disabled 
              90 raw TCP
                10.0.0.1:90 shop/a x1 Istio web
                10.1.0.1:90 shop/vm x1 Disabled 
        "#]],
    );
}

#[test]
fn service_entries_of_one_host_share_their_endpoints() {
    let entry = |name: &str, number: u16, ip: &str| {
        format!(
            "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec: {{hosts: [x.example.com], resolution: STATIC, ports: [{{number: {number}, name: http, protocol: HTTP}}], endpoints: [{{address: {ip}}}]}}
"
        )
    };
    check(
        &(entry("a", 80, "10.0.0.1") + &entry("b", 81, "10.0.0.2")),
        expect![[r#"
            default/x.example.com Static MeshExternal
              80 http HTTP
                10.0.0.1:80 default/a/0 x1 Disabled 
                10.0.0.2:81 default/b/0 x1 Disabled 
        "#]],
    );
}

#[test]
fn what_is_served_comes_back() {
    let yaml = service(", clusterIPs: [10.96.0.1, 'fd00::96'], trafficDistribution: PreferSameNode")
        + NODE
        + &pod("a", "10.0.0.1", ", podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]")
        + &slice("s", "IPv4", &(named("a", "10.0.0.1", "ready: false") + ", {addresses: [10.9.9.9]}"));
    let before = registry(&yaml);
    let services: Vec<_> = before.services().map(|service| Arc::new(super::Service::from_json(&service.to_json()).unwrap())).collect();
    let workloads: Vec<_> = before.workloads().map(|workload| Arc::new(Workload::from_json(&workload.to_json()).unwrap())).collect();
    assert_eq!(Registry::assemble(services, workloads), before);
    let keys: Vec<String> = before.workloads().map(|workload| workload.id.key()).collect();
    assert_eq!(keys, ["Kubernetes/Pod/shop/a", "Kubernetes/EndpointSlice/shop/web/10.9.9.9"]);
    for workload in before.workloads() {
        assert_eq!(workload.id.key().parse::<WorkloadId>().unwrap(), workload.id);
    }
    let mut json = before.workloads().next().unwrap().to_json();
    json["later"] = true.into();
    assert!(Workload::from_json(&json).unwrap_err().to_string().contains("later"));
}
