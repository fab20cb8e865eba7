//! Several clusters and networks: Services that differ from cluster to cluster, registries that no cluster is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Analyzer, code,
    code::List,
    context::{Context, Item},
};
use crate::resource::{Kind, Secret, Service, service::Port};

/// One service, several clusters: clients see the ports of their own, endpoints those of another.
pub(super) static SERVICES: Analyzer = Analyzer {
    name: "services.MultiClusterServiceAnalyzer",
    about: "Checks that a Service is the same in every cluster",
    codes: &[&code::MULTI_CLUSTER_INCONSISTENT_SERVICE],
    reads: &[Kind::Service],
    run: services,
};

/// MeshNetworks that name a registry which is no cluster.
pub(super) static MESH_NETWORKS: Analyzer = Analyzer {
    name: "meshnetworks.MeshNetworksAnalyzer",
    about: "Checks that the networks of the mesh name clusters that there are",
    codes: &[&code::UNKNOWN_MESH_NETWORKS_SERVICE_REGISTRY],
    reads: &[Kind::Secret],
    run: mesh_networks,
};

/// The label of Secrets that hold the kubeconfigs of other clusters, by cluster name.
const MULTI_CLUSTER: &str = "istio/multiCluster";
/// Registries that there are without a Secret.
const BUILT_IN: [&str; 3] = ["Kubernetes", "External", "Mock"];

fn services(cx: &mut Context<'_>) {
    let mut services: BTreeMap<(&str, &str), BTreeMap<&str, Item<'_, Service>>> = BTreeMap::new();
    for service in cx.all::<Service>().filter(|service| !service.cluster().is_empty()) {
        let meta = service.meta();
        services.entry((&meta.namespace, &meta.name)).or_default().insert(service.cluster(), service);
    }
    for ((namespace, name), clusters) in services {
        let (differing, reasons) = differences(&clusters);
        if let Some(first) = clusters.values().next().filter(|_| !differing.is_empty()) {
            let arguments: [&dyn std::fmt::Display; 4] = [&name, &namespace, &List(&differing), &reasons.join("; ")];
            cx.report(&code::MULTI_CLUSTER_INCONSISTENT_SERVICE, *first, "spec", &arguments);
        }
    }
}

/// The clusters that differ from the first one, with it, and in what.
fn differences<'a>(clusters: &BTreeMap<&'a str, Item<'_, Service>>) -> (Vec<&'a str>, Vec<&'static str>) {
    let Some((first_cluster, first)) = clusters.first_key_value().map(|(cluster, service)| (*cluster, service.spec())) else {
        return (Vec::new(), Vec::new());
    };
    let (mut differing, mut reasons) = (BTreeSet::new(), BTreeSet::new());
    for (cluster, service) in clusters {
        let service = service.spec();
        if is_headless(first) != is_headless(service) {
            differing.extend(clusters.keys().copied());
            reasons.insert("service has mixed mode like headless and clusterIP");
        }
        if first.kind != service.kind {
            differing.insert(*cluster);
            reasons.insert("service type is inconsistent");
        }
        if ports(first) != ports(service) {
            differing.insert(*cluster);
            reasons.insert("service ports are inconsistent");
        }
    }
    if !differing.is_empty() {
        differing.insert(first_cluster);
    }
    (differing.into_iter().collect(), reasons.into_iter().collect())
}

fn is_headless(service: &Service) -> bool {
    service.cluster_ip.as_str() == "None"
}

/// In the order of their names.
fn ports(service: &Service) -> Vec<&Port> {
    let mut ports: Vec<&Port> = service.ports.iter().collect();
    ports.sort_by(|one, other| one.name.cmp(&other.name));
    ports
}

fn mesh_networks(cx: &mut Context<'_>) {
    let known: BTreeSet<&str> = cx
        .all::<Secret>()
        .filter(|secret| secret.meta().labels.get(MULTI_CLUSTER).is_some_and(|value| value == "true"))
        .flat_map(|secret| secret.spec().data.keys())
        .map(String::as_str)
        .chain(BUILT_IN)
        .collect();
    let Some(networks) = cx.mesh_networks().get("networks").and_then(Value::as_object) else { return };
    for (network, settings) in networks {
        for endpoint in settings.get("endpoints").and_then(Value::as_array).into_iter().flatten() {
            if let Some(registry) = endpoint.get("fromRegistry").and_then(Value::as_str).filter(|registry| !known.contains(registry)) {
                cx.report_mesh(&code::UNKNOWN_MESH_NETWORKS_SERVICE_REGISTRY, &[&registry, network]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Options, Set, run};

    fn said(set: &Set, analyzer: &str) -> Vec<String> {
        let options = Options { analyzers: vec![analyzer.to_owned()], ..Options::default() };
        run(set, &options).iter().map(|message| format!("{} {}", message.code.id, message.text)).collect()
    }

    fn service(spec: &str) -> String {
        format!("{{apiVersion: v1, kind: Service, metadata: {{name: a, namespace: b}}, spec: {spec}}}")
    }

    #[test]
    fn clusters_agree_about_a_service() {
        for (one, other, expected) in [
            ("{ports: [{port: 80, name: http}]}", "{ports: [{port: 80, name: http}]}", None),
            ("{ports: [{port: 80, name: http}, {port: 81, name: a}]}", "{ports: [{port: 81, name: a}, {port: 80, name: http}]}", None),
            ("{ports: [{port: 80, name: http}]}", "{ports: [{port: 81, name: http}]}", Some("ports")),
            ("{type: NodePort}", "{type: ClusterIP}", Some("type")),
            ("{clusterIP: None}", "{clusterIP: 10.0.0.1}", Some("headless")),
        ] {
            let mut set = Set::default();
            set.in_cluster("east").read("east.yaml", service(one).as_bytes());
            set.in_cluster("west").read("west.yaml", service(other).as_bytes());
            let said = said(&set, "services.MultiClusterServiceAnalyzer");
            assert_eq!(said.len(), usize::from(expected.is_some()), "{one} {other}: {said:?}");
            assert!(
                said.iter().all(|message| message.starts_with("IST0170") && message.contains(expected.unwrap_or_default())),
                "{said:?}"
            );
        }
    }

    #[test]
    fn networks_are_of_clusters_that_there_are() {
        let mut set = Set::default();
        set.set_mesh_networks(json!({"networks": {"n": {"endpoints": [{"fromRegistry": "Kubernetes"}, {"fromRegistry": "east"}, {"fromCidr": "10.0.0.0/8"}]}}}));
        let found = said(&set, "meshnetworks.MeshNetworksAnalyzer");
        assert_eq!(found, ["IST0126 Unknown service registry east in network n"]);
        set.read("secret.yaml", b"{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: b, labels: {istio/multiCluster: 'true'}}, stringData: {east: a}}");
        assert!(said(&set, "meshnetworks.MeshNetworksAnalyzer").is_empty());
    }
}
