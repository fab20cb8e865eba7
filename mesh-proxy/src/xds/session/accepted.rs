//! What was accepted and what was refused, as it came over the wire: for `/config_dump` and stats.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use mesh_proto::type_url;
use mesh_runtime::xds::{Rejection, Resource, Update};

use super::Discover;
use crate::{metrics::StatValue, xds::Wanted};

/// Accepted resources by type and name.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    types: BTreeMap<Arc<str>, Type>,
    expected: Vec<&'static str>,
}

#[derive(Debug, Default)]
struct Type {
    entries: BTreeMap<Arc<str>, Entry>,
    revision: String,
    updates: u64,
    rejected: u64,
}

/// One resource.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// What is in force; `None` if no version was ever accepted.
    pub(crate) resource: Option<Resource>,
    /// The server's revision that it came with.
    pub(crate) revision: String,
    /// When it was accepted.
    pub(crate) updated: SystemTime,
    /// Why a newer version was refused, and when.
    pub(crate) refused: Option<(String, SystemTime)>,
}

impl Accepted {
    /// Which types must have come before the proxy is ready.
    pub(super) fn expect(&mut self, discover: Discover) {
        self.expected.clear();
        self.expected.extend(discover.clusters.then_some(type_url::CLUSTER));
        self.expected.extend(discover.listeners.then_some(type_url::LISTENER));
    }

    /// Whether they have.
    pub(super) fn is_complete(&self) -> bool {
        self.expected.iter().all(|expected| self.types.contains_key(*expected))
    }

    pub(super) fn record(&mut self, update: &Update, rejections: &[Rejection], now: SystemTime) {
        let kind = self.types.entry(update.type_url.clone()).or_default();
        kind.updates += 1;
        kind.rejected += u64::from(!rejections.is_empty());
        kind.revision = update.revision.as_ref().map(|revision| revision.as_str().to_owned()).unwrap_or_default();
        for name in &update.removed {
            kind.entries.remove(name);
        }
        for resource in &update.upserts {
            let refused = rejections.iter().find(|rejection| rejection.name == resource.name);
            let entry = kind.entries.entry(resource.name.clone()).or_insert_with(|| Entry {
                resource: None,
                revision: String::new(),
                updated: now,
                refused: None,
            });
            match refused {
                Some(rejection) => entry.refused = Some((rejection.reason.clone(), now)),
                None => {
                    *entry = Entry { resource: Some(resource.clone()), revision: kind.revision.clone(), updated: now, refused: None };
                }
            }
        }
    }

    /// Forgets what is no longer asked for.
    pub(super) fn keep(&mut self, wanted: &Wanted) {
        for (type_url, kind) in &mut self.types {
            match &**type_url {
                type_url::ROUTE => kind.entries.retain(|name, _| wanted.routes.contains(name)),
                type_url::ENDPOINT => kind.entries.retain(|name, _| wanted.endpoints.contains(name)),
                type_url::SECRET => kind.entries.retain(|name, _| wanted.secrets.contains_key(name)),
                _ => {}
            }
        }
    }

    /// The entries of a type.
    pub(crate) fn entries(&self, type_url: &str) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.types.get(type_url).into_iter().flat_map(|kind| &kind.entries)
    }

    /// The newest revision of a type.
    pub(crate) fn revision(&self, type_url: &str) -> &str {
        self.types.get(type_url).map_or("", |kind| &kind.revision)
    }

    pub(super) fn stats(&self) -> Vec<(String, StatValue)> {
        let names = [
            (type_url::CLUSTER, "cluster_manager.cds"),
            (type_url::LISTENER, "listener_manager.lds"),
            (type_url::ROUTE, "rds"),
            (type_url::ENDPOINT, "eds"),
            (type_url::SECRET, "sds"),
        ];
        let mut stats = Vec::new();
        for (type_url, prefix) in names {
            let Some(kind) = self.types.get(type_url) else { continue };
            stats.push((format!("{prefix}.update_attempt"), StatValue::Counter(kind.updates)));
            stats.push((format!("{prefix}.update_success"), StatValue::Counter(kind.updates - kind.rejected)));
            stats.push((format!("{prefix}.update_rejected"), StatValue::Counter(kind.rejected)));
            stats.push((format!("{prefix}.version_text"), StatValue::Text(kind.revision.clone())));
        }
        stats
    }
}
