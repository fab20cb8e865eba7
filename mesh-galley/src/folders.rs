//! Looks at the folders at the start, whenever they changed, and until they are still; keeps what is in force where a restart finds it, and hands it on.

use std::{borrow::Cow, collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use mesh_config::snapshot::ConfigSnapshot;
use mesh_runtime::ready::Blocker;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    metrics::Metrics,
    publish::Outlet,
    source::{folder, watch::Watch},
    state::State,
    store::{Report, SETTLE, Store},
};

/// Reads the folders and publishes what is in force.
pub(crate) struct Folders {
    pub(crate) folders: Vec<PathBuf>,
    /// Watch for changes: the quiet time and the patience.
    pub(crate) watch: Option<(Duration, Duration)>,
    pub(crate) last: Last,
    pub(crate) outlet: Arc<Outlet>,
    pub(crate) reports: watch::Sender<Report>,
    pub(crate) metrics: Arc<Metrics>,
}

/// The last good configuration, in memory and on disk. A look works on a copy and replaces it when it succeeded.
#[derive(Clone, Default)]
pub(crate) struct Last {
    store: Store,
    state: Option<State>,
    loaded: bool,
}

struct Looked {
    last: Last,
    snapshot: Arc<ConfigSnapshot>,
    report: Report,
}

impl Folders {
    /// Looks as long as it lives; `blocker` holds until the first look succeeded.
    pub(crate) async fn run(mut self, blocker: Blocker) {
        // The watch comes first: what changes during the first look is seen after it.
        let mut watch = self.watch.map(|(quiet, patience)| Watch::start(&self.folders, quiet, patience));
        let mut blocker = Some(blocker);
        loop {
            let looked = self.look().await;
            if looked && let Some(blocker) = blocker.take() {
                blocker.ready();
            }
            let changed = async {
                match &mut watch {
                    Some(watch) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            let again = !looked || self.last.store.unsettled();
            tokio::select! {
                () = changed => {}
                () = sleep(SETTLE), if again => {}
            }
        }
    }

    async fn look(&mut self) -> bool {
        let (folders, last, outlet) = (self.folders.clone(), self.last.clone(), self.outlet.clone());
        // Parsing thousands of files must not hold up the server.
        let looked = tokio::task::spawn_blocking(move || {
            let looked = last.look(&folders);
            outlet.put(&looked.snapshot, looked.last.store.uncertain());
            looked
        });
        let Looked { last, report, .. } = match looked.await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!(%error, "reading the configuration failed; the last good one stays in force");
                return false;
            }
        };
        self.last = last;
        self.tell(report);
        true
    }

    fn tell(&self, report: Report) {
        self.metrics.report(&report);
        let before = self.reports.borrow().clone();
        if before == report {
            return;
        }
        self.reports.send_replace(report);
        let report = self.reports.borrow();
        for error in news(&before.errors, &report.errors) {
            tracing::error!("configuration refused, the last good one stays in force\n{error}");
        }
        for warning in news(&before.warnings, &report.warnings) {
            tracing::warn!("configuration\n{warning}");
        }
    }
}

/// The messages that are new, so many as somebody reads.
fn news<'r>(before: &[String], now: &'r [String]) -> impl Iterator<Item = Cow<'r, str>> {
    const MOST: usize = 100;
    let known: HashSet<&String> = before.iter().collect();
    let new: Vec<&String> = now.iter().filter(|message| !known.contains(message)).collect();
    let more = new.len().saturating_sub(MOST);
    let rest = (more > 0).then(|| Cow::Owned(format!("and {more} more: /debug/status on the monitoring port has them")));
    new.into_iter().take(MOST).map(|message| Cow::Borrowed(message.as_str())).chain(rest)
}

impl Last {
    pub(crate) fn new(state: Option<State>) -> Self {
        Self { state, ..Self::default() }
    }

    fn look(mut self, folders: &[PathBuf]) -> Looked {
        let now = Instant::now().into_std();
        if let Some(state) = &mut self.state
            && !std::mem::replace(&mut self.loaded, true)
        {
            for remembered in state.load(folders) {
                self.store.remember(remembered.rank, remembered.path, remembered.resources, remembered.secrets);
            }
        }
        let mut reading = folder::read(folders);
        let mut look = self.store.look(now);
        for file in reading.by_ref() {
            look.file(&file);
        }
        let snapshot = look.finish(&reading.unreadable());
        let mut report = self.store.report().clone();
        // Before it is served: what somebody acts on must not be forgotten.
        if let Some(state) = &mut self.state {
            let saved: Vec<PathBuf> =
                self.store.unsaved().filter(|unsaved| state.save(unsaved)).map(|unsaved| unsaved.path.to_owned()).collect();
            saved.iter().for_each(|path| self.store.saved(path));
            report.errors.extend(state.faults());
        }
        Looked { last: self, snapshot, report }
    }
}

#[cfg(test)]
mod tests;
