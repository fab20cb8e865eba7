//! Opening one more connection for a pool. The attempt is the pool's, not that of the request that caused it: it outlives
//! the request, and its end is everybody's who waits then.

use std::{rc::Rc, sync::Arc};

use super::{Destination, Pool, Protocol, Ready, Woken, http1, http2};
use crate::{
    error::Failure,
    snapshot::{Cluster, Endpoint},
    tls::{LocalContexts, Offer},
    upstream::{
        breaker,
        connect::{self, How},
    },
    worker::LocalTasks,
};

/// An attempt, and all that it needs.
struct Attempt {
    tasks: LocalTasks,
    contexts: Rc<LocalContexts>,
    cluster: Arc<Cluster>,
    endpoint: Arc<Endpoint>,
    protocol: Protocol,
    offer: Offer,
    server_name: Option<Box<str>>,
}

/// Begins an attempt. `guard` is the new connection's place.
pub(super) fn start(tasks: &LocalTasks, pool: &Rc<Pool>, to: Destination<'_>, guard: breaker::Guard) {
    let Destination { contexts, cluster, endpoint, want } = to;
    let attempt = Attempt {
        tasks: tasks.clone(),
        contexts: contexts.clone(),
        cluster: cluster.clone(),
        endpoint: endpoint.clone(),
        protocol: want.protocol,
        offer: want.offer,
        server_name: want.server_name.map(Into::into),
    };
    let opening = Opening::new(pool);
    tasks.spawn(async move {
        let outcome = attempt.run(&opening.pool, guard).await;
        opening.done(outcome, attempt.protocol);
    });
}

impl Attempt {
    async fn run(&self, pool: &Rc<Pool>, guard: breaker::Guard) -> Result<Ready, Failure> {
        let Self { tasks, cluster, .. } = self;
        let how = How { offer: self.offer, server_name: self.server_name.as_deref() };
        let connected = Box::pin(connect::connect(&self.contexts, cluster, &self.endpoint, how, guard)).await?;
        if self.protocol.is_http2(connected.facts.tls.as_ref()) {
            let shared = Box::pin(http2::handshake(tasks, pool, cluster, connected)).await?;
            Ok(Ready::Http2(Rc::new(shared)))
        } else {
            Ok(Ready::Http1(Box::pin(http1::handshake(tasks, pool, cluster, connected)).await?))
        }
    }
}

/// Counts an attempt. If it ends without an outcome, by a panic or with the worker, that is a failure: nobody is left waiting.
struct Opening {
    pool: Rc<Pool>,
    done: bool,
}

impl Opening {
    fn new(pool: &Rc<Pool>) -> Self {
        pool.opening.set(pool.opening.get() + 1);
        Self { pool: pool.clone(), done: false }
    }

    fn done(mut self, outcome: Result<Ready, Failure>, protocol: Protocol) {
        self.done = true;
        let pool = self.pool.clone();
        // What is told below is true when it is heard.
        drop(self);
        match outcome {
            Ok(Ready::Http1(idle)) => {
                let learned = protocol == Protocol::Auto && !pool.chose_http1.replace(true);
                pool.hand_over(idle, true);
                if learned {
                    // They waited to share a connection; each needs its own.
                    pool.queue.wake_all(|| Woken::Look);
                }
            }
            Ok(Ready::Http2(shared)) => {
                pool.chose_http1.set(false);
                pool.share(shared);
            }
            Err(failure) => pool.queue.wake_all(|| Woken::Failed(failure.clone())),
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.pool.opening.set(self.pool.opening.get() - 1);
        if !self.done {
            let failure = Failure::Connect("the attempt to connect was given up".into());
            self.pool.queue.wake_all(|| Woken::Failed(failure.clone()));
        }
    }
}
