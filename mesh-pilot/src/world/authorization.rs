//! Which AuthorizationPolicies hold for a workload.

use std::{collections::BTreeMap, sync::Arc};

use mesh_config::{
    resource::{AuthorizationPolicy, Labels, Object, selector::selects},
    snapshot::ConfigSnapshot,
};

/// Istio's annotation for a policy that is only counted.
const DRY_RUN: &str = "istio.io/dry-run";

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The resource.
    pub object: Arc<Object<AuthorizationPolicy>>,
    /// Only counted, not enforced.
    pub dry_run: bool,
}

/// By namespace, by name.
#[derive(Debug, Default)]
pub(super) struct Index {
    root: String,
    namespaces: BTreeMap<String, Vec<Policy>>,
}

impl Index {
    pub(super) fn build(snapshot: &ConfigSnapshot, root: &str) -> Self {
        let mut namespaces: BTreeMap<String, Vec<Policy>> = BTreeMap::new();
        for object in snapshot.list::<AuthorizationPolicy>() {
            let dry_run = object.meta.annotations.get(DRY_RUN).is_some_and(|value| value == "true");
            namespaces.entry(object.meta.namespace.clone()).or_default().push(Policy { object: Arc::clone(object), dry_run });
        }
        Self { root: root.to_owned(), namespaces }
    }

    /// The policies of the root namespace first. None targets an object by reference: such a one is refused before it gets here.
    pub(super) fn of(&self, namespace: &str, labels: &Labels) -> Vec<&Policy> {
        let mut levels = vec![self.root.as_str()];
        if namespace != self.root {
            levels.push(namespace);
        }
        let policies = levels.into_iter().filter_map(|level| self.namespaces.get(level)).flatten();
        let holds = |policy: &&Policy| policy.object.spec.selector.as_ref().is_none_or(|selector| selects(&selector.match_labels, labels));
        policies.filter(holds).collect()
    }
}
