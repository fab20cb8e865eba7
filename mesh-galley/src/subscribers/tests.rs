//! Who refuses what, and until when.
#![allow(clippy::unwrap_used)]

use mesh_config::snapshot::ConfigSnapshot;

use super::*;
use crate::{publish::Outlet, store::Uncertain, testing::snapshot};

const KIND: &str = "mesh.dev/mcp/v1/Service";

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{ports: [{{name: http, port: {port}}}]}}\n---\n"
    )
}

struct Fixture {
    outlet: Outlet,
    subscribers: Subscribers,
    metrics: Arc<Metrics>,
    id: u64,
}

impl Fixture {
    fn new() -> Self {
        let (outlet, served) = Outlet::new();
        let metrics = Arc::new(Metrics::new());
        let subscribers = Subscribers::new(served, metrics.clone());
        let id = subscribers.arrived("spiffe://cluster.local/ns/mesh-system/sa/mesh-pilot".parse().unwrap(), "pilot-1");
        Self { outlet, subscribers, metrics, id }
    }

    fn put(&self, yaml: &str) {
        let snapshot: Arc<ConfigSnapshot> = snapshot(yaml);
        self.outlet.put(&snapshot, &Uncertain::default());
    }

    fn nack(&self, names: &[&str]) {
        let names = names.iter().map(|name| (*name).into()).collect();
        let message = "spec.ports: I do not like it".to_owned();
        self.subscribers.observe(self.id, Event::Nack { type_url: KIND.into(), revision: "1".into(), message, names });
    }

    fn ack(&self, revision: &str) {
        self.subscribers.observe(self.id, Event::Ack { type_url: KIND.into(), revision: revision.into() });
    }

    fn refused(&self) -> Vec<String> {
        let page = self.subscribers.to_json();
        let refused = page[0]["refused"].as_array().unwrap().iter();
        refused.map(|row| format!("{} {}", row["kind"].as_str().unwrap(), row["name"].as_str().unwrap())).collect()
    }
}

#[test]
fn a_refusal_stands_until_the_resource_changes_or_the_subscriber_leaves() {
    let fixture = Fixture::new();
    fixture.put(&(service("a", 80) + &service("b", 80)));
    fixture.nack(&["shop/a"]);
    assert_eq!(fixture.refused(), ["Service shop/a"]);
    assert!(fixture.subscribers.to_json()[0]["refused"][0]["reason"].as_str().unwrap().contains("spec.ports"));
    for line in ["galley_mcp_subscribers 1", "galley_mcp_rejections 1", "galley_mcp_refused_resources 1"] {
        assert!(fixture.metrics.encode().lines().any(|there| there == line), "{line}\n{}", fixture.metrics.encode());
    }
    // Another one changes: it is still refused.
    fixture.put(&(service("a", 80) + &service("b", 81)));
    fixture.ack("2");
    assert_eq!(fixture.refused(), ["Service shop/a"]);
    fixture.put(&(service("a", 81) + &service("b", 81)));
    fixture.ack("3");
    assert_eq!(fixture.refused(), [""; 0]);
    fixture.nack(&["shop/a"]);
    fixture.put(&service("b", 81));
    assert_eq!(fixture.refused(), [""; 0]);
    fixture.nack(&["shop/b"]);
    fixture.subscribers.observe(fixture.id, Event::Closed);
    assert_eq!(fixture.subscribers.to_json(), json!([]));
    assert!(fixture.metrics.encode().contains("galley_mcp_refused_resources 0"));
}

#[test]
fn who_does_not_name_the_culprit_refuses_all_of_it_until_it_takes_the_next() {
    let fixture = Fixture::new();
    fixture.put(&service("a", 80));
    fixture.nack(&[]);
    assert_eq!(fixture.refused(), ["Service *"]);
    fixture.ack("2");
    assert_eq!(fixture.refused(), [""; 0]);
}
