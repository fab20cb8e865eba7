//! Stats under Envoy's names (Envoy docs: "Statistics" of clusters, HTTP connection managers, listeners, the server).

use std::sync::{Arc, atomic::Ordering};

use super::{
    HttpSeries, ListenerSeries, Metrics, Stat, StatValue,
    series::{Counter, TcpSeries},
};
use crate::{
    access_log::Written,
    snapshot::{Cluster, Health, Snapshot},
    upstream::state::Load,
};

/// What counters are not the source of.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The configuration in force.
    pub snapshot: &'a Snapshot,
    /// Workers.
    pub concurrency: usize,
    /// The server's state as Envoy numbers it: 0 live, 1 draining, 2 pre-initializing.
    pub state: u64,
    /// Days until the first certificate expires, if there is one.
    pub days_until_first_cert_expires: Option<u64>,
    /// Access log lines.
    pub log_lines: Written,
    /// The xDS session's own, already under their names: counters, gauges and texts.
    pub session: Vec<(String, StatValue)>,
}

pub(super) fn stats(metrics: &Metrics, facts: &Facts<'_>) -> Vec<Stat> {
    let mut out = Collector::default();
    server(metrics, facts, &mut out);
    for cluster in facts.snapshot.clusters.iter().flatten() {
        cluster_stats(cluster, &mut out);
    }
    for (prefix, series) in metrics.http.merged() {
        http(&prefix, &series, &mut out);
    }
    for (prefix, series) in metrics.tcp.merged() {
        tcp(&prefix, &series, &mut out);
    }
    for (prefix, series) in metrics.listeners.merged() {
        listener(&prefix, &series, &mut out);
    }
    out.0
}

#[derive(Default)]
struct Collector(Vec<Stat>);

/// A tagged part of names: `cluster`, its tag, and what stands there.
#[derive(Clone, Copy)]
struct Scope<'a> {
    root: &'static str,
    tag: &'static str,
    value: &'a str,
}

impl Collector {
    fn plain(&mut self, name: &str, value: StatValue) {
        self.0.push(Stat { name: name.to_owned(), extracted: name.to_owned(), tags: Vec::new(), value });
    }

    fn counter(&mut self, scope: Scope<'_>, name: &str, value: u64) {
        self.push(scope, name, name, Vec::new(), StatValue::Counter(value));
    }

    fn gauge(&mut self, scope: Scope<'_>, name: &str, value: u64) {
        self.push(scope, name, name, Vec::new(), StatValue::Gauge(value));
    }

    /// `upstream_rq_2xx` is `upstream_rq_xx` with the class in a tag.
    fn class(&mut self, scope: Scope<'_>, stem: &str, class: usize, value: u64) {
        let tag = vec![("envoy_response_code_class", class.to_string())];
        self.push(scope, &format!("{stem}_{class}xx"), &format!("{stem}_xx"), tag, StatValue::Counter(value));
    }

    fn push(&mut self, scope: Scope<'_>, name: &str, extracted: &str, tags: Vec<(&'static str, String)>, value: StatValue) {
        let Scope { root, tag, value: of } = scope;
        let tags = tags.into_iter().chain([(tag, of.to_owned())]).collect();
        self.0.push(Stat { name: format!("{root}.{of}.{name}"), extracted: format!("{root}.{extracted}"), tags, value });
    }
}

fn server(metrics: &Metrics, facts: &Facts<'_>, out: &mut Collector) {
    let gauge = StatValue::Gauge;
    let resident = resident_bytes();
    out.plain("server.live", gauge(u64::from(facts.state == 0)));
    out.plain("server.state", gauge(facts.state));
    out.plain("server.uptime", gauge(metrics.started.elapsed().as_secs()));
    out.plain("server.concurrency", gauge(facts.concurrency as u64));
    out.plain("server.memory_allocated", gauge(resident));
    out.plain("server.memory_physical_size", gauge(resident));
    out.plain("server.total_connections", gauge(metrics.listeners.merged().values().map(open).sum()));
    // Envoy prints the largest number when there is no certificate.
    let days = facts.days_until_first_cert_expires.unwrap_or(u64::from(u32::MAX));
    out.plain("server.days_until_first_cert_expiring", gauge(days));
    let clusters = facts.snapshot.clusters.iter().flatten();
    let warming = clusters.clone().filter(|cluster| cluster.warming).count() as u64;
    out.plain("cluster_manager.active_clusters", gauge(clusters.count() as u64 - warming));
    out.plain("cluster_manager.warming_clusters", gauge(warming));
    out.plain("listener_manager.total_listeners_active", gauge(facts.snapshot.listeners.iter().flatten().count() as u64));
    out.plain("access_logs.entries_written", StatValue::Counter(facts.log_lines.written));
    out.plain("access_logs.entries_dropped", StatValue::Counter(facts.log_lines.dropped));
    out.plain("access_logs.write_failed", StatValue::Counter(facts.log_lines.failed));
    for (name, value) in &facts.session {
        let value = match value {
            StatValue::Counter(value) => StatValue::Counter(*value),
            StatValue::Gauge(value) => StatValue::Gauge(*value),
            StatValue::Histogram(counts, sum) => StatValue::Histogram(counts.clone(), *sum),
            StatValue::Text(text) => StatValue::Text(text.clone()),
        };
        out.plain(name, value);
    }
}

fn cluster_stats(cluster: &Arc<Cluster>, out: &mut Collector) {
    let scope = Scope { root: "cluster", tag: "envoy_cluster_name", value: &cluster.stat_name };
    let totals = &cluster.state.totals;
    let counters = [
        ("upstream_rq_total", &totals.requests),
        ("upstream_rq_retry", &totals.retries),
        ("upstream_rq_retry_success", &totals.retry_success),
        ("upstream_rq_retry_overflow", &totals.retry_overflow),
        ("upstream_rq_timeout", &totals.timeouts),
        ("upstream_rq_per_try_timeout", &totals.per_try_timeouts),
        ("upstream_rq_pending_overflow", &totals.pending_overflow),
        ("upstream_cx_total", &totals.connections),
        ("upstream_cx_connect_fail", &totals.connect_fail),
        ("upstream_cx_connect_timeout", &totals.connect_timeout),
        ("upstream_cx_overflow", &totals.connection_overflow),
        ("upstream_cx_rx_bytes_total", &totals.bytes_received),
        ("upstream_cx_tx_bytes_total", &totals.bytes_sent),
        ("ssl.handshake", &totals.tls_handshakes),
        ("ssl.connection_error", &totals.tls_failures),
        ("outlier_detection.ejections_enforced_total", &totals.ejections),
    ];
    for (name, value) in counters {
        out.counter(scope, name, value.load(Ordering::Relaxed));
    }
    let mut completed = 0;
    for (class, count) in totals.classes.iter().enumerate().skip(1) {
        let count = count.load(Ordering::Relaxed);
        completed += count;
        out.class(scope, "upstream_rq", class, count);
    }
    out.counter(scope, "upstream_rq_completed", completed);
    let sum = |read: fn(&Load) -> &std::sync::atomic::AtomicU32| -> u64 {
        cluster.state.load.iter().map(|load| u64::from(read(load).load(Ordering::Relaxed))).sum()
    };
    out.gauge(scope, "upstream_cx_active", sum(|load| &load.connections));
    out.gauge(scope, "upstream_rq_active", sum(|load| &load.requests));
    out.gauge(scope, "upstream_rq_pending_active", sum(|load| &load.pending));
    out.gauge(scope, "outlier_detection.ejections_active", cluster.state.ejected.load(Ordering::Relaxed).into());
    let endpoints = || cluster.endpoints.priorities.iter().flatten().flat_map(|locality| &locality.endpoints);
    let now = crate::clock::now_ms();
    let healthy = endpoints()
        .filter(|endpoint| matches!(endpoint.health, Health::Healthy | Health::Degraded))
        .filter(|endpoint| endpoint.state.ejected_until_ms.load(Ordering::Relaxed) <= now)
        .count();
    out.gauge(scope, "membership_total", endpoints().count() as u64);
    out.gauge(scope, "membership_healthy", healthy as u64);
}

fn http(prefix: &str, series: &HttpSeries, out: &mut Collector) {
    let scope = Scope { root: "http", tag: "envoy_http_conn_manager_prefix", value: prefix };
    let counters: [(&str, &Counter); 18] = [
        ("downstream_cx_total", &series.connections),
        ("downstream_cx_destroy", &series.connections_closed),
        ("downstream_cx_ssl_total", &series.connections_tls),
        ("downstream_rq_total", &series.requests),
        ("downstream_rq_completed", &series.requests),
        ("downstream_rq_http1_total", &series.http1),
        ("downstream_rq_http2_total", &series.http2),
        ("downstream_rq_rx_reset", &series.resets),
        ("downstream_rq_idle_timeout", &series.idle_timeouts),
        ("downstream_cx_rx_bytes_total", &series.bytes_received),
        ("downstream_cx_tx_bytes_total", &series.bytes_sent),
        ("rbac.allowed", &series.rbac_allowed),
        ("rbac.denied", &series.rbac_denied),
        ("fault.aborts_injected", &series.faults_aborted),
        ("fault.delays_injected", &series.faults_delayed),
        ("no_route", &series.no_route),
        ("no_cluster", &series.no_cluster),
        ("rq_total", &series.requests),
    ];
    for (name, counter) in counters {
        out.counter(scope, name, counter.value());
    }
    out.gauge(scope, "downstream_cx_active", series.connections.value().saturating_sub(series.connections_closed.value()));
    let classes = [&series.informational, &series.success, &series.redirect, &series.client_error, &series.server_error];
    for (class, counter) in (1..).zip(classes) {
        out.class(scope, "downstream_rq", class, counter.value());
    }
    let tags = vec![(scope.tag, prefix.to_owned())];
    let name = format!("http.{prefix}.downstream_rq_time");
    out.0.push(Stat::histogram(name, "http.downstream_rq_time".to_owned(), tags, &series.time));
}

fn tcp(prefix: &str, series: &TcpSeries, out: &mut Collector) {
    let scope = Scope { root: "tcp", tag: "envoy_tcp_prefix", value: prefix };
    out.counter(scope, "downstream_cx_total", series.connections.value());
    out.counter(scope, "downstream_cx_no_route", series.no_route.value());
    out.counter(scope, "downstream_cx_rx_bytes_total", series.bytes_received.value());
    out.counter(scope, "downstream_cx_tx_bytes_total", series.bytes_sent.value());
    out.counter(scope, "rbac.denied", series.denied.value());
}

fn listener(prefix: &str, series: &ListenerSeries, out: &mut Collector) {
    // Envoy puts `_` for `:` in stat names.
    let prefix = prefix.replace(':', "_");
    let scope = Scope { root: "listener", tag: "envoy_listener_address", value: &prefix };
    out.counter(scope, "downstream_cx_total", series.opened.value());
    out.counter(scope, "downstream_cx_destroy", series.closed.value());
    out.gauge(scope, "downstream_cx_active", open(series));
    out.counter(scope, "downstream_cx_overflow", series.overflow.value());
    out.counter(scope, "no_filter_chain_match", series.no_chain.value());
    out.counter(scope, "ssl.handshake", series.handshakes.value());
    out.counter(scope, "ssl.connection_error", series.tls_errors.value());
}

fn open(series: &ListenerSeries) -> u64 {
    series.opened.value().saturating_sub(series.closed.value())
}

/// Resident memory of this process.
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}
