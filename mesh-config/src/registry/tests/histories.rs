//! Whatever happened before, the registry is what the objects say now.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::snapshot::ConfigSnapshot;

/// A small world in which objects meet often.
fn object() -> impl Strategy<Value = Resource> {
    let name = || proptest::sample::select(vec!["a", "a", "b", "c"]);
    let namespace = || proptest::sample::select(vec!["x", "x", "x", "y"]);
    let flag = proptest::bool::ANY;
    let address = (1u8..4).prop_map(|last| format!("10.0.0.{last}"));
    let parts = (name(), namespace(), name(), name(), address, flag, flag, 0u8..9);
    parts.prop_map(|(own, namespace, other, app, address, one, two, kind)| {
        let meta = |labels: Value| json!({"name": own, "namespace": namespace, "labels": labels});
        let value = match kind {
            0 => json!({"metadata": meta(json!({})), "spec": {
                "selector": if one { json!({"app": app}) } else { json!({}) },
                "clusterIP": if two { "None" } else { "" },
                "type": if one && two { "ExternalName" } else { "ClusterIP" },
                "publishNotReadyAddresses": two,
                "ports": [{"name": "http", "port": 80, "targetPort": if one { json!("web") } else { json!(8080) }}]}}),
            1 | 2 => json!({"metadata": meta(json!({"kubernetes.io/service-name": other})), "addressType": "IPv4",
                "ports": [{"name": "http", "port": if one { 8080 } else { 8081 }}],
                "endpoints": [
                    {"addresses": [address], "conditions": {"ready": two}},
                    {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": app, "namespace": namespace}, "conditions": {"ready": one}}]}),
            3 | 4 => json!({"metadata": meta(json!({"app": app})), "spec": {
                "nodeName": other, "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}]},
                "status": {"podIP": address, "phase": if one && two { "Failed" } else { "Running" },
                    "conditions": [{"type": "Ready", "status": if one { "True" } else { "False" }}]}}),
            5 => json!({"metadata": {"name": own, "labels": {"topology.kubernetes.io/zone": app}}}),
            6 => json!({"metadata": {"name": namespace, "annotations": if one { json!({TRAFFIC_DISTRIBUTION: "PreferClose"}) } else { json!({}) }}}),
            7 => json!({"metadata": meta(json!({"app": app})), "spec": {"address": if two { "vm.example.com".into() } else { address }, "ports": {"web": 7000}}}),
            _ => json!({"metadata": meta(json!({})), "spec": {
                "hosts": [format!("{other}.example.com"), if one { format!("a.{namespace}.svc.cluster.local") } else { "z.example.com".to_owned() }],
                "resolution": if two { "DNS" } else { "STATIC" },
                "ports": [{"name": "http", "number": if one { 80 } else { 81 }, "protocol": "HTTP"}],
                "workloadSelector": if app == "a" { json!({"labels": {"app": app}}) } else { Value::Null },
                "endpoints": if app == "b" { json!([{"address": address}, {"address": "10.0.0.9"}]) } else { Value::Null }}}),
        };
        let kinds = [
            Kind::Service,
            Kind::EndpointSlice,
            Kind::EndpointSlice,
            Kind::Pod,
            Kind::Pod,
            Kind::Node,
            Kind::Namespace,
            Kind::WorkloadEntry,
            Kind::ServiceEntry,
        ];
        Resource::from_json(kinds[usize::from(kind)], &value).unwrap()
    })
}

fn history() -> impl Strategy<Value = Vec<(Resource, bool)>> {
    proptest::collection::vec((object(), proptest::bool::weighted(0.75)), 0..30)
}

fn fresh(objects: &BTreeMap<(Kind, Key), Resource>) -> (Arc<ConfigSnapshot>, Index) {
    let snapshot = objects.values().cloned().collect::<Builder>().build();
    let index = Index::from_snapshot(Settings::default(), &snapshot);
    (snapshot, index)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_history_ends_where_a_fresh_start_would(history in history()) {
        let mut objects = BTreeMap::new();
        let (mut index, mut registry) = (Index::new(Settings::default()), Registry::default());
        for (resource, set) in history {
            let id = (resource.kind(), resource.meta().key());
            let delta = if set {
                let delta = index.insert(&resource);
                objects.insert(id, resource);
                delta
            } else {
                objects.remove(&id);
                index.remove(id.0, &id.1)
            };
            registry.apply(delta);
            let (snapshot, other) = fresh(&objects);
            prop_assert_eq!(index.services().collect::<Vec<_>>(), other.services().collect::<Vec<_>>());
            prop_assert_eq!(index.workloads().collect::<Vec<_>>(), other.workloads().collect::<Vec<_>>());
            prop_assert_eq!(&registry, &Registry::build(&snapshot));
        }
    }

    #[test]
    fn a_snapshot_is_followed_by_its_difference(before in history(), after in history()) {
        let state = |history: Vec<(Resource, bool)>| -> BTreeMap<(Kind, Key), Resource> {
            history.into_iter().filter(|(_, set)| *set).map(|(resource, _)| ((resource.kind(), resource.meta().key()), resource)).collect()
        };
        let ((old, mut index), (new, expected)) = (fresh(&state(before)), fresh(&state(after)));
        let delta = index.follow(&new, &new.diff(&old));
        prop_assert_eq!(index.services().collect::<Vec<_>>(), expected.services().collect::<Vec<_>>());
        prop_assert_eq!(index.workloads().collect::<Vec<_>>(), expected.workloads().collect::<Vec<_>>());
        let mut registry = Registry::build(&old);
        registry.apply(delta);
        prop_assert_eq!(registry, Registry::build(&new));
    }

    #[test]
    fn a_change_tells_only_what_differs(history in history(), again in object()) {
        let mut index = Index::new(Settings::default());
        for (resource, _) in history {
            index.insert(&resource);
        }
        index.insert(&again);
        prop_assert!(index.insert(&again).is_empty());
    }
}
