//! Revisions complete, incomplete, refused and lost.
#![allow(clippy::unwrap_used)]

use mesh_proto::mcp::Object;

use super::*;
use crate::testing::split;

struct Galley {
    source: Source,
    seen: watch::Receiver<Option<Received>>,
}

impl Galley {
    fn new() -> Self {
        let (source, seen) = Source::new(Arc::new(Metrics::new()));
        Self { source, seen }
    }

    /// One kind's part of a configuration.
    fn send(&mut self, kind: Kind, configuration: &ConfigSnapshot, revision: &str) -> Vec<Rejection> {
        let resources = configuration.entries(kind).map(|(key, entry)| (key.to_string(), entry.resource().to_json().to_string()));
        self.send_raw(kind.id(), resources.collect(), &[], revision)
    }

    fn send_raw(&mut self, id: &str, resources: Vec<(String, String)>, removed: &[&str], revision: &str) -> Vec<Rejection> {
        let upserts = resources.into_iter().map(|(name, json)| {
            let object = Object { kind: id.into(), json: json.into(), ..Object::default() };
            Resource::new(name, mcp::pack(&object))
        });
        self.source.apply(Update {
            type_url: mcp::type_url(id).into(),
            revision: Some(revision.parse().unwrap()),
            upserts: upserts.collect(),
            removed: removed.iter().map(|name| (*name).into()).collect(),
            first: false,
        })
    }

    /// Services and workloads as the server's registry has them.
    fn send_registry(&mut self, configuration: &ConfigSnapshot, revision: &str) {
        let registry = Registry::build(configuration);
        let services = registry.services().map(|service| (service.id.to_string(), service.to_json().to_string()));
        self.send_raw(mcp::SERVICE, services.collect(), &[], revision);
        let workloads = registry.workloads().map(|workload| (workload.id.key(), workload.to_json().to_string()));
        self.send_raw(mcp::WORKLOAD, workloads.collect(), &[], revision);
    }

    fn send_all(&mut self, configuration: &ConfigSnapshot, revision: &str) {
        self.send_registry(configuration, revision);
        for kind in READ {
            self.send(*kind, configuration, revision);
        }
    }

    /// The kinds of a configuration that Pilot reads.
    fn current(&mut self) -> Option<Arc<ConfigSnapshot>> {
        self.seen.borrow_and_update().as_ref().map(|received| received.snapshot.clone())
    }
}

/// Of a configuration what Pilot reads.
fn snapshot(yaml: &str) -> Arc<ConfigSnapshot> {
    let whole = crate::testing::snapshot(yaml);
    whole.resources().filter(|resource| READ.contains(&resource.kind())).cloned().collect::<Builder>().build()
}

#[test]
fn nothing_before_every_type_has_reached_the_revision() {
    let mut galley = Galley::new();
    let configuration = snapshot(&split(80));
    let (last, others) = READ.split_last().unwrap();
    galley.send_registry(&crate::testing::snapshot(&split(80)), "1");
    for kind in others {
        galley.send(*kind, &configuration, "1");
        assert!(galley.current().is_none());
    }
    galley.send(*last, &configuration, "1");
    assert_eq!(galley.current().unwrap(), configuration);
    let received = galley.seen.borrow().clone().unwrap();
    assert_eq!(*received.registry, Registry::build(&crate::testing::snapshot(&split(80))));
}

#[test]
fn services_and_workloads_come_and_go() {
    let entry = "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: web-1, namespace: shop}\nspec: {address: 10.0.0.1, labels: {app: web}}\n";
    let (with, without) = (crate::testing::snapshot(&(split(80) + entry)), crate::testing::snapshot(&split(80)));
    let mut galley = Galley::new();
    galley.send_all(&with, "1");
    let registry = |galley: &Galley| galley.seen.borrow().as_ref().unwrap().registry.clone();
    assert_eq!(*registry(&galley), Registry::build(&with));
    let kept = registry(&galley);
    galley.send_raw(mcp::WORKLOAD, Vec::new(), &["Kubernetes/WorkloadEntry/shop/web-1"], "2");
    // Half of a change is not seen.
    assert_eq!(*registry(&galley), *kept);
    galley.send_raw(mcp::SERVICE, Vec::new(), &[], "2");
    for kind in READ {
        galley.send_raw(kind.id(), Vec::new(), &[], "2");
    }
    assert_eq!(*registry(&galley), Registry::build(&without));
    let refused = galley.send_raw(mcp::WORKLOAD, vec![("Kubernetes/WorkloadEntry/shop/x".into(), "{\"ip\": 1}".into())], &[], "3");
    assert_eq!(refused.len(), 1);
}
#[test]
fn half_of_a_change_is_never_seen_and_a_disconnect_deletes_nothing() {
    let mut galley = Galley::new();
    let (before, after) = (snapshot(&split(80)), snapshot(&split(50)));
    galley.send_all(&before, "1");
    galley.send(Kind::VirtualService, &after, "2");
    assert_eq!(galley.current().unwrap(), before);
    galley.source.connection(Connection::Disconnected { reason: "gone".into() });
    assert_eq!(galley.current().unwrap(), before);
    galley.send_all(&after, "2");
    assert_eq!(galley.current().unwrap(), after);
}

#[test]
fn what_cannot_be_understood_hurts_only_itself() {
    let mut galley = Galley::new();
    let configuration = snapshot(&split(80));
    galley.send_all(&configuration, "1");
    let good = configuration.entries(Kind::VirtualService).next().unwrap().1.resource().to_json().to_string();
    for (name, json) in
        [("shop/web", "{"), ("shop/web", "{\"metadata\": {\"name\": \"web\"}, \"spec\": {\"hostz\": []}}"), ("shop/other", good.as_str())]
    {
        let rejections = galley.send_raw("VirtualService", vec![(name.into(), json.into())], &[], "2");
        assert_eq!(rejections.len(), 1, "{json}");
    }
    for kind in READ.iter().filter(|kind| **kind != Kind::VirtualService) {
        galley.send_raw(kind.id(), Vec::new(), &[], "2");
    }
    galley.send_raw(mcp::SERVICE, Vec::new(), &[], "2");
    galley.send_raw(mcp::WORKLOAD, Vec::new(), &[], "2");
    // The last good one is in force.
    assert_eq!(galley.current().unwrap(), configuration);
}

#[test]
fn a_policy_that_nobody_would_enforce_is_refused() {
    let mut galley = Galley::new();
    for target in
        ["\"targetRef\": {\"kind\": \"Service\", \"name\": \"web\"}", "\"targetRefs\": [{\"kind\": \"Service\", \"name\": \"web\"}]"]
    {
        let json = format!("{{\"metadata\": {{\"namespace\": \"shop\", \"name\": \"web\"}}, \"spec\": {{{target}}}}}");
        let rejections = galley.send_raw("AuthorizationPolicy", vec![("shop/web".into(), json)], &[], "1");
        assert_eq!(rejections.len(), 1, "{target}");
        assert!(rejections[0].reason.contains("use selector"), "{}", rejections[0].reason);
    }
}
