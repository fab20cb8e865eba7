//! One thread, one runtime, its own sockets and pools. Nothing here is shared with other workers on the request path,
//! so nothing here takes a lock.

mod group;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    rc::Rc,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use arc_swap::{ArcSwap, Cache};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use self::group::Groups;
pub(crate) use self::group::{Phase, successor};
use crate::{
    listener::{
        accept,
        balance::{Adopted, Balance},
    },
    observe::{Observer, ObserverFactory},
    peer::KnownPeers,
    plan,
    snapshot::{Address, FilterChain, ListenerSlot, Snapshot},
    tls,
    upstream::{original::OriginalEndpoints, outlier, pool::Pools},
};

/// What all workers share.
pub(crate) struct Shared {
    /// The configuration in force.
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    /// TLS contexts.
    pub(crate) contexts: Arc<tls::Contexts>,
    /// The next connection's number.
    pub(crate) connections: AtomicU64,
    /// How long connections of a removed chain may go on (Envoy `--drain-time-s`).
    pub(crate) drain_time: Duration,
    /// Which worker gets a connection of a listener with `exact_balance`.
    pub(crate) balance: Balance,
    /// Our own workload, as peer metadata exchange tells it.
    pub(crate) peer_metadata: Option<crate::http::PeerMetadataHeaders>,
    /// Our address as `x-forwarded-for` has it for clients on this machine.
    pub(crate) local_address: std::net::IpAddr,
}

/// What the control side tells a worker.
pub(crate) enum Command {
    /// A socket of this worker's own for `address`.
    Listen { address: Address, slot: ListenerSlot, socket: BoundSocket, open: Arc<AtomicU64> },
    /// Another listener now has that address.
    Reassign { address: Address, slot: ListenerSlot },
    /// Accept what is queued, then close.
    Close { address: Address },
    /// The snapshot was swapped.
    Swapped,
    /// Serve a connection that another worker accepted.
    Adopt(Adopted),
    /// Close all sockets as above, end connections gracefully, force them after the deadline, then answer.
    Drain { deadline: Duration, done: oneshot::Sender<()> },
}

/// A listening socket on its way to a worker.
pub(crate) enum BoundSocket {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// Unix.
    Unix(std::os::unix::net::UnixListener),
}

/// A worker's own things.
pub(crate) struct Worker {
    /// Its number, from 0.
    pub(crate) index: usize,
    /// See [`Shared`].
    pub(crate) shared: Arc<Shared>,
    /// Tasks of connections.
    pub(crate) tasks: LocalTasks,
    /// TLS contexts that were used here.
    pub(crate) tls: Rc<tls::LocalContexts>,
    /// Connections to endpoints.
    pub(crate) pools: Pools,
    /// Counts and logs.
    pub(crate) observer: Rc<dyn Observer>,
    /// Positions of load balancers.
    pub(crate) balancers: RefCell<plan::BalancerState>,
    /// Faults being injected now.
    pub(crate) active_faults: Cell<u32>,
    /// Mirrored requests under way.
    pub(crate) mirrors: Cell<u32>,
    /// Whom peers have said to be.
    pub(crate) known_peers: KnownPeers,
    /// Endpoints made up for original destinations.
    pub(crate) original: OriginalEndpoints,
    current: RefCell<Current>,
    groups: Groups,
    hand_over: RefCell<HandOver>,
}

/// A snapshot that this worker holds: to share it within the worker touches nothing that other workers touch.
pub(crate) type Held = Rc<Arc<Snapshot>>;

/// The snapshot in force, as this worker saw it last.
struct Current {
    latest: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    held: Held,
}

/// Addresses of listeners that are not bound, for `use_original_dst`.
#[derive(Default)]
struct HandOver {
    generation: Option<u64>,
    by_address: HashMap<std::net::SocketAddr, ListenerSlot>,
}

/// Runs a worker until its commands end. Called on its own thread.
pub(crate) fn run(
    index: usize,
    shared: Arc<Shared>,
    observers: &dyn ObserverFactory,
    commands: mpsc::UnboundedReceiver<Command>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let tasks = LocalTasks::default();
        let current = Current::new(shared.snapshot.clone());
        let groups = Groups::new(tasks.clone(), shared.drain_time);
        let worker = Rc::new(Worker {
            index,
            tls: Rc::new(tls::LocalContexts::new(shared.contexts.clone())),
            pools: Pools::new(tasks.clone()),
            tasks: tasks.clone(),
            shared,
            observer: observers.worker(index),
            balancers: RefCell::new(plan::BalancerState::new(rand::random())),
            active_faults: Cell::new(0),
            mirrors: Cell::new(0),
            known_peers: KnownPeers::default(),
            original: OriginalEndpoints::default(),
            current: RefCell::new(current),
            groups,
            hand_over: RefCell::default(),
        });
        tasks.spawn(housekeeping(index, worker.clone()));
        serve(worker, commands).await;
        // Tasks hold the worker and the worker holds the tasks: end them, so that both are freed.
        tasks.abort_all();
    });
    Ok(())
}

async fn serve(worker: Rc<Worker>, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut sockets: HashMap<Address, accept::Handle> = HashMap::new();
    while let Some(command) = commands.recv().await {
        match command {
            Command::Listen { address, slot, socket, open } => match accept::start(&worker, slot, socket, open) {
                Ok(handle) => drop(sockets.insert(address, handle)),
                Err(error) => tracing::error!(%address, %error, "a bound socket cannot be used by this worker"),
            },
            Command::Reassign { address, slot } => {
                if let Some(socket) = sockets.get(&address) {
                    socket.reassign(slot);
                }
            }
            // Dropping the handle closes the socket once its queue is empty.
            Command::Close { address } => drop(sockets.remove(&address)),
            Command::Swapped => worker.swapped(),
            Command::Adopt(adopted) => accept::adopt(&worker, adopted),
            Command::Drain { deadline, done } => {
                for (_, socket) in sockets.drain() {
                    socket.close().await;
                }
                worker.groups.drain(deadline).await;
                worker.pools.close();
                let _ = done.send(());
            }
        }
    }
}

/// What is done now and then: idle connections are closed, and the first worker brings ejected endpoints back.
async fn housekeeping(index: usize, worker: Rc<Worker>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last_sweep: HashMap<Arc<str>, u64> = HashMap::new();
    loop {
        tick.tick().await;
        worker.pools.expire(std::time::Instant::now());
        worker.original.expire();
        // After a push, too: a context's settings live as long as the last worker or connection that holds the old snapshot.
        worker.tls.sweep();
        if index != 0 {
            continue;
        }
        let now = crate::clock::now_ms();
        let snapshot = worker.snapshot();
        last_sweep.retain(|name, _| snapshot.cluster_names.contains_key(name));
        for cluster in snapshot.clusters.iter().flatten() {
            let Some(settings) = &cluster.outlier else { continue };
            let interval = u64::try_from(settings.interval.as_millis()).unwrap_or(u64::MAX);
            let last = last_sweep.entry(cluster.name.clone()).or_insert(now);
            if now.saturating_sub(*last) >= interval {
                *last = now;
                outlier::sweep(cluster, now, rand::random);
            }
        }
    }
}

impl Worker {
    /// The snapshot in force. While it is the same as at the last call, nothing shared is written to.
    pub(crate) fn snapshot(&self) -> Held {
        self.current.borrow_mut().load()
    }

    /// For a connection that was just accepted: held until it has joined its chain's connections. It says when to close at once.
    pub(crate) fn opening(&self) -> watch::Receiver<Phase> {
        self.groups.opening()
    }

    /// Joins the connections of `chain`; the receiver says when to end.
    pub(crate) fn join(&self, listener: ListenerSlot, chain: &FilterChain) -> watch::Receiver<Phase> {
        self.groups.join(&self.snapshot(), listener, chain)
    }

    /// The listener that is configured for exactly this destination, or for its port on any address.
    pub(crate) fn listener_for(&self, snapshot: &Snapshot, wanted: std::net::SocketAddr) -> Option<ListenerSlot> {
        let mut table = self.hand_over.borrow_mut();
        if table.generation != Some(snapshot.generation) {
            table.fill(snapshot);
        }
        let any = if wanted.is_ipv4() {
            std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)
        } else {
            std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
        };
        let wildcard = std::net::SocketAddr::new(any, wanted.port());
        table.by_address.get(&wanted).or_else(|| table.by_address.get(&wildcard)).copied()
    }

    /// Ends what the new snapshot no longer has.
    fn swapped(&self) {
        let snapshot = self.snapshot();
        self.groups.swapped(&snapshot);
        self.pools.sweep(&snapshot);
        self.balancers.borrow_mut().sweep(&snapshot);
        self.tls.sweep();
    }
}

impl Current {
    fn new(shared: Arc<ArcSwap<Snapshot>>) -> Self {
        let mut latest = Cache::new(shared);
        let held = Rc::new(latest.load().clone());
        Self { latest, held }
    }

    fn load(&mut self) -> Held {
        let latest = self.latest.load();
        if !Arc::ptr_eq(latest, &self.held) {
            self.held = Rc::new(latest.clone());
        }
        self.held.clone()
    }
}

impl HandOver {
    fn fill(&mut self, snapshot: &Snapshot) {
        self.generation = Some(snapshot.generation);
        self.by_address.clear();
        for listener in snapshot.listeners.iter().flatten() {
            for address in &listener.addresses {
                if let Address::Socket(address) = address {
                    self.by_address.entry(*address).or_insert(listener.slot);
                }
            }
        }
    }
}

/// Tasks of one worker: owned by it, run on its thread. A panic ends its own task only.
#[derive(Clone, Default)]
pub(crate) struct LocalTasks(Rc<RefCell<JoinSet<()>>>);

impl LocalTasks {
    /// Runs `future` on this worker.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let mut set = self.0.borrow_mut();
        while set.try_join_next().is_some() {}
        set.spawn_local(future);
    }

    fn abort_all(&self) {
        let set = std::mem::take(&mut *self.0.borrow_mut());
        drop(set);
    }
}

impl<F> hyper::rt::Executor<F> for LocalTasks
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(async move {
            future.await;
        });
    }
}
