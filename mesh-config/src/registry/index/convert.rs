//! One object as a service, or as a workload that stands behind nothing yet.

use mesh_proto::id::Hostname;

use super::{
    super::{
        Address, Health, Locality, Resolution, Service, ServiceId, ServicePort, Settings, Source, TargetPort, TlsMode, TrafficDistribution,
        Workload, WorkloadId, of_service_port,
    },
    objects::labels_of,
};
use crate::resource::{
    self, Labels, Object, Pod, ServiceEntry, Visibility, WorkloadEntry,
    kubernetes::PodView,
    service::{ServiceType, Transport},
    service_entry::{Location, Resolution as Declared},
};

/// Whom a Service may be used by, comma-separated (Istio's annotation).
const EXPORT_TO: &str = "networking.istio.io/exportTo";

/// The network of a workload, by label.
const NETWORK: &str = "topology.istio.io/network";

/// Where a workload runs, by label, the newer name first; dots stand for slashes.
const LOCALITY: [&str; 2] = ["topology.istio.io/locality", "istio-locality"];

/// The WorkloadGroup that a WorkloadEntry was registered for.
const GROUP: &str = "istio.io/autoRegistrationGroup";

/// A Kubernetes Service.
pub(super) fn kubernetes_service(id: ServiceId, object: &Object<resource::Service>, namespace: Option<&Labels>) -> Service {
    let (meta, spec) = (&object.meta, &object.spec);
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
    Service {
        id,
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
        traffic_distribution: TrafficDistribution::of(spec.traffic_distribution.as_deref(), &meta.annotations, namespace),
        node_local: spec.internal_traffic_policy == Some(resource::service::TrafficPolicy::Local),
        creation_timestamp: meta.creation_timestamp.clone(),
    }
}

fn kubernetes_port(port: &resource::service::Port) -> ServicePort {
    let target = match &port.target_port {
        None => TargetPort::Number(port.port),
        Some(resource::service::TargetPort::Number(number)) => TargetPort::Number(*number),
        Some(resource::service::TargetPort::Name(name)) => TargetPort::Name(name.clone()),
    };
    ServicePort { name: port.name.clone(), number: port.port, protocol: of_service_port(port), transport: port.protocol, target }
}

/// One host of a ServiceEntry.
pub(super) fn entry_service(id: ServiceId, object: &Object<ServiceEntry>, namespace: Option<&Labels>) -> Service {
    let (meta, spec) = (&object.meta, &object.spec);
    let port = |port: &resource::port::ServicePort| ServicePort {
        name: port.name.clone(),
        number: port.number,
        protocol: port.protocol,
        transport: Transport::Tcp,
        target: TargetPort::Number(port.target_port.filter(|target| *target != 0).unwrap_or(port.number)),
    };
    Service {
        id,
        name: meta.name.clone(),
        source: Source::ServiceEntry,
        labels: meta.labels.clone(),
        annotations: meta.annotations.clone(),
        ports: spec.ports.iter().map(port).collect(),
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
        traffic_distribution: TrafficDistribution::of(None, &meta.annotations, namespace),
        node_local: false,
        creation_timestamp: meta.creation_timestamp.clone(),
    }
}

/// A Pod that runs, or is about to; absent before it has an address and after its end.
pub(super) fn pod_workload(id: WorkloadId, object: &Object<Pod>, node: Option<&Locality>, settings: &Settings) -> Option<Workload> {
    let (meta, pod) = (&object.meta, &object.spec);
    let view = PodView::of_pod(object);
    let addresses = pod.addresses();
    let (primary, others) = addresses.split_first().filter(|_| !pod.is_over())?;
    let health = match (meta.deletion_timestamp.is_some(), pod.is_ready()) {
        (false, true) => Health::Healthy,
        (true, true) => Health::Draining,
        (false, false) => Health::Unhealthy,
        (true, false) => Health::Terminating,
    };
    let subdomain = pod.spec.subdomain.as_deref().filter(|name| !name.is_empty());
    let hostname = pod.spec.hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or(&meta.name);
    Some(Workload {
        address: Address::Ip(*primary),
        additional_addresses: others.to_vec(),
        ports: view.named_ports(),
        labels: meta.labels.clone(),
        locality: labelled_locality(&meta.labels).or_else(|| node.cloned()).unwrap_or_default(),
        weight: 1,
        network: network("", &meta.labels, settings),
        service_account: view.service_account().to_owned(),
        tls: TlsMode::of(&meta.labels).unwrap_or_default(),
        node: pod.spec.node_name.clone().unwrap_or_default(),
        workload_name: owner_name(object),
        dns_name: subdomain.map(|subdomain| format!("{hostname}.{subdomain}")).unwrap_or_default(),
        health,
        services: Vec::new(),
        id,
    })
}

/// A WorkloadEntry. What Istio's health checks of virtual machines write into `status` does not come here.
pub(super) fn workload_entry(id: WorkloadId, object: &Object<WorkloadEntry>, settings: &Settings) -> Option<Workload> {
    let mut workload = listed(id, &object.spec, labels_of(object), settings)?;
    if let Some(group) = object.meta.annotations.get(GROUP) {
        workload.workload_name.clone_from(group);
    }
    Some(workload)
}

/// An endpoint that a ServiceEntry lists.
pub(super) fn inline(id: WorkloadId, spec: &WorkloadEntry, settings: &Settings) -> Option<Workload> {
    listed(id, spec, spec.labels.clone(), settings)
}

/// The host of a ServiceEntry, as the endpoint that DNS finds.
pub(super) fn own_name(id: WorkloadId, hostname: &Hostname, settings: &Settings) -> Option<Workload> {
    let spec = WorkloadEntry { address: hostname.to_string(), ..WorkloadEntry::default() };
    listed(id, &spec, Labels::new(), settings)
}

/// An address that an EndpointSlice lists.
pub(super) fn address(id: WorkloadId, ip: std::net::IpAddr, settings: &Settings) -> Workload {
    Workload { address: Address::Ip(ip), network: settings.network.clone(), ..bare(id) }
}

fn listed(id: WorkloadId, spec: &WorkloadEntry, labels: Labels, settings: &Settings) -> Option<Workload> {
    let accounted = if spec.service_account.is_empty() { TlsMode::Disabled } else { TlsMode::Istio };
    let network = network(&spec.network, &labels, settings);
    let locality = match spec.locality.as_str() {
        "" => labelled_locality(&labels).unwrap_or_default(),
        text => text.parse().unwrap_or_default(),
    };
    Some(Workload {
        address: Address::parse(&spec.address, &spec.network)?,
        ports: spec.ports.clone(),
        locality,
        weight: spec.weight.max(1),
        network,
        service_account: spec.service_account.clone(),
        tls: TlsMode::of(&labels).unwrap_or(accounted),
        labels,
        ..bare(id)
    })
}

fn bare(id: WorkloadId) -> Workload {
    Workload {
        address: Address::Network,
        additional_addresses: Vec::new(),
        ports: std::collections::BTreeMap::new(),
        labels: Labels::new(),
        locality: Locality::default(),
        weight: 1,
        network: String::new(),
        service_account: String::new(),
        tls: TlsMode::Disabled,
        node: String::new(),
        workload_name: id.name.split('/').next().unwrap_or_default().to_owned(),
        dns_name: String::new(),
        health: Health::Healthy,
        services: Vec::new(),
        id,
    }
}

fn network(own: &str, labels: &Labels, settings: &Settings) -> String {
    let label = || labels.get(NETWORK).map(String::as_str).filter(|network| !network.is_empty());
    Some(own).filter(|network| !network.is_empty()).or_else(label).unwrap_or(&settings.network).to_owned()
}

fn labelled_locality(labels: &Labels) -> Option<Locality> {
    let text = LOCALITY.iter().find_map(|name| labels.get(*name)).filter(|text| !text.is_empty())?;
    let text = if text.contains('/') { text.clone() } else { text.replace('.', "/") };
    text.parse().ok()
}

/// What made the Pod, as a person would name it: a Deployment's name without the hash that its ReplicaSet adds, a
/// CronJob's without the time that its Job adds.
fn owner_name(object: &Object<Pod>) -> String {
    let owner = object.meta.owner_references.iter().find(|owner| owner.controller == Some(true));
    let Some(owner) = owner else { return object.meta.name.clone() };
    let added = match owner.kind.as_str() {
        "ReplicaSet" => object.meta.labels.get("pod-template-hash").map(String::as_str),
        "Job" => owner.name.rsplit_once('-').map(|(_, end)| end).filter(|end| end.len() >= 8 && end.bytes().all(|b| b.is_ascii_digit())),
        _ => None,
    };
    let stem = added.and_then(|added| owner.name.strip_suffix(added)?.strip_suffix('-'));
    stem.unwrap_or(&owner.name).to_owned()
}
