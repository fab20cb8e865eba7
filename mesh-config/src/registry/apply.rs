//! How a registry takes a change: the maps that a service or a workload is in, and nothing else, are made anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mesh_proto::id::Hostname;

use super::{Delta, Endpoint, Instance, Registry, Service, ServiceId, Workload, WorkloadId};

impl Registry {
    /// Takes a change. Afterwards it is as if it had been assembled of what it now holds.
    pub fn apply(&mut self, delta: Delta) {
        let mut touched: BTreeSet<ServiceId> = BTreeSet::new();
        let mut hostnames: BTreeSet<Hostname> = BTreeSet::new();
        for id in delta.removed_services {
            self.services.remove(&id);
            hostnames.insert(id.hostname.clone());
            touched.insert(id);
        }
        for service in delta.services {
            hostnames.insert(service.id.hostname.clone());
            touched.insert(service.id.clone());
            self.services.insert(service.id.clone(), service);
        }
        // Members of a changed service have other instances; a changed workload makes other endpoints.
        let mut workloads: BTreeSet<WorkloadId> = touched.iter().filter_map(|id| self.members.get(id)).flatten().cloned().collect();
        for id in delta.removed_workloads {
            self.unlink(&id, &mut touched);
            self.workloads.remove(&id);
            workloads.insert(id);
        }
        for workload in delta.workloads {
            self.unlink(&workload.id, &mut touched);
            self.link(&workload, &mut touched);
            workloads.insert(workload.id.clone());
            self.workloads.insert(workload.id.clone(), workload);
        }
        self.order(hostnames);
        touched.iter().for_each(|id| self.connect(id));
        workloads.iter().for_each(|id| self.place(id));
    }

    fn unlink(&mut self, id: &WorkloadId, touched: &mut BTreeSet<ServiceId>) {
        let Some(workload) = self.workloads.get(id) else { return };
        for membership in &workload.services {
            touched.insert(membership.service.clone());
            remove_from(&mut self.members, &membership.service, id);
        }
        for ip in workload.ip_addresses() {
            if let Some(ids) = self.by_address.get_mut(&ip) {
                ids.remove(id);
                if ids.is_empty() {
                    self.by_address.remove(&ip);
                }
            }
        }
    }

    fn link(&mut self, workload: &Workload, touched: &mut BTreeSet<ServiceId>) {
        for membership in &workload.services {
            touched.insert(membership.service.clone());
            self.members.entry(membership.service.clone()).or_default().insert(workload.id.clone());
        }
        for ip in workload.ip_addresses() {
            self.by_address.entry(ip).or_default().insert(workload.id.clone());
        }
    }

    /// The order of precedence under each host name.
    fn order(&mut self, hostnames: BTreeSet<Hostname>) {
        for hostname in hostnames {
            let first = ServiceId { hostname: hostname.clone(), namespace: String::new() };
            let range = self.services.range(first..).take_while(|(id, _)| id.hostname == hostname);
            let mut services: Vec<&Arc<Service>> = range.map(|(_, service)| service).collect();
            services.sort_by(|a, b| a.precedence(b));
            let ids: Vec<ServiceId> = services.into_iter().map(|service| service.id.clone()).collect();
            if ids.is_empty() {
                self.by_hostname.remove(&hostname);
            } else {
                self.by_hostname.insert(hostname, ids);
            }
        }
    }

    /// The endpoints of one service.
    fn connect(&mut self, id: &ServiceId) {
        let mut ports: BTreeMap<u16, Vec<Endpoint>> = BTreeMap::new();
        if self.services.contains_key(id) {
            for (workload, membership) in self.members(id) {
                for (number, target) in &membership.ports {
                    ports.entry(*number).or_default().push(Endpoint::new(workload, membership, *target));
                }
            }
            // Stable: by workload within each health.
            ports.values_mut().for_each(|endpoints| endpoints.sort_by_key(|endpoint| endpoint.health));
            self.endpoints.insert(id.clone(), ports);
        } else {
            self.endpoints.remove(id);
        }
    }

    /// The instances of one workload.
    fn place(&mut self, id: &WorkloadId) {
        let memberships = self.workloads.get(id).map_or(&[][..], |workload| workload.services.as_slice());
        let mut instances = Vec::new();
        for membership in memberships {
            let Some(service) = self.services.get(&membership.service) else { continue };
            for (number, target) in &membership.ports {
                let Some(port) = service.port(*number) else { continue };
                instances.push(Instance { service: service.id.clone(), port: port.clone(), target_port: *target });
            }
        }
        if instances.is_empty() {
            self.instances.remove(id);
        } else {
            self.instances.insert(id.clone(), instances);
        }
    }
}

fn remove_from(map: &mut BTreeMap<ServiceId, BTreeSet<WorkloadId>>, key: &ServiceId, id: &WorkloadId) {
    if let Some(ids) = map.get_mut(key) {
        ids.remove(id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}
