//! What a restart keeps: with what was remembered, and without.

use super::*;

/// The same store after a restart that remembers everything.
fn restarted(before: &Fixture, remembered: &[&str]) -> Fixture {
    let mut after = Fixture { store: Store::default(), now: before.now };
    for ((rank, path), held) in &before.store.files {
        if remembered.contains(&path.to_str().unwrap()) {
            let resources = held.resources.values().filter(|resource| resource.kind() != Kind::Secret);
            after.store.remember(*rank, path.clone(), resources.cloned(), held.secrets().cloned());
        }
    }
    after
}

#[test]
fn what_was_remembered_stays_in_force_however_broken_its_file_is() {
    for now in [broken(), "kind: [half a fi".to_owned()] {
        let mut before = Fixture::new();
        before.look(&[(0, "f.yaml", GOOD)]);
        let mut after = restarted(&before, &["f.yaml"]);
        for _ in 0..3 {
            assert_eq!(after.wait(SETTLE).look(&[(0, "f.yaml", &now)]), ["a 80"]);
            assert_eq!(after.store.uncertain(), &Uncertain::default());
        }
        assert_eq!(after.look(&[(0, "f.yaml", &weighs(20))]), ["a 20"]);
    }
}

#[test]
fn what_was_deleted_meanwhile_goes_after_a_second_look_and_what_cannot_be_read_does_not() {
    let mut before = Fixture::new();
    before.look(&[(0, "f.yaml", GOOD), (0, "x/g.yaml", &named("b"))]);
    let mut after = restarted(&before, &["f.yaml", "x/g.yaml"]);
    assert_eq!(after.look_but(&[], &["x"]), ["a 80", "b 80"]);
    assert!(after.store.unsettled());
    assert_eq!(after.wait(SETTLE).look_but(&[], &["x"]), ["b 80"]);
    assert!(after.store.uncertain().is_empty());
    let forgotten: Vec<_> = after.store.unsaved().map(|unsaved| (unsaved.path.to_owned(), unsaved.resources.len())).collect();
    assert_eq!(forgotten, [("f.yaml".into(), 0)]);
}

#[test]
fn an_unchanged_file_need_not_be_saved_again() {
    let mut before = Fixture::new();
    before.look(&[(0, "f.yaml", GOOD)]);
    assert_eq!(before.store.unsaved().count(), 1);
    before.store.saved(Path::new("f.yaml"));
    assert_eq!(before.store.unsaved().count(), 0);
    let mut after = restarted(&before, &["f.yaml"]);
    after.look(&[(0, "f.yaml", &format!("# a comment\n{GOOD}"))]);
    assert_eq!(after.store.unsaved().count(), 0);
    after.look(&[(0, "f.yaml", &weighs(20))]);
    assert_eq!(after.store.unsaved().count(), 1);
}

#[test]
fn who_is_kept_out_of_force_is_so_after_a_restart() {
    let mut before = Fixture::new();
    let other = weighs(20);
    let other = (1, "a/a.yaml", other.as_str());
    before.look(&[(0, "p/a.yaml", GOOD), other]);
    let mut after = restarted(&before, &["p/a.yaml", "a/a.yaml"]);
    assert_eq!(after.look(&[(0, "p/a.yaml", ""), other]), ["a 80"]);
}

#[test]
fn without_memory_what_is_refused_is_uncertain_and_not_gone() {
    let mut fixture = Fixture::new();
    let text = format!("{}---\n{}", broken(), named("b"));
    let id: Id = (Kind::VirtualService, Key::new("shop", "a"));
    assert_eq!(fixture.look(&[(0, "f.yaml", &text)]), ["b 80"]);
    assert_eq!(fixture.store.uncertain(), &Uncertain { all: false, ids: [id.clone()].into() });
    assert!(fixture.errors().iter().any(|error| error.contains("shop/a") && error.contains("no last good")), "{:?}", fixture.errors());
    // Half-written is no answer.
    fixture.look(&[(0, "f.yaml", "")]);
    assert!(fixture.store.uncertain().ids.contains(&id) && fixture.store.unsettled());
    fixture.wait(SETTLE).look(&[(0, "f.yaml", "")]);
    assert!(fixture.store.uncertain().is_empty() && !fixture.store.unsettled());
}

#[test]
fn without_memory_what_cannot_be_made_out_or_read_makes_everything_uncertain() {
    let mut fixture = Fixture::new();
    for text in ["kind: [half a fi", ""] {
        fixture.wait(SHORT).look(&[(0, "f.yaml", text)]);
        assert!(fixture.store.uncertain().all, "{text}");
    }
    fixture.wait(SETTLE).look(&[(0, "f.yaml", "")]);
    assert!(fixture.store.uncertain().is_empty());

    let mut fixture = Fixture::new();
    fixture.look_but(&[], &["x"]);
    assert!(fixture.store.uncertain().all);
    fixture.look(&[(0, "x/f.yaml", GOOD)]);
    assert!(fixture.store.uncertain().is_empty());
    // It was seen since: now everything about it is known.
    fixture.look_but(&[], &["x"]);
    assert!(fixture.store.uncertain().is_empty());
}
