//! From objects to services, workloads and endpoints.

use std::{collections::BTreeMap, sync::Arc};

use mesh_proto::id::Hostname;

use super::{
    Endpoint, Instance, Registry, Resolution, Service, ServiceId, ServicePort, Source, TargetPort, Workload, WorkloadId, WorkloadSource,
    of_service_port,
};
use crate::{
    resource::{
        self, Labels, Object, ServiceEntry, Visibility, WorkloadEntry,
        selector::selects,
        service::{ServiceType, Transport},
        service_entry::{Location, Resolution as Declared},
    },
    snapshot::ConfigSnapshot,
};

/// The suffix of Kubernetes Services' host names.
const CLUSTER_DOMAIN: &str = "svc.cluster.local";

/// Whom a Service may be used by, comma-separated (Istio's annotation).
const EXPORT_TO: &str = "networking.istio.io/exportTo";

/// The whole registry of a snapshot.
pub(super) fn registry(snapshot: &ConfigSnapshot) -> Registry {
    let mut registry = Registry::default();
    for object in snapshot.list::<WorkloadEntry>() {
        let id =
            WorkloadId { namespace: object.meta.namespace.clone(), name: object.meta.name.clone(), source: WorkloadSource::WorkloadEntry };
        registry.add_workload(Workload::new(id, &object.meta.labels, &object.spec));
    }
    // Selectors choose among WorkloadEntries only, so these are indexed before ServiceEntries add endpoints of their own.
    let selectable = by_namespace(&registry);
    let select = |namespace: &str, selector: &Labels| -> Vec<Arc<Workload>> {
        let candidates = selectable.get(namespace).map_or(&[][..], Vec::as_slice);
        candidates.iter().filter(|workload| selects(selector, &workload.labels)).cloned().collect()
    };
    for object in snapshot.by_precedence::<resource::Service>() {
        let Some(service) = kubernetes_service(object) else { continue };
        let workloads = if service.selector.is_empty() { Vec::new() } else { select(&service.id.namespace, &service.selector) };
        registry.add_service(service, &workloads);
    }
    for object in snapshot.by_precedence::<ServiceEntry>() {
        let selected = object.spec.workload_selector.as_ref().map(|s| select(&object.meta.namespace, &s.labels));
        let inline = if selected.is_none() { inline_endpoints(&mut registry, object) } else { Vec::new() };
        for host in &object.spec.hosts {
            let Ok(hostname) = host.parse::<Hostname>() else { continue };
            let workloads = match &selected {
                Some(workloads) => workloads.clone(),
                None if inline.is_empty() => own_name(&mut registry, object, &hostname),
                None => inline.clone(),
            };
            registry.add_service(entry_service(object, hostname), &workloads);
        }
    }
    registry
}

/// WorkloadEntries by namespace.
fn by_namespace(registry: &Registry) -> BTreeMap<String, Vec<Arc<Workload>>> {
    let mut namespaces: BTreeMap<String, Vec<Arc<Workload>>> = BTreeMap::new();
    for workload in registry.workloads.values() {
        namespaces.entry(workload.id.namespace.clone()).or_default().push(Arc::clone(workload));
    }
    namespaces
}

impl Registry {
    fn add_workload(&mut self, workload: Option<Workload>) -> Option<Arc<Workload>> {
        let workload = Arc::new(workload?);
        if let super::Address::Ip(ip) = workload.address {
            self.by_address.entry(ip).or_default().push(workload.id.clone());
        }
        self.workloads.insert(workload.id.clone(), Arc::clone(&workload));
        Some(workload)
    }

    /// Adds a service; of two with the same host and namespace the first (older) stays, and a ServiceEntry's never
    /// replaces a Service's.
    fn add_service(&mut self, service: Service, workloads: &[Arc<Workload>]) {
        if self.services.contains_key(&service.id) {
            return;
        }
        let mut ports: BTreeMap<u16, Vec<Endpoint>> = BTreeMap::new();
        for port in &service.ports {
            for workload in workloads {
                let Some(target_port) = target_port(service.source, port, workload) else { continue };
                let address = workload.endpoint_address(target_port);
                ports.entry(port.number).or_default().push(Endpoint { address, workload: Arc::clone(workload) });
                let instance = Instance { service: service.id.clone(), port: port.clone(), target_port };
                self.instances.entry(workload.id.clone()).or_default().push(instance);
            }
        }
        self.by_hostname.entry(service.id.hostname.clone()).or_default().push(service.id.clone());
        self.endpoints.insert(service.id.clone(), ports);
        self.services.insert(service.id.clone(), Arc::new(service));
    }
}

/// Where a workload listens for a service's port, as Istio has it. A Service's numbered target is taken as it is; a named
/// one is a port of the workload, and a workload without it is no endpoint of that port. A ServiceEntry's port may be
/// another on each endpoint, by name.
fn target_port(source: Source, port: &ServicePort, workload: &Workload) -> Option<u16> {
    let named = |name: &str| workload.ports.get(name).copied();
    match (&port.target, source) {
        (TargetPort::Name(name), _) => named(name),
        (TargetPort::Number(number), Source::Kubernetes) => Some(*number),
        (TargetPort::Number(number), Source::ServiceEntry) => Some(named(&port.name).unwrap_or(*number)),
    }
}

fn kubernetes_service(object: &Object<resource::Service>) -> Option<Service> {
    let (meta, spec) = (&object.meta, &object.spec);
    let hostname = format!("{}.{}.{CLUSTER_DOMAIN}", meta.name, meta.namespace).parse().ok()?;
    let mut addresses = spec.cluster_ips.clone();
    if !spec.cluster_ip.is_empty() && !addresses.contains(&spec.cluster_ip) {
        addresses.insert(0, spec.cluster_ip.clone());
    }
    let headless = addresses.iter().any(|address| address == "None");
    addresses.retain(|address| address != "None");
    let resolution = match spec.kind {
        ServiceType::ExternalName => Resolution::Alias(spec.external_name.clone()),
        _ if headless => Resolution::Passthrough,
        _ => Resolution::Static,
    };
    let export_to = meta.annotations.get(EXPORT_TO).map_or("", String::as_str);
    let export_to = export_to.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    Some(Service {
        id: ServiceId { hostname, namespace: meta.namespace.clone() },
        name: meta.name.clone(),
        source: Source::Kubernetes,
        labels: meta.labels.clone(),
        annotations: meta.annotations.clone(),
        ports: spec.ports.iter().map(kubernetes_port).collect(),
        addresses,
        selector: spec.selector.clone(),
        location: if spec.kind == ServiceType::ExternalName { Location::MeshExternal } else { Location::MeshInternal },
        resolution,
        export_to: export_to.map(|entry| Visibility::from(std::borrow::Cow::Borrowed(entry))).collect(),
        subject_alt_names: Vec::new(),
        creation_timestamp: meta.creation_timestamp.clone(),
    })
}

fn kubernetes_port(port: &resource::service::Port) -> ServicePort {
    let target = match &port.target_port {
        None => TargetPort::Number(port.port),
        Some(resource::service::TargetPort::Number(number)) => TargetPort::Number(*number),
        Some(resource::service::TargetPort::Name(name)) => TargetPort::Name(name.clone()),
    };
    ServicePort { name: port.name.clone(), number: port.port, protocol: of_service_port(port), transport: port.protocol, target }
}

fn entry_service(object: &Object<ServiceEntry>, hostname: Hostname) -> Service {
    let (meta, spec) = (&object.meta, &object.spec);
    Service {
        id: ServiceId { hostname, namespace: meta.namespace.clone() },
        name: meta.name.clone(),
        source: Source::ServiceEntry,
        labels: meta.labels.clone(),
        annotations: meta.annotations.clone(),
        ports: spec
            .ports
            .iter()
            .map(|port| ServicePort {
                name: port.name.clone(),
                number: port.number,
                protocol: port.protocol,
                transport: Transport::Tcp,
                target: TargetPort::Number(port.target_port.filter(|target| *target != 0).unwrap_or(port.number)),
            })
            .collect(),
        addresses: spec.addresses.clone(),
        selector: spec.workload_selector.as_ref().map(|selector| selector.labels.clone()).unwrap_or_default(),
        resolution: match spec.resolution {
            Declared::None => Resolution::Passthrough,
            Declared::Static => Resolution::Static,
            Declared::Dns => Resolution::Dns,
            Declared::DnsRoundRobin => Resolution::DnsRoundRobin,
            Declared::DynamicDns => Resolution::DynamicDns,
        },
        location: spec.location,
        export_to: spec.export_to.clone(),
        subject_alt_names: spec.subject_alt_names.clone(),
        creation_timestamp: meta.creation_timestamp.clone(),
    }
}

/// The endpoints written in a ServiceEntry, as workloads of their own.
fn inline_endpoints(registry: &mut Registry, object: &Object<ServiceEntry>) -> Vec<Arc<Workload>> {
    let endpoints = object.spec.endpoints.iter().enumerate();
    endpoints
        .filter_map(|(index, spec)| {
            let id = entry_workload(object, &index.to_string());
            registry.add_workload(Workload::new(id, &Labels::new(), spec))
        })
        .collect()
}

/// Resolution by DNS without endpoints: the host itself is the endpoint.
fn own_name(registry: &mut Registry, object: &Object<ServiceEntry>, hostname: &Hostname) -> Vec<Arc<Workload>> {
    let by_name = matches!(object.spec.resolution, Declared::Dns | Declared::DnsRoundRobin);
    if !by_name || hostname.is_wildcard() {
        return Vec::new();
    }
    let spec = WorkloadEntry { address: hostname.to_string(), ..WorkloadEntry::default() };
    let id = entry_workload(object, hostname.as_str());
    registry.add_workload(Workload::new(id, &Labels::new(), &spec)).into_iter().collect()
}

fn entry_workload(object: &Object<ServiceEntry>, part: &str) -> WorkloadId {
    WorkloadId {
        namespace: object.meta.namespace.clone(),
        name: format!("{}/{part}", object.meta.name),
        source: WorkloadSource::ServiceEntry,
    }
}
