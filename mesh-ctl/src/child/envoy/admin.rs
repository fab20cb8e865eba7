//! A client of Envoy's admin interface: one connection a request, for there are few.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header::HOST};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Statistics of a small proxy are some hundred KiB.
const MAX_BODY: usize = 4 << 20;
const TIMEOUT: Duration = Duration::from_secs(2);

/// An admin interface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admin(SocketAddr);

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, std::io::Error),
    #[error("{0}")]
    Request(#[from] http::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the answer cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {TIMEOUT:?}")]
    Timeout,
}

impl Admin {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    pub(super) async fn get(self, path: &str) -> Result<(StatusCode, String), Error> {
        self.call(Method::GET, path).await
    }

    pub(super) async fn post(self, path: &str) -> Result<(StatusCode, String), Error> {
        self.call(Method::POST, path).await
    }

    async fn call(self, method: Method, path: &str) -> Result<(StatusCode, String), Error> {
        timeout(TIMEOUT, self.try_call(method, path)).await.map_err(|_| Error::Timeout)?
    }

    async fn try_call(self, method: Method, path: &str) -> Result<(StatusCode, String), Error> {
        let stream = TcpStream::connect(self.0).await.map_err(|error| Error::Connect(self.0, error))?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        let request = Request::builder().method(method).uri(path).header(HOST, "admin").body(Empty::<Bytes>::new())?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(Error::Body)?.to_bytes();
            // The connection's own half ends with its sender.
            drop(sender);
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        let (answer, _) = tokio::join!(exchange, connection);
        answer
    }
}
