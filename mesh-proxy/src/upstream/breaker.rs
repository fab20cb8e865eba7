//! Circuit breakers: counts taken as guards, so that whatever ends gives its place back.
//!
//! Envoy's breakers ("Circuit breaking"): each priority of a cluster bounds connections, waiting requests, requests and
//! retries. Counts are shared by all workers; a bound may be passed by as many as race for the last place, as in Envoy.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::state::{ClusterState, EndpointState, Load};
use crate::snapshot::{Breakers, Cluster};

/// What a [`Guard`] holds a place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// An open connection (`max_connections`).
    Connection,
    /// A request that waits for a connection (`max_pending_requests`).
    Pending,
    /// A request in flight (`max_requests`).
    Request,
    /// A retry in flight or waiting for its back-off (`max_retries`, or the budget).
    Retry,
}

/// A place below a bound; dropping it gives it back.
#[derive(Debug)]
pub struct Guard {
    state: Arc<ClusterState>,
    high_priority: bool,
    resource: Resource,
}

/// The bound is reached: the breaker is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("circuit breaker open: {resource:?} limit {limit} reached")]
pub struct Open {
    /// Which bound.
    pub resource: Resource,
    /// The bound.
    pub limit: u32,
}

/// Counts a request at an endpoint, for least-request balancing; dropping it counts it out.
#[derive(Debug)]
pub struct Active(Arc<EndpointState>);

/// Takes a place, if the breaker of `cluster` for that priority is closed.
///
/// # Errors
/// The bound is reached.
pub fn take(cluster: &Cluster, high_priority: bool, resource: Resource) -> Result<Guard, Open> {
    let breakers = if high_priority { &cluster.breakers_high } else { &cluster.breakers };
    let load = &cluster.state.load[usize::from(high_priority)];
    let limit = limit(breakers, load, resource);
    let before = count(load, resource).fetch_add(1, Ordering::AcqRel);
    let guard = Guard { state: cluster.state.clone(), high_priority, resource };
    if before >= limit {
        drop(guard);
        return Err(Open { resource, limit });
    }
    Ok(guard)
}

/// Takes a place whatever the bound: the first connection of a worker to an endpoint is always allowed, as in Envoy.
pub fn force(cluster: &Cluster, high_priority: bool, resource: Resource) -> Guard {
    count(&cluster.state.load[usize::from(high_priority)], resource).fetch_add(1, Ordering::AcqRel);
    Guard { state: cluster.state.clone(), high_priority, resource }
}

/// Counts a request in at `endpoint`.
pub fn active(endpoint: &Arc<EndpointState>) -> Active {
    endpoint.active.fetch_add(1, Ordering::AcqRel);
    endpoint.requests.fetch_add(1, Ordering::Relaxed);
    Active(endpoint.clone())
}

/// How many may hold a place of `resource` now. A retry budget is a share of the requests in flight or waiting, and at least its minimum.
pub fn limit(breakers: &Breakers, load: &Load, resource: Resource) -> u32 {
    match resource {
        Resource::Connection => breakers.max_connections,
        Resource::Pending => breakers.max_pending,
        Resource::Request => breakers.max_requests,
        Resource::Retry => match breakers.retry_budget {
            None => breakers.max_retries,
            Some((percent, minimum)) => {
                let active = load.requests.load(Ordering::Acquire).saturating_add(load.pending.load(Ordering::Acquire));
                minimum.max(share(active, percent))
            }
        },
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to u32")]
fn share(active: u32, percent: f64) -> u32 {
    (f64::from(active) * percent / 100.0).clamp(0.0, f64::from(u32::MAX)) as u32
}

fn count(load: &Load, resource: Resource) -> &AtomicU32 {
    match resource {
        Resource::Connection => &load.connections,
        Resource::Pending => &load.pending,
        Resource::Request => &load.requests,
        Resource::Retry => &load.retries,
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        count(&self.state.load[usize::from(self.high_priority)], self.resource).fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        plan::fixture::{cluster, endpoint_set, unlimited},
        snapshot::Balancer,
    };

    #[test]
    fn opens_at_the_bound_and_closes_when_a_place_is_given_back() {
        let mut cluster = cluster(Balancer::Random, endpoint_set(vec![]));
        cluster.breakers.max_requests = 2;
        let first = take(&cluster, false, Resource::Request).unwrap();
        let _second = take(&cluster, false, Resource::Request).unwrap();
        let open = take(&cluster, false, Resource::Request).unwrap_err();
        assert_eq!(open, Open { resource: Resource::Request, limit: 2 });
        assert!(take(&cluster, true, Resource::Request).is_ok(), "priorities have breakers of their own");
        drop(first);
        assert!(take(&cluster, false, Resource::Request).is_ok());
    }

    #[test]
    fn a_retry_budget_follows_the_load() {
        let breakers = Breakers { max_retries: 0, retry_budget: Some((20.0, 3)), ..unlimited() };
        let load = Load::default();
        assert_eq!(limit(&breakers, &load, Resource::Retry), 3);
        load.requests.store(90, Ordering::Relaxed);
        load.pending.store(10, Ordering::Relaxed);
        assert_eq!(limit(&breakers, &load, Resource::Retry), 20);
    }

    #[test]
    fn active_requests_are_counted_out() {
        let state = Arc::new(EndpointState::default());
        let request = active(&state);
        assert_eq!(state.active.load(Ordering::Relaxed), 1);
        drop(request);
        assert_eq!(state.active.load(Ordering::Relaxed), 0);
    }
}
