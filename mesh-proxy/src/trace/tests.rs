//! Spans reach a collector, bounded, and survive its absence.

#![allow(clippy::unwrap_used)]

use std::time::Instant;

use mesh_runtime::{
    drain, grpc,
    listen::{self, Listener},
    task::Tasks,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use serde_json::json;
use tonic::service::Routes;

use super::*;
use crate::{
    info::{ConnectionInfo, TraceContext},
    observe::Silent,
    server::Options,
    snapshot::Percent,
    xds::Assembler,
};

fn tracing() -> Tracing {
    Tracing {
        random_sampling: Percent::ALWAYS,
        overall_sampling: Percent::ALWAYS,
        client_sampling: Percent::ALWAYS,
        otlp: Some(OtlpTarget { cluster: "otel".into(), service_name: "a.shop".into() }),
        tags: vec![SpanTag::Literal { tag: "istio.mesh_id".into(), value: "m".into() }],
        egress: true,
    }
}

fn request(sampled: bool) -> RequestInfo {
    let connection = ConnectionInfo {
        id: 1,
        accepted: Instant::now(),
        direct_remote: "127.0.0.1:1".parse().unwrap(),
        remote: "127.0.0.1:1".parse().unwrap(),
        local: "127.0.0.1:2".parse().unwrap(),
        direction: Direction::Outbound,
        filter_chain: "".into(),
        tls: None,
        server_name: None,
    };
    let start = Instant::now();
    let mut info = RequestInfo::new(Arc::new(connection), start, UNIX_EPOCH + Duration::from_secs(5));
    info.end = Some(start + Duration::from_millis(3));
    info.status = 503;
    info.authority = "b".into();
    info.original_path = "/x".into();
    info.trace = Some(TraceContext { trace_id: [1; 16], span_id: [2; 8], parent_id: Some([3; 8]), sampled });
    info
}

#[test]
fn spans_say_what_happened() {
    let span = span(&request(true), &tracing()).unwrap();
    assert_eq!(span.trace_id, [1; 16]);
    assert_eq!(span.parent_span_id, [3; 8]);
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 3_000_000);
    assert_eq!(span.kind, i32::from(SpanKind::Client));
    let value = |key: &str| span.attributes.iter().find(|attribute| attribute.key == key).and_then(|found| found.value.clone());
    assert_eq!(value("http.url"), text("", "http://b/x").value);
    assert_eq!(value("istio.mesh_id"), text("", "m").value);
    assert_eq!(value("error"), text("", "true").value);
}

#[test]
fn only_sampled_ones_are_queued_and_the_queue_is_bounded() {
    let (spans, mut exporter) = channel("node".into());
    spans.record(&request(false), &tracing());
    assert!(exporter.queue.try_recv().is_err());
    for _ in 0..=QUEUE {
        spans.record(&request(true), &tracing());
    }
    assert_eq!(spans.dropped(), 1);
}

struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let _ = self.0.send(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test]
async fn spans_reach_the_collector_in_batches() {
    let (_trigger, watch) = drain::channel();
    let tasks = Tasks::new("test");
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), listen::Options::default()).unwrap();
    let port = listener.address().tcp().unwrap().port();
    let (sender, mut received) = mpsc::unbounded_channel();
    let routes = Routes::new(TraceServiceServer::new(Collector(sender)));
    tasks.spawn("collector", grpc::serve(listener, routes, grpc::Options::default(), watch.clone()));

    let plane = Arc::new(DataPlane::start(Options::default(), Arc::new(Silent)).unwrap());
    let cluster = mesh_proto::json::decode(json!({
        "name": "otel", "type": "STATIC",
        "load_assignment": {"cluster_name": "otel", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}},
        ]}]},
    }));
    let mut assembler = Assembler::new();
    assert_eq!(assembler.clusters(vec![cluster.unwrap()], &[]), []);
    plane.apply(assembler.snapshot());

    let (spans, exporter) = channel("node-id".into());
    spans.record(&request(true), &tracing());
    spans.record(&request(true), &tracing());
    tasks.spawn("exporter", exporter.run(plane, watch));
    let export = tokio::time::timeout(Duration::from_secs(20), received.recv()).await.unwrap().unwrap();
    let [resource] = &export.resource_spans[..] else { panic!("{export:?}") };
    assert_eq!(resource.resource.as_ref().unwrap().attributes, [text("service.name", "a.shop"), text("node_id", "node-id")]);
    assert_eq!(resource.scope_spans[0].spans.len(), 2);
    assert_eq!(spans.dropped(), 0);
}
