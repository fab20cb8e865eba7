//! Opening a connection to an endpoint: socket, TLS, and the facts that logs want.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::{breaker, state::EndpointState};
use crate::{
    error::Failure,
    info::PeerTls,
    snapshot::{Address, Cluster, Endpoint, UpstreamTransport},
    tls::{self, Dial, LocalContexts, Offer},
    transport::{Raw, Socket, Transport},
};

/// An open connection to an endpoint.
pub(crate) struct Connected {
    /// To read and write.
    pub(crate) transport: Transport,
    /// What is known of it.
    pub(crate) facts: Facts,
    /// Its places in the counts.
    pub(crate) counted: Counted,
}

/// What is known of a connection to an endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Our address.
    pub(crate) local: SocketAddr,
    /// TLS with the endpoint.
    pub(crate) tls: Option<PeerTls>,
}

/// Keeps a connection counted while it is open.
pub(crate) struct Counted {
    _guard: breaker::Guard,
    endpoint: Weak<EndpointState>,
}

/// What of a request has a say in how to connect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How<'a> {
    /// ALPN.
    pub(crate) offer: Offer,
    /// SNI in place of the configured one.
    pub(crate) server_name: Option<&'a str>,
}

/// The transport that `endpoint` of `cluster` is reached by.
pub(crate) fn transport_of<'a>(cluster: &'a Cluster, endpoint: &Endpoint) -> &'a UpstreamTransport {
    let matched = endpoint.transport_match.and_then(|index| cluster.transport_matches.get(index));
    matched.map_or(&cluster.transport, |matched| &matched.transport)
}

/// Connects within the cluster's `connect_timeout`, the TLS handshake included.
pub(crate) async fn connect(
    contexts: &LocalContexts,
    cluster: &Cluster,
    endpoint: &Endpoint,
    how: How<'_>,
    guard: breaker::Guard,
) -> Result<Connected, Failure> {
    let totals = &cluster.state.totals;
    add(&totals.connections);
    let connecting = open(contexts, cluster, endpoint, how);
    let result = match tokio::time::timeout(cluster.connect_timeout, connecting).await {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(reason)) => Err(Failure::Connect(reason)),
        Err(_) => {
            add(&totals.connect_timeout);
            Err(Failure::ConnectTimeout)
        }
    };
    match result {
        Ok((transport, facts)) => {
            endpoint.state.connections.fetch_add(1, Ordering::Relaxed);
            let counted = Counted { _guard: guard, endpoint: Arc::downgrade(&endpoint.state) };
            Ok(Connected { transport, facts, counted })
        }
        Err(failure) => {
            add(&totals.connect_fail);
            add(&endpoint.state.connect_fail);
            Err(failure)
        }
    }
}

async fn open(contexts: &LocalContexts, cluster: &Cluster, endpoint: &Endpoint, how: How<'_>) -> Result<(Transport, Facts), Arc<str>> {
    let socket = dial(cluster, &endpoint.address).await.map_err(|error| describe(&error))?;
    let local = socket.local();
    match transport_of(cluster, endpoint) {
        UpstreamTransport::Plain => Ok((Transport::Plain(Raw::new(socket)), Facts { local, tls: None })),
        UpstreamTransport::Tls(settings) => {
            let totals = &cluster.state.totals;
            let failed = |error: tls::Error| -> Arc<str> {
                add(&totals.tls_failures);
                format!("TLS_error: {error}").into()
            };
            let context = contexts.client(settings).map_err(failed)?;
            let dial = Dial { offer: how.offer, server_name: how.server_name };
            let (stream, peer) = Box::pin(tls::dial(&context, dial, Raw::new(socket))).await.map_err(failed)?;
            add(&totals.tls_handshakes);
            Ok((Transport::Dialed(Box::new(stream)), Facts { local, tls: Some(peer) }))
        }
    }
}

async fn dial(cluster: &Cluster, address: &Address) -> io::Result<Socket> {
    match address {
        Address::Socket(address) => tcp(cluster, *address).await.map(Socket::Tcp),
        Address::Pipe(path) => match path.as_os_str().as_encoded_bytes().strip_prefix(b"@") {
            Some(name) => {
                use std::os::{linux::net::SocketAddrExt as _, unix::net};
                let stream = net::UnixStream::connect_addr(&net::SocketAddr::from_abstract_name(name)?)?;
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream).map(Socket::Unix)
            }
            None => UnixStream::connect(path).await.map(Socket::Unix),
        },
    }
}

async fn tcp(cluster: &Cluster, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = cluster.bind_source
        && source.is_ipv4() == address.is_ipv4()
    {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.set_nodelay(true)?;
    if let Some(settings) = cluster.keepalive {
        let mut keepalive = TcpKeepalive::new();
        if let Some(time) = settings.time {
            keepalive = keepalive.with_time(time);
        }
        if let Some(interval) = settings.interval {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(probes) = settings.probes {
            keepalive = keepalive.with_retries(probes);
        }
        SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    }
    socket.connect(address).await
}

/// As Envoy says it.
fn describe(error: &io::Error) -> Arc<str> {
    match error.raw_os_error() {
        // 111 and the like: Envoy prints the system's text.
        Some(code) => {
            let text = io::Error::from_raw_os_error(code).to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            format!("delayed connect error: {text}").into()
        }
        None => format!("delayed connect error: {error}").into(),
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(endpoint) = self.endpoint.upgrade() {
            endpoint.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
