//! One try: pick an endpoint, send, wait for headers within the limits.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Instant,
};

use http::Response;
use hyper::body::Incoming;

use super::{
    super::{
        body::{RequestBody, UpBody},
        filter,
        flight::Flight,
        request::Kind,
    },
    Prepared, Scene, prepare,
};
use crate::{
    error::{Failure, LocalReply},
    plan::{Pick, PickRequest, pick},
    snapshot::{Cluster, Endpoint, Forward, UpstreamTransport},
    upstream::{
        connect,
        pool::{Destination, Protocol, Sent, Want},
    },
};

/// Which try it is.
pub(super) const ATTEMPT_COUNT: http::HeaderName = http::HeaderName::from_static("x-envoy-attempt-count");

/// Where a try goes.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) cluster: &'a Arc<Cluster>,
    pub(super) endpoint: &'a Arc<Endpoint>,
    pub(super) settings: &'a Forward,
}

/// Picks an endpoint for the next try.
pub(super) fn choose(
    scene: &Scene<'_>,
    settings: &Forward,
    cluster: &Cluster,
    prepared: &Prepared,
    tried: &[Arc<Endpoint>],
) -> Result<Arc<Endpoint>, LocalReply> {
    let avoid = settings.retry.as_deref().filter(|policy| policy.avoid_previous_hosts);
    let request = PickRequest {
        hash: prepared.hash,
        excluded: if avoid.is_some() { tried } else { &[] },
        host_attempts: avoid.map_or(0, |policy| policy.host_attempts),
        metadata_match: &settings.metadata_match,
    };
    let worker = &scene.conn.worker;
    match pick(cluster, &mut worker.balancers.borrow_mut(), &request, &mut rand::random) {
        Pick::Endpoint(picked) => Ok(picked.endpoint),
        Pick::OriginalDestination => Ok(worker.original.endpoint(cluster, scene.conn.connection.local)),
        Pick::Nothing(_) => Err(LocalReply::no_healthy_upstream()),
    }
}

/// Sends the request once, and waits for the answer's headers.
pub(super) async fn attempt(scene: &Scene<'_>, target: Target<'_>, prepared: &mut Prepared, flight: &Flight) -> Result<Sent, Failure> {
    let Target { cluster, endpoint, settings } = target;
    let last = prepared.retry.as_ref().is_none_or(|retry| flight.info.attempts > retry.retries);
    let call = if last { prepared.call.take() } else { prepared.call.clone() };
    let Some(mut call) = call else { return Err(Failure::Downstream) };
    if prepared.auto_host
        && let Some(hostname) = endpoint.hostname.as_deref()
        && let Ok(new) = http::HeaderValue::from_str(hostname)
    {
        prepare::replace_host(settings, &mut call, new);
    }
    if prepared.attempt_count {
        call.headers.insert(ATTEMPT_COUNT, http::HeaderValue::from(flight.info.attempts));
    }
    if flight.info.attempts > 1
        && call.headers.contains_key(prepare::EXPECTED_TIMEOUT)
        && let Some(left) = prepared.timing.expected(false)
    {
        call.headers.insert(prepare::EXPECTED_TIMEOUT, http::HeaderValue::from(left));
    }
    let transport = connect::transport_of(cluster, endpoint);
    // A switch of protocols takes the connection over; HTTP/1 is what can be taken over whatever ALPN would say.
    let protocol = match Protocol::of(cluster.protocol, call.version) {
        Protocol::Auto if call.kind != Kind::Plain => Protocol::Http1,
        protocol => protocol,
    };
    let offer = filter::offer(prepared.istio_alpn, cluster.protocol, protocol, transport);
    let authority = call.authority.clone();
    let server_name = match transport {
        UpstreamTransport::Tls(tls) if tls.auto_host_sni => Some(host_of(&authority)),
        _ => None,
    };
    let want = Want { protocol, offer, server_name, high_priority: settings.high_priority };
    let body = flight.body().map_or(UpBody::Empty, RequestBody::next_try);
    let request = call.into_request(protocol != Protocol::Http1, body).map_err(|_| Failure::Protocol)?;
    let worker = &scene.conn.worker;
    let to = Destination { contexts: &worker.tls, cluster, endpoint, want };
    let sending = worker.pools.send(to, request);
    let result = within(prepared, (flight.body(), scene.conn.buffer_limit), sending).await;
    match result {
        // Our own body failed: the client broke off.
        Err(_) if flight.body().is_some_and(RequestBody::has_failed) => Err(Failure::Downstream),
        other => other,
    }
}

/// Waits for `sending` within the request's and the try's limits.
async fn within(
    prepared: &Prepared,
    (body, buffer_limit): (Option<&RequestBody>, usize),
    sending: impl Future<Output = Result<Sent, Failure>>,
) -> Result<Sent, Failure> {
    let timing = prepared.timing;
    let start = Instant::now();
    let mut sending = pin!(sending);
    let Some((first, _)) = timing.next(start, body) else { return sending.await };
    let mut timer = pin!(tokio::time::sleep_until(first.into()));
    poll_fn(|cx| {
        if let Poll::Ready(result) = sending.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        if let Some(body) = body {
            // The limits run from the request's end, which comes even while there is no connection to send it on.
            let _ = body.poll_ahead(cx, buffer_limit);
        }
        while timer.as_mut().poll(cx).is_ready() {
            let Some((at, failure)) = timing.next(start, body) else { return Poll::Pending };
            if let Some(failure) = failure
                && Instant::now() >= at
            {
                return Poll::Ready(Err(failure));
            }
            timer.as_mut().reset(at.into());
        }
        Poll::Pending
    })
    .await
}

fn host_of(authority: &str) -> &str {
    let host = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    };
    host.trim_start_matches('[').trim_end_matches(']')
}

/// A response's status, or that of its `grpc-status` if it has only trailers.
pub(super) fn effective_status(response: &Response<Incoming>) -> u16 {
    let grpc = response.headers().get("grpc-status").and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    match grpc {
        None => response.status().as_u16(),
        Some(0 | 1 | 3 | 5 | 6 | 7 | 9 | 10 | 11 | 16) => 200,
        Some(4) => 504,
        Some(8) => 429,
        Some(12) => 501,
        Some(14) => 503,
        Some(_) => 500,
    }
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
