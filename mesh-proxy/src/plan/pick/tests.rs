//! Which endpoint is picked: spread, priorities, health, hashing.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::{
    plan::fixture::{cluster, endpoint_set, locality, splitmix},
    snapshot::Health,
};

fn request<'a>() -> PickRequest<'a> {
    PickRequest::default()
}

fn port(pick: &Pick) -> u16 {
    match pick {
        Pick::Endpoint(picked) => match &picked.endpoint.address {
            crate::snapshot::Address::Socket(address) => address.port(),
            crate::snapshot::Address::Pipe(_) => unreachable!(),
        },
        other => panic!("no endpoint: {other:?}"),
    }
}

fn spread(cluster: &Cluster, picks: u32) -> HashMap<u16, u32> {
    let (mut state, mut draw) = (BalancerState::new(7), splitmix(1));
    let mut counts = HashMap::new();
    for _ in 0..picks {
        *counts.entry(port(&pick(cluster, &mut state, &request(), &mut draw))).or_default() += 1;
    }
    counts
}

fn of(balancer: Balancer, weights: &[u32]) -> Cluster {
    cluster(balancer, endpoint_set(vec![vec![locality(None, 1, weights, Health::Healthy)]]))
}

#[test]
fn round_robin_is_even_and_by_weight() {
    let even = spread(&of(Balancer::RoundRobin, &[1, 1, 1]), 30);
    assert!(even.values().all(|count| *count == 10), "{even:?}");
    let weighted = spread(&of(Balancer::RoundRobin, &[1, 3]), 40);
    assert!(weighted[&2].abs_diff(30) <= 1, "{weighted:?}");
}

#[test]
fn least_request_prefers_the_idle() {
    let cluster = of(Balancer::LeastRequest { choices: 2 }, &[1, 1]);
    let busy = &cluster.endpoints.priorities[0][0].endpoints[0];
    busy.state.active.store(50, Ordering::Relaxed);
    let counts = spread(&cluster, 400);
    // The busy one is only taken when both draws fall on it.
    assert!((60..140).contains(&counts[&1]), "{counts:?}");
    let weighted = of(Balancer::LeastRequest { choices: 2 }, &[10, 1]);
    let busy = &weighted.endpoints.priorities[0][0].endpoints[0];
    busy.state.active.store(9, Ordering::Relaxed);
    let counts = spread(&weighted, 200);
    assert!(counts[&1].abs_diff(100) <= 12, "weight 10 / 10 in flight against weight 1: {counts:?}");
}

#[test]
fn ejected_and_unhealthy_are_not_used() {
    let mut cluster = of(Balancer::RoundRobin, &[1, 1, 1]);
    cluster.panic_threshold = 0;
    let endpoints = cluster.endpoints.priorities[0][0].endpoints.clone();
    let (mut state, mut draw) = (BalancerState::new(0), splitmix(3));
    pick(&cluster, &mut state, &request(), &mut draw);
    endpoints[1].state.ejected_until_ms.store(9, Ordering::Release);
    balance::health_changed(&cluster.state.health_epoch);
    for _ in 0..20 {
        assert_ne!(port(&pick(&cluster, &mut state, &request(), &mut draw)), 2);
    }
    for endpoint in &endpoints {
        endpoint.state.ejected_until_ms.store(9, Ordering::Release);
    }
    balance::health_changed(&cluster.state.health_epoch);
    let none = pick(&cluster, &mut state, &request(), &mut draw);
    assert!(matches!(none, Pick::Nothing(Nothing::NoHealthyEndpoint)), "{none:?}");
}

#[test]
fn tables_are_made_once_per_health_epoch() {
    let cluster = of(Balancer::RingHash { minimum: 64, maximum: 1024 }, &[1, 1]);
    balance::compile(&cluster);
    let first = balance::current(&cluster);
    assert!(Arc::ptr_eq(&first, &balance::current(&cluster)) && balance::is_current(&cluster, &first));
    balance::health_changed(&cluster.state.health_epoch);
    assert!(!balance::is_current(&cluster, &first));
    assert!(balance::current(&cluster).epoch > first.epoch);
}

#[test]
fn says_what_was_picked() {
    let cluster = of(Balancer::RoundRobin, &[1]);
    let picked = pick(&cluster, &mut BalancerState::new(0), &request(), &mut splitmix(1));
    assert_eq!(picked.to_string(), "endpoint 127.0.0.1:1 of priority 0, healthy");
}

#[test]
fn sweeping_forgets_clusters_that_are_gone() {
    let cluster = Arc::new(of(Balancer::RoundRobin, &[1]));
    let mut state = BalancerState::new(0);
    pick(&cluster, &mut state, &request(), &mut splitmix(1));
    let mut snapshot = Snapshot { clusters: vec![Some(cluster.clone())], ..Snapshot::default() };
    state.sweep(&snapshot);
    assert!(state.clusters[0].is_some());
    snapshot.clusters[0] = None;
    state.sweep(&snapshot);
    assert!(state.clusters[0].is_none());
}

#[test]
fn overload_is_dropped_by_category() {
    let mut set = endpoint_set(vec![]);
    set.drop = vec![("lb".into(), crate::snapshot::Percent { numerator: 25, denominator: 100 })];
    assert_eq!(dropped(&set, &mut || 24).as_deref(), Some("lb"));
    assert_eq!(dropped(&set, &mut || 25), None);
}

#[test]
fn panic_uses_everyone() {
    let mut sick = cluster(
        Balancer::RoundRobin,
        endpoint_set(vec![vec![locality(None, 1, &[1], Health::Healthy), locality(None, 2, &[1, 1, 1], Health::Unhealthy)]]),
    );
    sick.panic_threshold = 50;
    assert_eq!(spread(&sick, 40).len(), 4);
    let (mut state, mut draw) = (BalancerState::new(0), splitmix(3));
    let Pick::Endpoint(picked) = pick(&sick, &mut state, &request(), &mut draw) else { panic!() };
    assert_eq!(picked.availability, None);
}

#[test]
fn the_next_priority_takes_over() {
    let cluster = cluster(
        Balancer::RoundRobin,
        endpoint_set(vec![vec![locality(None, 1, &[1, 1], Health::Unhealthy)], vec![locality(None, 11, &[1], Health::Healthy)]]),
    );
    assert_eq!(spread(&cluster, 20), HashMap::from([(11, 20)]));
}

#[test]
fn localities_by_weight() {
    let cluster = cluster(
        Balancer::RoundRobin,
        endpoint_set(vec![vec![
            locality(Some(80), 1, &[1, 1], Health::Healthy),
            locality(Some(20), 11, &[1], Health::Healthy),
            locality(Some(0), 21, &[1], Health::Healthy),
        ]]),
    );
    let counts = spread(&cluster, 100);
    assert_eq!((counts[&1] + counts[&2], counts[&11], counts.get(&21)), (80, 20, None));
}

#[test]
fn retries_avoid_earlier_endpoints() {
    for balancer in [Balancer::RoundRobin, Balancer::Random, Balancer::RingHash { minimum: 64, maximum: 1024 }] {
        let cluster = of(balancer, &[1, 1]);
        let used = vec![cluster.endpoints.priorities[0][0].endpoints[0].clone()];
        let (mut state, mut draw) = (BalancerState::new(0), splitmix(5));
        for hash in 0..50u64 {
            let request = PickRequest { hash: Some(hash << 56), excluded: &used, host_attempts: 60, ..request() };
            assert_eq!(port(&pick(&cluster, &mut state, &request, &mut draw)), 2);
        }
        // With nowhere else to go, the same endpoint is better than none.
        let all = cluster.endpoints.priorities[0][0].endpoints.clone();
        let request = PickRequest { excluded: &all, host_attempts: 3, ..request() };
        assert!(matches!(pick(&cluster, &mut state, &request, &mut draw), Pick::Endpoint(_)));
    }
}

#[test]
fn subsets_narrow_the_choice() {
    let metadata = |version: &str| vec![(Arc::from("version"), Arc::from(version))];
    let mut set = endpoint_set(vec![vec![locality(None, 1, &[1, 1, 1], Health::Healthy)]]);
    let list = &mut set.priorities[0][0].endpoints;
    for (endpoint, version) in list.iter_mut().zip(["v1", "v2", "v2"]) {
        Arc::get_mut(endpoint).unwrap().subset_metadata = metadata(version);
    }
    let mut cluster = cluster(Balancer::RoundRobin, set);
    let (mut state, mut draw) = (BalancerState::new(0), splitmix(5));
    let (v1, v9) = (metadata("v1"), metadata("v9"));
    let mut ports = |cluster: &Cluster, metadata_match| {
        let request = PickRequest { metadata_match, ..request() };
        (0..9).map(|_| pick(cluster, &mut state, &request, &mut draw)).collect::<Vec<_>>()
    };
    let ignored = ports(&cluster, &v1);
    assert!(ignored.iter().any(|pick| port(pick) != 1), "without lb_subset_config criteria are ignored");
    cluster.subsets = Some(Subsets { selectors: vec![vec!["version".into()]], fallback: SubsetFallback::None });
    assert!(ports(&cluster, &v1).iter().all(|pick| port(pick) == 1));
    assert!(ports(&cluster, &v9).iter().all(|pick| matches!(pick, Pick::Nothing(Nothing::NoSubset))));
    cluster.subsets.as_mut().unwrap().fallback = SubsetFallback::Default(metadata("v2"));
    assert!(ports(&cluster, &v9).iter().all(|pick| port(pick) != 1));
}

#[test]
fn nothing_in_an_empty_cluster() {
    let empty = of(Balancer::LeastRequest { choices: 2 }, &[]);
    let pick = pick(&empty, &mut BalancerState::new(0), &request(), &mut splitmix(1));
    assert!(matches!(pick, Pick::Nothing(Nothing::NoEndpoints)), "{pick:?}");
}

proptest! {
    #[test]
    fn round_robin_spreads_within_one(count in 1usize..12, picks in 1u32..200) {
        let counts = spread(&of(Balancer::RoundRobin, &vec![1; count]), picks);
        let least = if counts.len() < count { 0 } else { *counts.values().min().unwrap() };
        prop_assert!(counts.values().max().unwrap() - least <= 1);
    }

    #[test]
    fn random_and_p2c_leave_nobody_out(count in 2usize..8, p2c in any::<bool>()) {
        let balancer = if p2c { Balancer::LeastRequest { choices: 2 } } else { Balancer::Random };
        let counts = spread(&of(balancer, &vec![1; count]), 4000);
        let fair = 4000 / count as u32;
        prop_assert!(counts.values().all(|n| n.abs_diff(fair) < fair / 2), "{counts:?}");
        prop_assert_eq!(counts.len(), count);
    }

    #[test]
    fn only_healthy_ones_without_panic(
        health in prop::collection::vec(0u8..3, 1..10),
        balancer in prop::sample::select(vec![
            Balancer::RoundRobin, Balancer::Random, Balancer::LeastRequest { choices: 2 },
            Balancer::RingHash { minimum: 32, maximum: 64 }, Balancer::Maglev { table_size: 101 },
        ]),
        seed in any::<u64>(),
    ) {
        let localities = health.iter().zip(1..).map(|(health, port)| {
            let health = [Health::Healthy, Health::Unhealthy, Health::Draining][usize::from(*health)];
            locality(None, port, &[u32::from(port)], health)
        }).collect();
        let mut cluster = cluster(balancer, endpoint_set(vec![localities]));
        cluster.panic_threshold = 0;
        match pick(&cluster, &mut BalancerState::new(seed), &request(), &mut splitmix(seed)) {
            Pick::Endpoint(picked) => prop_assert_eq!(picked.endpoint.health, Health::Healthy),
            _ => prop_assert!(health.iter().all(|h| *h != 0)),
        }
    }
}
