//! Istio's and Envoy's series under their names, merged over workers.

#![allow(clippy::unwrap_used)]

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde_json::json;

use super::{family::Labels as _, render::escape, series::IstioSeries, *};
use crate::{
    info::ConnectionInfo,
    snapshot::{Direction, Reporter, ServiceName},
};

fn request(status: u16) -> RequestInfo {
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
    let mut info = RequestInfo::new(Arc::new(connection), start, SystemTime::now());
    info.status = status;
    info.bytes_sent = 30;
    info.end = Some(start + Duration::from_millis(7));
    info.cluster = Some("outbound|80||b".into());
    info.upstream_workload = Some("b-v1;shop;b;v1;Kubernetes".into());
    info.service = Some(ServiceName { host: "b.shop.svc".into(), name: "b".into(), namespace: "shop".into() });
    info
}

fn own() -> Workload {
    workload_of(&json!({
        "WORKLOAD_NAME": "a-v1", "NAMESPACE": "shop", "CLUSTER_ID": "Kubernetes",
        "LABELS": {"app": "a", "version": "v1"},
    }))
}

fn count(metrics: &Metrics, info: &RequestInfo, worker: &WorkerMetrics) {
    worker.recent.series(info, Reporter::Source, &metrics.own, &worker.istio).request(info);
}

#[test]
fn istio_series_are_merged_over_workers() {
    let metrics = Metrics::new(own());
    let (one, other) = (metrics.worker(), metrics.worker());
    for worker in [&one, &other, &other] {
        count(&metrics, &request(200), worker);
    }
    count(&metrics, &request(503), &one);
    let text = metrics.istio(&Filter::default());
    let expected = "istio_requests_total{reporter=\"source\",source_workload=\"a-v1\",source_canonical_service=\"a\",\
        source_canonical_revision=\"v1\",source_workload_namespace=\"shop\",source_principal=\"unknown\",source_app=\"a\",\
        source_version=\"v1\",source_cluster=\"Kubernetes\",destination_workload=\"b-v1\",destination_canonical_service=\"b\",\
        destination_canonical_revision=\"v1\",destination_workload_namespace=\"shop\",destination_principal=\"unknown\",\
        destination_app=\"b\",destination_version=\"v1\",destination_cluster=\"Kubernetes\",destination_service=\"b.shop.svc\",\
        destination_service_name=\"b\",destination_service_namespace=\"shop\",request_protocol=\"http\",response_code=\"200\",\
        grpc_response_status=\"\",response_flags=\"-\",connection_security_policy=\"unknown\"} 3\n";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("response_code=\"503\""), "{text}");
    assert!(text.contains("le=\"5\"} 0\n") && text.contains("le=\"10\"} 3\n"), "{text}");
    assert_eq!(text.matches("# TYPE istio_requests_total counter").count(), 1);
}

#[test]
fn label_sets_are_bounded() {
    let family: Family<Arc<str>, IstioSeries> = Family::default();
    let local = family.local();
    for at in 0..5000 {
        local.with(&at.to_string().into(), |series| series.requests.add(1));
    }
    let merged = family.merged();
    assert_eq!(merged.len(), 4097);
    assert_eq!(merged[&<Arc<str>>::overflow()].requests.value(), 5000 - 4096);
}

#[test]
fn envoys_names() {
    let metrics = Metrics::new(own());
    let worker = metrics.worker();
    worker.http.with(&"ingress_http".into(), |series| series.request(&request(204), true));
    worker.listeners.with(&"127.0.0.1:80".into(), |series| series.opened(true));
    let snapshot = crate::snapshot::Snapshot::default();
    let facts = Facts {
        snapshot: &snapshot,
        concurrency: 2,
        state: 0,
        days_until_first_cert_expires: None,
        log_lines: crate::access_log::Sinks::default().written(),
        session: vec![("control_plane.connected_state".into(), StatValue::Gauge(1))],
    };
    let stats = metrics.stats(&facts);
    let all = Filter::default();
    let text = text(&stats, &all);
    for line in [
        "http.ingress_http.downstream_rq_2xx: 1\n",
        "http.ingress_http.rbac.allowed: 1\n",
        "listener.127.0.0.1_80.downstream_cx_active: 1\n",
        "control_plane.connected_state: 1\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let prometheus = prometheus(&stats, &Filter::new(Some("ingress|127")).unwrap());
    for line in [
        "# TYPE envoy_http_downstream_rq_xx counter\n",
        "envoy_http_downstream_rq_xx{envoy_response_code_class=\"2\",envoy_http_conn_manager_prefix=\"ingress_http\"} 1\n",
        "envoy_listener_ssl_handshake{envoy_listener_address=\"127.0.0.1_80\"} 1\n",
        "envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix=\"ingress_http\",le=\"10\"} 1\n",
    ] {
        assert!(prometheus.contains(line), "{line} in {prometheus}");
    }
    assert!(!prometheus.contains("server_live"));
    assert_eq!(json(&stats, &Filter::new(Some("^server.live$")).unwrap()), json!({"stats": [{"name": "server.live", "value": 1}]}));
    assert!(Filter::new(Some("(")).is_err());
}

#[test]
fn label_values_are_escaped() {
    let mut out = String::new();
    escape("a\"b\\c\nd", &mut out);
    assert_eq!(out, r#"a\"b\\c\nd"#);
}
