//! Notices that folders changed, and waits until they are still. It says only "look again", never what changed: the reader reads everything.

use std::{path::PathBuf, time::Duration};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

/// Even without a sign of change, folders are looked at this often: notifications can be lost (full queues, network file systems).
const ANYWAY: Duration = Duration::from_secs(30);

/// Watches folders as long as it lives.
pub struct Watch {
    changes: mpsc::Receiver<()>,
    quiet: Duration,
    patience: Duration,
    // Dropping it ends the watch; `None` when nothing is watched.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches `folders`, recursively. Where that is not possible (too many watches), the regular look has to do, and a warning says so.
    pub fn start(folders: &[PathBuf], quiet: Duration, patience: Duration) -> Self {
        // One is enough: all it says is "look again".
        let (changed, changes) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| !event.kind.is_access()) {
                let _ = changed.try_send(());
            }
        });
        let watcher = watcher.and_then(|mut watcher| {
            for folder in folders {
                watcher.watch(folder, RecursiveMode::Recursive)?;
            }
            Ok(watcher)
        });
        let watcher =
            watcher.inspect_err(|error| tracing::warn!(%error, "folders cannot be watched; looking at them every {ANYWAY:?} instead")).ok();
        Self { changes, quiet, patience, _watcher: watcher }
    }

    /// Resolves when it is time to look again: after a change, once nothing more changed for the quiet time, or at the end of patience.
    pub async fn changed(&mut self) {
        let first = timeout_at(Instant::now() + ANYWAY, self.next()).await;
        if first.is_err() {
            return;
        }
        let latest = Instant::now() + self.patience;
        loop {
            let still = (Instant::now() + self.quiet).min(latest);
            if timeout_at(still, self.next()).await.is_err() {
                return;
            }
        }
    }

    async fn next(&mut self) {
        // Without a watcher nothing ever comes: the regular look remains.
        if self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
