//! Switching protocols: WebSocket and the like, and CONNECT. Both sides are taken over and bytes are relayed.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;

use super::{
    flight::Flight,
    forward::prepare::Prepared,
    headers,
    reply::{self, DownBody},
    serve::Conn,
};
use crate::{
    tcp::relay,
    upstream::{breaker::Active, pool::Hold},
};

/// Whether the endpoint agreed to switch.
pub(super) fn is_accepted(response: &Response<Incoming>, is_connect: bool) -> bool {
    match response.version() {
        http::Version::HTTP_2 => response.status().is_success(),
        _ if is_connect => response.status().is_success(),
        _ => response.status() == StatusCode::SWITCHING_PROTOCOLS,
    }
}

/// Answers the client that it may switch, and relays from then on. The record goes with the relay.
pub(super) fn switch(
    conn: &Rc<Conn>,
    mut response: Response<Incoming>,
    (hold, active): (Hold, Active),
    mut flight: Flight,
    on_upgrade: Option<OnUpgrade>,
    prepared: &Prepared,
) -> Response<DownBody> {
    let upstream = hyper::upgrade::on(&mut response);
    let (mut parts, _) = response.into_parts();
    headers::remove_hop_by_hop(&mut parts.headers, true);
    let status = answer_head(&mut parts.headers, &flight, prepared);
    let phase = conn.upgraded_phase();
    let idle = prepared.timing.idle;
    flight.info.status = status.as_u16();
    conn.worker.tasks.spawn(async move {
        let Some(on_upgrade) = on_upgrade else { return };
        if let (Ok(client), Ok(endpoint)) = tokio::join!(on_upgrade, upstream) {
            let moved = relay::relay(TokioIo::new(client), TokioIo::new(endpoint), idle, phase).await;
            flight.info.bytes_received += moved.up;
            flight.info.bytes_sent += moved.down;
            flight.complete();
        }
        drop((hold, active));
    });
    reply::bare(status, parts.headers, Bytes::new())
}

/// The status and headers by which this client learns that it may switch: 101 in HTTP/1, 200 in HTTP/2 and for CONNECT.
fn answer_head(headers: &mut HeaderMap, flight: &Flight, prepared: &Prepared) -> StatusCode {
    let http2 = flight.info.version == http::Version::HTTP_2;
    if http2 || prepared.is_connect {
        headers.remove(header::UPGRADE);
        headers.remove(header::CONNECTION);
        headers.remove(header::CONTENT_LENGTH);
        return StatusCode::OK;
    }
    if !headers.contains_key(header::UPGRADE)
        && let Some(name) = prepared.upgrade.as_deref().and_then(|name| HeaderValue::from_str(name).ok())
    {
        headers.insert(header::UPGRADE, name);
    }
    headers.entry(header::CONNECTION).or_insert(HeaderValue::from_static("upgrade"));
    StatusCode::SWITCHING_PROTOCOLS
}

/// Gives a request the form in which an HTTP/1 endpoint is asked to switch.
pub(super) fn ask_http1(method: &mut http::Method, headers: &mut HeaderMap, protocol: &Arc<str>) {
    if *method == http::Method::CONNECT && &**protocol != "connect" {
        *method = http::Method::GET;
    }
    if &**protocol != "connect" && !headers.contains_key(header::UPGRADE) {
        if let Ok(name) = HeaderValue::from_str(protocol) {
            headers.insert(header::UPGRADE, name);
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        // RFC 8441 §5: HTTP/2 has no key to answer to.
        if &**protocol == "websocket" && !headers.contains_key("sec-websocket-key") {
            use base64::Engine as _;
            let key = base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 16]>());
            if let Ok(key) = HeaderValue::try_from(key) {
                headers.insert("sec-websocket-key", key);
            }
        }
    }
}
