//! One thread, one runtime, its own sockets and pools. Nothing here is shared with other workers on the request path,
//! so nothing here takes a lock.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    rc::Rc,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::{
    listener::accept,
    observe::{Observer, ObserverFactory},
    plan,
    snapshot::{Address, FilterChain, ListenerSlot, Snapshot, Terminal},
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
    /// See [`Shared`].
    pub(crate) shared: Arc<Shared>,
    /// Tasks of connections.
    pub(crate) tasks: LocalTasks,
    /// TLS contexts that were used here.
    pub(crate) tls: tls::LocalContexts,
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
    /// Endpoints made up for original destinations.
    pub(crate) original: OriginalEndpoints,
    groups: RefCell<HashMap<GroupKey, Rc<Group>>>,
    hand_over: RefCell<HandOver>,
    draining: Cell<bool>,
}

/// How far a connection's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Serving.
    Open,
    /// Finish what is going on and close.
    Draining,
    /// Close now.
    Forced,
}

/// Connections that live and die with one filter chain.
pub(crate) struct Group {
    phase: watch::Sender<Phase>,
}

/// Connections of chains that are equal in this may go on when the configuration changes.
#[derive(Clone, PartialEq, Eq, Hash)]
struct GroupKey {
    listener: ListenerSlot,
    chain: Arc<str>,
    hash: u64,
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
        let worker = Rc::new(Worker {
            tls: tls::LocalContexts::new(shared.contexts.clone()),
            pools: Pools::new(tasks.clone()),
            tasks: tasks.clone(),
            shared,
            observer: observers.worker(index),
            balancers: RefCell::new(plan::BalancerState::new(rand::random())),
            active_faults: Cell::new(0),
            mirrors: Cell::new(0),
            original: OriginalEndpoints::default(),
            groups: RefCell::default(),
            hand_over: RefCell::default(),
            draining: Cell::new(false),
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
            Command::Drain { deadline, done } => {
                worker.draining.set(true);
                for (_, socket) in sockets.drain() {
                    socket.close().await;
                }
                worker.drain(deadline).await;
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
        if index != 0 {
            continue;
        }
        let now = crate::clock::now_ms();
        let snapshot = worker.shared.snapshot.load_full();
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
    /// The snapshot in force.
    pub(crate) fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.shared.snapshot.load()
    }

    /// Joins the connections of `chain`; the receiver says when to end.
    pub(crate) fn join(&self, listener: ListenerSlot, chain: &FilterChain) -> watch::Receiver<Phase> {
        let key = GroupKey { listener, chain: chain.name.clone(), hash: lifetime_hash(chain) };
        let mut groups = self.groups.borrow_mut();
        let group = groups.entry(key).or_insert_with(|| {
            let phase = if self.draining.get() { Phase::Draining } else { Phase::Open };
            Rc::new(Group { phase: watch::Sender::new(phase) })
        });
        group.phase.subscribe()
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
    fn swapped(self: &Rc<Self>) {
        let snapshot = self.snapshot();
        let mut ended = Vec::new();
        self.groups.borrow_mut().retain(|key, group| {
            if group.phase.receiver_count() == 0 {
                return false;
            }
            let lives = lives_on(&snapshot, key);
            if !lives {
                ended.push(group.clone());
            }
            lives
        });
        self.pools.sweep(&snapshot);
        self.balancers.borrow_mut().sweep(&snapshot);
        self.tls.sweep();
        if ended.is_empty() {
            return;
        }
        for group in &ended {
            group.phase.send_replace(Phase::Draining);
        }
        let drain_time = self.shared.drain_time;
        self.tasks.spawn(async move {
            let all_closed = async {
                for group in &ended {
                    group.phase.closed().await;
                }
            };
            if tokio::time::timeout(drain_time, all_closed).await.is_err() {
                for group in &ended {
                    group.phase.send_replace(Phase::Forced);
                }
            }
        });
    }

    async fn drain(&self, deadline: Duration) {
        let groups: Vec<Rc<Group>> = self.groups.borrow().values().cloned().collect();
        for group in &groups {
            group.phase.send_replace(Phase::Draining);
        }
        let all_closed = async {
            for group in &groups {
                group.phase.closed().await;
            }
        };
        if tokio::time::timeout(deadline, all_closed).await.is_err() {
            for group in &groups {
                group.phase.send_replace(Phase::Forced);
            }
            // Forced connections need one turn each to report their end.
            let _ = tokio::time::timeout(Duration::from_millis(250), async {
                for group in &groups {
                    group.phase.closed().await;
                }
            })
            .await;
        }
        self.pools.close();
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

/// HTTP settings are taken over by open connections, request by request; all else about a chain is not.
pub(crate) fn lifetime_hash(chain: &FilterChain) -> u64 {
    match (&chain.terminal, chain.filters.is_empty()) {
        (Terminal::Http(_), true) => chain.transport_hash,
        _ => chain.hash,
    }
}

/// The chain of that name of the listener, if open connections of the older one may use it.
pub(crate) fn successor<'a>(snapshot: &'a Snapshot, listener: ListenerSlot, chain: &FilterChain) -> Option<&'a Arc<FilterChain>> {
    let listener = snapshot.listener(listener)?;
    let mut chains = listener.chains.iter().chain(&listener.default_chain);
    chains.find(|now| now.name == chain.name && lifetime_hash(now) == lifetime_hash(chain))
}

fn lives_on(snapshot: &Snapshot, key: &GroupKey) -> bool {
    snapshot.listener(key.listener).is_some_and(|listener| {
        let mut chains = listener.chains.iter().chain(&listener.default_chain);
        chains.any(|chain| chain.name == key.chain && lifetime_hash(chain) == key.hash)
    })
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
