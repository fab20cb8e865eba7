//! Looks at the folders at the start, whenever they changed, and until they are still; keeps what is in force where a restart finds it, and hands it on.

use std::{path::PathBuf, sync::Arc, time::Duration};

use mesh_config::snapshot::ConfigSnapshot;
use mesh_runtime::{ready::Blocker, xds};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    metrics::Metrics,
    publish,
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
    pub(crate) snapshots: watch::Sender<Option<Arc<xds::Snapshot>>>,
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
        let (folders, last) = (self.folders.clone(), self.last.clone());
        // Parsing thousands of files must not hold up the server.
        let looked = tokio::task::spawn_blocking(move || last.look(&folders)).await;
        let Looked { last, snapshot, report } = match looked {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!(%error, "reading the configuration failed; the last good one stays in force");
                return false;
            }
        };
        self.last = last;
        self.tell(report);
        self.publish(&snapshot);
        true
    }

    fn tell(&self, report: Report) {
        self.metrics.report(&report);
        let news = self.reports.send_if_modified(|last| {
            let differs = *last != report;
            if differs {
                *last = report;
            }
            differs
        });
        if !news {
            return;
        }
        let report = self.reports.borrow();
        for error in &report.errors {
            tracing::error!("configuration refused, the last good one stays in force\n{error}");
        }
        for warning in &report.warnings {
            tracing::warn!("configuration\n{warning}");
        }
    }

    fn publish(&self, snapshot: &ConfigSnapshot) {
        let uncertain = self.last.store.uncertain();
        self.snapshots.send_if_modified(|served| {
            let revision = publish::revision(snapshot, uncertain);
            if served.as_ref().is_some_and(|served| served.revision == revision) {
                return false;
            }
            tracing::info!(%revision, resources = snapshot.len(), "new configuration in force");
            let next = publish::resources(revision, snapshot, uncertain, served.as_deref());
            *served = Some(Arc::new(next));
            true
        });
    }
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
                self.store.remember(remembered.rank, remembered.path, remembered.resources);
            }
        }
        let (files, unreadable) = folder::read(folders);
        let snapshot = self.store.update(files, &unreadable, now);
        let mut report = self.store.report().clone();
        // Before it is served: what somebody acts on must not be forgotten.
        if let Some(state) = &mut self.state {
            let saved: Vec<PathBuf> =
                self.store.unsaved().filter(|(path, resources)| state.save(path, resources)).map(|(path, _)| path.to_owned()).collect();
            saved.iter().for_each(|path| self.store.saved(path));
            report.errors.extend(state.faults());
        }
        Looked { last: self, snapshot, report }
    }
}

#[cfg(test)]
mod tests;
