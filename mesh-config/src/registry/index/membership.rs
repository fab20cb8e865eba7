//! Which services a workload stands behind, on which ports, and in what health.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{
    super::{Address, Health, Membership, Service, ServiceId, Workload, WorkloadId, WorkloadSource},
    Index, convert,
    objects::{Claim, addresses, pod_of},
};
use crate::resource::{
    self, EndpointSlice, Key, Object, ServiceEntry,
    kubernetes::endpoint_slice::{Endpoint, EndpointConditions, EndpointPort},
    service::{IpFamily, ServiceType, Transport},
    service_entry::Resolution,
};

/// The memberships found so far.
type Found = BTreeMap<ServiceId, Membership>;

impl Index {
    /// The service of this identity, as the objects have it.
    pub(super) fn service(&self, id: &ServiceId) -> Option<Service> {
        let annotations = self.objects.namespaces.get(&id.namespace);
        match self.objects.winner(id)? {
            Claim::Service(key) => Some(convert::kubernetes_service(id.clone(), self.objects.services.get(key)?, annotations)),
            Claim::Entry(key) => Some(convert::entry_service(id.clone(), self.objects.entries.get(key)?, annotations)),
        }
    }

    /// The workload of this identity, as the objects have it.
    pub(super) fn workload(&self, id: &WorkloadId) -> Option<Workload> {
        let key = Key::new(id.namespace.clone(), id.name.clone());
        let mut found = Found::new();
        let mut workload = match id.source {
            WorkloadSource::Pod => {
                let pod = self.objects.pods.get(&key)?;
                let node = pod.spec.spec.node_name.as_ref().and_then(|node| self.objects.nodes.get(node));
                let workload = convert::pod_workload(id.clone(), pod, node, &self.settings)?;
                self.behind_slices(&key, &workload, &mut found);
                self.behind_selectors(&workload, &mut found);
                workload
            }
            WorkloadSource::WorkloadEntry => {
                let object = self.objects.workload_entries.get(&key)?;
                let workload = convert::workload_entry(id.clone(), object, &self.settings)?;
                self.behind_selectors(&workload, &mut found);
                workload
            }
            WorkloadSource::ServiceEntry => {
                let (name, part) = id.name.split_once('/')?;
                let entry = self.objects.entries.get(&Key::new(id.namespace.clone(), name))?;
                self.inline(id, entry, part, &mut found)?
            }
            WorkloadSource::EndpointSlice => {
                let (service, ip) = id.name.split_once('/')?;
                let ip: IpAddr = ip.parse().ok()?;
                let mut workload = convert::address(id.clone(), ip, &self.settings);
                self.behind_addresses(&Key::new(id.namespace.clone(), service), ip, &mut workload, &mut found);
                if found.is_empty() {
                    return None;
                }
                workload
            }
        };
        workload.services = found.into_values().map(|membership| shorten(membership, &workload.address)).collect();
        if id.source == WorkloadSource::EndpointSlice {
            workload.health = workload.services.iter().map(|membership| membership.health).min().unwrap_or_default();
        }
        Some(workload)
    }

    pub(super) fn pod_id(&self, key: &Key) -> WorkloadId {
        self.id(WorkloadSource::Pod, &key.namespace, key.name.clone())
    }

    pub(super) fn entry_id(&self, key: &Key) -> WorkloadId {
        self.id(WorkloadSource::WorkloadEntry, &key.namespace, key.name.clone())
    }

    pub(super) fn address_id(&self, service: &Key, ip: IpAddr) -> WorkloadId {
        self.id(WorkloadSource::EndpointSlice, &service.namespace, format!("{}/{ip}", service.name))
    }

    fn id(&self, source: WorkloadSource, namespace: &str, name: String) -> WorkloadId {
        WorkloadId { namespace: namespace.to_owned(), name, source, cluster: self.settings.cluster.clone() }
    }

    /// The workloads that a ServiceEntry lists: its endpoints, or its hosts where DNS finds them.
    pub(super) fn inline_ids(&self, entry: &Object<ServiceEntry>) -> Vec<WorkloadId> {
        let id = |part: String| self.id(WorkloadSource::ServiceEntry, &entry.meta.namespace, format!("{}/{part}", entry.meta.name));
        if !entry.spec.endpoints.is_empty() {
            return (0..entry.spec.endpoints.len()).map(|index| id(index.to_string())).collect();
        }
        let key = Claim::Entry(entry.meta.key());
        let hosts = self.objects.hosts(&key, &self.settings).into_iter().filter(|host| !host.hostname.is_wildcard());
        if by_name(entry) { hosts.map(|host| id(host.hostname.to_string())).collect() } else { Vec::new() }
    }

    /// The workloads that a slice's endpoints are.
    pub(super) fn in_slice(&self, slice: &Object<EndpointSlice>, out: &mut std::collections::BTreeSet<WorkloadId>) {
        let Some(service) = slice.service() else { return };
        for endpoint in &slice.spec.endpoints {
            match pod_of(endpoint, &slice.meta.namespace) {
                Some((namespace, name)) => drop(out.insert(self.id(WorkloadSource::Pod, namespace, name.to_owned()))),
                None => {
                    for ip in addresses(endpoint) {
                        out.insert(self.address_id(&service, ip));
                        out.extend(self.objects.pods_at(&slice.meta.namespace, ip).next().map(|pod| self.pod_id(pod)));
                    }
                }
            }
        }
    }

    /// A Pod that slices name, or whose address they list without naming any.
    fn behind_slices(&self, key: &Key, workload: &Workload, found: &mut Found) {
        let objects = &self.objects;
        let own = Some((key.namespace.as_str(), key.name.as_str()));
        for slice in objects.slices_for(key).filter_map(|slice| objects.slices.get(slice)) {
            let named = slice.spec.endpoints.iter().filter(|endpoint| pod_of(endpoint, &slice.meta.namespace) == own);
            named.for_each(|endpoint| self.in_endpoint(slice, endpoint, addresses(endpoint).next(), found));
        }
        for ip in workload.ip_addresses().filter(|ip| objects.pods_at(&key.namespace, *ip).next() == Some(key)) {
            for slice in objects.slices_at(&key.namespace, ip).filter_map(|slice| objects.slices.get(slice)) {
                self.at_address(slice, ip).for_each(|endpoint| self.in_endpoint(slice, endpoint, Some(ip), found));
            }
        }
    }

    /// An address that belongs to no Pod.
    fn behind_addresses(&self, service: &Key, ip: IpAddr, workload: &mut Workload, found: &mut Found) {
        if self.objects.pods_at(&service.namespace, ip).next().is_some() {
            return;
        }
        for slice in self.objects.slices_of(service).filter_map(|slice| self.objects.slices.get(slice)) {
            for endpoint in self.at_address(slice, ip) {
                self.in_endpoint(slice, endpoint, Some(ip), found);
                if let Some(hostname) = &endpoint.hostname {
                    workload.dns_name = format!("{hostname}.{}", service.name);
                }
                if let Some(node) = &endpoint.node_name {
                    workload.node.clone_from(node);
                }
            }
        }
    }

    /// The endpoints of a slice with this address that name no Pod.
    fn at_address<'a>(&self, slice: &'a Object<EndpointSlice>, ip: IpAddr) -> impl Iterator<Item = &'a Endpoint> + use<'a> {
        let unnamed = slice.spec.endpoints.iter().filter(|endpoint| pod_of(endpoint, &slice.meta.namespace).is_none());
        unnamed.filter(move |endpoint| addresses(endpoint).any(|address| address == ip))
    }

    /// One endpoint of a slice, at one of its addresses.
    fn in_endpoint(&self, slice: &Object<EndpointSlice>, endpoint: &Endpoint, ip: Option<IpAddr>, found: &mut Found) {
        let Some(key) = slice.service() else { return };
        let Some(service) = self.objects.services.get(&key).filter(|service| service.spec.kind != ServiceType::ExternalName) else {
            return;
        };
        let (Some(id), Some(ip)) = (self.objects.hosts(&Claim::Service(key), &self.settings).pop(), ip) else { return };
        let health = health(endpoint.conditions.as_ref());
        let ports = slice_ports(&service.spec, &slice.spec.ports);
        let membership = found.entry(id.clone()).or_insert_with(|| empty(id, health));
        // While an endpoint moves from one slice to another both have it: the better word counts.
        membership.health = membership.health.min(health);
        membership.ports.extend(ports);
        if !membership.addresses.contains(&ip) {
            membership.addresses.push(ip);
        }
    }

    /// Services and ServiceEntries that select the workload by its labels.
    fn behind_selectors(&self, workload: &Workload, found: &mut Found) {
        let pod = workload.id.source == WorkloadSource::Pod;
        for claim in self.objects.selecting(&workload.id.namespace, &workload.labels) {
            match claim {
                // Slices tell more than labels do; a Service has no use for names and sockets.
                Claim::Service(key) if pod && self.objects.slices_of(key).next().is_some() => {}
                Claim::Service(_) if matches!(workload.address, Address::Dns(_) | Address::Unix(_)) => {}
                Claim::Service(key) => self.selected_by_service(key, workload, found),
                // What is not ready, or on its way out, is nobody's endpoint (Istio's rule for Pods).
                Claim::Entry(_) if pod && workload.health != Health::Healthy => {}
                Claim::Entry(key) => {
                    let Some(entry) = self.objects.entries.get(key) else { continue };
                    if by_name(entry) || !matches!(workload.address, Address::Dns(_) | Address::Unix(_)) {
                        self.in_entry(entry, workload, None, found);
                    }
                }
            }
        }
    }

    fn selected_by_service(&self, key: &Key, workload: &Workload, found: &mut Found) {
        let Some(service) = self.objects.services.get(key).filter(|service| service.spec.kind != ServiceType::ExternalName) else { return };
        let Some(id) = self.objects.hosts(&Claim::Service(key.clone()), &self.settings).pop() else { return };
        let health = if service.spec.publish_not_ready_addresses { Health::Healthy } else { workload.health };
        let mut membership = empty(id.clone(), health);
        for port in tcp_first(&service.spec) {
            let target = match &port.target_port {
                None => Some(port.port),
                Some(resource::service::TargetPort::Number(number)) => Some(*number),
                Some(resource::service::TargetPort::Name(name)) => workload.ports.get(name).copied(),
            };
            if let Some(target) = target {
                membership.ports.entry(port.port).or_insert(target);
            }
        }
        let of_family = |family: &IpFamily| workload.ip_addresses().find(|ip| ip.is_ipv4() == (*family == IpFamily::Ipv4));
        membership.addresses = service.spec.ip_families.iter().filter_map(of_family).collect();
        found.insert(id, membership);
    }

    /// A workload that a ServiceEntry lists.
    fn inline(&self, id: &WorkloadId, entry: &Arc<Object<ServiceEntry>>, part: &str, found: &mut Found) -> Option<Workload> {
        if entry.spec.workload_selector.is_some() {
            return None;
        }
        if !entry.spec.endpoints.is_empty() {
            let endpoint = part.parse::<usize>().ok().and_then(|index| entry.spec.endpoints.get(index))?;
            let workload = convert::inline(id.clone(), endpoint, &self.settings)?;
            self.in_entry(entry, &workload, None, found);
            return Some(workload);
        }
        let hosts = self.objects.hosts(&Claim::Entry(entry.meta.key()), &self.settings);
        let host = hosts.into_iter().find(|host| host.hostname.as_str() == part && !host.hostname.is_wildcard())?;
        if !by_name(entry) {
            return None;
        }
        let workload = convert::own_name(id.clone(), &host.hostname, &self.settings)?;
        self.in_entry(entry, &workload, Some(&host), found);
        Some(workload)
    }

    /// A workload behind the hosts of a ServiceEntry, or behind one of them. Where several ServiceEntries have one host,
    /// the first one's ports are the service's, and the others' endpoints stand behind those of the same name.
    fn in_entry(&self, entry: &Object<ServiceEntry>, workload: &Workload, only: Option<&ServiceId>, found: &mut Found) {
        let hosts = self.objects.hosts(&Claim::Entry(entry.meta.key()), &self.settings);
        for id in hosts.into_iter().filter(|id| only.is_none_or(|only| only == id)) {
            let Some(Claim::Entry(winner)) = self.objects.winner(&id) else { continue };
            let Some(winner) = self.objects.entries.get(winner) else { continue };
            let other = winner.meta.name != entry.meta.name;
            if other && winner.spec.resolution != entry.spec.resolution {
                continue;
            }
            let membership = found.entry(id.clone()).or_insert_with(|| empty(id, workload.health));
            for port in &entry.spec.ports {
                let number = winner.spec.ports.iter().find(|own| own.name == port.name).map(|own| own.number);
                let Some(number) = number else { continue };
                let declared = port.target_port.filter(|target| *target != 0).unwrap_or(port.number);
                membership.ports.entry(number).or_insert_with(|| workload.ports.get(&port.name).copied().unwrap_or(declared));
            }
        }
    }
}

fn empty(service: ServiceId, health: Health) -> Membership {
    Membership { service, ports: BTreeMap::new(), addresses: Vec::new(), health }
}

/// Addresses in the workload's own order; none where there is only the one that everybody knows.
fn shorten(mut membership: Membership, primary: &Address) -> Membership {
    if let Address::Ip(primary) = primary {
        membership.addresses.sort_by_key(|ip| ip != primary);
        if membership.addresses == [*primary] {
            membership.addresses.clear();
        }
    }
    membership
}

/// Whether endpoints may be names.
fn by_name(entry: &Object<ServiceEntry>) -> bool {
    matches!(entry.spec.resolution, Resolution::Dns | Resolution::DnsRoundRobin)
}

/// Ready counts, else whether it is on its way out and still serves (Kubernetes' conditions; ready if it does not say).
fn health(conditions: Option<&EndpointConditions>) -> Health {
    let Some(conditions) = conditions else { return Health::Healthy };
    if conditions.ready.unwrap_or(true) {
        return Health::Healthy;
    }
    match (conditions.terminating.unwrap_or_default(), conditions.serving.unwrap_or_default()) {
        (false, _) => Health::Unhealthy,
        (true, true) => Health::Draining,
        (true, false) => Health::Terminating,
    }
}

/// The service's ports with those of a slice, which belong together by name. A slice that leaves the number open leaves
/// it to the service.
fn slice_ports(service: &resource::Service, ports: &[EndpointPort]) -> BTreeMap<u16, u16> {
    let mut found = BTreeMap::new();
    for port in tcp_first(service) {
        let same = |other: &&EndpointPort| {
            other.name.as_deref().unwrap_or_default() == port.name && other.protocol.as_deref().unwrap_or("TCP") == port.protocol.as_str()
        };
        let declared = match &port.target_port {
            Some(resource::service::TargetPort::Number(number)) => *number,
            _ => port.port,
        };
        if let Some(target) = ports.iter().find(same).and_then(|other| other.port.map_or(Some(declared), |port| u16::try_from(port).ok())) {
            found.entry(port.port).or_insert(target);
        }
    }
    found
}

/// Ports with TCP's first: where two transports share a number, it is TCP's endpoints that are known by it.
fn tcp_first(service: &resource::Service) -> impl Iterator<Item = &resource::service::Port> {
    let tcp = |port: &&resource::service::Port| port.protocol == Transport::Tcp;
    service.ports.iter().filter(tcp).chain(service.ports.iter().filter(move |port| !tcp(port)))
}
