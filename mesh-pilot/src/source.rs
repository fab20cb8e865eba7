//! Where configuration comes from: an MCP subscription to every kind that Pilot reads, kept as one snapshot.
//!
//! Services and workloads come as the server's registry has them, one resource each: Pilot sees no object that they were made of (DESIGN.md D2).
//!
//! The server announces a revision over all types; a snapshot is handed on only when every type has reached the same one, so no half of a change is ever
//! served. What was handed on stays in force over disconnects and restarts of the server.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use mesh_config::{
    registry::{Delta, Registry, Service, ServiceId, Workload, WorkloadId},
    resource::{Key, Kind, Resource as Configuration},
    snapshot::{Builder, ConfigSnapshot},
};
use mesh_proto::{id::Revision, mcp};
use mesh_runtime::xds::{Connection, Interest, Rejection, Resource, Sink, Update, client::Handle};
use tokio::{sync::watch, time::Instant};

use crate::metrics::Metrics;

/// The kinds that a World is made of. No other is asked for.
pub(crate) const READ: &[Kind] = &[
    Kind::VirtualService,
    Kind::DestinationRule,
    Kind::Gateway,
    Kind::Sidecar,
    Kind::PeerAuthentication,
    Kind::AuthorizationPolicy,
    Kind::RequestAuthentication,
    Kind::WasmPlugin,
    Kind::TrafficExtension,
    Kind::Secret,
];

/// A configuration and when its first part arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The server's name for it.
    pub revision: Revision,
    /// The configuration.
    pub snapshot: Arc<ConfigSnapshot>,
    /// Services and workloads.
    pub registry: Arc<Registry>,
    /// When the change began to arrive.
    pub at: Instant,
}

/// Collects what the MCP server sends.
pub struct Source {
    builder: Builder,
    registry: Arc<Registry>,
    /// What is to be changed in the registry once all has come.
    services: BTreeMap<ServiceId, Option<Arc<Service>>>,
    workloads: BTreeMap<String, Option<Arc<Workload>>>,
    /// The keys of the workloads that are known.
    known: HashMap<String, WorkloadId>,
    /// The revision that each type has reached.
    reached: BTreeMap<String, Option<Revision>>,
    handed_on: Option<Revision>,
    arriving: Option<Instant>,
    out: watch::Sender<Option<Received>>,
    metrics: Arc<Metrics>,
}

impl Source {
    /// A sink that hands complete revisions on to the receiver.
    pub fn new(metrics: Arc<Metrics>) -> (Self, watch::Receiver<Option<Received>>) {
        let (out, receiver) = watch::channel(None);
        let source = Self {
            builder: Builder::default(),
            registry: Arc::default(),
            services: BTreeMap::new(),
            workloads: BTreeMap::new(),
            known: HashMap::new(),
            reached: types().map(|type_url| (type_url, None)).collect(),
            handed_on: None,
            arriving: None,
            out,
            metrics,
        };
        (source, receiver)
    }

    /// Asks for every kind that is read.
    pub fn subscribe(handle: &Handle) {
        for type_url in types() {
            handle.subscribe(type_url, Interest::All);
        }
    }

    fn take(&mut self, of: &Of, resource: &Resource) -> Result<(), Rejection> {
        let refuse = |reason: String| Rejection { name: resource.name.clone(), reason };
        let object = mcp::unpack(&resource.body).map_err(|error| refuse(error.to_string()))?;
        let json = serde_json::from_slice(&object.json).map_err(|error| refuse(format!("json: {error}")))?;
        let named = |inside: String| {
            let agree = inside == *resource.name;
            agree.then_some(()).ok_or_else(|| refuse(format!("the resource inside is {inside}: name and content must agree")))
        };
        match of {
            Of::Service => {
                let service = Service::from_json(&json).map_err(|error| refuse(error.to_string()))?;
                named(service.id.to_string())?;
                self.services.insert(service.id.clone(), Some(Arc::new(service)));
            }
            Of::Workload => {
                let workload = Workload::from_json(&json).map_err(|error| refuse(error.to_string()))?;
                named(workload.id.key())?;
                self.workloads.insert(workload.id.key(), Some(Arc::new(workload)));
            }
            Of::Kind(kind) => {
                let configuration = Configuration::from_json(*kind, &json).map_err(|error| match kind {
                    // Nothing of a Secret goes into a log, not even of one that cannot be read.
                    Kind::Secret => refuse(format!("{}: cannot be read", error.path())),
                    _ => refuse(error.to_string()),
                })?;
                enforceable(&configuration).map_err(|reason| refuse(reason.to_owned()))?;
                named(configuration.meta().key().to_string())?;
                self.builder.insert(configuration);
            }
        }
        Ok(())
    }

    fn drop(&mut self, of: &Of, name: &str) {
        match of {
            Of::Service => {
                if let Ok(id) = name.parse::<ServiceId>() {
                    self.services.insert(id, None);
                }
            }
            Of::Workload => {
                self.workloads.insert(name.to_owned(), None);
            }
            Of::Kind(kind) => {
                if let Ok(key) = name.parse::<Key>() {
                    self.builder.remove(*kind, &key);
                }
            }
        }
    }

    /// Takes the changes of services and workloads over, all at once.
    fn follow(&mut self) {
        let mut delta = Delta::default();
        for (id, service) in std::mem::take(&mut self.services) {
            match service {
                Some(service) => delta.services.push(service),
                None => delta.removed_services.push(id),
            }
        }
        for (key, workload) in std::mem::take(&mut self.workloads) {
            match workload {
                Some(workload) => {
                    self.known.insert(key, workload.id.clone());
                    delta.workloads.push(workload);
                }
                None => delta.removed_workloads.extend(self.known.remove(&key)),
            }
        }
        if !delta.is_empty() {
            Arc::make_mut(&mut self.registry).apply(delta);
        }
    }

    /// Hands a snapshot on if all types are at one revision.
    fn settle(&mut self) {
        let mut revisions = self.reached.values();
        let Some(Some(revision)) = revisions.next() else { return };
        if revisions.any(|other| other.as_ref() != Some(revision)) || self.handed_on.as_ref() == Some(revision) {
            return;
        }
        self.handed_on = Some(revision.clone());
        let at = self.arriving.take().unwrap_or_else(Instant::now);
        let revision = revision.clone();
        self.follow();
        let (snapshot, registry) = (self.builder.build(), self.registry.clone());
        let (services, workloads) = (registry.services().count(), registry.workloads().count());
        tracing::info!(%revision, resources = snapshot.len(), services, workloads, "configuration received");
        self.out.send_replace(Some(Received { revision, snapshot, registry, at }));
    }
}

/// What would be in force in name only is refused, whatever the server's own validation let through: a policy that nobody enforces is worse than none.
fn enforceable(configuration: &Configuration) -> Result<(), &'static str> {
    let by_reference = match configuration {
        Configuration::AuthorizationPolicy(policy) => policy.spec.target_ref.is_some() || !policy.spec.target_refs.is_empty(),
        Configuration::RequestAuthentication(policy) => policy.spec.target_ref.is_some() || !policy.spec.target_refs.is_empty(),
        Configuration::WasmPlugin(plugin) => plugin.spec.target_ref.is_some() || !plugin.spec.target_refs.is_empty(),
        Configuration::TrafficExtension(extension) => !extension.spec.target_refs.is_empty(),
        _ => false,
    };
    if by_reference { Err("spec.targetRefs: targetRefs are not supported by this mesh yet: use selector") } else { Ok(()) }
}

/// What a type's resources are.
#[derive(Clone, Copy)]
enum Of {
    Service,
    Workload,
    Kind(Kind),
}

impl Of {
    fn parse(type_url: &str) -> Option<Self> {
        match mcp::kind(type_url)? {
            mcp::SERVICE => Some(Self::Service),
            mcp::WORKLOAD => Some(Self::Workload),
            id => READ.iter().copied().find(|kind| kind.id() == id).map(Self::Kind),
        }
    }
}

/// All type URLs that are asked for.
fn types() -> impl Iterator<Item = String> {
    let ids = [mcp::SERVICE, mcp::WORKLOAD].into_iter().chain(READ.iter().map(|kind| kind.id()));
    ids.map(mcp::type_url)
}

impl Sink for Source {
    fn apply(&mut self, update: Update) -> Vec<Rejection> {
        let Some(of) = Of::parse(&update.type_url) else { return Vec::new() };
        if !update.upserts.is_empty() || !update.removed.is_empty() {
            self.arriving.get_or_insert_with(Instant::now);
        }
        let mut rejections = Vec::new();
        for resource in &update.upserts {
            if let Err(rejection) = self.take(&of, resource) {
                let type_url = &update.type_url;
                tracing::error!(%type_url, name = %rejection.name, reason = rejection.reason, "configuration refused; the last good one stays in force");
                rejections.push(rejection);
            }
        }
        update.removed.iter().for_each(|name| self.drop(&of, name));
        self.metrics.rejected_configs.inc_by(i64::try_from(rejections.len()).unwrap_or(i64::MAX));
        if let Some(revision) = update.revision {
            self.reached.insert(update.type_url.to_string(), Some(revision));
        }
        self.settle();
        rejections
    }

    fn connection(&mut self, state: Connection) {
        match state {
            Connection::Connected => tracing::info!("connected to the configuration server"),
            Connection::Disconnected { reason } => tracing::warn!(reason, "configuration server gone; what is held stays in force"),
        }
    }
}

#[cfg(test)]
mod tests;
