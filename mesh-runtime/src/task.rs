//! Every task has an owner. [`Tasks`] names what it runs, reports what panics, waits for it at shutdown and aborts what is left when dropped, so that no
//! detached future outlives the component that started it. This is the only file that may call tokio's spawn functions (`clippy.toml`).

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, ready};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;
use tracing::Instrument as _;

/// The owner of a set of tasks. Dropping it aborts them all; [`Tasks::shutdown`] is the orderly end.
pub struct Tasks {
    shared: Arc<Shared>,
}

/// Starts tasks on a [`Tasks`] without owning it: for code that runs inside such a task and must not keep its own owner alive.
#[derive(Clone)]
pub struct Spawner {
    owner: Weak<Shared>,
}

/// How a task ended badly: it panicked, or returned an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task {owner}/{task} failed: {reason}")]
pub struct Failure {
    /// Name of the [`Tasks`].
    pub owner: Arc<str>,
    /// Name of the task.
    pub task: Arc<str>,
    /// The panic message, or the error.
    pub reason: String,
}

/// What [`Tasks::shutdown`] met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shutdown {
    /// Every task ended by itself.
    Clean,
    /// These tasks were still running at the deadline and were aborted.
    Aborted(Vec<Arc<str>>),
}

/// What a task may return: nothing, or a `Result` whose error is logged and makes [`Tasks::failure`] resolve.
pub trait Outcome {
    /// The reason of a failure, if it is one.
    fn failure(self) -> Option<String>;
}

impl Outcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: fmt::Display> Outcome for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

impl Tasks {
    /// An empty set. The name prefixes its tasks in spans and failures.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let (failure, _) = watch::channel(None);
        Self { shared: Arc::new(Shared { name: name.into(), failure, state: Mutex::new(State { open: true, ..State::default() }) }) }
    }

    /// Runs `future` under a span named after it. A panic or an error is logged and kept for [`Tasks::failure`]; the other tasks go on.
    ///
    /// After [`Tasks::shutdown`] has begun nothing new starts: the future is dropped and the returned handle is `None`.
    pub fn spawn<F>(&self, what: impl Into<Cow<'static, str>>, future: F) -> Option<AbortHandle>
    where
        F: Future + Send + 'static,
        F::Output: Outcome + Send,
    {
        self.shared.spawn(what.into(), future)
    }

    /// As [`Tasks::spawn`], for futures that are not `Send`: must be called inside a `LocalSet` or a local runtime.
    ///
    /// # Panics
    /// Outside of a `LocalSet`, as `tokio::task::spawn_local` does.
    pub fn spawn_local<F>(&self, what: impl Into<Cow<'static, str>>, future: F) -> Option<AbortHandle>
    where
        F: Future + 'static,
        F::Output: Outcome,
    {
        self.shared.spawn_local(what.into(), future)
    }

    /// A handle for tasks that start others.
    #[must_use]
    pub fn spawner(&self) -> Spawner {
        Spawner { owner: Arc::downgrade(&self.shared) }
    }

    /// How many tasks have not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        let mut state = self.shared.lock();
        state.reap();
        state.set.len()
    }

    /// Resolves with the first failure; pends as long as there is none. Components `select!` on it so that a dead task ends the process with an error.
    pub async fn failure(&self) -> Failure {
        let mut seen = self.shared.failure.subscribe();
        match seen.wait_for(Option::is_some).await.map(|first| first.clone()) {
            Ok(Some(first)) => first,
            _ => std::future::pending().await,
        }
    }

    /// Resolves when no task is left. New ones may start meanwhile. Cancel-safe; one waiter at a time.
    pub async fn idle(&self) {
        std::future::poll_fn(|context| {
            let mut state = self.shared.lock();
            while let Some(ended) = ready!(state.set.poll_join_next_with_id(context)) {
                state.names.remove(&id_of(&ended));
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Refuses new tasks, waits at most `deadline` for the running ones, aborts and awaits the rest.
    pub async fn shutdown(&self, deadline: Duration) -> Shutdown {
        let until = Instant::now() + deadline;
        let (mut set, mut names) = {
            let mut state = self.shared.lock();
            state.open = false;
            (std::mem::take(&mut state.set), std::mem::take(&mut state.names))
        };
        while let Ok(Some(ended)) = tokio::time::timeout_at(until, set.join_next_with_id()).await {
            names.remove(&id_of(&ended));
        }
        if set.is_empty() {
            return Shutdown::Clean;
        }
        let mut left: Vec<Arc<str>> = names.into_values().collect();
        left.sort();
        tracing::warn!(owner = %self.shared.name, tasks = ?left, "aborting tasks that outlived the deadline");
        set.shutdown().await;
        Shutdown::Aborted(left)
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("name", &self.shared.name).field("running", &self.running()).finish()
    }
}

impl Spawner {
    /// As [`Tasks::spawn`]; `None`, and the future is dropped, when the owner is gone or shutting down.
    pub fn spawn<F>(&self, what: impl Into<Cow<'static, str>>, future: F) -> Option<AbortHandle>
    where
        F: Future + Send + 'static,
        F::Output: Outcome + Send,
    {
        self.owner.upgrade()?.spawn(what.into(), future)
    }

    /// As [`Tasks::spawn_local`]; `None`, and the future is dropped, when the owner is gone or shutting down.
    pub fn spawn_local<F>(&self, what: impl Into<Cow<'static, str>>, future: F) -> Option<AbortHandle>
    where
        F: Future + 'static,
        F::Output: Outcome,
    {
        self.owner.upgrade()?.spawn_local(what.into(), future)
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").finish_non_exhaustive()
    }
}

struct Shared {
    name: Arc<str>,
    failure: watch::Sender<Option<Failure>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: bool,
    set: JoinSet<()>,
    names: HashMap<Id, Arc<str>>,
}

impl State {
    fn reap(&mut self) {
        while let Some(ended) = self.set.try_join_next_with_id() {
            self.names.remove(&id_of(&ended));
        }
    }
}

#[allow(clippy::disallowed_methods)]
impl Shared {
    fn spawn<F>(self: &Arc<Self>, what: Cow<'static, str>, future: F) -> Option<AbortHandle>
    where
        F: Future + Send + 'static,
        F::Output: Outcome + Send,
    {
        let task: Arc<str> = what.into();
        let watched = self.watched(task.clone(), future);
        let mut state = self.lock();
        if !state.open {
            return None;
        }
        state.reap();
        let handle = state.set.spawn(watched);
        state.names.insert(handle.id(), task);
        Some(handle)
    }

    fn spawn_local<F>(self: &Arc<Self>, what: Cow<'static, str>, future: F) -> Option<AbortHandle>
    where
        F: Future + 'static,
        F::Output: Outcome,
    {
        let task: Arc<str> = what.into();
        let watched = self.watched(task.clone(), future);
        let mut state = self.lock();
        if !state.open {
            return None;
        }
        state.reap();
        let handle = state.set.spawn_local(watched);
        state.names.insert(handle.id(), task);
        Some(handle)
    }

    /// The future with its span and its failure report. It holds no strong reference to the owner, or dropping the owner would not abort it.
    fn watched<F>(&self, task: Arc<str>, future: F) -> impl Future<Output = ()> + use<F>
    where
        F: Future,
        F::Output: Outcome,
    {
        let owner = self.name.clone();
        let report = self.failure.clone();
        let span = tracing::info_span!("task", owner = %owner, name = %task);
        async move {
            let reason = match AssertUnwindSafe(future).catch_unwind().await {
                Ok(outcome) => outcome.failure(),
                Err(panic) => Some(format!("panicked: {}", panic_message(&*panic))),
            };
            if let Some(reason) = reason {
                tracing::error!(%owner, %task, %reason, "task failed");
                report.send_if_modified(|first| {
                    let is_first = first.is_none();
                    first.get_or_insert(Failure { owner, task, reason });
                    is_first
                });
            }
        }
        .instrument(span)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn id_of(ended: &Result<(Id, ()), JoinError>) -> Id {
    match ended {
        Ok((id, ())) => *id,
        Err(error) => error.id(),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not text")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_reported_and_hurts_nobody_else() {
        let tasks = Tasks::new("test");
        tasks.spawn("good", std::future::pending::<()>());
        tasks.spawn("bad", async { assert!(std::env::args().count() == usize::MAX, "boom") });
        let failure = tasks.failure().await;
        assert_eq!((&*failure.task, &*failure.reason), ("bad", "panicked: boom"));
        assert_eq!(tasks.shutdown(Duration::from_secs(1)).await, Shutdown::Aborted(vec!["good".into()]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_a_failure() {
        let tasks = Tasks::new("test");
        tasks.spawn("bad", async { Err::<(), _>("no") });
        assert_eq!(tasks.failure().await.reason, "no");
        assert_eq!(tasks.shutdown(Duration::from_secs(1)).await, Shutdown::Clean);
        assert!(tasks.spawn("late", async {}).is_none());
    }

    #[tokio::test]
    async fn dropping_the_owner_aborts() {
        let (alive, mut closed) = tokio::sync::mpsc::channel::<()>(1);
        let tasks = Tasks::new("test");
        let spawner = tasks.spawner();
        spawner.spawn("holder", async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
        drop(tasks);
        assert!(closed.recv().await.is_none());
        assert!(spawner.spawn("late", async {}).is_none());
    }

    #[tokio::test]
    async fn local_tasks_and_idle() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let tasks = Tasks::new("worker");
                let not_send = std::rc::Rc::new(());
                tasks.spawn_local("one", async move { drop(not_send) });
                tasks.idle().await;
                assert_eq!(tasks.running(), 0);
            })
            .await;
    }
}
