//! HTTP/2 connections: many requests at a time.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use http::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::{Alive, Hold, Pool, Sent, http1::Unsent};
use crate::{
    error::{self, Failure},
    http::UpBody,
    snapshot::Cluster,
    upstream::connect::{Connected, Facts},
    worker::LocalTasks,
};

/// A connection that several requests share.
pub(super) struct Shared {
    sender: http2::SendRequest<UpBody>,
    facts: Rc<Facts>,
    pool: Rc<Pool>,
    active: Cell<usize>,
    served: Cell<u32>,
    since: Cell<Instant>,
    opened: Instant,
    most_at_once: usize,
    most: u32,
    idle_timeout: Option<Duration>,
    max_duration: Option<Duration>,
}

/// One request's place on a connection.
pub(super) struct Place(Rc<Shared>);

/// Starts HTTP/2 on a connection.
pub(super) async fn handshake(tasks: &LocalTasks, pool: &Rc<Pool>, cluster: &Cluster, connected: Connected) -> Result<Shared, Failure> {
    let Connected { transport, facts, counted } = connected;
    let settings = &cluster.http2;
    let mut builder = http2::Builder::new(tasks.clone());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .initial_max_send_streams(settings.max_concurrent_streams.min(1024) as usize)
        .max_header_list_size(MAX_HEADER_LIST);
    if let Some((interval, timeout)) = settings.keepalive {
        builder.keep_alive_interval(interval).keep_alive_timeout(timeout).keep_alive_while_idle(true);
    }
    let (sender, connection) = builder.handshake(TokioIo::new(transport)).await.map_err(|error| error::of_hyper(&error))?;
    let alive = Alive::new(pool);
    tasks.spawn(async move {
        // How it ended is told to the requests that were on it.
        let _ = connection.await;
        drop((counted, alive));
    });
    let now = Instant::now();
    Ok(Shared {
        sender,
        facts: Rc::new(facts),
        pool: pool.clone(),
        active: Cell::new(0),
        served: Cell::new(0),
        since: Cell::new(now),
        opened: now,
        most_at_once: settings.max_concurrent_streams.max(1) as usize,
        most: cluster.max_requests_per_connection,
        idle_timeout: cluster.idle_timeout,
        max_duration: cluster.max_connection_duration,
    })
}

/// Envoy's bound for response headers, 60 KiB.
const MAX_HEADER_LIST: u32 = 60 * 1024;

/// Sends a request and waits for the answer's headers.
pub(super) async fn send(shared: Rc<Shared>, request: Request<UpBody>) -> Result<Sent, Unsent> {
    let place = Place::take(shared);
    let mut sender = place.0.sender.clone();
    match sender.try_send_request(request).await {
        Ok(response) => {
            let facts = place.0.facts.clone();
            Ok(Sent { response, facts, hold: Hold::http2(place) })
        }
        Err(mut error) => {
            let unsent = error.take_message().map(Box::new);
            Err((error::of_hyper(error.error()), unsent))
        }
    }
}

impl Shared {
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// How many more requests may go on it.
    pub(super) fn room(&self) -> usize {
        let left = if self.most == 0 { u32::MAX } else { self.most.saturating_sub(self.served.get()) };
        self.most_at_once.saturating_sub(self.active.get()).min(left as usize)
    }

    /// Whether one more request may go on it. If the peer allows fewer at once, h2 queues it.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        self.room() > 0 && !self.is_too_old(now)
    }

    /// No longer wanted: closed, or idle for too long, or too old and idle.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        let idle = self.active.get() == 0;
        let over = self.idle_timeout.is_some_and(|limit| now.duration_since(self.since.get()) >= limit);
        let spent = self.most != 0 && self.served.get() >= self.most;
        self.is_closed() || (idle && (over || spent || self.is_too_old(now)))
    }

    fn is_too_old(&self, now: Instant) -> bool {
        self.max_duration.is_some_and(|limit| now.duration_since(self.opened) >= limit)
    }
}

impl Place {
    fn take(shared: Rc<Shared>) -> Self {
        shared.active.set(shared.active.get() + 1);
        shared.served.set(shared.served.get().saturating_add(1));
        Self(shared)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        if self.0.active.get() == 0 {
            self.0.since.set(Instant::now());
        }
        self.0.pool.wake_one();
    }
}
