//! Connections to endpoints, one set per worker: HTTP/1 last in, first out; HTTP/2 shared.
//!
//! Keyed by endpoint and by everything that makes two connections differ (settings' hash, transport, protocol, SNI), so
//! that a request never travels on a connection that was opened for another kind. Nothing is shared between workers.

mod http1;
mod http2;
mod key;
mod lease;

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    rc::Rc,
    sync::{Arc, Weak},
    time::Instant,
};

use tokio::sync::oneshot;

use self::key::Key;
pub(crate) use self::{
    key::{Protocol, Want},
    lease::{Hold, Sent},
};
use super::{
    breaker::{self, Resource},
    connect::{self, How},
    state::EndpointState,
};
use crate::{
    error::Failure,
    snapshot::{Cluster, ClusterSlot, Endpoint},
    tls::LocalContexts,
    worker::LocalTasks,
};

/// All pools of a worker.
pub(crate) struct Pools {
    pools: RefCell<HashMap<Key, Rc<Pool>>>,
    tasks: LocalTasks,
}

/// Connections of one kind to one endpoint.
pub(crate) struct Pool {
    cluster: ClusterSlot,
    pool_hash: u64,
    endpoint: Weak<EndpointState>,
    /// The most recently used last.
    idle: RefCell<Vec<http1::Idle>>,
    shared: RefCell<Vec<Rc<http2::Shared>>>,
    /// Connections that live, and those being opened.
    open: Rc<Cell<u32>>,
    opening: Cell<u32>,
    /// Requests that wait for a place, first in, first out.
    waiting: RefCell<VecDeque<oneshot::Sender<()>>>,
    closed: Cell<bool>,
}

/// Where a request goes, and how.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    /// For TLS.
    pub(crate) contexts: &'a LocalContexts,
    /// The cluster.
    pub(crate) cluster: &'a Cluster,
    /// One of its endpoints.
    pub(crate) endpoint: &'a Endpoint,
    /// The kind of connection.
    pub(crate) want: Want<'a>,
}

/// A connection that can take a request.
enum Ready {
    Http1(http1::Idle),
    Http2(Rc<http2::Shared>),
}

impl Pools {
    /// No pools yet.
    pub(crate) fn new(tasks: LocalTasks) -> Self {
        Self { pools: RefCell::default(), tasks }
    }

    /// The pool for this endpoint and kind of connection.
    fn pool(&self, Destination { cluster, endpoint, want, .. }: Destination<'_>) -> Rc<Pool> {
        let key = Key::new(cluster, endpoint, &want);
        if let Some(pool) = self.pools.borrow().get(&key) {
            return pool.clone();
        }
        let pool = Rc::new(Pool {
            cluster: cluster.slot,
            pool_hash: cluster.pool_hash,
            endpoint: Arc::downgrade(&endpoint.state),
            idle: RefCell::default(),
            shared: RefCell::default(),
            open: Rc::default(),
            opening: Cell::new(0),
            waiting: RefCell::default(),
            closed: Cell::new(false),
        });
        self.pools.borrow_mut().insert(key, pool.clone());
        pool
    }

    /// Closes idle connections whose endpoint or settings are no longer in `snapshot`; others end with their requests.
    pub(crate) fn sweep(&self, snapshot: &crate::snapshot::Snapshot) {
        self.pools.borrow_mut().retain(|_, pool| {
            let current = snapshot.cluster(pool.cluster).is_some_and(|cluster| cluster.pool_hash == pool.pool_hash);
            let keep = current && pool.endpoint.strong_count() > 0;
            if !keep {
                pool.close();
            }
            keep
        });
    }

    /// Closes connections that were idle too long, and forgets pools without any.
    pub(crate) fn expire(&self, now: Instant) {
        self.pools.borrow_mut().retain(|_, pool| {
            pool.idle.borrow_mut().retain(|idle| !idle.is_stale(now));
            pool.shared.borrow_mut().retain(|shared| !shared.is_stale(now));
            pool.open.get() > 0 || pool.opening.get() > 0 || !pool.waiting.borrow().is_empty()
        });
    }

    /// Closes all that is idle and keeps nothing any more.
    pub(crate) fn close(&self) {
        for (_, pool) in self.pools.borrow_mut().drain() {
            pool.close();
        }
    }

    /// Sends a request on a connection of the kind that is wanted, an idle one or a new one. A request that a dead idle
    /// connection did not take is sent on another.
    pub(crate) async fn send(&self, to: Destination<'_>, mut request: http::Request<crate::http::UpBody>) -> Result<Sent, Failure> {
        let pool = self.pool(to);
        let in_flight = breaker::take(to.cluster, to.want.high_priority, Resource::Request).map_err(|_| Failure::Overflow)?;
        loop {
            let (ready, reused) = match pool.ready() {
                Some(ready) => (ready, true),
                None => {
                    let (ready, fresh) = self.wait_or_connect(&pool, to).await?;
                    (ready, !fresh)
                }
            };
            let sent = match ready {
                Ready::Http1(idle) => http1::send(&pool, idle, request).await,
                Ready::Http2(shared) => http2::send(shared, request).await,
            };
            match sent {
                Ok(mut sent) => {
                    sent.hold.count(in_flight);
                    return Ok(sent);
                }
                Err((failure, None)) => return Err(failure),
                // Nothing of it was sent: the connection had died while it was idle.
                Err((failure, Some(unsent))) => {
                    if !reused {
                        return Err(failure);
                    }
                    request = *unsent;
                }
            }
        }
    }

    /// Gives a connection, and whether it is new.
    async fn wait_or_connect(&self, pool: &Rc<Pool>, to: Destination<'_>) -> Result<(Ready, bool), Failure> {
        let Destination { cluster, want, .. } = to;
        let _pending = breaker::take(cluster, want.high_priority, Resource::Pending).map_err(|_| Failure::Overflow)?;
        loop {
            if let Some(ready) = pool.ready() {
                return Ok((ready, false));
            }
            // One HTTP/2 connection is opened at a time: those who wait will share it.
            let may_share = want.protocol.may_be_http2() && pool.opening.get() > 0;
            let guard = if may_share {
                None
            } else if pool.open.get() + pool.opening.get() == 0 {
                Some(breaker::force(cluster, want.high_priority, Resource::Connection))
            } else {
                let taken = breaker::take(cluster, want.high_priority, Resource::Connection);
                if taken.is_err() {
                    add(&cluster.state.totals.connection_overflow);
                }
                taken.ok()
            };
            match guard {
                Some(guard) => {
                    let ready = self.open(pool, to, guard).await?;
                    return Ok((ready, true));
                }
                None => pool.wait().await,
            }
        }
    }

    async fn open(&self, pool: &Rc<Pool>, to: Destination<'_>, guard: breaker::Guard) -> Result<Ready, Failure> {
        let Destination { contexts, cluster, endpoint, want } = to;
        let _opening = Opening::new(pool);
        let how = How { offer: want.offer, server_name: want.server_name };
        let connected = Box::pin(connect::connect(contexts, cluster, endpoint, how, guard)).await?;
        if want.protocol.is_http2(connected.facts.tls.as_ref()) {
            let shared = Box::pin(http2::handshake(&self.tasks, pool, cluster, connected)).await?;
            let shared = Rc::new(shared);
            if !pool.closed.get() {
                pool.shared.borrow_mut().push(shared.clone());
            }
            Ok(Ready::Http2(shared))
        } else {
            Ok(Ready::Http1(Box::pin(http1::handshake(&self.tasks, pool, cluster, connected)).await?))
        }
    }
}

impl Pool {
    /// A connection that lives and has room.
    fn ready(&self) -> Option<Ready> {
        let now = Instant::now();
        {
            let mut idle = self.idle.borrow_mut();
            while let Some(connection) = idle.pop() {
                if !connection.is_stale(now) {
                    return Some(Ready::Http1(connection));
                }
            }
        }
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| !connection.is_closed());
        shared.iter().find(|connection| connection.has_room(now)).cloned().map(Ready::Http2)
    }

    /// Takes an HTTP/1 connection back.
    fn give_back(&self, idle: http1::Idle) {
        if self.closed.get() {
            return;
        }
        self.idle.borrow_mut().push(idle);
        self.wake_one();
    }

    /// Until a connection may have become free.
    async fn wait(&self) {
        let (wake, woken) = oneshot::channel();
        self.waiting.borrow_mut().push_back(wake);
        // An error is the pool's end: look again, connect anew.
        let _ = woken.await;
    }

    fn wake_one(&self) {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(next) = waiting.pop_front() {
            if next.send(()).is_ok() {
                return;
            }
        }
    }

    fn wake_all(&self) {
        self.waiting.borrow_mut().clear();
    }

    fn close(&self) {
        self.closed.set(true);
        self.idle.borrow_mut().clear();
        self.shared.borrow_mut().clear();
        self.wake_all();
    }
}

/// Counts a connection attempt. Whatever its outcome, those who wait for it look again.
struct Opening<'a>(&'a Pool);

impl<'a> Opening<'a> {
    fn new(pool: &'a Pool) -> Self {
        pool.opening.set(pool.opening.get() + 1);
        Self(pool)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.set(self.0.opening.get() - 1);
        self.0.wake_all();
    }
}

/// Counts a connection that lives, and wakes who waits for its place.
struct Alive(Rc<Pool>);

impl Alive {
    fn new(pool: &Rc<Pool>) -> Self {
        pool.open.set(pool.open.get() + 1);
        Self(pool.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.wake_one();
    }
}

fn add(counter: &std::sync::atomic::AtomicU64) {
    counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}
