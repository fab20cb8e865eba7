//! What survives a swap of the snapshot: load, health and ejection of clusters and endpoints.
//!
//! Owned by [`States`], keyed by identity (cluster name; cluster name and address); the snapshot holds pointers. All
//! counts are relaxed atomics: nothing on the request path takes a lock.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64},
    },
};

use crate::snapshot::Address;

/// One cluster's counts.
#[derive(Debug, Default)]
pub struct ClusterState {
    /// Default priority, then high.
    pub load: [Load; 2],
    /// Endpoints that are ejected now.
    pub ejected: AtomicU32,
    /// Rises with every ejection and return: what was computed from the endpoints' health is then out of date.
    pub health_epoch: AtomicU64,
    /// Round-robin position and the like.
    pub cursor: AtomicU64,
    /// Totals for `/stats`.
    pub totals: ClusterTotals,
}

/// What circuit breakers compare.
#[derive(Debug, Default)]
pub struct Load {
    /// Open connections.
    pub connections: AtomicU32,
    /// Requests waiting for one.
    pub pending: AtomicU32,
    /// Requests in flight.
    pub requests: AtomicU32,
    /// Retries in flight.
    pub retries: AtomicU32,
}

/// Totals of a cluster, under Envoy's stat names.
#[derive(Debug, Default)]
pub struct ClusterTotals {
    /// `upstream_rq_total`.
    pub requests: AtomicU64,
    /// `upstream_rq_retry`.
    pub retries: AtomicU64,
    /// `upstream_rq_retry_success`.
    pub retry_success: AtomicU64,
    /// `upstream_rq_retry_overflow`.
    pub retry_overflow: AtomicU64,
    /// `upstream_rq_timeout`.
    pub timeouts: AtomicU64,
    /// `upstream_rq_per_try_timeout`.
    pub per_try_timeouts: AtomicU64,
    /// `upstream_rq_pending_overflow`.
    pub pending_overflow: AtomicU64,
    /// `upstream_cx_total`.
    pub connections: AtomicU64,
    /// `upstream_cx_connect_fail`.
    pub connect_fail: AtomicU64,
    /// `upstream_cx_connect_timeout`.
    pub connect_timeout: AtomicU64,
    /// `upstream_cx_overflow`.
    pub connection_overflow: AtomicU64,
    /// `upstream_rq_2xx` … by hundreds: index 1..=5.
    pub classes: [AtomicU64; 6],
    /// `ssl.handshake`.
    pub tls_handshakes: AtomicU64,
    /// `ssl.fail_verify_san` and the like.
    pub tls_failures: AtomicU64,
    /// `outlier_detection.ejections_enforced_total`.
    pub ejections: AtomicU64,
    /// `upstream_cx_rx_bytes_total`.
    pub bytes_received: AtomicU64,
    /// `upstream_cx_tx_bytes_total`.
    pub bytes_sent: AtomicU64,
}

/// One endpoint's load and health.
#[derive(Debug, Default)]
pub struct EndpointState {
    /// Requests in flight (least request).
    pub active: AtomicU32,
    /// Open connections.
    pub connections: AtomicU32,
    /// Milliseconds of the proxy's own monotonic clock until which it is ejected; 0: not ejected.
    pub ejected_until_ms: AtomicU64,
    /// Times it was ejected.
    pub ejections: AtomicU32,
    /// What the next ejection multiplies the base time with, less one: rises with ejections, falls with quiet intervals.
    pub ejection_backoff: AtomicU32,
    /// Consecutive 5xx.
    pub consecutive_5xx: AtomicU32,
    /// Consecutive 502, 503, 504.
    pub consecutive_gateway: AtomicU32,
    /// Consecutive failures before an answer.
    pub consecutive_local: AtomicU32,
    /// Answers since the last sweep.
    pub window_total: AtomicU32,
    /// Of which good.
    pub window_success: AtomicU32,
    /// Totals for `/clusters`.
    pub requests: AtomicU64,
    /// `rq_error`.
    pub errors: AtomicU64,
    /// `cx_connect_fail`.
    pub connect_fail: AtomicU64,
}

/// The owner of all states. Used only where snapshots are built.
#[derive(Debug, Default)]
pub struct States {
    clusters: HashMap<Arc<str>, Weak<ClusterState>>,
    endpoints: HashMap<(Arc<str>, Address), Weak<EndpointState>>,
}

impl States {
    /// The state of the cluster of that name, made if new.
    pub fn cluster(&mut self, name: &Arc<str>) -> Arc<ClusterState> {
        if let Some(state) = self.clusters.get(name).and_then(Weak::upgrade) {
            return state;
        }
        let state = Arc::default();
        self.clusters.insert(name.clone(), Arc::downgrade(&state));
        state
    }

    /// The state of that endpoint of that cluster, made if new.
    pub fn endpoint(&mut self, cluster: &Arc<str>, address: &Address) -> Arc<EndpointState> {
        let key = (cluster.clone(), address.clone());
        if let Some(state) = self.endpoints.get(&key).and_then(Weak::upgrade) {
            return state;
        }
        let state = Arc::default();
        self.endpoints.insert(key, Arc::downgrade(&state));
        state
    }

    /// Forgets what no snapshot holds any more.
    pub fn sweep(&mut self) {
        self.clusters.retain(|_, state| state.strong_count() > 0);
        self.endpoints.retain(|_, state| state.strong_count() > 0);
    }
}
