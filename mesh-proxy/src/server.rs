//! The data plane as one object: workers for life, listening sockets by address, snapshots handed in.
//!
//! A socket is opened once per worker and address (SO_REUSEPORT) and kept for as long as some listener has that address,
//! whatever else changes; closing and reopening would reset connections that wait in its queue.

mod bind;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use self::bind::Bound;
pub use crate::http::PeerMetadataHeaders;
use crate::{
    listener::balance::Balance,
    observe::ObserverFactory,
    snapshot::{Address, Listener, ListenerSlot, Snapshot},
    tls::Contexts,
    upstream::dns::{self, Name, Resolutions},
    worker::{self, Command, Shared},
};

/// How the data plane is set up. Nothing of it changes later.
#[derive(Debug, Clone)]
pub struct Options {
    /// Worker threads, at least 1 (Envoy `--concurrency`).
    pub workers: usize,
    /// How long connections of a removed listener or chain may go on (Envoy `--drain-time-s`, default 600 s).
    pub drain_time: Duration,
    /// What we tell peers about our workload, if peer metadata exchange is configured somewhere.
    pub peer_metadata: Option<PeerMetadataHeaders>,
    /// Our address as `x-forwarded-for` has it for clients on this machine (Envoy's local info); `None`: this machine's.
    pub local_address: Option<IpAddr>,
}

impl Default for Options {
    fn default() -> Self {
        Self { workers: 1, drain_time: Duration::from_secs(600), peer_metadata: None, local_address: None }
    }
}

/// Workers and sockets.
pub struct DataPlane {
    shared: Arc<Shared>,
    workers: Vec<Handle>,
    sockets: Mutex<Sockets>,
}

struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    thread: thread::JoinHandle<()>,
}

#[derive(Default)]
struct Sockets {
    open: HashMap<Address, Open>,
    failed: Vec<BindFailure>,
    /// As it was given; the snapshot in force has the addresses of DNS names in it, too.
    given: Arc<Snapshot>,
    resolutions: Resolutions,
    draining: bool,
}

/// An address that is listened on.
struct Open {
    slot: ListenerSlot,
    local: Address,
    connections: Arc<AtomicU64>,
}

/// A listener that is bound, as `/listeners` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundListener {
    /// Resource name.
    pub name: Arc<str>,
    /// As configured.
    pub configured: Address,
    /// As bound: port 0 is resolved.
    pub local: Address,
    /// Connections open now.
    pub connections: u64,
}

/// A listener address that could not be bound. Its siblings work.
#[derive(Debug, Clone, thiserror::Error)]
#[error("listener {listener}: cannot listen on {address}: {reason}")]
pub struct BindFailure {
    /// Resource name.
    pub listener: Arc<str>,
    /// Which of its addresses.
    pub address: Address,
    /// What the system said, and what may help.
    pub reason: String,
}

impl DataPlane {
    /// Starts the workers. Nothing listens before the first [`DataPlane::apply`].
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(options: Options, observers: Arc<dyn ObserverFactory>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            snapshot: Arc::new(ArcSwap::from_pointee(Snapshot::default())),
            contexts: Arc::new(Contexts::default()),
            connections: AtomicU64::new(1),
            drain_time: options.drain_time,
            balance: Balance::default(),
            peer_metadata: options.peer_metadata,
            local_address: options.local_address.unwrap_or_else(bind::local_address),
        });
        let workers = (0..options.workers.max(1)).map(|index| spawn(index, shared.clone(), observers.clone()));
        let workers = workers.collect::<io::Result<Vec<_>>>()?;
        shared.balance.know(workers.iter().map(|worker| &worker.commands));
        Ok(Self { shared, workers, sockets: Mutex::default() })
    }

    /// Puts a snapshot in force: new addresses are bound first, then requests see it, then addresses that are gone are
    /// closed once their queues are empty. Returns what could not be bound; the rest of the snapshot is in force.
    ///
    /// Does a few system calls per new address, and never waits.
    pub fn apply(&self, snapshot: Arc<Snapshot>) -> Vec<BindFailure> {
        let mut sockets = self.lock();
        sockets.given = snapshot.clone();
        let snapshot = sockets.resolutions.fill(snapshot);
        let wanted = if sockets.draining { HashMap::new() } else { wanted(&snapshot) };
        let bound = self.bind_new(&mut sockets, &wanted);
        self.shared.snapshot.store(snapshot);
        for (address, slot, bound) in bound {
            self.listen(&mut sockets, address, slot, bound);
        }
        for (address, listener) in &wanted {
            if let Some(open) = sockets.open.get_mut(address)
                && open.slot != listener.slot
            {
                open.slot = listener.slot;
                self.tell(|| Command::Reassign { address: address.clone(), slot: listener.slot });
            }
        }
        let gone: Vec<Address> = sockets.open.keys().filter(|address| !wanted.contains_key(*address)).cloned().collect();
        for address in gone {
            sockets.open.remove(&address);
            self.tell(|| Command::Close { address: address.clone() });
        }
        self.tell(|| Command::Swapped);
        sockets.failed.clone()
    }

    /// Tries again to bind what failed: call it now and then while [`DataPlane::failures`] is not empty.
    pub fn retry_failures(&self) -> Vec<BindFailure> {
        let given = self.lock().given.clone();
        self.apply(given)
    }

    /// Addresses that could not be bound.
    pub fn failures(&self) -> Vec<BindFailure> {
        self.lock().failed.clone()
    }

    /// Names that clusters of the snapshot want resolved (`STRICT_DNS`, `LOGICAL_DNS`), and how often: see [`crate::upstream::dns`].
    pub fn names(&self) -> Vec<Name> {
        dns::names(&self.lock().given)
    }

    /// Takes over what a name resolves to. An empty answer is one; after a failed lookup do not call this: the last good
    /// addresses stay.
    pub fn resolved(&self, host: &str, addresses: Vec<IpAddr>) {
        let mut sockets = self.lock();
        if sockets.resolutions.learn(host, addresses) {
            let given = sockets.given.clone();
            let snapshot = sockets.resolutions.fill(given);
            self.shared.snapshot.store(snapshot);
            self.tell(|| Command::Swapped);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.load_full()
    }

    /// What is bound, in order of address.
    pub fn listeners(&self) -> Vec<BoundListener> {
        let sockets = self.lock();
        let snapshot = self.snapshot();
        let mut bound: Vec<BoundListener> = sockets
            .open
            .iter()
            .filter_map(|(configured, open)| {
                Some(BoundListener {
                    name: snapshot.listener(open.slot)?.name.clone(),
                    configured: configured.clone(),
                    local: open.local.clone(),
                    connections: open.connections.load(Ordering::Relaxed),
                })
            })
            .collect();
        bound.sort_by(|a, b| (&a.local, &a.name).cmp(&(&b.local, &b.name)));
        bound
    }

    /// Stops accepting (what is queued is still taken), ends connections gracefully (HTTP/1 `connection: close`, HTTP/2
    /// GOAWAY), and forces what is left at the deadline. Nothing listens any more after this.
    pub async fn drain(&self, deadline: Duration) {
        {
            let mut sockets = self.lock();
            sockets.draining = true;
            sockets.open.clear();
        }
        let mut waiting = Vec::new();
        for worker in &self.workers {
            let (done, drained) = oneshot::channel();
            if worker.commands.send(Command::Drain { deadline, done }).is_ok() {
                waiting.push(drained);
            }
        }
        for drained in waiting {
            // An error is a worker that is gone: nothing left to wait for.
            let _ = drained.await;
        }
    }

    /// Binds what is wanted and not open yet, without touching what is open.
    fn bind_new(&self, sockets: &mut Sockets, wanted: &HashMap<Address, Arc<Listener>>) -> Vec<(Address, ListenerSlot, Bound)> {
        sockets.failed.clear();
        let mut bound = Vec::new();
        for (address, listener) in wanted {
            if sockets.open.contains_key(address) {
                continue;
            }
            match bind::bind(address, self.workers.len()) {
                Ok(new) => bound.push((address.clone(), listener.slot, new)),
                Err(error) => sockets.failed.push(BindFailure {
                    listener: listener.name.clone(),
                    address: address.clone(),
                    reason: bind::explain(&error),
                }),
            }
        }
        bound
    }

    fn listen(&self, sockets: &mut Sockets, address: Address, slot: ListenerSlot, bound: Bound) {
        let connections = Arc::new(AtomicU64::new(0));
        for (worker, socket) in self.workers.iter().zip(bound.sockets) {
            let (address, open) = (address.clone(), connections.clone());
            // An error is a worker that is gone; the others serve.
            let _ = worker.commands.send(Command::Listen { address, slot, socket, open });
        }
        sockets.open.insert(address, Open { slot, local: bound.local, connections });
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            let _ = worker.commands.send(command());
        }
    }
}

impl Drop for DataPlane {
    /// Ends the workers, and with them what is still open.
    fn drop(&mut self) {
        for Handle { commands, thread } in self.workers.drain(..) {
            drop(commands);
            if thread.join().is_err() {
                tracing::error!("a worker ended by a panic");
            }
        }
    }
}

impl std::fmt::Debug for DataPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataPlane").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

fn spawn(index: usize, shared: Arc<Shared>, observers: Arc<dyn ObserverFactory>) -> io::Result<Handle> {
    let (commands, receiver) = mpsc::unbounded_channel();
    let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        if let Err(error) = worker::run(index, shared, &*observers, receiver) {
            tracing::error!(index, %error, "a worker could not start");
        }
    })?;
    Ok(Handle { commands, thread })
}

/// Addresses to listen on. Of two listeners with the same address the first has it.
fn wanted(snapshot: &Snapshot) -> HashMap<Address, Arc<Listener>> {
    let mut wanted = HashMap::new();
    for listener in snapshot.listeners.iter().flatten().filter(|listener| listener.bind_to_port) {
        for address in &listener.addresses {
            wanted.entry(address.clone()).or_insert_with(|| listener.clone());
        }
    }
    wanted
}
