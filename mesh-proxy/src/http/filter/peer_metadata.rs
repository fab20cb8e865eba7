//! Istio's exchange of workload identity by headers: `x-envoy-peer-metadata-id` and `x-envoy-peer-metadata` (a base64
//! `google.protobuf.Struct`). What a peer tells is taken for metrics only, never for authorization.

use std::{collections::HashMap, sync::Arc};

use base64::Engine as _;
use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_proto::google::protobuf::{Struct, value::Kind};
use prost::Message as _;

use super::{Scope, Verdict};
use crate::{
    http::{flight::Flight, request::Call},
    peer::{KnownPeers, Workload},
    plan::Matched,
    snapshot::{PeerMetadata, Propagation, Snapshot},
};

/// The header with the metadata.
pub(super) const NAME: HeaderName = HeaderName::from_static("x-envoy-peer-metadata");
const ID: HeaderName = HeaderName::from_static("x-envoy-peer-metadata-id");
/// Longer ones are dropped.
const MAX_BYTES: usize = 16 * 1024;

/// What we tell about ourselves, ready to be sent.
#[derive(Debug, Clone)]
pub struct PeerMetadataHeaders {
    /// `x-envoy-peer-metadata-id`: the node id.
    pub id: HeaderValue,
    /// `x-envoy-peer-metadata`: base64 of the struct.
    pub metadata: HeaderValue,
}

/// Learns who asks, and tells who we are.
pub(super) fn request(settings: PeerMetadata, matched: Option<&Matched>, call: &mut Call, scope: &mut Scope<'_>) -> Verdict {
    if settings.downstream_discovery {
        scope.flight.info.peer_workload = take(&mut call.headers, &scope.flight.worker.known_peers);
    }
    if reaches(settings.upstream_propagation, matched, scope.snapshot) {
        tell(&mut call.headers, scope.flight);
    }
    Verdict::Continue
}

/// Learns who answers, and tells who we are to those who told us.
pub(super) fn response(settings: PeerMetadata, matched: Option<&Matched>, asked: bool, headers: &mut HeaderMap, flight: &mut Flight) {
    if settings.upstream_discovery
        && let Some(workload) = take(headers, &flight.worker.known_peers)
    {
        flight.info.peer_workload = Some(workload);
    }
    if asked && reaches(settings.downstream_propagation, matched, &flight.worker.snapshot()) {
        tell(headers, flight);
    }
}

/// Whether who we are is told to those who serve this route.
fn reaches(propagation: Propagation, matched: Option<&Matched>, snapshot: &Snapshot) -> bool {
    match propagation {
        Propagation::Nobody => false,
        Propagation::All => true,
        Propagation::Mesh => {
            let cluster = matched.and_then(|matched| matched.cluster(snapshot)).and_then(|slot| snapshot.cluster(slot));
            !cluster.is_some_and(|cluster| cluster.external)
        }
    }
}

fn tell(headers: &mut HeaderMap, flight: &Flight) {
    if let Some(ours) = &flight.worker.shared.peer_metadata {
        headers.insert(ID, ours.id.clone());
        headers.insert(NAME, ours.metadata.clone());
    }
}

/// Reads and removes the peer's headers.
fn take(headers: &mut HeaderMap, known: &KnownPeers) -> Option<Arc<Workload>> {
    headers.remove(ID);
    let value = headers.remove(NAME)?;
    if value.len() > MAX_BYTES {
        return None;
    }
    known.workload(value.as_bytes(), read)
}

fn read(header: &[u8]) -> Option<Workload> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(header).ok()?;
    workload(&Struct::decode(&bytes[..]).ok()?)
}

fn workload(metadata: &Struct) -> Option<Workload> {
    let text = |fields: &HashMap<String, mesh_proto::google::protobuf::Value>, key: &str| -> Arc<str> {
        match fields.get(key).and_then(|value| value.kind.as_ref()) {
            Some(Kind::StringValue(text)) => text.as_str().into(),
            _ => Arc::default(),
        }
    };
    let fields: HashMap<_, _> = metadata.fields.clone().into_iter().collect();
    let labels: HashMap<_, _> = match fields.get("LABELS").and_then(|value| value.kind.clone()) {
        Some(Kind::StructValue(labels)) => labels.fields.into_iter().collect(),
        _ => HashMap::new(),
    };
    let or = |first: Arc<str>, second: Arc<str>| if first.is_empty() { second } else { first };
    let app = text(&labels, "app");
    let version = text(&labels, "version");
    let workload = text(&fields, "WORKLOAD_NAME");
    let canonical = or(text(&labels, "service.istio.io/canonical-name"), or(app.clone(), workload.clone()));
    let revision = or(text(&labels, "service.istio.io/canonical-revision"), version.clone());
    Some(Workload {
        namespace: text(&fields, "NAMESPACE"),
        cluster: text(&fields, "CLUSTER_ID"),
        canonical_service: canonical,
        canonical_revision: or(revision, "latest".into()),
        workload,
        app,
        version,
    })
}
