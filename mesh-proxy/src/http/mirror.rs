//! Copies of requests whose answers nobody waits for (`request_mirror_policies`). Bounded: too many at once are not sent.

use bytes::Bytes;
use http::HeaderValue;
use http_body::Body as _;

use super::{
    body::UpBody,
    flight::Flight,
    forward::{Scene, prepare::Prepared},
    headers,
    request::Call,
};
use crate::{
    plan::{Pick, PickRequest, pick},
    snapshot::Forward,
    tls::Offer,
    upstream::pool::{Destination, Protocol, Want},
};

/// Copies under way on one worker.
const MAX: u32 = 1024;

/// Sends the copies that the route asks for. A body is copied only if it has come whole and was kept within the bound.
pub(super) fn send(scene: &Scene<'_>, settings: &Forward, prepared: &mut Prepared, flight: &Flight) {
    let Some(call) = prepared.copy.take() else { return };
    let body = match flight.body() {
        None => Bytes::new(),
        Some(body) => match body.whole() {
            Some(bytes) => bytes,
            None => return,
        },
    };
    for mirror in &settings.mirrors {
        let worker = &scene.conn.worker;
        if !mirror.fraction.hits(rand::random()) || worker.mirrors.get() >= MAX {
            continue;
        }
        let Some(cluster) = scene.snapshot.cluster(mirror.cluster).cloned() else { continue };
        let mut call = call.clone();
        headers::mark_internal(&mut call.headers, scene.conn.worker.shared.local_address);
        if mirror.shadow_suffix {
            rename(&mut call);
        }
        let (worker, body) = (worker.clone(), body.clone());
        worker.mirrors.set(worker.mirrors.get() + 1);
        let limit = prepared.timing.timeout.unwrap_or(std::time::Duration::from_secs(15));
        worker.clone().tasks.spawn(async move {
            let request = PickRequest::default();
            let picked = pick(&cluster, &mut worker.balancers.borrow_mut(), &request, &mut rand::random);
            if let Pick::Endpoint(picked) = picked {
                let protocol = Protocol::of(cluster.protocol, call.version);
                let want = Want { protocol, offer: Offer::Configured, server_name: None, high_priority: false };
                let body = if body.is_empty() { UpBody::Empty } else { UpBody::Full(Some(body)) };
                if let Ok(request) = call.into_request(protocol != Protocol::Http1, body) {
                    let endpoint = &picked.endpoint;
                    let to = Destination { contexts: &worker.tls, cluster: &cluster, endpoint, want };
                    let _ = tokio::time::timeout(limit, drained(worker.pools.send(to, request))).await;
                }
            }
            worker.mirrors.set(worker.mirrors.get() - 1);
        });
    }
}

/// Reads the answer to its end, so that the connection can be used again.
async fn drained(sending: impl Future<Output = Result<crate::upstream::pool::Sent, crate::error::Failure>>) {
    let Ok(sent) = sending.await else { return };
    let (mut body, hold) = (sent.response.into_body(), sent.hold);
    while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
        if frame.is_err() {
            return;
        }
    }
    hold.finish();
}

/// `host` becomes `host-shadow`, before its port.
fn rename(call: &mut Call) {
    let (host, port) = match call.authority.rfind(':') {
        Some(colon) if !call.authority[colon..].contains(']') => call.authority.split_at(colon),
        _ => (&*call.authority, ""),
    };
    if let Ok(value) = HeaderValue::try_from(format!("{host}-shadow{port}")) {
        call.set_authority(value);
    }
}
