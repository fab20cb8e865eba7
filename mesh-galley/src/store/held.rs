//! One file: what it gave, and what of an earlier version of it is still in force, and why.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use mesh_config::{
    diagnostic::Diagnostic,
    load::{self, Loaded},
    resource::{Key, Kind, Resource},
};

use super::Id;
use crate::{
    remark,
    secret::{self, Admission},
    source::folder::File,
};

/// A file as it was looked at last.
#[derive(Clone, Debug)]
pub(super) struct Held {
    content: Content,
    /// When it was first seen with this content; `None` before the first look.
    pub(super) since: Option<Instant>,
    /// In force, last good ones included.
    pub(super) resources: BTreeMap<Id, Resource>,
    /// Of them, those that the file holds and that are refused, or that may be in what cannot be made out.
    pub(super) broken: BTreeSet<Id>,
    /// Of them, those that the file does not hold any more.
    pub(super) missing: BTreeSet<Id>,
    /// All that is refused, whether there is a last good one or not.
    pub(super) refused: BTreeSet<Id>,
    /// Refused, without a last good one; or was so a moment ago.
    pub(super) doubtful: BTreeSet<Id>,
    /// Known by name only: it was in force before a restart, and its content is kept nowhere.
    withheld: BTreeSet<Id>,
    /// Where in the file each resource begins.
    lines: BTreeMap<Id, usize>,
    /// Something cannot be made out.
    unidentified: bool,
    /// So it is, and nothing is known of what it was before; or was so a moment ago.
    pub(super) unknown: bool,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// The resources are kept where a restart finds them.
    pub(super) saved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Known from before a restart only.
    Remembered,
    /// The file is not there.
    Absent,
    /// Bytes of this hash.
    Bytes(u128),
}

impl Held {
    /// Of before a restart. Secrets are known by their names only.
    pub(super) fn remembered(resources: impl IntoIterator<Item = Resource>, secrets: impl IntoIterator<Item = Key>) -> Self {
        let withheld: BTreeSet<Id> = secrets.into_iter().map(|key| (Kind::Secret, key)).collect();
        let doubtful = withheld.clone();
        Self { resources: by_id(resources), doubtful, withheld, saved: true, ..Self::new(Content::Remembered, None) }
    }

    /// What a file says, and what of its old self stays.
    pub(super) fn read(file: &File, old: Option<&Self>, now: Instant) -> Self {
        let Loaded { objects, refused, unidentified, diagnostics } = load::documents(&file.path.display().to_string(), &file.bytes);
        let mut held = Self {
            refused: refused.into_iter().collect(),
            unidentified,
            unknown: old.map_or(unidentified, |old| old.unknown),
            diagnostics: remark::without_secrets(diagnostics, &file.bytes),
            ..Self::new(Content::Bytes(file.hash), Some(now))
        };
        let remarks = remark::Remarks::on(file);
        for object in objects {
            let id = (object.resource.kind(), object.resource.meta().key());
            if held.diagnostics.len() <= remark::MOST_MESSAGES {
                held.diagnostics.extend(remarks.inaction(&object.resource, object.line));
            }
            match secret::admit(object.resource) {
                Admission::Take(resource) => {
                    held.lines.insert(id.clone(), object.line);
                    held.resources.insert(id, resource);
                }
                Admission::Pass => {}
                Admission::Refuse(reason) => {
                    held.diagnostics.push(remarks.refusal(&id, object.line, reason));
                    held.refused.insert(id);
                }
            }
        }
        remark::bound(&mut held.diagnostics);
        // One of two of the same name may be in order.
        held.refused.retain(|id| !held.resources.contains_key(id));
        if let Some(old) = old {
            for (id, resource) in &old.resources {
                if held.resources.contains_key(id) {
                    continue;
                }
                let broken = unidentified || held.refused.contains(id);
                if broken { &mut held.broken } else { &mut held.missing }.insert(id.clone());
                held.resources.insert(id.clone(), resource.clone());
            }
            held.saved = old.saved && old.resources == held.resources;
            held.doubtful.clone_from(&old.doubtful);
            held.withheld.clone_from(&old.withheld);
            held.withheld.retain(|id| !held.resources.contains_key(id));
        } else {
            // Where nothing good is known, what an earlier run may have left is not overwritten.
            held.saved = held.resources.is_empty() && (unidentified || !held.refused.is_empty());
        }
        held.doubtful.extend(held.refused.iter().cloned());
        held.doubtful.retain(|id| !held.resources.contains_key(id));
        held
    }

    /// The same file when it is not there any more.
    pub(super) fn gone(&self, now: Instant) -> Self {
        Self {
            resources: self.resources.clone(),
            missing: self.resources.keys().cloned().collect(),
            doubtful: self.doubtful.clone(),
            withheld: self.withheld.clone(),
            unknown: self.unknown,
            saved: self.saved,
            ..Self::new(Content::Absent, Some(now))
        }
    }

    /// Whether doubts remain that this content does not give.
    pub(super) fn has_old_doubts(&self) -> bool {
        (self.unknown && !self.unidentified) || self.doubtful.iter().any(|id| !self.gives_doubt(id))
    }

    /// Whether this content may mean a resource that is not known.
    fn gives_doubt(&self, id: &Id) -> bool {
        self.refused.contains(id) || (self.unidentified && self.withheld.contains(id))
    }

    /// Where in the file a resource begins; `None` if only its last good one is known.
    pub(super) fn line(&self, id: &Id) -> Option<usize> {
        self.lines.get(id).copied()
    }

    /// The keys of Secrets that a restart is to know of.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Key> {
        let held = self.resources.keys().filter(|(kind, _)| *kind == Kind::Secret);
        held.chain(&self.withheld).map(|(_, key)| key)
    }

    /// Lets go of resources that are gone, and of doubts that the file does not give any more.
    pub(super) fn settle(&mut self, gone: &[Id]) {
        for id in gone {
            self.missing.remove(id);
            self.resources.remove(id);
            self.saved = false;
        }
        self.unknown &= self.unidentified;
        let mut doubtful = std::mem::take(&mut self.doubtful);
        doubtful.retain(|id| self.gives_doubt(id));
        let before = self.withheld.len();
        self.withheld.retain(|id| doubtful.contains(id));
        self.saved &= self.withheld.len() == before;
        self.doubtful = doubtful;
    }

    pub(super) fn is(&self, hash: u128) -> bool {
        self.content == Content::Bytes(hash)
    }

    pub(super) fn is_absent(&self) -> bool {
        self.content == Content::Absent
    }

    fn new(content: Content, since: Option<Instant>) -> Self {
        Self {
            content,
            since,
            resources: BTreeMap::new(),
            broken: BTreeSet::new(),
            missing: BTreeSet::new(),
            refused: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            withheld: BTreeSet::new(),
            lines: BTreeMap::new(),
            unidentified: false,
            unknown: false,
            diagnostics: Vec::new(),
            saved: false,
        }
    }
}

fn by_id(resources: impl IntoIterator<Item = Resource>) -> BTreeMap<Id, Resource> {
    resources.into_iter().map(|resource| ((resource.kind(), resource.meta().key()), resource)).collect()
}
