//! Istio's standard metrics (istio.io "Istio Standard Metrics"): who asked whom, what for, and how it went.

use std::{cell::RefCell, collections::HashMap, fmt::Write as _, sync::Arc};

use mesh_proto::id::SpiffeId;

use super::{
    family::{Labels, Local},
    series::{BUCKETS, Histogram, IstioSeries},
};
use crate::{
    info::{ConnectionInfo, Flags, PeerTls, RequestInfo},
    peer::Workload,
    snapshot::{Direction, Reporter, ServiceName},
};

const UNKNOWN: &str = "unknown";
/// Addresses remembered before the memory starts over.
const RECENT: usize = 2048;

/// All labels of Istio's metrics.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct IstioLabels {
    reporter: &'static str,
    source: Arc<Workload>,
    source_principal: Option<SpiffeId>,
    destination: Arc<Workload>,
    destination_principal: Option<SpiffeId>,
    service: ServiceName,
    protocol: &'static str,
    /// TCP has none.
    response_code: Option<u16>,
    grpc_status: Option<u32>,
    flags: Flags,
    security: &'static str,
}

impl Labels for IstioLabels {
    fn overflow() -> Self {
        let other: Arc<str> = "overflow".into();
        let workload = Arc::new(Workload { workload: other.clone(), ..Workload::default() });
        Self {
            reporter: UNKNOWN,
            source: workload.clone(),
            source_principal: None,
            destination: workload,
            destination_principal: None,
            service: ServiceName { host: other.clone(), name: other, namespace: UNKNOWN.into() },
            protocol: UNKNOWN,
            response_code: None,
            grpc_status: None,
            flags: Flags::default(),
            security: UNKNOWN,
        }
    }
}

/// The series of what was seen lately, by the addresses of what determines the labels. What is pointed to is held, so
/// that an address means the same thing for as long as it is remembered.
#[derive(Default)]
pub(super) struct Recent(RefCell<HashMap<Key, (Arc<IstioSeries>, Held)>>);

#[derive(PartialEq, Eq, Hash)]
struct Key {
    connection: usize,
    peer: usize,
    workload: usize,
    upstream_tls: usize,
    cluster: usize,
    reporter: Reporter,
    protocol: &'static str,
    status: u16,
    grpc_status: Option<u32>,
    flags: u32,
}

struct Held {
    _connection: Arc<ConnectionInfo>,
    _peer: Option<Arc<Workload>>,
    _workload: Option<Arc<str>>,
    _upstream_tls: Option<PeerTls>,
    _cluster: Option<Arc<str>>,
}

impl Recent {
    pub(super) fn series(
        &self,
        info: &RequestInfo,
        reporter: Reporter,
        own: &Arc<Workload>,
        all: &Local<IstioLabels, IstioSeries>,
    ) -> Arc<IstioSeries> {
        let key = key(info, reporter);
        let mut recent = self.0.borrow_mut();
        if let Some((series, _)) = recent.get(&key) {
            return series.clone();
        }
        if recent.len() >= RECENT {
            recent.clear();
        }
        let series = all.series(&labels(info, reporter, own));
        let held = Held {
            _connection: info.connection.clone(),
            _peer: info.peer_workload.clone(),
            _workload: info.upstream_workload.clone(),
            _upstream_tls: info.upstream_tls.clone(),
            _cluster: info.cluster.clone(),
        };
        recent.insert(key, (series.clone(), held));
        series
    }
}

fn key(info: &RequestInfo, reporter: Reporter) -> Key {
    fn address<T: ?Sized>(of: Option<&Arc<T>>) -> usize {
        of.map_or(0, |of| Arc::as_ptr(of).cast::<u8>() as usize)
    }
    Key {
        connection: address(Some(&info.connection)),
        peer: address(info.peer_workload.as_ref()),
        workload: address(info.upstream_workload.as_ref()),
        upstream_tls: address(info.upstream_tls.as_ref().map(|tls| &tls.peer_uris)),
        cluster: address(info.cluster.as_ref()),
        reporter,
        protocol: protocol(info),
        status: info.status,
        grpc_status: info.grpc_status,
        flags: info.flags.0,
    }
}

fn labels(info: &RequestInfo, reporter: Reporter, own: &Arc<Workload>) -> IstioLabels {
    let downstream = info.connection.tls.as_ref();
    let proven = |tls: Option<&PeerTls>| tls.filter(|tls| tls.verified).and_then(|tls| tls.peer_id.clone());
    let ours = |tls: Option<&PeerTls>| tls.and_then(|tls| tls.local_uri.as_deref()?.parse::<SpiffeId>().ok());
    let peer = || info.peer_workload.clone();
    let (source, destination, source_principal, destination_principal, security) = match reporter {
        Reporter::Source => {
            let told = || info.upstream_workload.as_deref().map(|text| Arc::new(from_endpoint(text)));
            let principal = proven(info.upstream_tls.as_ref());
            let destination = peer().or_else(told).unwrap_or_else(|| Arc::new(from_principal(principal.as_ref())));
            (own.clone(), destination, ours(info.upstream_tls.as_ref()), principal, UNKNOWN)
        }
        Reporter::Destination => {
            let principal = proven(downstream);
            let source = peer().unwrap_or_else(|| Arc::new(from_principal(principal.as_ref())));
            let security = if principal.is_some() { "mutual_tls" } else { "none" };
            (source, own.clone(), principal, ours(downstream), security)
        }
    };
    IstioLabels {
        reporter: match reporter {
            Reporter::Source => "source",
            Reporter::Destination => "destination",
        },
        service: service(info, &destination),
        source,
        source_principal,
        destination,
        destination_principal,
        protocol: protocol(info),
        response_code: (!info.is_tcp()).then_some(info.status),
        grpc_status: info.grpc_status.filter(|_| info.is_grpc),
        flags: info.flags,
        security,
    }
}

/// The cluster's service; pass-through and black-hole traffic under the cluster's name; else what the client named.
fn service(info: &RequestInfo, destination: &Workload) -> ServiceName {
    if let Some(service) = &info.service {
        return service.clone();
    }
    let namespace: Arc<str> = if destination.namespace.is_empty() { UNKNOWN.into() } else { destination.namespace.clone() };
    match info.cluster.as_ref() {
        Some(cluster) if matches!(&**cluster, "PassthroughCluster" | "BlackHoleCluster" | "InboundPassthroughCluster") => {
            ServiceName { host: cluster.clone(), name: cluster.clone(), namespace: UNKNOWN.into() }
        }
        _ if info.connection.direction == Direction::Inbound && !info.authority.is_empty() => {
            ServiceName { host: info.authority.clone(), name: destination.canonical_service.clone(), namespace }
        }
        _ => ServiceName { host: UNKNOWN.into(), name: UNKNOWN.into(), namespace },
    }
}

fn protocol(info: &RequestInfo) -> &'static str {
    match (info.is_tcp(), info.is_grpc) {
        (true, _) => "tcp",
        (_, true) => "grpc",
        _ => "http",
    }
}

/// `workload;namespace;canonical name;canonical revision;cluster`, as Istio puts it into endpoints' metadata.
fn from_endpoint(text: &str) -> Workload {
    let mut parts = text.split(';').map(Arc::<str>::from);
    let mut next = || parts.next().unwrap_or_default();
    let (workload, namespace, canonical_service, canonical_revision, cluster) = (next(), next(), next(), next(), next());
    Workload {
        app: canonical_service.clone(),
        version: canonical_revision.clone(),
        workload,
        namespace,
        canonical_service,
        canonical_revision,
        cluster,
    }
}

/// What an identity alone tells.
fn from_principal(principal: Option<&SpiffeId>) -> Workload {
    let namespace = principal.and_then(|id| Some(id.namespace()?.as_str().into())).unwrap_or_default();
    Workload { namespace, ..Workload::default() }
}

/// A workload, as its proxy's node metadata describes it (Istio's `WORKLOAD_NAME`, `NAMESPACE`, `LABELS`, `CLUSTER_ID`).
pub fn workload_of(metadata: &serde_json::Value) -> Workload {
    let text = |value: Option<&serde_json::Value>| -> Arc<str> { value.and_then(|value| value.as_str()).unwrap_or_default().into() };
    let label = |name: &str| text(metadata.get("LABELS").and_then(|labels| labels.get(name)));
    let or = |first: Arc<str>, second: &Arc<str>| if first.is_empty() { second.clone() } else { first };
    let workload = text(metadata.get("WORKLOAD_NAME"));
    let (app, version) = (label("app"), label("version"));
    let canonical_service = or(or(label("service.istio.io/canonical-name"), &app), &workload);
    let canonical_revision = or(or(label("service.istio.io/canonical-revision"), &version), &"latest".into());
    Workload {
        namespace: text(metadata.get("NAMESPACE")),
        cluster: text(metadata.get("CLUSTER_ID")),
        canonical_service,
        canonical_revision,
        workload,
        app,
        version,
    }
}

/// Prometheus' text format.
pub(super) fn render(series: &HashMap<IstioLabels, IstioSeries>, filter: &super::Filter) -> String {
    let mut rows: Vec<(String, bool, &IstioSeries)> =
        series.iter().map(|(labels, series)| (labels.render(), labels.response_code.is_none(), series)).collect();
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    let mut out = String::new();
    type Read<T> = fn(&IstioSeries) -> &T;
    let counters: [(&str, bool, Read<super::series::Counter>); 5] = [
        ("istio_requests_total", false, |series| &series.requests),
        ("istio_tcp_sent_bytes_total", true, |series| &series.tcp_sent),
        ("istio_tcp_received_bytes_total", true, |series| &series.tcp_received),
        ("istio_tcp_connections_opened_total", true, |series| &series.tcp_opened),
        ("istio_tcp_connections_closed_total", true, |series| &series.tcp_closed),
    ];
    for (name, tcp, read) in counters.into_iter().filter(|(name, ..)| filter.passes(name)) {
        family(&mut out, name, "counter", rows.iter().filter(|row| row.1 == tcp), |out, labels, series| {
            let _ = writeln!(out, "{name}{{{labels}}} {}", read(series).value());
        });
    }
    let histograms: [(&str, Read<Histogram>); 3] = [
        ("istio_request_duration_milliseconds", |series| &series.duration),
        ("istio_request_bytes", |series| &series.request_bytes),
        ("istio_response_bytes", |series| &series.response_bytes),
    ];
    for (name, read) in histograms.into_iter().filter(|(name, _)| filter.passes(name)) {
        family(&mut out, name, "histogram", rows.iter().filter(|row| !row.1), |out, labels, series| {
            histogram(out, name, labels, read(series));
        });
    }
    out
}

fn family<'a>(
    out: &mut String,
    name: &str,
    kind: &str,
    rows: impl Iterator<Item = &'a (String, bool, &'a IstioSeries)>,
    row: impl Fn(&mut String, &str, &IstioSeries),
) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let _ = writeln!(out, "# TYPE {name} {kind}");
    for (labels, _, series) in rows {
        row(out, labels, series);
    }
}

/// A histogram's lines: cumulative buckets, sum, count.
pub(super) fn histogram(out: &mut String, name: &str, labels: &str, histogram: &Histogram) {
    let cumulative = histogram.cumulative();
    let comma = if labels.is_empty() { "" } else { "," };
    for (bound, count) in BUCKETS.iter().zip(&cumulative) {
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
    }
    let count = cumulative[BUCKETS.len()];
    let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
    let _ = writeln!(out, "{name}_sum{{{labels}}} {}", histogram.sum());
    let _ = writeln!(out, "{name}_count{{{labels}}} {count}");
}

impl IstioLabels {
    fn render(&self) -> String {
        let mut out = String::with_capacity(768);
        let mut raw = |name: &str, value: &str| {
            if !out.is_empty() {
                out.push(',');
            }
            let _ = write!(out, "{name}=\"");
            super::render::escape(value, &mut out);
            out.push('"');
        };
        let mut label = |name: &str, value: &str| raw(name, if value.is_empty() { UNKNOWN } else { value });
        label("reporter", self.reporter);
        for (side, workload, principal) in
            [("source", &self.source, &self.source_principal), ("destination", &self.destination, &self.destination_principal)]
        {
            label(&format!("{side}_workload"), &workload.workload);
            label(&format!("{side}_canonical_service"), &workload.canonical_service);
            label(&format!("{side}_canonical_revision"), &workload.canonical_revision);
            label(&format!("{side}_workload_namespace"), &workload.namespace);
            label(&format!("{side}_principal"), principal.as_ref().map_or("", |id| id.as_str()));
            label(&format!("{side}_app"), &workload.app);
            label(&format!("{side}_version"), &workload.version);
            label(&format!("{side}_cluster"), &workload.cluster);
        }
        label("destination_service", &self.service.host);
        label("destination_service_name", &self.service.name);
        label("destination_service_namespace", &self.service.namespace);
        label("request_protocol", self.protocol);
        if let Some(code) = self.response_code {
            raw("response_code", &code.to_string());
            // Istio leaves this one empty, not `unknown`, for what is not gRPC.
            raw("grpc_response_status", &self.grpc_status.map(|status| status.to_string()).unwrap_or_default());
        }
        let flags = self.flags.short().collect::<Vec<_>>().join(",");
        raw("response_flags", if flags.is_empty() { "-" } else { &flags });
        raw("connection_security_policy", self.security);
        out
    }
}
