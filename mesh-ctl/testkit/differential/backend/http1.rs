//! A backend that speaks HTTP/1.1.

use std::{io, time::Duration};

use tokio::io::AsyncWriteExt as _;

use super::Server;
use crate::differential::{
    observe::Seen,
    scenario::{Reply, Reset},
    wire::{Head, Io, Length, Wire, chunked},
};

/// Whether the connection goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Keep,
    Close,
}

/// Answers until either side has enough.
pub(super) async fn serve(server: &Server, io: Box<dyn Io>, tls: Option<String>) -> io::Result<()> {
    let mut wire = Wire::new(io);
    while let Some(head) = wire.head().await? {
        if head.header("expect").is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue")) {
            wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = wire.body(head.length(Length::Known(0))).await;
        let (method, target, version) = start(&head);
        server.record(Seen {
            backend: server.name.clone(),
            version,
            method: method.clone(),
            target: target.clone(),
            headers: head.headers.clone(),
            body: body.data,
            trailers: body.trailers,
            tls: tls.clone(),
        });
        let reply = server.reply(&target);
        tokio::time::sleep(Duration::from_millis(reply.delay_ms)).await;
        let body = server.body(&reply, &method, &target);
        if answer(&mut wire, &reply, &method, &body).await? == Next::Close {
            return wire.io.shutdown().await;
        }
        if head.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            return wire.io.shutdown().await;
        }
    }
    Ok(())
}

async fn answer(wire: &mut Wire, reply: &Reply, method: &str, body: &[u8]) -> io::Result<Next> {
    if reply.reset == Some(Reset::BeforeHeaders) {
        return Ok(Next::Close);
    }
    if let Some(raw) = &reply.raw {
        wire.write(raw.as_bytes()).await?;
        return Ok(Next::Close);
    }
    for status in &reply.informational {
        wire.write(format!("HTTP/1.1 {status} Early\r\nx-interim: {status}\r\n\r\n").as_bytes()).await?;
    }
    let status = reply.status.unwrap_or(200);
    let bare = status == 204 || status == 304 || status < 200;
    let mut head = format!("HTTP/1.{} {status} {}\r\n", u8::from(!reply.until_close), reason(status));
    for line in &reply.headers {
        head.push_str(line);
        head.push_str("\r\n");
    }
    if bare || reply.until_close {
    } else if reply.chunked || !reply.trailers.is_empty() {
        head.push_str("transfer-encoding: chunked\r\n");
    } else {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    if reply.close {
        head.push_str("connection: close\r\n");
    }
    head.push_str("\r\n");
    wire.write(head.as_bytes()).await?;
    let cut = reply.reset == Some(Reset::MidBody);
    if reply.tunnel {
        return tunnel(wire).await;
    }
    if !bare && method != "HEAD" {
        let sent = if cut { &body[..body.len() / 2] } else { body };
        if reply.chunked || !reply.trailers.is_empty() {
            wire.write(&chunked(sent, &reply.trailers, !cut)).await?;
        } else {
            wire.write(sent).await?;
        }
    }
    Ok(if cut || reply.close || reply.until_close { Next::Close } else { Next::Keep })
}

/// Gives back what comes, until the end.
async fn tunnel(wire: &mut Wire) -> io::Result<Next> {
    loop {
        let bytes = wire.some().await?;
        if bytes.is_empty() {
            return Ok(Next::Close);
        }
        wire.write(&bytes).await?;
    }
}

fn start(head: &Head) -> (String, String, &'static str) {
    let mut words = head.start.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let version = if words.next() == Some("HTTP/1.0") { "1.0" } else { "1.1" };
    (method, target, version)
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Status")
}
