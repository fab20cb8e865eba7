//! Which Sidecar resource a proxy has: one that selects its labels, else its namespace's, else the root namespace's.

use std::{collections::BTreeMap, sync::Arc};

use mesh_config::{
    resource::{Object, Sidecar, selector::selects},
    snapshot::ConfigSnapshot,
};

use super::World;
use crate::scope::ProxyScope;

/// By namespace, oldest first.
#[derive(Debug, Default)]
pub(super) struct Index(BTreeMap<String, Vec<Arc<Object<Sidecar>>>>);

impl Index {
    pub(super) fn build(snapshot: &ConfigSnapshot) -> Self {
        let mut index = Self::default();
        for object in snapshot.by_precedence::<Sidecar>() {
            index.0.entry(object.meta.namespace.clone()).or_default().push(Arc::clone(object));
        }
        index
    }

    pub(super) fn find(&self, world: &World, scope: &ProxyScope) -> Option<&Arc<Object<Sidecar>>> {
        let root = world.settings.root_namespace.as_str();
        let own_labels = world.labels(scope);
        let own = self.0.get(scope.namespace.as_str()).map_or(&[][..], Vec::as_slice);
        let labels = |object: &Object<Sidecar>| object.spec.workload_selector.clone().filter(|selector| !selector.labels.is_empty());
        let selected = own.iter().find(|object| labels(object).is_some_and(|selector| selects(&selector.labels, own_labels)));
        let default = || own.iter().find(|object| labels(object).is_none());
        // In the root namespace a selector is not mesh-wide.
        let mesh = || self.0.get(root)?.iter().find(|object| labels(object).is_none());
        selected.or_else(default).or_else(mesh)
    }
}
