//! Switching protocols: WebSocket and the like, and CONNECT. Both sides are taken over and bytes are relayed.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;

use super::{flight::Flight, request::Kind, serve::Conn};
use crate::{
    tcp::relay,
    upstream::{breaker::Active, pool::Hold},
};

/// Both sides of a switch to another protocol, until the client knows of it.
pub(super) struct Switch {
    pub(super) upstream: OnUpgrade,
    /// `None`: the client's connection cannot be taken over, and is closed.
    pub(super) client: Option<OnUpgrade>,
    pub(super) idle: Option<Duration>,
    pub(super) hold: Hold,
    pub(super) active: Active,
}

/// Whether the endpoint agreed to switch.
pub(super) fn is_accepted(response: &Response<Incoming>, kind: &Kind) -> bool {
    match (kind, response.version()) {
        (Kind::Plain, _) => false,
        (Kind::Connect, _) | (Kind::Upgrade(_), http::Version::HTTP_2) => response.status().is_success(),
        (Kind::Upgrade(_), _) => response.status() == StatusCode::SWITCHING_PROTOCOLS,
    }
}

impl Switch {
    /// Relays once both sides have switched. The record goes with the relay.
    pub(super) fn relay(self, conn: &Conn, mut flight: Flight) {
        let Self { upstream, client, idle, hold, active } = self;
        let phase = conn.upgraded_phase();
        conn.worker.tasks.spawn(async move {
            let Some(client) = client else { return };
            if let (Ok(client), Ok(endpoint)) = tokio::join!(client, upstream) {
                let moved = relay::relay(TokioIo::new(client), TokioIo::new(endpoint), idle, phase).await;
                flight.info.bytes_received += moved.up;
                flight.info.bytes_sent += moved.down;
                flight.complete();
            }
            drop((hold, active));
        });
    }
}

/// The status and headers by which this client learns that it may switch: 101 in HTTP/1, 200 in HTTP/2 and for CONNECT.
pub(super) fn answer_head(headers: &mut HeaderMap, flight: &Flight, kind: &Kind) -> StatusCode {
    let http2 = flight.info.version == http::Version::HTTP_2;
    if http2 || *kind == Kind::Connect {
        headers.remove(header::UPGRADE);
        headers.remove(header::CONNECTION);
        headers.remove(header::CONTENT_LENGTH);
        return StatusCode::OK;
    }
    if !headers.contains_key(header::UPGRADE)
        && let Some(name) = kind.protocol().and_then(|name| HeaderValue::from_str(name).ok())
    {
        headers.insert(header::UPGRADE, name);
    }
    headers.entry(header::CONNECTION).or_insert(HeaderValue::from_static("upgrade"));
    StatusCode::SWITCHING_PROTOCOLS
}

/// Adds what an HTTP/1 endpoint needs to switch and an HTTP/2 client does not say: RFC 8441 §5 has no key to answer to.
pub(super) fn ask_http1(headers: &mut HeaderMap, protocol: &str) {
    if protocol == "websocket" && !headers.contains_key("sec-websocket-key") {
        use base64::Engine as _;
        let key = base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 16]>());
        if let Ok(key) = HeaderValue::try_from(key) {
            headers.insert("sec-websocket-key", key);
        }
    }
}
