//! Readiness as a guard: a component is ready when every [`Blocker`] taken on it has been consumed by [`Blocker::ready`]. A blocker that is merely dropped
//! (a panic, an early return) leaves the component unready for ever, and says which one it was.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// What a component still waits for. Cheap to clone; all clones see the same state.
#[derive(Debug, Clone)]
pub struct Readiness {
    waiting: Arc<watch::Sender<Waiting>>,
}

/// One reason not to be ready.
#[must_use = "dropping a blocker leaves the component unready for ever; call `ready`"]
pub struct Blocker {
    name: Arc<str>,
    key: u64,
    armed: bool,
    waiting: Arc<watch::Sender<Waiting>>,
}

/// A thing that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pending {
    /// Its blocker is alive.
    Waiting(Arc<str>),
    /// Its blocker was dropped without becoming ready: it never will be.
    Lost(Arc<str>),
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(name) => write!(f, "{name}"),
            Self::Lost(name) => write!(f, "{name} (gave up)"),
        }
    }
}

impl Readiness {
    /// Ready until something blocks it. Take the blockers before serving.
    #[must_use]
    pub fn new() -> Self {
        Self { waiting: Arc::new(watch::channel(Waiting::default()).0) }
    }

    /// Adds a reason not to be ready.
    pub fn block(&self, name: impl Into<Arc<str>>) -> Blocker {
        let name = name.into();
        let mut key = 0;
        self.waiting.send_modify(|waiting| {
            key = waiting.next;
            waiting.next += 1;
            waiting.pending.insert(key, Pending::Waiting(name.clone()));
        });
        Blocker { name, key, armed: true, waiting: self.waiting.clone() }
    }

    /// Whether nothing is waited for.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.waiting.borrow().pending.is_empty()
    }

    /// What is waited for, oldest first.
    #[must_use]
    pub fn pending(&self) -> Vec<Pending> {
        self.waiting.borrow().pending.values().cloned().collect()
    }

    /// Resolves when nothing is waited for. Cancel-safe.
    pub async fn wait(&self) {
        // Cannot fail: `self` keeps the sender alive.
        let _ = self.waiting.subscribe().wait_for(|waiting| waiting.pending.is_empty()).await;
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Blocker {
    /// This is no longer a reason to wait.
    pub fn ready(mut self) {
        self.armed = false;
        self.waiting.send_modify(|waiting| {
            waiting.pending.remove(&self.key);
        });
        tracing::debug!(name = %self.name, "ready");
    }
}

impl Drop for Blocker {
    fn drop(&mut self) {
        if self.armed {
            tracing::error!(name = %self.name, "dropped before it became ready");
            self.waiting.send_modify(|waiting| {
                waiting.pending.insert(self.key, Pending::Lost(self.name.clone()));
            });
        }
    }
}

impl fmt::Debug for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blocker").field(&self.name).finish()
    }
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    pending: BTreeMap<u64, Pending>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_when_all_blockers_are_consumed() {
        let readiness = Readiness::new();
        let (first, second) = (readiness.block("xds"), readiness.block("certificate"));
        assert!(!readiness.is_ready());
        first.ready();
        assert_eq!(readiness.pending(), [Pending::Waiting("certificate".into())]);
        second.ready();
        readiness.wait().await;
        assert!(readiness.is_ready());
    }

    #[test]
    fn a_bare_drop_is_not_success() {
        let readiness = Readiness::new();
        drop(readiness.block("xds"));
        assert!(!readiness.is_ready());
        assert_eq!(readiness.pending()[0].to_string(), "xds (gave up)");
    }
}
