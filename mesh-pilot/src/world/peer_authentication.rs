//! What a workload accepts on a port: plaintext, mutual TLS, or both.
//!
//! Source: Istio's `model/authentication.go`: mesh (root namespace, no selector) < namespace (no selector) < workload (selector) < port; UNSET inherits;
//! of several at one level the oldest counts; PERMISSIVE at the top.

use std::{collections::BTreeMap, sync::Arc};

use mesh_config::{
    resource::{Labels, Object, PeerAuthentication, peer_authentication::MutualTlsMode as Mode, selector::selects},
    snapshot::ConfigSnapshot,
};

/// The policies by level.
#[derive(Debug, Default)]
pub(super) struct Index {
    mesh: Mode,
    /// Without a selector, by namespace.
    namespaces: BTreeMap<String, Mode>,
    /// With a selector, by namespace, oldest first.
    workloads: BTreeMap<String, Vec<Arc<Object<PeerAuthentication>>>>,
}

impl Index {
    pub(super) fn build(snapshot: &ConfigSnapshot, root: &str) -> Self {
        let mut index = Self { mesh: Mode::Permissive, ..Self::default() };
        let mut whole_mesh = None;
        for object in snapshot.by_precedence::<PeerAuthentication>() {
            let namespace = object.meta.namespace.clone();
            if object.spec.selector.as_ref().is_some_and(|selector| !selector.match_labels.is_empty()) {
                index.workloads.entry(namespace).or_default().push(Arc::clone(object));
            } else if namespace == root {
                whole_mesh.get_or_insert(own(object));
            } else {
                index.namespaces.entry(namespace).or_insert(own(object));
            }
        }
        if let Some(mode) = whole_mesh.filter(|mode| *mode != Mode::Unset) {
            index.mesh = mode;
        }
        index
    }

    /// The mode on a workload's port; never UNSET.
    pub(super) fn mode(&self, namespace: &str, labels: &Labels, port: u16) -> Mode {
        let inherited = self.namespaces.get(namespace).copied().filter(|mode| *mode != Mode::Unset).unwrap_or(self.mesh);
        let Some(policy) = self.selecting(namespace, labels) else { return inherited };
        let workload = Some(own(policy)).filter(|mode| *mode != Mode::Unset).unwrap_or(inherited);
        let at_port = policy.spec.port_level_mtls.get(&port).map(|mtls| mtls.mode);
        at_port.filter(|mode| *mode != Mode::Unset).unwrap_or(workload)
    }

    /// The ports that a workload's policy has a mode of their own for.
    pub(super) fn ports(&self, namespace: &str, labels: &Labels) -> impl Iterator<Item = u16> {
        let levels = self.selecting(namespace, labels).map(|policy| &policy.spec.port_level_mtls);
        levels.into_iter().flatten().filter(|(_, mtls)| mtls.mode != Mode::Unset).map(|(port, _)| *port)
    }

    fn selecting(&self, namespace: &str, labels: &Labels) -> Option<&Object<PeerAuthentication>> {
        let selecting = self.workloads.get(namespace)?.iter();
        let mut selecting =
            selecting.filter(|object| object.spec.selector.as_ref().is_some_and(|selector| selects(&selector.match_labels, labels)));
        selecting.next().map(Arc::as_ref)
    }
}

fn own(object: &Object<PeerAuthentication>) -> Mode {
    object.spec.mtls.as_ref().map_or(Mode::Unset, |mtls| mtls.mode)
}
