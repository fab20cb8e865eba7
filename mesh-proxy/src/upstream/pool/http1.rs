//! HTTP/1 connections: one request at a time.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use http::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::{Alive, Hold, Pool, Sent};
use crate::{
    error::{self, Failure},
    http::{UpBody, to_http1},
    snapshot::Cluster,
    upstream::connect::{Connected, Facts},
    worker::LocalTasks,
};

/// A connection that serves nobody now.
pub(super) struct Idle {
    sender: http1::SendRequest<UpBody>,
    facts: Rc<Facts>,
    since: Instant,
    opened: Instant,
    served: u32,
    most: u32,
    idle_timeout: Option<Duration>,
    max_duration: Option<Duration>,
}

/// Starts HTTP/1 on a connection.
pub(super) async fn handshake(tasks: &LocalTasks, pool: &Rc<Pool>, cluster: &Cluster, connected: Connected) -> Result<Idle, Failure> {
    let Connected { transport, facts, counted } = connected;
    let (sender, connection) = http1::Builder::new().handshake(TokioIo::new(transport)).await.map_err(|error| error::of_hyper(&error))?;
    let alive = Alive::new(pool);
    tasks.spawn(async move {
        // How it ended is told to the request that was on it.
        let _ = connection.with_upgrades().await;
        drop((counted, alive));
    });
    let now = Instant::now();
    Ok(Idle {
        sender,
        facts: Rc::new(facts),
        since: now,
        opened: now,
        served: 0,
        most: cluster.max_requests_per_connection,
        idle_timeout: cluster.idle_timeout,
        max_duration: cluster.max_connection_duration,
    })
}

/// A failure, and the request if nothing of it was sent.
pub(super) type Unsent = (Failure, Option<Box<Request<UpBody>>>);

/// Sends a request and waits for the answer's headers.
pub(super) async fn send(pool: &Rc<Pool>, mut idle: Idle, mut request: Request<UpBody>) -> Result<Sent, Unsent> {
    if request.version() == http::Version::HTTP_2 {
        to_http1(&mut request);
    }
    if idle.sender.ready().await.is_err() {
        return Err((Failure::Terminated, Some(Box::new(request))));
    }
    idle.served += 1;
    match idle.sender.try_send_request(request).await {
        Ok(response) => {
            let facts = idle.facts.clone();
            Ok(Sent { response, facts, hold: Hold::http1(pool.clone(), idle) })
        }
        Err(mut error) => {
            let unsent = error.take_message().map(Box::new);
            Err((error::of_hyper(error.error()), unsent))
        }
    }
}

impl Idle {
    /// Closed, too old, or idle for too long.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        let over = |since: Instant, limit: Option<Duration>| limit.is_some_and(|limit| now.duration_since(since) >= limit);
        self.sender.is_closed() || over(self.since, self.idle_timeout) || over(self.opened, self.max_duration)
    }

    pub(super) fn may_serve_again(&self) -> bool {
        (self.most == 0 || self.served < self.most) && !self.sender.is_closed()
    }

    /// Idle from now on.
    pub(super) fn rested(mut self) -> Self {
        self.since = Instant::now();
        self
    }
}
