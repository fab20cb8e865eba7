//! What goldens do not show: versions across revisions, isolation of callers.
#![allow(clippy::unwrap_used)]

use mesh_proto::type_url;
use proptest::prelude::*;

use super::*;
use crate::testing::{scope, split, world};

#[test]
fn only_what_changed_gets_a_new_version() {
    let scope = scope("shop", "a");
    let (before, after) = (generate(&world(&split(80)), &scope), generate(&world(&split(50)), &scope));
    assert_ne!(before.revision, after.revision);
    for url in [type_url::CLUSTER, type_url::ENDPOINT, type_url::LISTENER] {
        assert_eq!(before.resources(url), after.resources(url), "{url}");
    }
    assert_ne!(before.resource(type_url::ROUTE, "http_proxy"), after.resource(type_url::ROUTE, "http_proxy"));
}

#[test]
fn every_table_and_cluster_that_is_named_is_there() {
    let snapshot = generate(&world(&split(80)), &scope("shop", "a"));
    let clusters = snapshot.resources(type_url::CLUSTER).unwrap();
    let endpoints = snapshot.resources(type_url::ENDPOINT).unwrap();
    assert!(endpoints.keys().all(|name| clusters.contains_key(name)));
    assert!(snapshot.resource(type_url::ROUTE, "http_proxy").is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_order_of_the_input_changes_nothing(order in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle()) {
        let document = |n: usize| format!("{}---\n", split(10 + 5 * u32::try_from(n).unwrap()).replace("web", &format!("web{n}")));
        let sorted: String = (0..8).map(document).collect();
        let shuffled: String = order.iter().map(|n| document(*n)).collect();
        let scope = scope("shop", "a");
        let (one, other) = (generate(&world(&sorted), &scope), generate(&world(&shuffled), &scope));
        prop_assert_eq!(one.types, other.types);
        prop_assert_eq!(one.revision, other.revision);
    }
}
