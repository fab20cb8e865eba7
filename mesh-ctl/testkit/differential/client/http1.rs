//! Requests over HTTP/1.

use std::{io, time::Duration};

use super::broken;
use crate::differential::{
    observe::{Outcome, Response},
    scenario::{Request, Version},
    wire::{Head, Length, Wire, chunked},
};

/// How long the end of a connection is waited for when a scenario asks whether it comes.
const CLOSE_WAIT: Duration = Duration::from_millis(1500);

/// Sends the request and reads the answer; gives the connection back if it can serve again.
pub(super) async fn exchange(mut wire: Wire, request: &Request, tls: bool) -> (Outcome, Option<Wire>) {
    // A proxy may answer and close before it has read everything: the answer counts, not the broken pipe.
    let _sent = wire.write(&message(request)).await;
    let mut response = Response { end: "complete", ..Response::default() };
    let head = match interim(&mut wire, &mut response).await {
        Ok(Some(head)) => head,
        Ok(None) => return (Outcome::Closed, None),
        Err(_) => return (broken(tls), None),
    };
    response.version = if head.start.starts_with("HTTP/1.0") { "1.0" } else { "1.1" };
    response.headers = head.headers.clone();
    let method = request.method.as_deref().unwrap_or("GET");
    let opened = response.status == 101 || (method == "CONNECT" && response.status == 200);
    let bare = opened || method == "HEAD" || matches!(response.status, 204 | 304);
    if let Some(text) = request.tunnel.as_ref().filter(|_| opened) {
        let sent = wire.write(text.as_bytes()).await.is_ok();
        if !sent || !wire.exactly(text.len(), &mut response.body).await {
            response.end = "cut short";
        }
    } else if !bare {
        let body = wire.body(head.length(Length::UntilClose)).await;
        response.body = body.data;
        response.trailers = body.trailers;
        response.end = if body.complete { "complete" } else { "cut short" };
    }
    if request.observe_close {
        let mut rest = Vec::new();
        response.closed = Some(tokio::time::timeout(CLOSE_WAIT, wire.rest(&mut rest)).await.is_ok());
    }
    let keep = response.end == "complete" && !opened && response.closed != Some(true);
    (Outcome::Response(Box::new(response)), keep.then_some(wire))
}

/// Reads a head; interim ones are noted and the next is read.
async fn interim(wire: &mut Wire, response: &mut Response) -> io::Result<Option<Head>> {
    loop {
        let Some(head) = wire.head().await? else { return Ok(None) };
        let status = head.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        if (100..200).contains(&status) && status != 101 {
            response.informational.push(status);
            continue;
        }
        response.status = status;
        return Ok(Some(head));
    }
}

fn message(request: &Request) -> Vec<u8> {
    if let Some(raw) = &request.raw {
        return raw.clone().into_bytes();
    }
    let version = if request.version == Version::Http10 { "1.0" } else { "1.1" };
    let method = request.method.as_deref().unwrap_or("GET");
    let mut head = format!("{method} {} HTTP/{version}\r\n", request.path.as_deref().unwrap_or("/"));
    let host = request.host.as_deref().unwrap_or("test.example");
    if !host.is_empty() {
        head.push_str(&format!("host: {host}\r\n"));
    }
    for line in &request.headers {
        head.push_str(line);
        head.push_str("\r\n");
    }
    let body = body(request);
    let chunks = request.chunked || !request.trailers.is_empty();
    if chunks {
        head.push_str("transfer-encoding: chunked\r\n");
    } else if let Some(body) = &body {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    match body {
        body if chunks => bytes.extend(chunked(&body.unwrap_or_default(), &request.trailers, true)),
        Some(body) => bytes.extend(body),
        None => {}
    }
    bytes
}

/// The body, if the request has one.
pub(super) fn body(request: &Request) -> Option<Vec<u8>> {
    match (&request.body, request.body_size) {
        (Some(body), _) => Some(body.clone().into_bytes()),
        (None, Some(size)) => Some(vec![b'x'; size]),
        (None, None) => None,
    }
}
