//! Generation after generation: only what can have changed is made anew.
//!
//! The fingerprint of what a proxy sees decides: the same, and nothing is made; only endpoints differ (by far the most frequent change), and only the assignments of
//! those services' clusters are; else all of it. The result is always what generation from nothing gives.

use std::{collections::BTreeSet, sync::Arc};

use mesh_config::registry::ServiceId;
use mesh_proto::{any::pack, type_url};
use mesh_runtime::xds::{Resource, Snapshot};

use super::{Report, cluster, generate_seeing};
use crate::{
    scope::ProxyScope,
    world::{Fingerprint, View, World},
};

/// A proxy's configuration and what it was made of.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    fingerprint: Fingerprint,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) report: Report,
}

/// What had to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing.
    None,
    /// The endpoints of so many services.
    Endpoints(usize),
    /// All.
    All,
}

/// The configuration of a proxy, and how much of it was made anew.
pub(crate) fn generate_after(world: &World, scope: &ProxyScope, before: Option<&Made>) -> (Made, Work) {
    let view = world.view(scope);
    let fingerprint = world.fingerprint(scope, &view);
    let Some(before) = before.filter(|before| before.fingerprint.shape == fingerprint.shape) else {
        let (snapshot, report) = generate_seeing(world, scope, &view);
        return (Made { fingerprint, snapshot: Arc::new(snapshot), report }, Work::All);
    };
    let pairs = fingerprint.endpoints.iter().zip(&before.fingerprint.endpoints);
    let changed: BTreeSet<&ServiceId> =
        view.services.iter().zip(pairs).filter(|(_, (new, old))| new != old).map(|(service, _)| &service.id).collect();
    if changed.is_empty() {
        return (before.clone(), Work::None);
    }
    let work = Work::Endpoints(changed.len());
    let snapshot = Arc::new(with_endpoints(world, scope, &view, &before.snapshot, &changed));
    (Made { snapshot, report: before.report.clone(), fingerprint }, work)
}

/// The snapshot with the endpoints of these services made anew, and everything else as it is.
fn with_endpoints(world: &World, scope: &ProxyScope, view: &View<'_>, before: &Snapshot, changed: &BTreeSet<&ServiceId>) -> Snapshot {
    let mut builder = Snapshot::builder();
    for (type_url, resources) in &before.types {
        builder.share(type_url, resources.clone());
    }
    for endpoints in cluster::assignments(world, scope, view, |id| changed.contains(id)) {
        let resource = Resource::new(endpoints.cluster_name.clone(), pack(&endpoints));
        let same = before.resource(type_url::ENDPOINT, &resource.name).is_some_and(|known| known.version == resource.version);
        if !same {
            builder.insert(type_url::ENDPOINT, resource);
        }
    }
    builder.build()
}

#[cfg(test)]
mod tests;
