//! One connection, from its first byte to the protocol that serves it: PROXY header, original destination, inspectors,
//! `plan::select_chain`, network filters, TLS, then HTTP or TCP.

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use tokio::sync::watch;

use super::{
    original_dst::original_destination,
    proxy_protocol,
    sniff::{self, Said},
};
use crate::{
    http, info,
    info::{ConnectionInfo, Flags, PeerTls},
    observe::Refused,
    plan,
    snapshot::{
        ConnectionFacts, DownstreamTls, DownstreamTransport, FilterChain, Listener, ListenerSlot, NetworkFilter, Snapshot, Terminal,
    },
    tcp, tls,
    transport::{Raw, Socket, Transport},
    worker::{Held, Phase, Worker},
};

/// An opened connection on its way to its protocol.
pub(crate) struct Opened {
    pub(crate) transport: Transport,
    pub(crate) connection: Arc<ConnectionInfo>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) chain: Arc<FilterChain>,
    pub(crate) snapshot: Held,
    /// Says when to end.
    pub(crate) phase: watch::Receiver<Phase>,
    /// What the HTTP inspector found.
    pub(crate) sniffed: Option<&'static str>,
}

/// Why a connection was given up.
struct GivenUp {
    flags: Flags,
    reason: String,
}

impl GivenUp {
    fn because(reason: impl Into<String>) -> Self {
        Self { flags: Flags::default(), reason: reason.into() }
    }
}

/// Who is at the ends of a connection.
struct Ends {
    id: u64,
    accepted: Instant,
    direct_remote: SocketAddr,
    remote: SocketAddr,
    local: SocketAddr,
}

/// Serves a connection to its end. `opening` counts it until it has joined the connections of its chain.
pub(super) async fn serve(worker: Rc<Worker>, slot: ListenerSlot, socket: Socket, mut opening: watch::Receiver<Phase>) {
    let snapshot = worker.snapshot();
    let Some(listener) = snapshot.listener(slot).cloned() else { return };
    let mut ends = Ends {
        id: worker.shared.connections.fetch_add(1, Ordering::Relaxed),
        accepted: Instant::now(),
        direct_remote: socket.peer(),
        remote: socket.peer(),
        local: socket.local(),
    };
    let opened = tokio::select! {
        biased;
        _ = opening.wait_for(|phase| *phase >= Phase::Forced) => Err(GivenUp::because("drained")),
        opened = open(&worker, &snapshot, listener.clone(), socket, &mut ends) => opened,
    };
    drop((opening, snapshot));
    match opened {
        Ok(opened) => {
            let (connection, listener) = (opened.connection.clone(), opened.listener.clone());
            worker.observer.connection_opened(&connection, &listener);
            let closed = Closed { worker: worker.clone(), connection, listener };
            match opened.chain.terminal.clone() {
                Terminal::Http(hcm) => Box::pin(http::serve(worker, opened, hcm)).await,
                Terminal::Tcp(proxy) => Box::pin(tcp::serve(worker, opened, proxy)).await,
            }
            drop(closed);
        }
        Err(GivenUp { flags, reason }) => {
            let connection = ends.connection(&listener, Arc::default(), None, None);
            tracing::debug!(listener = %listener.name, remote = %connection.remote, reason, "connection refused");
            worker.observer.connection_refused(&Refused { connection: &connection, flags, reason: &reason }, &listener);
        }
    }
}

/// Reports the end of a connection, however it comes.
struct Closed {
    worker: Rc<Worker>,
    connection: Arc<ConnectionInfo>,
    listener: Arc<Listener>,
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.worker.observer.connection_closed(&self.connection, &self.listener);
    }
}

async fn open(worker: &Rc<Worker>, snapshot: &Held, bound: Arc<Listener>, mut socket: Socket, ends: &mut Ends) -> Result<Opened, GivenUp> {
    let mut said = Said::default();
    let timeout = bound.inspect_timeout;
    let listener = {
        let inspecting = inspect(worker, snapshot, bound.clone(), &mut socket, &mut said, ends);
        if timeout.is_zero() {
            inspecting.await?
        } else {
            match tokio::time::timeout(timeout, inspecting).await {
                Ok(inspected) => inspected?,
                Err(_) if bound.continue_on_inspect_timeout => redirected(worker, snapshot, bound.clone(), ends),
                Err(_) => return Err(GivenUp::because("listener_filter_timeout")),
            }
        }
    };
    let facts = facts(ends, &said);
    let Some(chain) = plan::select_chain(&listener, &facts).map(|chosen| chosen.chain.clone()) else {
        return Err(GivenUp { flags: Flags::NO_ROUTE, reason: "filter_chain_not_found".into() });
    };
    let sniffed = said.http;
    let server_name = facts.server_name;
    let (transport, tls) = match &chain.transport {
        DownstreamTransport::Plain => (Transport::Plain(Raw::rewound(socket, std::mem::take(&mut said.bytes).freeze())), None),
        DownstreamTransport::Tls(settings) => {
            let handshake = Box::pin(end_tls(worker, settings, socket, said));
            let done = match chain.handshake_timeout {
                Some(limit) => tokio::time::timeout(limit, handshake).await.map_err(|_| GivenUp::because("transport_socket_timeout"))?,
                None => handshake.await,
            };
            let (transport, tls) = done.map_err(|reason| GivenUp { flags: Flags::default(), reason })?;
            (transport, Some(tls))
        }
    };
    let connection = Arc::new(ends.connection(&listener, chain.name.clone(), tls, server_name));
    admit(&chain, &connection)?;
    let phase = worker.join(listener.slot, &chain);
    Ok(Opened { transport, connection, listener, chain, snapshot: snapshot.clone(), phase, sniffed })
}

/// Listener filters, in Envoy's order of use. Gives the listener that the connection belongs to in the end.
async fn inspect(
    worker: &Rc<Worker>,
    snapshot: &Snapshot,
    bound: Arc<Listener>,
    socket: &mut Socket,
    said: &mut Said,
    ends: &mut Ends,
) -> Result<Arc<Listener>, GivenUp> {
    if bound.inspectors.proxy_protocol {
        let header = proxy_protocol::read(socket, &mut said.bytes).await;
        if let Some((source, destination)) = header.map_err(|error| GivenUp::because(error.to_string()))? {
            (ends.remote, ends.local) = (source, destination);
        }
    }
    if bound.inspectors.original_dst
        && let Some(wanted) = original_destination(socket)
    {
        ends.local = wanted;
    }
    let listener = redirected(worker, snapshot, bound, ends);
    let reset = |error: std::io::Error| GivenUp::because(format!("read failed: {error}"));
    if listener.inspectors.tls {
        sniff::tls(socket, said).await.map_err(reset)?;
    }
    if listener.inspectors.http && said.hello.is_none() {
        sniff::http(socket, said).await.map_err(reset)?;
    }
    Ok(listener)
}

/// The listener for the original destination, if hand-over is on and there is one.
fn redirected(worker: &Worker, snapshot: &Snapshot, bound: Arc<Listener>, ends: &Ends) -> Arc<Listener> {
    if !bound.use_original_dst {
        return bound;
    }
    let slot = worker.listener_for(snapshot, ends.local);
    slot.and_then(|slot| snapshot.listener(slot)).cloned().unwrap_or(bound)
}

fn facts(ends: &Ends, said: &Said) -> ConnectionFacts {
    let hello = said.hello.as_ref();
    ConnectionFacts {
        destination: ends.local,
        source: ends.remote,
        direct_source: ends.direct_remote.ip(),
        server_name: hello.and_then(|hello| hello.server_name.clone()),
        tls: hello.is_some(),
        application_protocols: match (hello, said.http) {
            (Some(hello), _) => hello.alpn.clone(),
            (None, Some(http)) => vec![http.into()],
            (None, None) => Vec::new(),
        },
    }
}

async fn end_tls(
    worker: &Worker,
    settings: &Arc<DownstreamTls>,
    mut socket: Socket,
    mut said: Said,
) -> Result<(Transport, PeerTls), String> {
    let context = worker.tls.server(settings).map_err(|error| error.to_string())?;
    if said.hello.is_none() {
        sniff::tls(&mut socket, &mut said).await.map_err(|error| error.to_string())?;
    }
    let (Some(hello), rest) = said.into_hello() else {
        return Err("TLS_error: the connection does not begin with a ClientHello".to_owned());
    };
    let raw = Raw::rewound(socket, rest);
    let (stream, peer) = tls::serve(&context, hello.accepted, raw).await.map_err(|error| error.to_string())?;
    Ok((Transport::Accepted(Box::new(stream)), peer))
}

/// Network filters before the terminal one.
fn admit(chain: &FilterChain, connection: &ConnectionInfo) -> Result<(), GivenUp> {
    for filter in &chain.filters {
        match filter {
            NetworkFilter::Rbac(rbac) => {
                if !plan::authorize_connection(rbac, connection).allowed {
                    return Err(GivenUp { flags: Flags::default(), reason: "rbac_deny_close".into() });
                }
            }
            NetworkFilter::Refuse { name, reason } => {
                tracing::warn!(filter = %name, %reason, "connection closed: its filter is not implemented");
                return Err(GivenUp::because("filter_not_implemented"));
            }
        }
    }
    Ok(())
}

impl Ends {
    fn connection(
        &self,
        listener: &Listener,
        filter_chain: Arc<str>,
        tls: Option<PeerTls>,
        server_name: Option<Arc<str>>,
    ) -> info::ConnectionInfo {
        ConnectionInfo {
            id: self.id,
            accepted: self.accepted,
            direct_remote: self.direct_remote,
            remote: self.remote,
            local: self.local,
            direction: listener.direction,
            filter_chain,
            tls,
            server_name,
        }
    }
}
