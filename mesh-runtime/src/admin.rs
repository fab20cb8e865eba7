//! A small HTTP server for operators: readiness, metrics, debug pages. A table of paths and closures; GET and POST, no bodies read, few connections.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use crate::drain::DrainWatch;
use crate::listen::Listener;
use crate::ready::Readiness;
use crate::task::Tasks;
use crate::telemetry::Logging;

/// Connections at once.
const CONNECTIONS: usize = 64;
/// A request must have arrived within this.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a handler sees of a request.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET (also for HEAD) or POST.
    pub method: Method,
    /// The path, percent-encoded as it came.
    pub path: String,
    /// The query's parameters, decoded; of equal names the last.
    pub query: BTreeMap<String, String>,
}

/// What a handler answers.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The media type.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

type Answer = Pin<Box<dyn Future<Output = Reply> + Send>>;
type Page = Arc<dyn Fn(Request) -> Answer + Send + Sync>;

/// Which path is answered by what.
#[derive(Clone, Default)]
pub struct Pages {
    exact: BTreeMap<(Verb, String), Page>,
    prefix: BTreeMap<String, Page>,
}

/// `http::Method` has no order, so its text.
type Verb = &'static str;

impl Reply {
    /// `200` with plain text.
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, content_type: "text/plain; charset=utf-8", body: body.into() }
    }

    /// `200` with JSON.
    #[must_use]
    pub fn json(body: &serde_json::Value) -> Self {
        Self { status: StatusCode::OK, content_type: "application/json", body: body.to_string().into() }
    }

    /// With another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With another media type.
    #[must_use]
    pub fn content_type(mut self, content_type: &'static str) -> Self {
        self.content_type = content_type;
        self
    }
}

impl Pages {
    /// Nothing yet; `/` will list what is added.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers GET and HEAD of a path.
    #[must_use]
    pub fn get<F, R>(mut self, path: &str, page: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        self.exact.insert(("GET", path.to_owned()), boxed(page));
        self
    }

    /// Answers POST of a path.
    #[must_use]
    pub fn post<F, R>(mut self, path: &str, page: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        self.exact.insert(("POST", path.to_owned()), boxed(page));
        self
    }

    /// Answers GET and HEAD of everything below a path that has no page of its own.
    #[must_use]
    pub fn below<F, R>(mut self, prefix: &str, page: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        self.prefix.insert(prefix.to_owned(), boxed(page));
        self
    }

    /// `/ready` (503 with what is waited for, until ready) and `/healthz` (200 as long as the process answers).
    #[must_use]
    pub fn readiness(self, readiness: Readiness) -> Self {
        let ready = move |_| {
            let pending: Vec<String> = readiness.pending().iter().map(ToString::to_string).collect();
            std::future::ready(if pending.is_empty() {
                Reply::text("ready\n")
            } else {
                Reply::text(format!("waiting for {}\n", pending.join(", "))).status(StatusCode::SERVICE_UNAVAILABLE)
            })
        };
        self.get("/ready", ready).get("/healthz", |_| std::future::ready(Reply::text("ok\n")))
    }

    /// `/logging`: GET shows the filter, `POST /logging?level=debug` (also `paths=a:debug,b:info`, as Envoy has it) replaces it.
    #[must_use]
    pub fn logging(self, logging: Logging) -> Self {
        let shown = logging.clone();
        let set = move |request: Request| {
            let wanted = request.query.get("level").or_else(|| request.query.get("paths")).cloned();
            let reply = match wanted.map(|filter| logging.set(&filter)) {
                Some(Ok(())) => Reply::text(format!("{}\n", logging.filter())),
                Some(Err(error)) => Reply::text(format!("{error}\n")).status(StatusCode::BAD_REQUEST),
                None => Reply::text("level: missing; for example POST /logging?level=debug\n").status(StatusCode::BAD_REQUEST),
            };
            std::future::ready(reply)
        };
        self.get("/logging", move |_| std::future::ready(Reply::text(format!("{}\n", shown.filter())))).post("/logging", set)
    }

    async fn answer(&self, request: Request) -> Reply {
        let method = if request.method == Method::HEAD { "GET" } else { request.method.as_str() };
        let mut exact = self.exact.iter().filter(|((_, path), _)| *path == request.path);
        if let Some((_, page)) = exact.clone().find(|((known, _), _)| *known == method) {
            return page(request).await;
        }
        if exact.next().is_some() {
            return Reply::text("method not allowed\n").status(StatusCode::METHOD_NOT_ALLOWED);
        }
        let below = self.prefix.iter().rev().find(|(prefix, _)| request.path.starts_with(prefix.as_str()));
        match below {
            Some((_, page)) if method == "GET" => page(request).await,
            _ if request.path == "/" => Reply::text(self.list()),
            _ => Reply::text("not found; / lists what there is\n").status(StatusCode::NOT_FOUND),
        }
    }

    fn list(&self) -> String {
        let exact = self.exact.keys().map(|(method, path)| format!("{method} {path}\n"));
        exact.chain(self.prefix.keys().map(|prefix| format!("GET {prefix}…\n"))).collect()
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.list())
    }
}

/// Serves the pages until the drain is forced: operators want to look at a draining process too.
pub async fn serve(listener: Listener, pages: Pages, drain: DrainWatch) {
    let (pages, permits, connections) = (Arc::new(pages), Arc::new(Semaphore::new(CONNECTIONS)), Tasks::new("admin"));
    loop {
        let next = async {
            let permit = permits.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            biased;
            () = drain.forced() => return,
            next = next => next,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let pages = pages.clone();
        connections.spawn("connection", async move {
            let _permit = permit;
            let service = service_fn(move |request| respond(pages.clone(), request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "admin connection");
            }
        });
    }
}

async fn respond(pages: Arc<Pages>, request: http::Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let query = request.uri().query().unwrap_or_default();
    let query = query.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(name), decode(value))
    });
    let request = Request { method: request.method().clone(), path: request.uri().path().to_owned(), query: query.collect() };
    let reply = pages.answer(request).await;
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, max-age=0"));
    Ok(response)
}

/// Percent-decoding; `+` is a space. What does not decode stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = tail;
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn boxed<F, R>(page: F) -> Page
where
    F: Fn(Request) -> R + Send + Sync + 'static,
    R: Future<Output = Reply> + Send + 'static,
{
    Arc::new(move |request| Box::pin(page(request)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::listen::Options;

    async fn ask(address: std::net::SocketAddr, line: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn serves_readiness_and_pages() {
        let readiness = Readiness::new();
        let blocker = readiness.block("xds");
        let pages =
            Pages::new().readiness(readiness).below("/debug/", |request| async move { Reply::text(format!("{:?}", request.query)) });
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), Options::default()).unwrap();
        let address = listener.address().tcp().unwrap();
        let (trigger, drain) = crate::drain::channel();
        let tasks = Tasks::new("test");
        tasks.spawn("admin", serve(listener, pages, drain));

        let waiting = ask(address, "GET /ready").await;
        assert!(waiting.starts_with("HTTP/1.1 503") && waiting.ends_with("waiting for xds\n"), "{waiting}");
        blocker.ready();
        assert!(ask(address, "GET /ready").await.ends_with("ready\n"));
        assert!(ask(address, "POST /ready").await.starts_with("HTTP/1.1 405"));
        assert!(ask(address, "GET /nope").await.starts_with("HTTP/1.1 404"));
        assert!(ask(address, "GET /debug/x?a=b%20c+d&e").await.ends_with(r#"{"a": "b c d", "e": ""}"#));
        assert!(ask(address, "GET /").await.contains("GET /healthz\n"));
        drop(trigger);
        tasks.idle().await;
    }
}
