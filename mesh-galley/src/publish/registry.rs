//! Services and workloads as MCP resources, kept up change by change: so that subscribers need no Pod, no EndpointSlice and no Node.

use std::sync::Arc;

use mesh_config::{
    registry::{Delta, Index, Service, ServiceId, Settings, Workload, WorkloadId},
    snapshot::ConfigSnapshot,
};
use mesh_proto::mcp::{self, Object};
use mesh_runtime::xds::{Resource, Resources};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Registry {
    index: Index,
    /// The configuration that it is made of.
    at: Option<Arc<ConfigSnapshot>>,
    services: Arc<Resources>,
    workloads: Arc<Resources>,
}

impl Registry {
    /// Goes on to another configuration.
    pub(super) fn follow(&mut self, snapshot: &Arc<ConfigSnapshot>) {
        let delta = match &self.at {
            Some(before) => self.index.follow(snapshot, &snapshot.diff(before)),
            None => {
                self.index = Index::from_snapshot(Settings::default(), snapshot);
                Delta {
                    services: self.index.services().cloned().collect(),
                    workloads: self.index.workloads().cloned().collect(),
                    ..Delta::default()
                }
            }
        };
        self.at = Some(Arc::clone(snapshot));
        let services = delta.services.iter().map(|service| service_resource(service));
        change(&mut self.services, services, delta.removed_services.iter().map(ServiceId::to_string));
        let workloads = delta.workloads.iter().map(|workload| workload_resource(workload));
        change(&mut self.workloads, workloads, delta.removed_workloads.iter().map(WorkloadId::key));
    }

    /// By `namespace/hostname`.
    pub(super) fn services(&self) -> Arc<Resources> {
        self.services.clone()
    }

    /// By `cluster/source/namespace/name`.
    pub(super) fn workloads(&self) -> Arc<Resources> {
        self.workloads.clone()
    }
}

/// Nothing changes, not even the pointer, where nothing has changed.
fn change(all: &mut Arc<Resources>, upserts: impl Iterator<Item = Resource>, removed: impl Iterator<Item = String>) {
    for name in removed {
        if all.contains_key(name.as_str()) {
            Arc::make_mut(all).remove(name.as_str());
        }
    }
    for resource in upserts {
        Arc::make_mut(all).insert(resource.name.clone(), resource);
    }
}

fn service_resource(service: &Service) -> Resource {
    let object =
        Object { kind: mcp::SERVICE.into(), name: service.name.clone(), namespace: service.id.namespace.clone(), ..Object::default() };
    resource(service.id.to_string(), object, &service.to_json())
}

fn workload_resource(workload: &Workload) -> Resource {
    let id = &workload.id;
    let object = Object { kind: mcp::WORKLOAD.into(), name: id.name.clone(), namespace: id.namespace.clone(), ..Object::default() };
    resource(id.key(), object, &workload.to_json())
}

fn resource(name: String, object: Object, json: &Value) -> Resource {
    let json = json.to_string();
    let version = format!("{:032x}", xxh3_128(json.as_bytes()));
    Resource::with_version(name, version, mcp::pack(&Object { json: json.into(), ..object }))
}
