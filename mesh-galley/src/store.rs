//! The last good configuration. Pure: files in, snapshot and findings out.

mod tests;

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use mesh_config::{
    diagnostic::Diagnostic,
    load::{self, Loaded},
    resource::{Key, Kind, Resource},
    snapshot::{Builder, ConfigSnapshot},
};
use serde::Serialize;

use crate::source::folder::{File, Unreadable};

/// What every file gave last, and the configuration they make together.
#[derive(Default)]
pub struct Store {
    files: BTreeMap<(usize, PathBuf), Held>,
    report: Report,
}

struct Held {
    hash: u128,
    /// In force, last good ones included.
    resources: BTreeMap<(Kind, Key), Resource>,
    diagnostics: Vec<Diagnostic>,
    /// Kept in force from an earlier version of the file.
    kept: usize,
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
}

impl Store {
    /// Takes over what was just read, and gives the configuration now in force.
    pub fn update(&mut self, files: Vec<File>, unreadable: &[Unreadable]) -> Arc<ConfigSnapshot> {
        let mut gone: HashSet<(usize, PathBuf)> = self.files.keys().cloned().collect();
        for file in files {
            let key = (file.rank, file.path.clone());
            gone.remove(&key);
            let old = self.files.remove(&key);
            let held = match old {
                Some(old) if old.hash == file.hash => old,
                old => Held::read(&file, old),
            };
            self.files.insert(key, held);
        }
        // What could not even be looked at is not gone.
        gone.retain(|(_, path)| !unreadable.iter().any(|there| path.starts_with(&there.path)));
        for key in gone {
            self.files.remove(&key);
        }
        self.merge(unreadable)
    }

    /// What there is to say about the configuration now in force.
    pub fn report(&self) -> &Report {
        &self.report
    }

    fn merge(&mut self, unreadable: &[Unreadable]) -> Arc<ConfigSnapshot> {
        let mut builder = Builder::default();
        let mut owners: BTreeMap<&(Kind, Key), &PathBuf> = BTreeMap::new();
        let mut report = Report { errors: unreadable.iter().map(ToString::to_string).collect(), ..Report::default() };
        // By folder, then path: the earlier wins.
        for ((_, path), held) in &self.files {
            for diagnostic in &held.diagnostics {
                let list = if diagnostic.is_error() { &mut report.errors } else { &mut report.warnings };
                list.push(diagnostic.to_string());
            }
            report.kept += held.kept;
            for (key, resource) in &held.resources {
                if let Some(first) = owners.get(key) {
                    let (kind, name) = key;
                    let text = format!(
                        "{}: {kind} {name} is also in {}, which comes first and stays in force: rename or remove one",
                        path.display(),
                        first.display()
                    );
                    report.errors.push(text);
                    continue;
                }
                owners.insert(key, path);
                builder.insert(resource.clone());
            }
        }
        report.resources = owners.len();
        self.report = report;
        builder.build()
    }
}

impl Held {
    fn read(file: &File, old: Option<Self>) -> Self {
        let Loaded { objects, refused, unidentified, diagnostics } = load::documents(&file.path.display().to_string(), &file.bytes);
        let mut resources: BTreeMap<(Kind, Key), Resource> =
            objects.into_iter().map(|object| ((object.resource.kind(), object.resource.meta().key()), object.resource)).collect();
        let mut kept = 0;
        for (key, resource) in old.map(|old| old.resources).unwrap_or_default() {
            // Still there but broken, or something is there that we cannot make out: it stays as it was.
            if !resources.contains_key(&key) && (unidentified || refused.contains(&key)) {
                resources.insert(key, resource);
                kept += 1;
            }
        }
        Self { hash: file.hash, resources, diagnostics, kept }
    }
}
