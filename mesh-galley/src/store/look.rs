//! A look at all files, one by one, so that only one file's bytes are in memory at a time.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Instant};

use mesh_config::snapshot::ConfigSnapshot;

use super::{FileId, Store, held::Held};
use crate::source::folder::{File, Unreadable};

/// A look at all files, one after the other.
#[derive(Debug)]
pub struct Look<'s> {
    store: &'s mut Store,
    now: Instant,
    /// At the first look, the files that were remembered.
    known: Option<BTreeSet<PathBuf>>,
    absent: BTreeSet<FileId>,
    seen: BTreeSet<FileId>,
}

impl<'s> Look<'s> {
    pub(super) fn new(store: &'s mut Store, now: Instant, known: Option<BTreeSet<PathBuf>>) -> Self {
        let absent = store.files.keys().cloned().collect();
        Self { store, now, known, absent, seen: BTreeSet::new() }
    }

    /// Takes a file over.
    pub fn file(&mut self, file: &File) {
        let id = (file.rank, file.path.clone());
        self.absent.remove(&id);
        let old = self.store.files.get(&id);
        if old.is_none_or(|old| !old.is(file.hash)) {
            let held = Held::read(file, old.map(Arc::as_ref), self.now);
            self.store.files.insert(id.clone(), Arc::new(held));
        }
        self.seen.insert(id);
    }

    /// All files have been seen, but those that could not be looked at: gives the configuration now in force.
    pub fn finish(mut self, unreadable: &[Unreadable]) -> Arc<ConfigSnapshot> {
        let store = self.store;
        if let Some(known) = self.known {
            let unknown = unreadable.iter().filter(|there| !known.iter().any(|path| path.starts_with(&there.path)));
            store.unseen = unknown.map(|there| there.path.clone()).collect();
        }
        store.unseen.retain(|path| unreadable.iter().any(|there| there.path == *path));
        for id in self.absent {
            // What could not even be looked at is not gone.
            if unreadable.iter().any(|there| id.1.starts_with(&there.path)) {
                continue;
            }
            if let Some(held) = store.files.get_mut(&id)
                && !held.is_absent()
            {
                *held = Arc::new(held.gone(self.now));
            }
            self.seen.insert(id);
        }
        store.settle(&self.seen, self.now);
        store.merge(unreadable)
    }
}
