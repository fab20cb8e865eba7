//! The last good configuration. Pure: files and the time in, snapshot and findings out.
//!
//! What a broken file held stays in force. What a whole file no longer holds, or a file that is gone held, stays until a later look finds the same:
//! a file that is being written is empty, or ends in the middle, for a moment. What a restart made us lose sight of is told apart from what is not there.

mod held;
mod look;
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

use crate::source::folder::Unreadable;
use held::Held;
pub use look::Look;

/// How long a resource must be gone from its file, and the file unchanged, until it is gone.
pub const SETTLE: Duration = Duration::from_secs(1);

/// A resource's kind and name.
pub type Id = (Kind, Key);
/// The index of a folder, and a file in it.
type FileId = (usize, PathBuf);

/// What every file gave last, and the configuration they make together. Cheap to clone: an update works on a copy, so that its failure loses nothing.
#[derive(Clone, Debug, Default)]
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

/// What a restart would lose of a file.
#[derive(Debug)]
pub struct Unsaved<'s> {
    /// Which.
    pub path: &'s Path,
    /// What of it is in force, but for Secrets.
    pub resources: Vec<&'s Resource>,
    /// The Secrets: only by name, for keys are written nowhere.
    pub secrets: Vec<&'s Key>,
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

/// More messages than this of one sort nobody reads; how many more there are is said.
const MOST_MESSAGES: usize = 1000;

impl Report {
    fn bound(&mut self) {
        for list in [&mut self.errors, &mut self.warnings] {
            let more = list.len().saturating_sub(MOST_MESSAGES);
            if more > 0 {
                list.truncate(MOST_MESSAGES);
                list.push(format!("and {more} more"));
            }
        }
    }
}

impl Store {
    /// Takes over what a file gave before a restart: resources, and the names of Secrets, whose content is not kept. To be called before the first look.
    pub fn remember(
        &mut self,
        rank: usize,
        path: PathBuf,
        resources: impl IntoIterator<Item = Resource>,
        secrets: impl IntoIterator<Item = Key>,
    ) {
        self.files.insert((rank, path), Arc::new(Held::remembered(resources, secrets)));
    }

    /// Begins to look at all files. `now` is when the reading begins.
    pub fn look(&mut self, now: Instant) -> Look<'_> {
        let known = (!std::mem::replace(&mut self.started, true)).then(|| {
            // Who is kept out of force by whom was decided before the restart.
            self.merge(&[]);
            self.files.keys().map(|(_, path)| path.clone()).collect()
        });
        Look::new(self, now, known)
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
    pub fn unsaved(&self) -> impl Iterator<Item = Unsaved<'_>> {
        let files = self.files.iter().filter(|(_, held)| !held.saved).map(|((_, path), held)| Unsaved {
            path,
            resources: held.resources.values().filter(|resource| resource.kind() != Kind::Secret).collect(),
            secrets: held.secrets().collect(),
        });
        let forgotten = self.forgotten.iter().map(|path| Unsaved { path, resources: Vec::new(), secrets: Vec::new() });
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
            for (file, loser) in claims.iter().filter(|(file, held)| *file != owner && !held.missing.contains(*id)) {
                let (kind, name) = id;
                let place = |file: &FileId, held: &Held| match held.line(id) {
                    Some(line) => format!("{}:{line}", file.1.display()),
                    None => file.1.display().to_string(),
                };
                report.errors.push(format!(
                    "{}: {kind} {name} is also in {}, which stays in force: rename or remove one",
                    place(file, loser),
                    place(owner, held)
                ));
                shadowed.insert(((*id).clone(), (*file).clone()));
            }
        }
        report.resources = claims.len();
        let uncertain = self.doubts(|id| claims.contains_key(id), &mut report);
        report.bound();
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
