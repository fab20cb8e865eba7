//! What is counted: plain atomics that one worker writes and the scrape reads.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::family::Series;
use crate::info::{Flags, RequestInfo};

/// Envoy's default histogram buckets (`envoy.config.metrics.v3.HistogramBucketSettings`).
pub(super) const BUCKETS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// Rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn absorb(&self, other: &Self) {
        self.add(other.value());
    }
}

/// A distribution of whole numbers.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// Per bucket, not cumulative; the last takes what is above all bounds.
    buckets: [Counter; BUCKETS.len() + 1],
    sum: Counter,
}

impl Histogram {
    pub(crate) fn record(&self, value: u64) {
        #[expect(clippy::cast_precision_loss, reason = "bounds are far apart")]
        let bucket = BUCKETS.partition_point(|bound| *bound < value as f64);
        self.buckets[bucket].add(1);
        self.sum.add(value);
    }

    pub(crate) fn sum(&self) -> u64 {
        self.sum.value()
    }

    /// Counts of values up to each bound, then all.
    pub(crate) fn cumulative(&self) -> [u64; BUCKETS.len() + 1] {
        let mut total = 0;
        std::array::from_fn(|at| {
            total += self.buckets[at].value();
            total
        })
    }

    fn absorb(&self, other: &Self) {
        for (bucket, other) in self.buckets.iter().zip(&other.buckets) {
            bucket.absorb(other);
        }
        self.sum.absorb(&other.sum);
    }
}

macro_rules! series {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name {
            $(pub(super) $field: $kind,)*
        }

        impl Series for $name {
            fn absorb(&self, other: &Self) {
                $(self.$field.absorb(&other.$field);)*
            }
        }
    };
}

series!(
    /// Istio's metrics of one label set, HTTP and TCP.
    IstioSeries {
        requests: Counter,
        duration: Histogram,
        request_bytes: Histogram,
        response_bytes: Histogram,
        tcp_sent: Counter,
        tcp_received: Counter,
        tcp_opened: Counter,
        tcp_closed: Counter,
    }
);

series!(
    /// `http.<prefix>.*`.
    HttpSeries {
        connections: Counter,
        connections_closed: Counter,
        connections_tls: Counter,
        requests: Counter,
        http1: Counter,
        http2: Counter,
        informational: Counter,
        success: Counter,
        redirect: Counter,
        client_error: Counter,
        server_error: Counter,
        resets: Counter,
        idle_timeouts: Counter,
        time: Histogram,
        bytes_received: Counter,
        bytes_sent: Counter,
        rbac_allowed: Counter,
        rbac_denied: Counter,
        faults_aborted: Counter,
        faults_delayed: Counter,
        no_route: Counter,
        no_cluster: Counter,
    }
);

series!(
    /// `tcp.<prefix>.*`.
    TcpSeries {
        connections: Counter,
        no_route: Counter,
        bytes_received: Counter,
        bytes_sent: Counter,
        denied: Counter,
    }
);

series!(
    /// `listener.<address>.*`.
    ListenerSeries {
        opened: Counter,
        closed: Counter,
        handshakes: Counter,
        tls_errors: Counter,
        no_chain: Counter,
        overflow: Counter,
    }
);

impl IstioSeries {
    pub(super) fn request(&self, info: &RequestInfo) {
        self.requests.add(1);
        self.duration.record(millis(info));
        self.request_bytes.record(info.bytes_received);
        self.response_bytes.record(info.bytes_sent);
    }

    pub(super) fn relayed(&self, info: &RequestInfo) {
        self.tcp_opened.add(1);
        self.tcp_closed.add(1);
        self.tcp_received.add(info.bytes_received);
        self.tcp_sent.add(info.bytes_sent);
    }
}

impl HttpSeries {
    pub(super) fn opened(&self, tls: bool) {
        self.connections.add(1);
        self.connections_tls.add(u64::from(tls));
    }

    pub(super) fn closed(&self) {
        self.connections_closed.add(1);
    }

    pub(super) fn request(&self, info: &RequestInfo, has_rbac: bool) {
        self.requests.add(1);
        if info.version == http::Version::HTTP_2 {
            self.http2.add(1)
        } else {
            self.http1.add(1)
        }
        match info.status / 100 {
            1 => self.informational.add(1),
            2 => self.success.add(1),
            3 => self.redirect.add(1),
            4 => self.client_error.add(1),
            5 => self.server_error.add(1),
            _ => {}
        }
        self.time.record(millis(info));
        self.bytes_received.add(info.bytes_received);
        self.bytes_sent.add(info.bytes_sent);
        let flag = |flag: Flags| u64::from(info.flags.contains(flag));
        self.resets.add(flag(Flags::DOWNSTREAM_CONNECTION_TERMINATION));
        self.idle_timeouts.add(flag(Flags::STREAM_IDLE_TIMEOUT));
        self.faults_aborted.add(flag(Flags::FAULT_INJECTED));
        self.faults_delayed.add(flag(Flags::DELAY_INJECTED));
        self.no_route.add(flag(Flags::NO_ROUTE));
        self.no_cluster.add(flag(Flags::NO_CLUSTER));
        if denied(info) {
            self.rbac_denied.add(1);
        } else if has_rbac {
            self.rbac_allowed.add(1);
        }
    }
}

impl TcpSeries {
    pub(super) fn relayed(&self, info: &RequestInfo) {
        self.connections.add(1);
        self.no_route.add(u64::from(info.cluster.is_none()));
        self.bytes_received.add(info.bytes_received);
        self.bytes_sent.add(info.bytes_sent);
        self.denied.add(u64::from(denied(info)));
    }
}

impl ListenerSeries {
    pub(super) fn opened(&self, tls: bool) {
        self.opened.add(1);
        self.handshakes.add(u64::from(tls));
    }

    pub(super) fn closed(&self) {
        self.closed.add(1);
    }

    pub(super) fn refused(&self, no_chain: bool, reason: &str) {
        // They were accepted and are gone, as Envoy counts them.
        self.opened.add(1);
        self.closed.add(1);
        if no_chain {
            self.no_chain.add(1);
        } else if reason.contains("limit") {
            self.overflow.add(1);
        } else {
            self.tls_errors.add(1);
        }
    }
}

/// RBAC's answers carry its details (`rbac_access_denied_matched_policy[…]`).
fn denied(info: &RequestInfo) -> bool {
    let details: &str = &info.details;
    details.starts_with("rbac_access_denied")
}

fn millis(info: &RequestInfo) -> u64 {
    let elapsed = info.end.map_or(Duration::ZERO, |end| end.saturating_duration_since(info.start));
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
