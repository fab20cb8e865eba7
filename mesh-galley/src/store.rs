//! The last good configuration. Pure: files and the time in, snapshot and findings out.
//!
//! What a broken file held stays in force. What a whole file no longer holds, or a file that is gone held, stays until a later look finds the same:
//! a file that is being written is empty, or ends in the middle, for a moment. What a restart made us lose sight of is told apart from what is not there.

mod held;
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_config::{
    resource::{Key, Kind, Resource},
    snapshot::{Builder, ConfigSnapshot},
};
use serde::Serialize;

use crate::source::folder::{File, Unreadable};
use held::Held;

/// How long a resource must be gone from its file, and the file unchanged, until it is gone.
pub const SETTLE: Duration = Duration::from_secs(1);

/// A resource's kind and name.
pub type Id = (Kind, Key);
/// The index of a folder, and a file in it.
type FileId = (usize, PathBuf);

/// What every file gave last, and the configuration they make together. Cheap to clone: an update works on a copy, so that its failure loses nothing.
#[derive(Clone, Default)]
pub struct Store {
    files: BTreeMap<FileId, Arc<Held>>,
    /// Resources that another file's of the same name keeps out of force.
    shadowed: BTreeSet<(Id, FileId)>,
    /// Could not be looked at since the start, and nothing is known of what they held before.
    unseen: BTreeSet<PathBuf>,
    started: bool,
    unsettled: bool,
    /// Files that are gone and whose memory may go, too.
    forgotten: BTreeSet<PathBuf>,
    uncertain: Uncertain,
    report: Report,
}

/// What may be meant to exist although it is not in force, because its last good one is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uncertain {
    /// Anything: something is there that cannot be made out.
    pub all: bool,
    /// These.
    pub ids: BTreeSet<Id>,
}

/// What there is to say about the configuration as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Messages that refuse something.
    pub errors: Vec<String>,
    /// Messages that do not.
    pub warnings: Vec<String>,
    /// Resources in force.
    pub resources: usize,
    /// Of which are older than their file, because the file is broken now.
    pub kept: usize,
    /// Of which are gone from their file since a moment only.
    pub going: usize,
}

impl Store {
    /// Takes over what a file gave before a restart. To be called before the first update.
    pub fn remember(&mut self, rank: usize, path: PathBuf, resources: impl IntoIterator<Item = Resource>) {
        self.files.insert((rank, path), Arc::new(Held::remembered(resources)));
    }

    /// Takes over what was just read, and gives the configuration now in force. `now` is when the reading began.
    pub fn update(&mut self, files: Vec<File>, unreadable: &[Unreadable], now: Instant) -> Arc<ConfigSnapshot> {
        if !std::mem::replace(&mut self.started, true) {
            // Who is kept out of force by whom was decided before the restart.
            self.merge(&[]);
            let unknown = unreadable.iter().filter(|there| !self.files.keys().any(|(_, path)| path.starts_with(&there.path)));
            self.unseen = unknown.map(|there| there.path.clone()).collect();
        }
        self.unseen.retain(|path| unreadable.iter().any(|there| there.path == *path));
        let mut absent: BTreeSet<FileId> = self.files.keys().cloned().collect();
        let mut seen = BTreeSet::new();
        for file in files {
            let id = (file.rank, file.path.clone());
            absent.remove(&id);
            let old = self.files.get(&id);
            if old.is_none_or(|old| !old.is(file.hash)) {
                let held = Held::read(&file, old.map(Arc::as_ref), now);
                self.files.insert(id.clone(), Arc::new(held));
            }
            seen.insert(id);
        }
        for id in absent {
            // What could not even be looked at is not gone.
            if unreadable.iter().any(|there| id.1.starts_with(&there.path)) {
                continue;
            }
            if let Some(held) = self.files.get_mut(&id)
                && !held.is_absent()
            {
                *held = Arc::new(held.gone(now));
            }
            seen.insert(id);
        }
        self.settle(&seen, now);
        self.merge(unreadable)
    }

    /// Whether something is gone that another look, [`SETTLE`] from now, may confirm.
    pub fn unsettled(&self) -> bool {
        self.unsettled
    }

    /// What there is to say about the configuration now in force.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What may be meant to exist although it is not in force.
    pub fn uncertain(&self) -> &Uncertain {
        &self.uncertain
    }

    /// What a restart would lose: files, and what of them is in force.
    pub fn unsaved(&self) -> impl Iterator<Item = (&Path, Vec<&Resource>)> {
        let files =
            self.files.iter().filter(|(_, held)| !held.saved).map(|((_, path), held)| (path.as_path(), held.resources.values().collect()));
        let forgotten = self.forgotten.iter().map(|path| (path.as_path(), Vec::new()));
        files.chain(forgotten)
    }

    /// Notes that a restart would not lose it.
    pub fn saved(&mut self, path: &Path) {
        self.forgotten.remove(path);
        for (_, held) in self.files.iter_mut().filter(|((_, of), held)| of == path && !held.saved) {
            Arc::make_mut(held).saved = true;
        }
    }

    /// Lets go of what has been gone long enough, in the files just seen.
    fn settle(&mut self, seen: &BTreeSet<FileId>, now: Instant) {
        // What is broken in one file is not deleted because it has left another: it has moved.
        let broken: BTreeSet<&Id> = self.files.values().flat_map(|held| &held.refused).collect();
        let mut settled = Vec::new();
        self.unsettled = false;
        for id in seen {
            let Some(held) = self.files.get(id) else { continue };
            let gone: Vec<Id> = held.missing.iter().filter(|id| !broken.contains(id)).cloned().collect();
            if held.since.is_some_and(|since| now.saturating_duration_since(since) >= SETTLE) {
                settled.push((id, gone));
            } else {
                self.unsettled |= !gone.is_empty() || held.has_old_doubts();
            }
        }
        for (id, gone) in settled {
            let Some(held) = self.files.get_mut(id) else { continue };
            if !gone.is_empty() || held.has_old_doubts() {
                Arc::make_mut(held).settle(&gone);
            }
            if held.is_absent() && held.resources.is_empty() {
                self.files.remove(id);
                self.forgotten.insert(id.1.clone());
            }
        }
    }

    fn merge(&mut self, unreadable: &[Unreadable]) -> Arc<ConfigSnapshot> {
        let mut report = Report { errors: unreadable.iter().map(ToString::to_string).collect(), ..Report::default() };
        // By folder, then path: the earlier wins.
        let mut claims: BTreeMap<&Id, Vec<(&FileId, &Held)>> = BTreeMap::new();
        for (file, held) in &self.files {
            for diagnostic in &held.diagnostics {
                let list = if diagnostic.is_error() { &mut report.errors } else { &mut report.warnings };
                list.push(diagnostic.to_string());
            }
            for id in held.resources.keys() {
                claims.entry(id).or_default().push((file, held));
            }
        }
        let mut builder = Builder::default();
        let mut shadowed = BTreeSet::new();
        for (id, claims) in &claims {
            let Some((owner, held)) = self.owner(id, claims) else { continue };
            report.kept += usize::from(held.broken.contains(*id));
            report.going += usize::from(held.missing.contains(*id));
            if let Some(resource) = held.resources.get(*id) {
                builder.insert(resource.clone());
            }
            for (file, _) in claims.iter().filter(|(file, held)| *file != owner && !held.missing.contains(*id)) {
                let (kind, name) = id;
                report.errors.push(format!(
                    "{}: {kind} {name} is also in {}, which stays in force: rename or remove one",
                    file.1.display(),
                    owner.1.display()
                ));
                shadowed.insert(((*id).clone(), (*file).clone()));
            }
        }
        report.resources = claims.len();
        let uncertain = self.doubts(|id| claims.contains_key(id), &mut report);
        (self.shadowed, self.uncertain, self.report) = (shadowed, uncertain, report);
        builder.build()
    }

    /// The file whose resource is in force: the first; but what is going gives way to what came since, which is a move.
    fn owner<'a>(&self, id: &Id, claims: &[(&'a FileId, &'a Held)]) -> Option<(&'a FileId, &'a Held)> {
        let first = claims.first().copied()?;
        if !first.1.missing.contains(id) {
            return Some(first);
        }
        let came = |(file, held): &&(&FileId, &Held)| !held.missing.contains(id) && !self.shadowed.contains(&(id.clone(), (*file).clone()));
        Some(claims.iter().find(came).copied().unwrap_or(first))
    }

    fn doubts(&self, in_force: impl Fn(&Id) -> bool, report: &mut Report) -> Uncertain {
        const KEEP: &str = "nothing is served for it, and subscribers that have it keep theirs";
        let mut uncertain = Uncertain::default();
        for ((_, path), held) in &self.files {
            let path = path.display();
            if held.unknown {
                uncertain.all = true;
                report.errors.push(format!("{path}: there is no last good version of what cannot be made out in it: {KEEP}"));
            }
            for id in held.doubtful.iter().filter(|id| !in_force(id)) {
                report.errors.push(format!("{path}: {} {} is refused and has no last good version: {KEEP}", id.0, id.1));
                uncertain.ids.insert(id.clone());
            }
        }
        for path in &self.unseen {
            uncertain.all = true;
            report.errors.push(format!("{}: there is no last good version of what it holds: {KEEP}", path.display()));
        }
        uncertain
    }
}

impl Uncertain {
    /// Whether there is no doubt.
    pub fn is_empty(&self) -> bool {
        !self.all && self.ids.is_empty()
    }
}
