//! Connections to endpoints, one set per worker: HTTP/1 last in, first out; HTTP/2 shared.
//!
//! Keyed by endpoint and by everything that makes two connections differ (settings' hash, transport, protocol, SNI), so
//! that a request never travels on a connection that was opened for another kind. Nothing is shared between workers.
//! A connection is opened by a task of the pool's, for whoever waits: a request that gives up ends nobody else's attempt.

mod dial;
mod http1;
mod http2;
mod key;
mod lease;
mod queue;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::{Arc, Weak},
    time::Instant,
};

use self::{
    key::Key,
    queue::{Queue, Ticket, Woken},
};
pub(crate) use self::{
    key::{Protocol, Want},
    lease::{Hold, Sent},
};
use super::{
    breaker::{self, Resource},
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
    /// Requests that wait for a connection.
    queue: Queue,
    /// ALPN was left open and the endpoint chose HTTP/1, so that nobody can share what is being opened.
    chose_http1: Cell<bool>,
    closed: Cell<bool>,
}

/// Where a request goes, and how.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    /// For TLS.
    pub(crate) contexts: &'a Rc<LocalContexts>,
    /// The cluster.
    pub(crate) cluster: &'a Arc<Cluster>,
    /// One of its endpoints.
    pub(crate) endpoint: &'a Arc<Endpoint>,
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
            queue: Queue::default(),
            chose_http1: Cell::new(false),
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
            pool.open.get() > 0 || pool.opening.get() > 0 || pool.queue.len() > 0
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
                    let (ready, fresh) = self.wait(&pool, to).await?;
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

    /// Waits for a connection, one that becomes free or a new one, whichever comes first. Says whether it is new.
    async fn wait(&self, pool: &Rc<Pool>, to: Destination<'_>) -> Result<(Ready, bool), Failure> {
        let _pending = breaker::take(to.cluster, to.want.high_priority, Resource::Pending).map_err(|_| Failure::Overflow)?;
        let mut ticket = Ticket::last(pool);
        loop {
            if pool.needs_another(to.want.protocol)
                && let Some(guard) = place(pool, to)
            {
                dial::start(&self.tasks, pool, to, guard);
            }
            match ticket.called().await {
                Woken::Ready(ready, fresh) => return Ok((ready, fresh)),
                Woken::Failed(failure) => return Err(failure),
                Woken::Look => {}
            }
            if let Some(ready) = pool.ready() {
                return Ok((ready, false));
            }
            ticket = Ticket::first(pool);
        }
    }
}

/// A place for one more connection. The first one of a worker to an endpoint is always allowed, as in Envoy.
fn place(pool: &Pool, Destination { cluster, want, .. }: Destination<'_>) -> Option<breaker::Guard> {
    if pool.open.get() + pool.opening.get() == 0 {
        return Some(breaker::force(cluster, want.high_priority, Resource::Connection));
    }
    let taken = breaker::take(cluster, want.high_priority, Resource::Connection);
    if taken.is_err() {
        add(&cluster.state.totals.connection_overflow);
    }
    taken.ok()
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

    /// Whether those who wait want one more connection than are being opened. HTTP/2 is opened one at a time: it is shared.
    fn needs_another(&self, protocol: Protocol) -> bool {
        let shared = protocol.may_be_http2() && !self.chose_http1.get();
        self.opening.get() < if shared { 1 } else { self.queue.len() }
    }

    /// Takes an HTTP/1 connection back.
    fn give_back(&self, idle: http1::Idle) {
        self.hand_over(idle, false);
    }

    /// To who has waited longest, or it becomes idle.
    fn hand_over(&self, idle: http1::Idle, fresh: bool) {
        let left = self.queue.wake(Woken::Ready(Ready::Http1(idle), fresh));
        if let Err(Woken::Ready(Ready::Http1(idle), _)) = left
            && !self.closed.get()
        {
            self.idle.borrow_mut().push(idle);
        }
    }

    /// To all who wait, as far as it has room; the others look what else there is.
    fn share(&self, shared: Rc<http2::Shared>) {
        for _ in 0..shared.room() {
            if self.queue.wake(Woken::Ready(Ready::Http2(shared.clone()), true)).is_err() {
                break;
            }
        }
        if !self.closed.get() {
            self.shared.borrow_mut().push(shared);
        }
        self.queue.wake_all(|| Woken::Look);
    }

    /// A place for a connection or on one is free.
    fn wake_one(&self) {
        let _ = self.queue.wake(Woken::Look);
    }

    fn close(&self) {
        self.closed.set(true);
        self.idle.borrow_mut().clear();
        self.shared.borrow_mut().clear();
        self.queue.wake_all(|| Woken::Look);
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

#[cfg(test)]
mod tests;
