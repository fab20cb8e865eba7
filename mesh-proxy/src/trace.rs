//! Spans on their way out: made where a request ends, queued without waiting, sent in batches over OTLP/gRPC to the
//! cluster that the connection manager's tracing names.
//!
//! Which requests are traced, and the context they pass on, is the request path's decision (`http/headers/trace.rs`).

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mesh_runtime::{
    connect::{Connector, Target},
    drain::DrainWatch,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::SpanKind, status::StatusCode},
};
use tokio::sync::mpsc;
use tonic::transport::Channel;

use crate::{
    access_log::protocol,
    info::RequestInfo,
    server::DataPlane,
    snapshot::{Address, Direction, Health, OtlpTarget, SpanTag, Tracing, UpstreamTransport},
};

/// Spans that may wait.
const QUEUE: usize = 4096;
/// Spans in one request.
const BATCH: usize = 512;
/// How long a span waits for company.
const LINGER: Duration = Duration::from_secs(1);
/// A collector must answer within this.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes spans. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spans {
    queue: mpsc::Sender<Finished>,
    dropped: Arc<AtomicU64>,
}

/// Sends them.
#[derive(Debug)]
pub(crate) struct Exporter {
    queue: mpsc::Receiver<Finished>,
    dropped: Arc<AtomicU64>,
    node: Arc<str>,
    channels: HashMap<Address, Channel>,
}

#[derive(Debug)]
struct Finished {
    target: OtlpTarget,
    span: Span,
}

/// Where spans go in, and who sends them; `node` is the node's id, an attribute of each span as in Envoy.
pub(crate) fn channel(node: Arc<str>) -> (Spans, Exporter) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let dropped = Arc::<AtomicU64>::default();
    let exporter = Exporter { queue: receiver, dropped: dropped.clone(), node, channels: HashMap::new() };
    (Spans { queue: sender, dropped }, exporter)
}

impl Spans {
    /// Queues the span of a request that is sampled. A full queue drops it.
    pub(crate) fn record(&self, info: &RequestInfo, tracing: &Tracing) {
        let Some(target) = &tracing.otlp else { return };
        if !info.trace.is_some_and(|trace| trace.sampled) {
            return;
        }
        match self.queue.try_reserve() {
            Ok(permit) => {
                if let Some(span) = span(info, tracing) {
                    permit.send(Finished { target: target.clone(), span });
                }
            }
            Err(_) => drop(self.dropped.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Spans that were given up, for want of room or of a collector.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Exporter {
    /// Sends until the drain is over; then what is queued once more.
    pub(crate) async fn run(mut self, plane: Arc<DataPlane>, drain: DrainWatch) {
        let connector = Connector::new();
        loop {
            let mut batch = Vec::new();
            let forced = tokio::select! {
                () = drain.forced() => true,
                received = self.queue.recv_many(&mut batch, BATCH) => received == 0,
            };
            if !forced {
                let (queue, batch) = (&mut self.queue, &mut batch);
                let more = async { while batch.len() < BATCH && queue.recv_many(batch, BATCH).await > 0 {} };
                tokio::select! {
                    () = drain.forced() => {}
                    _ = tokio::time::timeout(LINGER, more) => {}
                }
            }
            while let Ok(finished) = self.queue.try_recv() {
                if batch.len() >= BATCH {
                    break;
                }
                batch.push(finished);
            }
            self.send(batch, &plane, &connector).await;
            if forced {
                return;
            }
        }
    }

    async fn send(&mut self, batch: Vec<Finished>, plane: &DataPlane, connector: &Connector) {
        let mut groups: HashMap<(Arc<str>, Arc<str>), Vec<Span>> = HashMap::new();
        for Finished { target, span } in batch {
            groups.entry((target.cluster, target.service_name)).or_default().push(span);
        }
        for ((cluster, service), spans) in groups {
            let count = spans.len() as u64;
            if let Err(reason) = self.export(&cluster, &service, spans, plane, connector).await {
                self.dropped.fetch_add(count, Ordering::Relaxed);
                tracing::debug!(%cluster, %reason, count, "spans could not be exported");
            }
        }
    }

    async fn export(
        &mut self,
        cluster: &str,
        service: &str,
        spans: Vec<Span>,
        plane: &DataPlane,
        connector: &Connector,
    ) -> Result<(), String> {
        let address = collector(plane, cluster)?;
        let channel = self.channels.entry(address).or_insert_with_key(|address| {
            let target = match address {
                Address::Socket(address) => Target::Tcp(*address),
                Address::Pipe(path) => Target::Unix(path.clone()),
            };
            connector.channel(&target, None)
        });
        let resource = Resource { attributes: vec![text("service.name", service), text("node_id", &self.node)], ..Resource::default() };
        let scope = InstrumentationScope { name: "mesh-proxy".into(), version: env!("CARGO_PKG_VERSION").into(), ..Default::default() };
        let spans = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans: vec![spans], ..ResourceSpans::default() }],
        };
        let mut client = TraceServiceClient::new(channel.clone());
        match tokio::time::timeout(PATIENCE, client.export(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(status.message().to_owned()),
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        }
    }
}

/// An endpoint of the collector's cluster.
fn collector(plane: &DataPlane, name: &str) -> Result<Address, String> {
    let snapshot = plane.snapshot();
    let cluster = snapshot.cluster_by_name(name).ok_or("there is no such cluster")?;
    let mut endpoints = cluster.endpoints.priorities.iter().flatten().flat_map(|locality| &locality.endpoints);
    let endpoint = endpoints.find(|endpoint| endpoint.health == Health::Healthy).ok_or("the cluster has no healthy endpoint")?;
    let transport = endpoint.transport_match.and_then(|index| cluster.transport_matches.get(index)).map(|found| &found.transport);
    match transport.unwrap_or(&cluster.transport) {
        UpstreamTransport::Plain => Ok(endpoint.address.clone()),
        UpstreamTransport::Tls(_) => Err("spans are exported in plaintext only, and this cluster asks for TLS".into()),
    }
}

/// As Envoy's OpenTelemetry tracer names attributes (`Tracing::HttpTracerUtility`).
fn span(info: &RequestInfo, tracing: &Tracing) -> Option<Span> {
    let trace = info.trace?;
    let elapsed = info.end.map_or(Duration::ZERO, |end| end.saturating_duration_since(info.start));
    let header = |name: &str| info.request_headers.get(name).and_then(|value| value.to_str().ok());
    let url = format!("{}://{}{}", if info.connection.tls.is_some() { "https" } else { "http" }, info.authority, info.original_path);
    let flags: Vec<&str> = info.flags.short().collect();
    let mut attributes = vec![
        text("component", "proxy"),
        text("http.method", info.method.as_str()),
        text("http.url", bounded(&url)),
        text("http.protocol", protocol(info.version).unwrap_or("-")),
        text("http.status_code", &info.status.to_string()),
        text("upstream_cluster", info.cluster.as_deref().unwrap_or("-")),
        text("upstream_cluster.name", info.cluster.as_deref().unwrap_or("-")),
        text("downstream_cluster", "-"),
        text("peer.address", &info.connection.remote.ip().to_string()),
        text("request_size", &info.bytes_received.to_string()),
        text("response_size", &info.bytes_sent.to_string()),
        text("response_flags", &if flags.is_empty() { "-".into() } else { flags.join(",") }),
        text("user_agent", bounded(header("user-agent").unwrap_or("-"))),
        text("guid:x-request-id", bounded(header("x-request-id").unwrap_or("-"))),
    ];
    if let Some(address) = &info.upstream_address {
        attributes.push(text("upstream_address", &address.to_string()));
    }
    if let Some(status) = info.grpc_status {
        attributes.push(text("grpc.status_code", &status.to_string()));
    }
    for tag in &tracing.tags {
        match tag {
            SpanTag::Literal { tag, value } => attributes.push(text(tag, value)),
            SpanTag::RequestHeader { tag, name, default } => {
                attributes.extend(header(name.as_str()).or(default.as_deref()).map(|value| text(tag, bounded(value))));
            }
        }
    }
    let failed = info.status >= 500 || info.status == 0;
    if failed {
        attributes.push(text("error", "true"));
    }
    let code = if failed { StatusCode::Error } else { StatusCode::Unset };
    let egress = tracing.egress || info.connection.direction == Direction::Outbound;
    Some(Span {
        trace_id: trace.trace_id.to_vec(),
        span_id: trace.span_id.to_vec(),
        parent_span_id: trace.parent_id.map(|id| id.to_vec()).unwrap_or_default(),
        name: bounded(&info.authority).to_owned(),
        kind: if egress { SpanKind::Client } else { SpanKind::Server }.into(),
        start_time_unix_nano: nanos(info.start_time),
        end_time_unix_nano: nanos(info.start_time + elapsed),
        attributes,
        status: Some(Status { code: code.into(), ..Status::default() }),
        ..Span::default()
    })
}

/// Envoy cuts tags at 256 bytes (`max_path_tag_length`).
fn bounded(text: &str) -> &str {
    let end = (0..=256.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn nanos(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or_default()
}
