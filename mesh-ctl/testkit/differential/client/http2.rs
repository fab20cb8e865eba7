//! Requests over HTTP/2.

use anyhow::{Context, Result};
use http::{HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use mesh_runtime::task::Spawner;

use super::{broken, http1::body};
use crate::differential::{
    backend::Executor,
    observe::{Outcome, Response},
    scenario::Request,
    wire::{Wire, header_map, pairs, stream},
};

/// Sends the request on a connection of its own and reads the answer.
pub(super) async fn exchange(wire: Wire, request: &Request, tls: bool, spawner: Spawner) -> Result<Outcome> {
    let handshake = hyper::client::conn::http2::handshake(Executor(spawner.clone()), TokioIo::new(wire.io)).await;
    let Ok((mut sender, connection)) = handshake else { return Ok(broken(tls)) };
    spawner.spawn("connection", async move { drop(connection.await) });
    let Ok(answer) = sender.send_request(message(request, tls)?).await else { return Ok(broken(tls)) };
    let (parts, mut body) = answer.into_parts();
    let mut response =
        Response { version: "2", status: parts.status.as_u16(), headers: pairs(&parts.headers), end: "complete", ..Response::default() };
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            response.end = "cut short";
            break;
        };
        match frame.into_data() {
            Ok(data) => response.body.extend(&data),
            Err(frame) => response.trailers.extend(frame.trailers_ref().map(pairs).unwrap_or_default()),
        }
    }
    Ok(Outcome::Response(Box::new(response)))
}

fn message(request: &Request, tls: bool) -> Result<http::Request<crate::differential::wire::Stream>> {
    let scheme = if tls { "https" } else { "http" };
    let host = request.host.as_deref().unwrap_or("test.example");
    let uri = format!("{scheme}://{host}{}", request.path.as_deref().unwrap_or("/"));
    let mut message = http::Request::builder().method(request.method.as_deref().unwrap_or("GET")).uri(uri);
    let headers = message.headers_mut().context("method or path is not valid")?;
    for (name, value) in header_map(&request.headers).iter().map(|(name, value)| (name.clone(), value.clone())) {
        headers.append::<HeaderName>(name, value);
    }
    let body = body(request);
    if let Some(body) = body.as_ref().filter(|_| !request.chunked && request.trailers.is_empty()) {
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    Ok(message.body(stream(body.unwrap_or_default(), &request.trailers, false))?)
}
