//! The shop of the demo: `frontend → advertisement → inventory`, three tiny HTTP services on Unix sockets.
//!
//! They know nothing of the mesh but their `HTTP_PROXY`, and forward trace headers as any app must. They listen on Unix
//! sockets in the mesh's private folder because on one machine without interception a loopback port could be called
//! around the sidecar by anybody.

mod client;
mod control;

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use mesh_runtime::{
    drain::DrainWatch,
    listen::{self, Address, Listener},
    task::Tasks,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::control::control;

/// Headers an app hands on so that a trace stays one trace, and those the shop's rules look at.
const PROPAGATED: &[&str] = &[
    "x-request-id",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-user",
];

/// How to run one service of the shop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    /// `frontend`, `advertisement` or `inventory`.
    pub service: String,
    /// Its version label.
    pub version: String,
    /// Its own name, told in answers.
    pub name: String,
    /// Where it listens.
    pub socket: PathBuf,
    /// Its sidecar's HTTP proxy, `ip:port`.
    pub http_proxy: std::net::SocketAddr,
}

struct Shop {
    config: Config,
    proxy: client::Proxy,
    served: AtomicU64,
    broken: AtomicBool,
}

/// Serves until drained.
///
/// # Errors
/// When the socket cannot be bound.
pub async fn run(config: Config, ready: impl FnOnce(), drain: DrainWatch) -> std::io::Result<()> {
    // Takes the place of a socket that a killed predecessor left, and removes its own in the end.
    let address = Address::Unix(config.socket.clone());
    let listener = Listener::bind(&address, listen::Options::default()).map_err(std::io::Error::other)?;
    ready();
    let shop =
        Arc::new(Shop { proxy: client::Proxy::new(config.http_proxy), config, served: AtomicU64::new(0), broken: AtomicBool::new(false) });
    let tasks = Tasks::new("shop");
    loop {
        let stream = tokio::select! {
            () = drain.draining() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "accept");
                    continue;
                }
            },
        };
        let shop = shop.clone();
        let drain = drain.clone();
        tasks.spawn("connection", async move {
            let service = service_fn(move |request| {
                let shop = shop.clone();
                async move { Ok::<_, Infallible>(shop.serve(request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = drain.draining() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection");
            }
        });
    }
    tasks.shutdown(std::time::Duration::from_secs(2)).await;
    Ok(())
}

impl Shop {
    async fn serve(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        // For the check that breaks one replica. Through the mesh only GET reaches the inventory (its AuthorizationPolicy).
        if let Some(command) = path.strip_prefix("/control/") {
            return self.control(request.method(), command);
        }
        self.served.fetch_add(1, Ordering::Relaxed);
        if self.broken.load(Ordering::Relaxed) {
            return self.answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": "told to fail"}));
        }
        match (self.config.service.as_str(), path) {
            ("frontend", "/direct") => self.relay("inventory", "/", request.headers()).await,
            ("frontend", path) => self.relay("advertisement", path, request.headers()).await,
            ("advertisement", _) => self.relay("inventory", "/", request.headers()).await,
            _ => self.answer(StatusCode::OK, &json!({"stock": 12})),
        }
    }

    async fn relay(&self, next: &str, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let mut handed_on = HeaderMap::new();
        for name in PROPAGATED {
            if let Some(value) = headers.get(*name) {
                handed_on.insert(http::HeaderName::from_static(name), value.clone());
            }
        }
        match self.proxy.get(next, path, handed_on).await {
            Ok((status, body)) if status.is_success() => {
                let inner = serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null);
                self.answer(StatusCode::OK, &json!({ "from": inner }))
            }
            Ok((status, body)) => self.answer(status, &json!({"error": String::from_utf8_lossy(&body), "at": next})),
            Err(error) => self.answer(StatusCode::BAD_GATEWAY, &json!({"error": error.to_string(), "at": next})),
        }
    }

    fn control(&self, method: &Method, command: &str) -> Response<Full<Bytes>> {
        if method != Method::POST {
            return self.answer(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": "POST it"}));
        }
        match command {
            "break" => self.broken.store(true, Ordering::Relaxed),
            "mend" => self.broken.store(false, Ordering::Relaxed),
            "served" => {}
            _ => return self.answer(StatusCode::NOT_FOUND, &json!({"error": "break, mend or served"})),
        }
        self.answer(StatusCode::OK, &json!({"served": self.served.load(Ordering::Relaxed)}))
    }

    /// Every answer names who gave it.
    fn answer(&self, status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
        let Config { service, version, name, .. } = &self.config;
        let mut all = json!({"service": service, "version": version, "workload": name});
        if let (Some(all), Some(body)) = (all.as_object_mut(), body.as_object()) {
            all.extend(body.clone());
        }
        let mut response = Response::new(Full::from(all.to_string()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        response
    }
}
