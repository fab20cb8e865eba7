//! Snapshots are compared and versioned by content.

#![allow(clippy::unwrap_used)]
//! Revisions are of content; a diff says exactly what changed.

use proptest::prelude::*;

use super::*;
use crate::resource::{DestinationRule, Meta, ServiceEntry};

fn rule(name: &str, host: &str) -> Resource {
    Object { meta: Meta::new("default", name), spec: DestinationRule { host: host.into(), ..Default::default() } }.into()
}

#[test]
fn a_revision_is_of_content_and_not_of_writes() {
    let one: Builder = [rule("a", "x"), rule("b", "y")].into_iter().collect();
    let other: Builder = [rule("b", "y"), rule("a", "x")].into_iter().collect();
    assert_eq!(one.build().revision(), other.build().revision());

    let meta = Meta { resource_version: Some("7".into()), generation: Some(3), ..Meta::new("default", "a") };
    let mut touched = one.clone();
    touched.insert(Object { meta, spec: DestinationRule { host: "x".into(), ..Default::default() } });
    assert_eq!(one.build().revision(), touched.build().revision());

    let mut edited = one.clone();
    edited.insert(rule("a", "z"));
    assert_ne!(one.build().revision(), edited.build().revision());
}

#[test]
fn a_revision_is_stable_over_releases() {
    let snapshot = [rule("a", "x")].into_iter().collect::<Builder>().build();
    expect_test::expect!["268bcfc3075571422d65d16dd9a65c05"].assert_eq(snapshot.revision().as_str());
}

#[test]
fn a_diff_names_what_was_added_changed_and_removed() {
    let old: Builder = [rule("a", "x"), rule("b", "y")].into_iter().collect();
    let mut new = old.clone();
    new.insert(rule("a", "z")).insert(rule("c", "w"));
    assert!(new.remove(Kind::DestinationRule, &Key::new("default", "b")));
    assert!(!new.remove(Kind::Gateway, &Key::new("default", "b")));
    let diff = new.build().diff(&old.build());
    let name = |name: &str| vec![(Kind::DestinationRule, Key::new("default", name))];
    assert_eq!(diff, Diff { added: name("c"), changed: name("a"), removed: name("b") });
    assert!(old.build().diff(&old.build()).is_empty());
}

#[test]
fn precedence_is_age_and_then_name() {
    let aged = |name: &str, at: Option<&str>| Object {
        meta: Meta { creation_timestamp: at.map(Into::into), ..Meta::new("default", name) },
        spec: ServiceEntry::default(),
    };
    let builder: Builder =
        [aged("a", Some("2026-02-01T00:00:00Z")), aged("b", None), aged("c", Some("2026-01-01T00:00:00Z")), aged("aa", None)]
            .into_iter()
            .collect();
    let snapshot = builder.build();
    let names: Vec<_> = snapshot.by_precedence::<ServiceEntry>().iter().map(|o| o.meta.name.as_str()).collect();
    assert_eq!(names, ["c", "a", "aa", "b"]);
}

proptest! {
    /// Applying a diff's keys to the old snapshot gives the new one.
    #[test]
    fn a_diff_leads_from_the_old_to_the_new(old in resources(), new in resources()) {
        let old = old.into_iter().collect::<Builder>().build();
        let new = new.into_iter().collect::<Builder>().build();
        let diff = new.diff(&old);
        let mut builder = old.to_builder();
        for (kind, key) in diff.removed {
            builder.remove(kind, &key);
        }
        for (kind, key) in diff.added.into_iter().chain(diff.changed) {
            builder.insert(new.entry(kind, &key).unwrap().resource().clone());
        }
        prop_assert!(*builder.build() == *new);
    }
}

fn resources() -> impl Strategy<Value = Vec<Resource>> {
    proptest::collection::vec(("[a-d]", "[x-z]"), 0..6).prop_map(|pairs| pairs.iter().map(|(name, host)| rule(name, host)).collect())
}
