//! Accepting on one socket of one worker.

use std::{
    cell::Cell,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener},
    sync::watch,
};

use super::{
    balance::{Adopted, Seat},
    chain,
};
use crate::{
    snapshot::ListenerSlot,
    transport::Socket,
    worker::{BoundSocket, Worker},
};

/// Owns an accept loop. Dropped or closed, the loop takes what is in its queue and closes the socket.
pub(crate) struct Handle {
    slot: Rc<Cell<ListenerSlot>>,
    stop: watch::Sender<()>,
}

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// One place among the open connections of an address.
pub(crate) struct Open(Arc<AtomicU64>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Begins to accept.
pub(crate) fn start(worker: &Rc<Worker>, slot: ListenerSlot, socket: BoundSocket, open: Arc<AtomicU64>) -> io::Result<Handle> {
    let listening = match socket {
        BoundSocket::Tcp(socket) => Listening::Tcp(TcpListener::from_std(socket)?),
        BoundSocket::Unix(socket) => Listening::Unix(UnixListener::from_std(socket)?),
    };
    let slot = Rc::new(Cell::new(slot));
    let (stop, stopped) = watch::channel(());
    worker.tasks.spawn(accept_until(worker.clone(), slot.clone(), listening, open, stopped));
    Ok(Handle { slot, stop })
}

impl Handle {
    /// Connections from now on belong to another listener.
    pub(crate) fn reassign(&self, slot: ListenerSlot) {
        self.slot.set(slot);
    }

    /// Resolves when the queue was emptied and the socket closed.
    pub(crate) async fn close(self) {
        self.stop.send_replace(());
        self.stop.closed().await;
    }
}

async fn accept_until(
    worker: Rc<Worker>,
    slot: Rc<Cell<ListenerSlot>>,
    listening: Listening,
    open: Arc<AtomicU64>,
    mut stopped: watch::Receiver<()>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.changed() => break,
            accepted = listening.accept() => accepted,
        };
        match accepted {
            Ok(socket) => begin(&worker, slot.get(), socket, &open),
            Err(error) if is_peers_fault(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "accept failed; trying again");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    // Closing a socket resets what waits in its queue.
    while let Some(Ok(socket)) = futures_util::FutureExt::now_or_never(tokio::task::unconstrained(listening.accept())) {
        begin(&worker, slot.get(), socket, &open);
    }
}

fn begin(worker: &Rc<Worker>, slot: ListenerSlot, socket: Socket, open: &Arc<AtomicU64>) {
    let now_open = open.fetch_add(1, Ordering::Relaxed);
    let place = Open(open.clone());
    let limit = worker.snapshot().listener(slot).and_then(|listener| listener.connection_limit);
    if limit.is_some_and(|limit| now_open >= limit) {
        return;
    }
    if let Socket::Tcp(stream) = &socket {
        // Best effort: a socket without it is slower, not wrong.
        let _ = stream.set_nodelay(true);
    }
    let balanced = worker.snapshot().listener(slot).is_some_and(|listener| listener.exact_balance);
    match (balanced, socket) {
        (true, Socket::Tcp(stream)) => balance(worker, slot, stream, place),
        (_, socket) => serve(worker, slot, socket, (place, None)),
    }
}

/// Serves it here, or has the worker serve it that has the fewest.
fn balance(worker: &Rc<Worker>, slot: ListenerSlot, stream: TcpStream, place: Open) {
    let chosen = worker.shared.balance.choose(worker.index);
    let (seat, stream) = match chosen {
        Some((index, seat)) if index != worker.index => match stream.into_std() {
            Ok(stream) => match worker.shared.balance.hand_over(index, Adopted { slot, stream, place, seat }) {
                Ok(()) => return,
                Err(back) => return adopt(worker, back),
            },
            Err(error) => {
                tracing::debug!(%error, "a connection could not be handed over");
                return;
            }
        },
        Some((_, seat)) => (Some(seat), stream),
        None => (None, stream),
    };
    serve(worker, slot, Socket::Tcp(stream), (place, seat));
}

/// Serves a connection that another worker accepted.
pub(crate) fn adopt(worker: &Rc<Worker>, adopted: Adopted) {
    let Adopted { slot, stream, place, seat } = adopted;
    match TcpStream::from_std(stream) {
        Ok(stream) => serve(worker, slot, Socket::Tcp(stream), (place, Some(seat))),
        Err(error) => tracing::warn!(%error, "a connection that was handed over cannot be used"),
    }
}

fn serve(worker: &Rc<Worker>, slot: ListenerSlot, socket: Socket, held: (Open, Option<Seat>)) {
    let (worker, opening) = (worker.clone(), worker.opening());
    worker.tasks.clone().spawn(async move {
        chain::serve(worker, slot, socket, opening).await;
        drop(held);
    });
}

/// The connection went away before it was taken.
fn is_peers_fault(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted)
}

impl Listening {
    async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Socket::Tcp(stream)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Socket::Unix(stream)),
        }
    }
}
