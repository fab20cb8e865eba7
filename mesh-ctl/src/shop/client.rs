//! HTTP/1.1 through a forward proxy (absolute-form requests, RFC 9112 §3.2.2), with a small pool of connections.

use std::{net::SocketAddr, sync::Mutex, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use mesh_runtime::task::Tasks;
use tokio::net::TcpStream;

/// Answers are small; anything larger is an error, not memory.
const MAX_BODY: usize = 1 << 20;
/// Connections kept for the next request.
const MAX_IDLE: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(15);

type Connection = SendRequest<Empty<Bytes>>;

/// A pool of connections to one HTTP proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    address: SocketAddr,
    idle: Mutex<Vec<Connection>>,
    tasks: Tasks,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the sidecar at {0} cannot be reached: {1}")]
    Connect(SocketAddr, std::io::Error),
    #[error("the sidecar did not answer: {0}")]
    Http(#[from] hyper::Error),
    #[error("no valid request: {0}")]
    Request(#[from] http::Error),
    #[error("the answer cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {TIMEOUT:?}")]
    Timeout,
}

impl Proxy {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, idle: Mutex::default(), tasks: Tasks::new("shop client") }
    }

    /// GETs `http://{host}{path}`.
    pub(super) async fn get(&self, host: &str, path: &str, headers: HeaderMap) -> Result<(StatusCode, Bytes), Error> {
        tokio::time::timeout(TIMEOUT, self.try_get(host, path, headers)).await.map_err(|_| Error::Timeout)?
    }

    async fn try_get(&self, host: &str, path: &str, headers: HeaderMap) -> Result<(StatusCode, Bytes), Error> {
        let mut request = Request::get(format!("http://{host}{path}")).body(Empty::new())?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, HeaderValue::try_from(host).map_err(http::Error::from)?);
        let (connection, response) = self.send(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(Error::Body)?.to_bytes();
        if let Ok(mut idle) = self.idle.lock()
            && idle.len() < MAX_IDLE
            && !connection.is_closed()
        {
            idle.push(connection);
        }
        Ok((status, body))
    }

    /// A pooled connection may close just as it is used: what it did not take is sent again on another.
    async fn send(&self, mut request: Request<Empty<Bytes>>) -> Result<(Connection, Response<Incoming>), Error> {
        loop {
            let mut connection = self.connection().await?;
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((connection, response)),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(failed.into_error().into()),
                },
            }
        }
    }

    async fn connection(&self) -> Result<Connection, Error> {
        loop {
            let pooled = self.idle.lock().ok().and_then(|mut idle| idle.pop());
            let Some(mut pooled) = pooled else { break };
            // Ready means that the proxy has not closed it since.
            if pooled.ready().await.is_ok() {
                return Ok(pooled);
            }
        }
        let stream = TcpStream::connect(self.address).await.map_err(|e| Error::Connect(self.address, e))?;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        self.tasks.spawn("proxy connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to the sidecar");
            }
        });
        Ok(sender)
    }
}
