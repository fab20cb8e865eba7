//! Revisions complete, incomplete, refused and lost.
#![allow(clippy::unwrap_used)]

use mesh_proto::mcp::Object;

use super::*;
use crate::testing::{snapshot, split};

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
        let resources = configuration.entries(kind).map(|(key, entry)| {
            let json = entry.resource().to_json().to_string();
            (key.to_string(), json)
        });
        let resources = resources.collect();
        self.send_raw(kind, resources, revision)
    }

    fn send_raw(&mut self, kind: Kind, resources: Vec<(String, String)>, revision: &str) -> Vec<Rejection> {
        let upserts = resources.into_iter().map(|(name, json)| {
            let object = Object { kind: kind.as_str().into(), json: json.into(), ..Object::default() };
            Resource::new(name, mcp::pack(&object))
        });
        self.source.apply(Update {
            type_url: mcp::type_url(kind.as_str()).into(),
            revision: Some(revision.parse().unwrap()),
            upserts: upserts.collect(),
            removed: Vec::new(),
            first: false,
        })
    }

    fn send_all(&mut self, configuration: &ConfigSnapshot, revision: &str) {
        for kind in Kind::ALL {
            self.send(*kind, configuration, revision);
        }
    }

    fn current(&mut self) -> Option<Arc<ConfigSnapshot>> {
        self.seen.borrow_and_update().as_ref().map(|received| received.snapshot.clone())
    }
}

#[test]
fn nothing_before_every_kind_has_reached_the_revision() {
    let mut galley = Galley::new();
    let configuration = snapshot(&split(80));
    let (last, others) = Kind::ALL.split_last().unwrap();
    for kind in others {
        galley.send(*kind, &configuration, "1");
        assert!(galley.current().is_none());
    }
    galley.send(*last, &configuration, "1");
    assert_eq!(galley.current().unwrap(), configuration);
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
        let rejections = galley.send_raw(Kind::VirtualService, vec![(name.into(), json.into())], "2");
        assert_eq!(rejections.len(), 1, "{json}");
    }
    for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::VirtualService) {
        galley.send_raw(*kind, Vec::new(), "2");
    }
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
        let rejections = galley.send_raw(Kind::AuthorizationPolicy, vec![("shop/web".into(), json)], "1");
        assert_eq!(rejections.len(), 1, "{target}");
        assert!(rejections[0].reason.contains("use selector"), "{}", rejections[0].reason);
    }
}
