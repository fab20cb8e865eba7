//! What the store keeps, drops and says. Time is given, never waited for.
#![cfg(test)]
#![allow(clippy::unwrap_used)]

mod restart;
mod secrets;

use super::*;
use crate::source::folder::File;

const GOOD: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: shop}
spec:
  hosts: [a]
  http: [{route: [{destination: {host: a}, weight: 80}]}]
";

/// A store and its clock.
struct Fixture {
    store: Store,
    now: Instant,
}

impl Fixture {
    fn new() -> Self {
        Self { store: Store::default(), now: Instant::now() }
    }

    fn look(&mut self, files: &[(usize, &str, &str)]) -> Vec<String> {
        self.look_but(files, &[])
    }

    fn look_but(&mut self, files: &[(usize, &str, &str)], unreadable: &[&str]) -> Vec<String> {
        let files = files.iter().map(|(rank, path, text)| File {
            path: path.into(),
            rank: *rank,
            hash: xxhash_rust::xxh3::xxh3_128(text.as_bytes()),
            bytes: (*text).into(),
        });
        let unreadable: Vec<Unreadable> =
            unreadable.iter().map(|path| Unreadable { path: path.into(), reason: "permission denied".into() }).collect();
        let mut look = self.store.look(self.now);
        files.for_each(|file| look.file(&file));
        names(&look.finish(&unreadable))
    }

    fn wait(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    fn errors(&self) -> &[String] {
        &self.store.report().errors
    }
}

/// What is in force: name and first weight.
fn names(snapshot: &ConfigSnapshot) -> Vec<String> {
    let resources = snapshot.entries(Kind::VirtualService).map(|(key, entry)| (key, entry.resource().to_json()));
    resources.map(|(key, json)| format!("{} {}", key.name, json["spec"]["http"][0]["route"][0]["weight"])).collect()
}

fn named(name: &str) -> String {
    GOOD.replace("name: a", &format!("name: {name}"))
}

fn weighs(weight: u32) -> String {
    GOOD.replace("80", &weight.to_string())
}

fn broken() -> String {
    GOOD.replace("weight", "wieght")
}

const SHORT: Duration = Duration::from_millis(999);

#[test]
fn a_broken_resource_keeps_its_last_good_one_and_its_siblings_move_on() {
    let mut fixture = Fixture::new();
    let two = format!("{GOOD}---\n{}", named("b"));
    assert_eq!(fixture.look(&[(0, "f.yaml", &two)]), ["a 80", "b 80"]);

    let next = format!("{}---\n{}", broken(), named("c"));
    assert_eq!(fixture.look(&[(0, "f.yaml", &next)]), ["a 80", "b 80", "c 80"], "a is kept, c is new");
    assert_eq!(fixture.wait(SETTLE).look(&[(0, "f.yaml", &next)]), ["a 80", "c 80"], "b was removed");
    let report = fixture.store.report();
    assert_eq!((report.kept, report.going, report.errors.len()), (1, 0, 1));
    assert!(report.errors[0].contains("f.yaml:6") && report.errors[0].contains("weight"), "{}", report.errors[0]);

    assert_eq!(fixture.look(&[(0, "f.yaml", &weighs(20))]), ["a 20", "c 80"], "an edit is in force at once");
    assert_eq!(fixture.errors(), [""; 0]);
}

#[test]
fn a_file_that_is_no_yaml_at_all_changes_nothing() {
    let mut fixture = Fixture::new();
    fixture.look(&[(0, "f.yaml", GOOD)]);
    for _ in 0..3 {
        assert_eq!(fixture.wait(SETTLE).look(&[(0, "f.yaml", "kind: [half a fi")]), ["a 80"]);
    }
    assert_eq!(fixture.store.report().kept, 1);
}

#[test]
fn an_empty_or_half_written_file_deletes_nothing_until_it_stays_so() {
    let two = format!("{GOOD}---\n{}", named("b"));
    let half = &two[..GOOD.len()];
    for (written, left) in [("", &[][..]), (half, &["a 80"])] {
        let mut fixture = Fixture::new();
        fixture.look(&[(0, "f.yaml", &two)]);
        assert_eq!(fixture.look(&[(0, "f.yaml", written)]), ["a 80", "b 80"]);
        assert!(fixture.store.unsettled());
        assert_eq!(fixture.wait(SHORT).look(&[(0, "f.yaml", written)]), ["a 80", "b 80"], "not yet");
        // It goes on being written: the wait begins anew.
        assert_eq!(fixture.wait(SHORT).look(&[(0, "f.yaml", &format!("{written}\n"))]), ["a 80", "b 80"]);
        assert_eq!(fixture.wait(SHORT).look(&[(0, "f.yaml", &format!("{written}\n"))]), ["a 80", "b 80"]);
        assert_eq!(fixture.wait(SETTLE).look(&[(0, "f.yaml", &format!("{written}\n"))]), left);
        assert!(!fixture.store.unsettled());
        // And the whole file comes back at once.
        assert_eq!(fixture.look(&[(0, "f.yaml", &two)]), ["a 80", "b 80"]);
    }
}

#[test]
fn a_file_that_is_gone_is_looked_for_once_more() {
    let mut fixture = Fixture::new();
    fixture.look(&[(0, "f.yaml", GOOD)]);
    assert_eq!(fixture.look(&[]), ["a 80"]);
    assert!(fixture.store.unsettled());
    assert_eq!(fixture.wait(SHORT).look(&[(0, "f.yaml", GOOD)]), ["a 80"], "it was being replaced");
    assert!(!fixture.store.unsettled());
    assert_eq!(fixture.wait(SETTLE).look(&[]), ["a 80"]);
    assert_eq!(fixture.wait(SETTLE).look(&[]), [""; 0]);
    assert!(!fixture.store.unsettled() && fixture.store.files.is_empty());
}

#[test]
fn what_cannot_be_read_stays_as_long_as_that_lasts() {
    let mut fixture = Fixture::new();
    fixture.look(&[(0, "x/f.yaml", GOOD)]);
    for _ in 0..3 {
        assert_eq!(fixture.wait(SETTLE).look_but(&[], &["x"]), ["a 80"]);
        assert!(!fixture.store.unsettled(), "there is nothing to wait for");
    }
    fixture.look(&[]);
    assert_eq!(fixture.wait(SETTLE).look(&[]), [""; 0]);
}

#[test]
fn a_resource_that_moves_to_another_file_moves_at_once_and_quietly() {
    let mut fixture = Fixture::new();
    fixture.look(&[(0, "a.yaml", GOOD)]);
    assert_eq!(fixture.look(&[(0, "b.yaml", &weighs(20))]), ["a 20"]);
    assert_eq!(fixture.errors(), [""; 0]);
    assert_eq!(fixture.wait(SETTLE).look(&[(0, "b.yaml", &weighs(20))]), ["a 20"]);
}

#[test]
fn a_resource_that_moves_and_is_broken_there_keeps_its_last_good_one() {
    let mut fixture = Fixture::new();
    fixture.look(&[(0, "a.yaml", GOOD)]);
    for _ in 0..3 {
        assert_eq!(fixture.wait(SETTLE).look(&[(0, "b.yaml", &broken())]), ["a 80"]);
    }
    assert!(!fixture.store.unsettled());
    assert_eq!(fixture.wait(SETTLE).look(&[(0, "b.yaml", &weighs(20))]), ["a 20"]);
    assert_eq!(fixture.wait(SETTLE).look(&[]), ["a 20"]);
    assert_eq!(fixture.wait(SETTLE).look(&[]), [""; 0]);
}

#[test]
fn the_earlier_folder_wins_and_the_other_is_told() {
    let mut fixture = Fixture::new();
    let files = [(0, "p/a.yaml", GOOD), (1, "a/a.yaml", &weighs(20))];
    assert_eq!(fixture.look(&files[..1]), ["a 80"]);
    assert_eq!(fixture.look(&files), ["a 80"]);
    assert!(
        fixture.errors()[0].starts_with("a/a.yaml:1: ") && fixture.errors()[0].contains("also in p/a.yaml:1"),
        "{:?}",
        fixture.errors()
    );
    // While the winner is being written, the loser does not take its place; once it is gone, it does.
    assert_eq!(fixture.wait(SETTLE).look(&[(0, "p/a.yaml", ""), files[1]]), ["a 80"]);
    assert_eq!(fixture.wait(SHORT).look(&[(0, "p/a.yaml", ""), files[1]]), ["a 80"]);
    assert_eq!(fixture.wait(SETTLE).look(&[(0, "p/a.yaml", ""), files[1]]), ["a 20"]);
    assert_eq!(fixture.errors(), [""; 0]);
}
