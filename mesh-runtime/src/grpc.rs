//! Serving gRPC over TCP, TLS or a Unix socket, with the caller's proven identity in every request, bounded, and ending by drain.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mesh_proto::id::SpiffeId;
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use crate::connect::Io;
use crate::drain::{DrainWatch, Guard};
use crate::listen::{Listener, Stream};
use crate::task::Tasks;
use crate::tls::peer_spiffe_id;

/// Who is at the other end of a connection. A request's extensions hold it.
#[derive(Clone)]
pub struct Peer {
    /// Where the connection comes from.
    pub remote: Remote,
    /// The SPIFFE id of the verified client certificate; `None` without TLS, without a client certificate, or when that certificate does not carry exactly one.
    pub identity: Option<SpiffeId>,
    /// The verified client certificate and its chain, leaf first.
    pub certificates: Arc<[CertificateDer<'static>]>,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Remote {
    /// TCP, from this address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix,
}

/// How to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who we are and whom we admit (`tls::server_config`); `None` serves plaintext.
    pub tls: Option<Arc<ServerConfig>>,
    /// Connections at once, handshakes included; more wait in the kernel's queue.
    pub connections: usize,
    /// Streams at once on one connection.
    pub streams: u32,
    /// A TLS handshake must be done within this.
    pub handshake: Duration,
    /// An idle connection is pinged this often, and closed if it does not answer as quickly.
    pub keepalive: Duration,
}

impl Default for Options {
    /// Plaintext; 10 000 connections with 100 streams each; 10 s for a handshake; pings every 30 s.
    fn default() -> Self {
        Self { tls: None, connections: 10_000, streams: 100, handshake: Duration::from_secs(10), keepalive: Duration::from_secs(30) }
    }
}

/// Serves `routes` until the drain: then it accepts no more, lets requests finish (streaming services must end theirs), and returns; forced, it cuts them off.
///
/// # Errors
/// When the HTTP/2 server itself fails; a bad connection only hurts itself.
pub async fn serve(listener: Listener, routes: Routes, options: Options, drain: DrainWatch) -> Result<(), tonic::transport::Error> {
    let tasks = Tasks::new(format!("grpc {}", listener.address()));
    let (ready, accepted) = mpsc::channel(64);
    let signal = drain.clone();
    let server = Server::builder()
        .max_concurrent_streams(options.streams)
        .http2_keepalive_interval(Some(options.keepalive))
        .http2_keepalive_timeout(Some(options.keepalive))
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(accepted), async move { signal.draining().await });
    let forced = drain.clone();
    tasks.spawn("accept", accept(listener, options, drain, ready));
    tokio::select! {
        served = server => served,
        () = forced_and_late(forced) => Ok(()),
    }
}

/// Connections end by themselves when forced; this is for those that do not even look.
async fn forced_and_late(drain: DrainWatch) {
    drain.forced().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
}

async fn accept(listener: Listener, options: Options, drain: DrainWatch, ready: mpsc::Sender<Result<Connection, Infallible>>) {
    let permits = Arc::new(Semaphore::new(options.connections));
    let handshakes = Tasks::new("handshakes");
    loop {
        let next = async {
            let permit = permits.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            biased;
            () = drain.draining() => break,
            next = next => next,
        };
        let (Ok(permit), Ok((stream, remote))) = (permit, accepted) else {
            // Out of descriptors, most likely: wait for others to close theirs.
            tracing::warn!(address = %listener.address(), "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (options, drain, ready) = (options.clone(), drain.clone(), ready.clone());
        handshakes.spawn("handshake", async move {
            match tokio::time::timeout(options.handshake, establish(stream, remote, options.tls)).await {
                Ok(Ok((io, peer))) => {
                    let _ = ready.send(Ok(Connection::new(io, peer, permit, &drain))).await;
                }
                Ok(Err(error)) => tracing::debug!(%remote, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%remote, "TLS handshake took too long"),
            }
        });
    }
}

async fn establish(stream: Stream, remote: Remote, tls: Option<Arc<ServerConfig>>) -> io::Result<(Box<dyn Io>, Peer)> {
    let Some(tls) = tls else { return Ok((Box::new(stream), Peer::anonymous(remote))) };
    let stream = TlsAcceptor::from(tls).accept(stream).await?;
    // rustls shows certificates only after its verifier accepted them.
    let certificates: Arc<[_]> =
        stream.get_ref().1.peer_certificates().unwrap_or_default().iter().map(|der| der.clone().into_owned()).collect();
    let identity = certificates.first().and_then(|leaf| peer_spiffe_id(leaf).ok());
    Ok((Box::new(stream), Peer { remote, identity, certificates }))
}

/// A connection that counts, holds the drain up, and dies when forced.
struct Connection {
    io: Box<dyn Io>,
    peer: Peer,
    forced: Pin<Box<dyn Future<Output = ()> + Send>>,
    _guard: Guard,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn new(io: Box<dyn Io>, peer: Peer, permit: OwnedSemaphorePermit, drain: &DrainWatch) -> Self {
        let watch = drain.clone();
        Self { io, peer, forced: Box::pin(async move { watch.forced().await }), _guard: drain.guard(), _permit: permit }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.forced.as_mut().poll(cx).is_ready() {
            self.forced = Box::pin(std::future::ready(()));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server is shutting down")));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Peer {
    /// A peer without a certificate.
    #[must_use]
    pub fn anonymous(remote: Remote) -> Self {
        Self { remote, identity: None, certificates: Arc::new([]) }
    }

    /// The caller of a request that came through [`serve`].
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Option<&Self> {
        request.extensions().get()
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("remote", &self.remote).field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix => f.write_str("unix"),
        }
    }
}
