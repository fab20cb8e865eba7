//! One file: what it gave, and what of an earlier version of it is still in force, and why.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use mesh_config::{
    diagnostic::Diagnostic,
    load::{self, Loaded},
    resource::Resource,
};

use super::Id;
use crate::source::folder::File;

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
    /// Of before a restart.
    pub(super) fn remembered(resources: impl IntoIterator<Item = Resource>) -> Self {
        Self { resources: by_id(resources), saved: true, ..Self::new(Content::Remembered, None) }
    }

    /// What a file says, and what of its old self stays.
    pub(super) fn read(file: &File, old: Option<&Self>, now: Instant) -> Self {
        let Loaded { objects, refused, unidentified, diagnostics } = load::documents(&file.path.display().to_string(), &file.bytes);
        let mut held = Self {
            resources: by_id(objects.into_iter().map(|object| object.resource)),
            refused: refused.into_iter().collect(),
            unidentified,
            unknown: old.map_or(unidentified, |old| old.unknown),
            diagnostics,
            ..Self::new(Content::Bytes(file.hash), Some(now))
        };
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
            unknown: self.unknown,
            saved: self.saved,
            ..Self::new(Content::Absent, Some(now))
        }
    }

    /// Whether doubts remain that this content does not give.
    pub(super) fn has_old_doubts(&self) -> bool {
        (self.unknown && !self.unidentified) || self.doubtful.iter().any(|id| !self.refused.contains(id))
    }

    /// Lets go of resources that are gone, and of doubts that the file does not give any more.
    pub(super) fn settle(&mut self, gone: &[Id]) {
        for id in gone {
            self.missing.remove(id);
            self.resources.remove(id);
            self.saved = false;
        }
        self.unknown &= self.unidentified;
        self.doubtful.retain(|id| self.refused.contains(id));
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
