//! What the store keeps, drops and says.
#![cfg(test)]
#![allow(clippy::unwrap_used)]

use mesh_config::resource::VirtualService;

use super::*;

const GOOD: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: shop}
spec:
  hosts: [a]
  http: [{route: [{destination: {host: a}, weight: 80}]}]
";

fn file(rank: usize, name: &str, text: &str) -> File {
    File { path: name.into(), rank, hash: xxhash_rust::xxh3::xxh3_128(text.as_bytes()), bytes: text.into() }
}

fn names(snapshot: &ConfigSnapshot) -> Vec<String> {
    snapshot.list::<VirtualService>().map(|object| object.meta.name.to_string()).collect()
}

#[test]
fn a_broken_resource_keeps_its_last_good_one_and_its_siblings_move_on() {
    let mut store = Store::default();
    let two = format!("{GOOD}---\n{}", GOOD.replace("name: a", "name: b"));
    let first = store.update(vec![file(0, "f.yaml", &two)], &[]);
    assert_eq!(names(&first), ["a", "b"]);

    let broken = format!("{}---\n{}", GOOD.replace("weight", "wieght"), GOOD.replace("name: a", "name: c"));
    let second = store.update(vec![file(0, "f.yaml", &broken)], &[]);
    assert_eq!(names(&second), ["a", "c"], "a is kept, b was removed, c is new");
    let report = store.report();
    assert_eq!((report.kept, report.errors.len()), (1, 1));
    assert!(report.errors[0].contains("f.yaml:6") && report.errors[0].contains("weight"), "{}", report.errors[0]);

    let mended = store.update(vec![file(0, "f.yaml", GOOD)], &[]);
    assert_eq!(names(&mended), ["a"]);
    assert_eq!(store.report().errors, Vec::<String>::new());
}

#[test]
fn a_file_that_is_no_yaml_at_all_changes_nothing() {
    let mut store = Store::default();
    let before = store.update(vec![file(0, "f.yaml", GOOD)], &[]);
    let after = store.update(vec![file(0, "f.yaml", "kind: [half a fi")], &[]);
    assert_eq!(before.revision(), after.revision());
    assert_eq!(store.report().kept, 1);
}

#[test]
fn what_is_gone_is_gone_and_what_cannot_be_read_stays() {
    let mut store = Store::default();
    let snapshot = store.update(vec![file(0, "x/f.yaml", GOOD)], &[]);
    let unreadable = Unreadable { path: "x".into(), reason: "permission denied".into() };
    assert_eq!(store.update(Vec::new(), &[unreadable]).revision(), snapshot.revision());
    assert!(store.update(Vec::new(), &[]).is_empty());
}

#[test]
fn the_earlier_folder_wins_and_the_other_is_told() {
    let mut store = Store::default();
    let other = GOOD.replace("weight: 80", "weight: 20");
    let alone = store.update(vec![file(0, "p/a.yaml", GOOD)], &[]);
    let both = store.update(vec![file(0, "p/a.yaml", GOOD), file(1, "a/a.yaml", &other)], &[]);
    assert_eq!(alone.revision(), both.revision());
    assert!(store.report().errors[0].contains("a/a.yaml") && store.report().errors[0].contains("p/a.yaml"));
}
