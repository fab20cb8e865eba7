//! What is ejected, for how long, and how many at most.

#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    plan::fixture::{cluster, endpoint_set, locality, splitmix},
    snapshot::{Balancer, Health},
};

fn settings() -> Outlier {
    Outlier {
        consecutive_5xx: (5, 100),
        consecutive_gateway: (5, 0),
        consecutive_local: (5, 100),
        split_local: false,
        interval: Duration::from_secs(10),
        base_ejection: Duration::from_secs(30),
        max_ejection: Duration::from_secs(300),
        max_ejection_percent: 100,
        always_eject_one: false,
        success_rate: None,
    }
}

fn with(outlier: Outlier, count: usize) -> Cluster {
    let mut cluster = cluster(Balancer::RoundRobin, endpoint_set(vec![vec![locality(None, 1, &vec![1; count], Health::Healthy)]]));
    cluster.outlier = Some(outlier);
    cluster
}

fn endpoint(cluster: &Cluster, index: usize) -> Arc<Endpoint> {
    cluster.endpoints.priorities[0][0].endpoints[index].clone()
}

fn fail(cluster: &Cluster, index: usize, times: usize, now: u64) -> Option<Reason> {
    (0..times).filter_map(|_| observe(Outcome::Status(500), cluster, &endpoint(cluster, index), now, 0)).last()
}

fn until(cluster: &Cluster, index: usize) -> u64 {
    endpoint(cluster, index).state.ejected_until_ms.load(Ordering::Relaxed)
}

#[test]
fn five_in_a_row_eject() {
    let cluster = with(settings(), 2);
    assert_eq!(fail(&cluster, 0, 4, 1000), None);
    observe(Outcome::Status(404), &cluster, &endpoint(&cluster, 0), 1000, 0);
    assert_eq!(fail(&cluster, 0, 4, 1000), None);
    assert_eq!(fail(&cluster, 0, 1, 1000), Some(Reason::Consecutive5xx));
    assert_eq!(until(&cluster, 0), 31_000);
    assert_eq!(cluster.state.ejected.load(Ordering::Relaxed), 1);
    assert!(cluster.state.health_epoch.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_sweep_brings_back_and_the_next_time_is_longer() {
    let cluster = with(settings(), 2);
    fail(&cluster, 0, 5, 0);
    assert_eq!(sweep(&cluster, 29_999, || 0).returned, 0);
    assert_eq!(sweep(&cluster, 30_000, || 0).returned, 1);
    assert_eq!((until(&cluster, 0), cluster.state.ejected.load(Ordering::Relaxed)), (0, 0));
    fail(&cluster, 0, 5, 40_000);
    assert_eq!(until(&cluster, 0), 40_000 + 60_000);
    sweep(&cluster, 100_000, || 0);
    for now in 11..20 {
        sweep(&cluster, now * 10_000, || 0);
    }
    fail(&cluster, 0, 5, 200_000);
    assert_eq!(until(&cluster, 0), 230_000, "quiet intervals lower the multiplier again");
}

#[test]
fn the_share_is_bounded() {
    let cluster = with(Outlier { max_ejection_percent: 50, ..settings() }, 4);
    for index in 0..4 {
        fail(&cluster, index, 5, 0);
    }
    assert_eq!(ejected(&cluster), 2);
    let small = Outlier { max_ejection_percent: 10, ..settings() };
    assert_eq!(fail(&with(small.clone(), 2), 0, 5, 0), None);
    let one = Outlier { always_eject_one: true, ..small };
    assert_eq!(fail(&with(one, 2), 0, 5, 0), Some(Reason::Consecutive5xx));
}

#[test]
fn gateway_failures_and_local_origin() {
    let gateway = with(Outlier { consecutive_gateway: (2, 100), ..settings() }, 2);
    let outcome = |cluster: &Cluster, outcome| observe(outcome, cluster, &endpoint(cluster, 0), 0, 0);
    assert_eq!(outcome(&gateway, Outcome::Reset), None);
    assert_eq!(outcome(&gateway, Outcome::Timeout), Some(Reason::ConsecutiveGateway));
    let split = with(Outlier { split_local: true, consecutive_local: (2, 100), ..settings() }, 2);
    assert_eq!(outcome(&split, Outcome::ConnectFailed), None);
    assert_eq!(outcome(&split, Outcome::Connected), None);
    assert_eq!(outcome(&split, Outcome::ConnectFailed), None);
    assert_eq!(outcome(&split, Outcome::ConnectFailed), Some(Reason::ConsecutiveLocal));
    let gateway_not_enforced = with(settings(), 2);
    let reasons: Vec<_> = (0..5).filter_map(|_| outcome(&gateway_not_enforced, Outcome::Status(503))).collect();
    assert_eq!(reasons, [Reason::Consecutive5xx]);
}

#[test]
fn a_reason_that_is_not_enforced_hides_none() {
    let cluster = with(Outlier { consecutive_gateway: (1, 10), consecutive_5xx: (1, 100), ..settings() }, 2);
    let reason = observe(Outcome::Status(status_of_grpc(14)), &cluster, &endpoint(&cluster, 0), 0, 50);
    assert_eq!(reason, Some(Reason::Consecutive5xx));
}

#[test]
fn enforcing_is_a_chance() {
    let cluster = with(Outlier { consecutive_5xx: (1, 30), ..settings() }, 3);
    assert_eq!(observe(Outcome::Status(500), &cluster, &endpoint(&cluster, 0), 0, 30), None);
    assert!(observe(Outcome::Status(500), &cluster, &endpoint(&cluster, 0), 0, 29).is_some());
}

#[test]
fn success_rate() {
    let rate = SuccessRate { minimum_hosts: 5, request_volume: 10, stdev_factor: 1.9, enforcing: 100 };
    let cluster = with(Outlier { consecutive_5xx: (0, 0), success_rate: Some(rate), ..settings() }, 5);
    for index in 0..5 {
        for request in 0..10 {
            let status = if index == 0 && request % 2 == 0 { 500 } else { 200 };
            observe(Outcome::Status(status), &cluster, &endpoint(&cluster, index), 0, 0);
        }
    }
    // 50, 100, 100, 100, 100: mean 90, deviation 20, threshold 52.
    assert_eq!(sweep(&cluster, 10_000, || 0), Sweep { returned: 0, ejected: 1 });
    assert!(until(&cluster, 0) > 0);
    assert_eq!(endpoint(&cluster, 1).state.window_total.load(Ordering::Relaxed), 0);
}

#[test]
fn nothing_without_outlier_detection() {
    let mut cluster = with(settings(), 1);
    cluster.outlier = None;
    assert_eq!(fail(&cluster, 0, 50, 0), None);
}

proptest! {
    #[test]
    fn never_more_out_than_allowed(
        count in 1usize..10,
        percent in 0u32..=100,
        events in prop::collection::vec((0usize..10, any::<bool>(), any::<bool>()), 0..300),
        seed in any::<u64>(),
    ) {
        let cluster = with(Outlier { max_ejection_percent: percent, consecutive_5xx: (2, 100), ..settings() }, count);
        let mut draw = splitmix(seed);
        for (now, (index, good, sweeps)) in (0u64..).step_by(5_000).zip(events) {
            let status = if good { 200 } else { 500 };
            observe(Outcome::Status(status), &cluster, &endpoint(&cluster, index % count), now, draw());
            if sweeps {
                sweep(&cluster, now, &mut draw);
            }
            prop_assert!(ejected(&cluster) * 100 <= percent as usize * count);
            prop_assert_eq!(ejected(&cluster), cluster.state.ejected.load(Ordering::Relaxed) as usize);
        }
    }
}
