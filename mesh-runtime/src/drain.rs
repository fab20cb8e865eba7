//! Shutdown in two steps. First everybody is told to stop accepting; those in the middle of something hold a [`Guard`] and finish. When they are done,
//! or at the deadline, whoever is left is forced. Losing the trigger counts as force, so that a crashed owner never leaves servers running.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// A drain that has not begun. The trigger belongs to whoever ends the component, the watch to everything in it.
#[must_use]
pub fn channel() -> (DrainTrigger, DrainWatch) {
    let (phase, seen) = watch::channel(Phase::Running);
    let holders = TaskTracker::new();
    (DrainTrigger { phase, holders: holders.clone() }, DrainWatch { phase: seen, holders })
}

/// Begins the drain. Dropped, it forces.
#[derive(Debug)]
pub struct DrainTrigger {
    phase: watch::Sender<Phase>,
    holders: TaskTracker,
}

/// Sees the drain. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DrainWatch {
    phase: watch::Receiver<Phase>,
    holders: TaskTracker,
}

/// As long as one lives, the drain waits (up to its deadline).
#[derive(Debug)]
#[must_use = "the drain waits only while the guard lives"]
pub struct Guard {
    _token: TaskTrackerToken,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every holder finished in time.
    Clean,
    /// At the deadline this many guards were still held; their holders were told to stop at once.
    Forced {
        /// Guards alive at the deadline.
        holders: usize,
    },
}

impl DrainTrigger {
    /// Tells everybody to stop accepting, waits at most `deadline` for the guards, then forces.
    pub async fn drain(self, deadline: Duration) -> Drained {
        self.phase.send_replace(Phase::Draining);
        self.holders.close();
        let drained = match tokio::time::timeout(deadline, self.holders.wait()).await {
            Ok(()) => Drained::Clean,
            Err(_) => Drained::Forced { holders: self.holders.len() },
        };
        self.phase.send_replace(Phase::Forced);
        drained
    }

    /// Tells everybody to stop accepting and returns at once; a later [`DrainTrigger::drain`] does the waiting.
    pub fn start(&self) {
        self.phase.send_if_modified(|phase| std::mem::replace(phase, (*phase).max(Phase::Draining)) < Phase::Draining);
    }

    /// Another view of this drain.
    #[must_use]
    pub fn watch(&self) -> DrainWatch {
        DrainWatch { phase: self.phase.subscribe(), holders: self.holders.clone() }
    }
}

impl DrainWatch {
    /// Resolves once draining has begun (also if it is already forced). Cancel-safe.
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Resolves when waiting is over and work in progress must be cut off. Cancel-safe.
    pub async fn forced(&self) {
        self.reached(Phase::Forced).await;
    }

    /// Whether draining has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.phase.has_changed().is_err() || *self.phase.borrow() >= Phase::Draining
    }

    /// Keeps the drain waiting until dropped.
    pub fn guard(&self) -> Guard {
        Guard { _token: self.holders.token() }
    }

    async fn reached(&self, phase: Phase) {
        // An error means that the trigger is gone: that is "forced".
        let _ = self.phase.clone().wait_for(|now| *now >= phase).await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Draining,
    Forced,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Tasks;

    #[tokio::test(start_paused = true)]
    async fn waits_for_guards() {
        let (trigger, watch) = channel();
        let tasks = Tasks::new("test");
        let (guard, seen) = (watch.guard(), watch.clone());
        tasks.spawn("holder", async move {
            seen.draining().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            drop(guard);
        });
        assert!(!watch.is_draining());
        assert_eq!(trigger.drain(Duration::from_secs(5)).await, Drained::Clean);
        assert!(watch.is_draining());
    }

    #[tokio::test(start_paused = true)]
    async fn forces_at_the_deadline() {
        let (trigger, watch) = channel();
        let _guard = watch.guard();
        assert_eq!(trigger.drain(Duration::from_secs(5)).await, Drained::Forced { holders: 1 });
        watch.forced().await;
    }

    #[tokio::test]
    async fn losing_the_trigger_forces() {
        let (trigger, watch) = channel();
        trigger.start();
        watch.draining().await;
        drop(trigger);
        watch.forced().await;
        assert!(watch.is_draining());
    }
}
