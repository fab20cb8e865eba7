//! Secrets: refused without being shown, known over a restart by name only; and what is accepted and not acted upon is said.

use super::*;
use crate::testing::{pair, secret};

fn keys(snapshot: &ConfigSnapshot) -> Vec<String> {
    snapshot.entries(Kind::Secret).map(|(key, _)| key.to_string()).collect()
}

impl Fixture {
    fn secrets(&mut self, text: &str) -> Vec<String> {
        let file = File { path: "s.yaml".into(), rank: 0, hash: xxhash_rust::xxh3::xxh3_128(text.as_bytes()), bytes: text.into() };
        let mut look = self.store.look(self.now);
        look.file(&file);
        keys(&look.finish(&[]))
    }
}

fn restarted(before: &Fixture) -> Fixture {
    let mut after = Fixture { store: Store::default(), now: before.now };
    for unsaved in before.store.unsaved() {
        assert!(unsaved.resources.iter().all(|resource| resource.kind() != Kind::Secret));
        after.store.remember(0, unsaved.path.to_owned(), unsaved.resources.into_iter().cloned(), unsaved.secrets.into_iter().cloned());
    }
    after
}

#[test]
fn a_secret_that_cannot_be_used_keeps_its_last_good_one_and_shows_nothing() {
    let ((chain, key), (_, other)) = (pair(), pair());
    let mut fixture = Fixture::new();
    assert_eq!(fixture.secrets(&secret("edge", "cert", &[("tls.crt", &chain), ("tls.key", &key)])), ["edge/cert"]);
    let wrong = secret("edge", "cert", &[("tls.crt", &chain), ("tls.key", &other)]);
    for _ in 0..3 {
        assert_eq!(fixture.wait(SETTLE).secrets(&wrong), ["edge/cert"]);
    }
    let [error] = fixture.errors() else { panic!("{:?}", fixture.errors()) };
    assert!(error.contains("s.yaml:1") && error.contains("edge/cert") && error.contains("does not belong"), "{error}");
    // Not YAML at all, in the middle of a key.
    let line = key.lines().nth(1).unwrap();
    let torn = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: cert, namespace: edge}}\ndata: {{tls.key: [{line}\n");
    assert_eq!(fixture.secrets(&torn), ["edge/cert"]);
    assert!(!fixture.errors().is_empty() && fixture.errors().iter().all(|error| !error.contains(&line[..16])), "{:?}", fixture.errors());
}

#[test]
fn over_a_restart_a_secret_is_known_by_name_only() {
    let (chain, key) = pair();
    let good = secret("edge", "cert", &[("tls.crt", &chain), ("tls.key", &key)]);
    let id: Id = (Kind::Secret, Key::new("edge", "cert"));
    let mut before = Fixture::new();
    before.secrets(&good);
    // In order: nothing is missed.
    let mut after = restarted(&before);
    assert_eq!(after.secrets(&good), ["edge/cert"]);
    assert!(after.store.uncertain().is_empty());
    // Broken, or not to be made out: subscribers keep theirs for as long as that lasts.
    for broken in [good.replace("kind: Secret", "kind: Secret\nextra: 1"), "kind: [half a fi".to_owned()] {
        let mut after = restarted(&before);
        for _ in 0..3 {
            assert!(after.wait(SETTLE).secrets(&broken).is_empty());
            assert!(after.store.uncertain().ids.contains(&id), "{broken}");
        }
        assert_eq!(after.secrets(&good), ["edge/cert"]);
        assert!(after.store.uncertain().is_empty());
    }
    // Removed meanwhile: gone after a second look.
    let mut after = restarted(&before);
    after.secrets("");
    assert!(after.store.uncertain().ids.contains(&id));
    after.wait(SETTLE).secrets("");
    assert!(after.store.uncertain().is_empty());
}

#[test]
fn what_is_accepted_and_not_acted_upon_is_said_once_an_object() {
    let plugin = |name: &str, strategy: &str| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: {name}}}\nspec: {{url: \"oci://a\", failStrategy: {strategy}}}\n---\n"
        )
    };
    let filter = "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: f}\nspec: {configPatches: []}\n";
    let mut fixture = Fixture::new();
    fixture.look(&[(0, "f.yaml", &(plugin("a", "FAIL_CLOSE") + &plugin("b", "FAIL_OPEN") + filter))]);
    let warnings = &fixture.store.report().warnings;
    let said = |what: &str| warnings.iter().filter(|warning| warning.contains(what)).count();
    assert_eq!(said("accepted and not acted upon yet"), 3, "{warnings:?}");
    assert_eq!(said("refused (403)"), 1, "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.contains("f.yaml:6") && warning.contains("default/b")), "{warnings:?}");
    assert_eq!(fixture.errors(), [""; 0]);
}
