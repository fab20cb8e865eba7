//! A backend that speaks HTTP/2, with or without TLS.

use std::{io, sync::Arc, time::Duration};

use http_body_util::BodyExt as _;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_runtime::task::Spawner;

use super::Server;
use crate::differential::{
    observe::Seen,
    scenario::Reset,
    wire::{Io, Stream, header_map, pairs, stream},
};

/// Starts hyper's tasks under an owner of ours.
#[derive(Clone)]
pub(in crate::differential) struct Executor(pub(in crate::differential) Spawner);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn("http2", async move { drop(future.await) });
    }
}

/// Answers until the connection ends.
pub(super) async fn serve(server: Arc<Server>, io: Box<dyn Io>, tls: Option<String>) -> io::Result<()> {
    let executor = Executor(server.spawner.clone());
    let service = service_fn(move |request| answer(server.clone(), tls.clone(), request));
    let serving = hyper::server::conn::http2::Builder::new(executor).timer(TokioTimer::new()).serve_connection(TokioIo::new(io), service);
    serving.await.map_err(io::Error::other)
}

async fn answer(server: Arc<Server>, tls: Option<String>, request: Request<Incoming>) -> io::Result<Response<Stream>> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or_else(|| "*".to_owned(), ToString::to_string);
    let method = parts.method.to_string();
    let collected = body.collect().await;
    let (trailers, data) = match collected {
        Ok(collected) => (collected.trailers().map(pairs).unwrap_or_default(), collected.to_bytes().to_vec()),
        Err(_) => (Vec::new(), b"(cut short)".to_vec()),
    };
    let mut headers = pairs(&parts.headers);
    headers.insert(0, (":authority".to_owned(), parts.uri.authority().map(ToString::to_string).unwrap_or_default()));
    headers.insert(0, (":scheme".to_owned(), parts.uri.scheme_str().unwrap_or_default().to_owned()));
    server.record(Seen {
        backend: server.name.clone(),
        version: "2",
        method: method.clone(),
        target: target.clone(),
        headers,
        body: data,
        trailers,
        tls,
    });
    let reply = server.reply(&target);
    tokio::time::sleep(Duration::from_millis(reply.delay_ms)).await;
    if reply.reset == Some(Reset::BeforeHeaders) {
        return Err(io::Error::other("a scripted reset"));
    }
    let broken = reply.reset == Some(Reset::MidBody);
    let body = if method == "HEAD" || reply.body_size == Some(0) { Vec::new() } else { server.body(&reply, &method, &target) };
    let mut response = Response::new(stream(body, &reply.trailers, broken));
    *response.status_mut() = http::StatusCode::from_u16(reply.status.unwrap_or(200)).map_err(io::Error::other)?;
    *response.headers_mut() = header_map(&reply.headers);
    Ok(response)
}
