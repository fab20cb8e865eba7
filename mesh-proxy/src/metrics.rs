//! What the proxy counts, under Istio's and Envoy's names.
//!
//! Each worker has series of its own, found once per label set and kept by address of what determines the labels; a
//! request then only adds to atomics that no other thread writes. A scrape merges the workers. Label sets are bounded:
//! what comes later goes to one overflow set.

mod envoy;
mod family;
mod istio;
mod render;
mod series;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

pub use self::{
    envoy::Facts,
    istio::workload_of,
    render::{Filter, Stat, StatValue, json, prometheus, text},
};
pub(crate) use self::{
    envoy::resident_bytes,
    series::{HttpSeries, ListenerSeries},
};
use self::{
    family::{Family, Local},
    istio::{IstioLabels, Recent},
    series::{IstioSeries, TcpSeries},
};
use crate::{
    info::{ConnectionInfo, Flags, RequestInfo},
    observe::Refused,
    peer::Workload,
    snapshot::{Hcm, HttpFilter, Listener, TcpProxy, Terminal},
};

/// All counters of the process.
pub struct Metrics {
    own: Arc<Workload>,
    started: Instant,
    istio: Family<IstioLabels, IstioSeries>,
    http: Family<Arc<str>, HttpSeries>,
    tcp: Family<Arc<str>, TcpSeries>,
    listeners: Family<Arc<str>, ListenerSeries>,
}

impl Metrics {
    /// Counters of a proxy beside the workload `own`.
    pub fn new(own: Workload) -> Self {
        Self {
            own: Arc::new(own),
            started: Instant::now(),
            istio: Family::default(),
            http: Family::default(),
            tcp: Family::default(),
            listeners: Family::default(),
        }
    }

    /// One worker's counters. To be made on its thread.
    pub(crate) fn worker(&self) -> WorkerMetrics {
        WorkerMetrics {
            own: self.own.clone(),
            recent: Recent::default(),
            istio: self.istio.local(),
            http: self.http.local(),
            tcp: self.tcp.local(),
            listeners: self.listeners.local(),
        }
    }

    /// Every Envoy-named stat as of now; `facts` are what counters are not the source of.
    pub fn stats(&self, facts: &Facts<'_>) -> Vec<Stat> {
        envoy::stats(self, facts)
    }

    /// Istio's standard metrics in Prometheus' text format: those whose names pass `filter`.
    pub fn istio(&self, filter: &Filter) -> String {
        istio::render(&self.istio.merged(), filter)
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("own", &self.own).finish_non_exhaustive()
    }
}

/// One worker's counters.
pub(crate) struct WorkerMetrics {
    own: Arc<Workload>,
    recent: Recent,
    istio: Local<IstioLabels, IstioSeries>,
    http: Local<Arc<str>, HttpSeries>,
    tcp: Local<Arc<str>, TcpSeries>,
    listeners: Local<Arc<str>, ListenerSeries>,
}

impl WorkerMetrics {
    pub(crate) fn request(&self, info: &RequestInfo, hcm: &Hcm) {
        let has_rbac = hcm.filters.iter().any(|named| matches!(named.filter, HttpFilter::Rbac(_)));
        self.http.with(&hcm.stat_prefix, |series| series.request(info, has_rbac));
        let reporter = hcm.filters.iter().find_map(|named| match &named.filter {
            HttpFilter::IstioStats(reporter) => Some(*reporter),
            _ => None,
        });
        if let Some(reporter) = reporter {
            self.recent.series(info, reporter, &self.own, &self.istio).request(info);
        }
    }

    pub(crate) fn opened(&self, connection: &ConnectionInfo, listener: &Listener) {
        let tls = connection.tls.is_some();
        self.listeners.with(&listener.stat_prefix, |series| series.opened(tls));
        if let Some(prefix) = http_prefix(connection, listener) {
            self.http.with(prefix, |series| series.opened(tls));
        }
    }

    pub(crate) fn closed(&self, connection: &ConnectionInfo, listener: &Listener) {
        self.listeners.with(&listener.stat_prefix, ListenerSeries::closed);
        if let Some(prefix) = http_prefix(connection, listener) {
            self.http.with(prefix, HttpSeries::closed);
        }
    }

    pub(crate) fn refused(&self, refused: &Refused<'_>, listener: &Listener) {
        let no_chain = refused.flags.contains(Flags::NO_ROUTE);
        self.listeners.with(&listener.stat_prefix, |series| series.refused(no_chain, refused.reason));
    }

    pub(crate) fn relayed(&self, info: &RequestInfo, proxy: &TcpProxy) {
        self.tcp.with(&proxy.stat_prefix, |series| series.relayed(info));
        if let Some(reporter) = proxy.istio_stats {
            self.recent.series(info, reporter, &self.own, &self.istio).relayed(info);
        }
    }
}

/// The stat prefix of the connection manager that serves `connection`, if one does.
fn http_prefix<'a>(connection: &ConnectionInfo, listener: &'a Listener) -> Option<&'a Arc<str>> {
    let mut chains = listener.chains.iter().chain(&listener.default_chain);
    match &chains.find(|chain| chain.name == connection.filter_chain)?.terminal {
        Terminal::Http(hcm) => Some(&hcm.stat_prefix),
        Terminal::Tcp(_) => None,
    }
}
