//! The objects themselves, and the ways from one to another.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use super::{
    super::{Locality, ServiceId, Settings},
    multimap::{Multimap, Step},
};
use crate::resource::{
    self, EndpointSlice, Key, Kind, Labels, Object, Pod, Resource, ServiceEntry, WorkloadEntry, kubernetes::endpoint_slice::Endpoint,
    selector::selects,
};

/// An object that claims a host name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Claim {
    Service(Key),
    Entry(Key),
}

/// Objects by kind and key, with indexes.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    pub(super) services: BTreeMap<Key, Arc<Object<resource::Service>>>,
    pub(super) entries: BTreeMap<Key, Arc<Object<ServiceEntry>>>,
    pub(super) slices: BTreeMap<Key, Arc<Object<EndpointSlice>>>,
    pub(super) pods: BTreeMap<Key, Arc<Object<Pod>>>,
    pub(super) workload_entries: BTreeMap<Key, Arc<Object<WorkloadEntry>>>,
    /// By name.
    pub(super) nodes: HashMap<String, Locality>,
    /// Annotations by name.
    pub(super) namespaces: HashMap<String, Labels>,
    claims: Multimap<ServiceId, Claim>,
    /// By namespace and the first label that they ask for; those that ask for none, under the empty one.
    selectors: Multimap<(String, String, String), Claim>,
    slices_of: Multimap<Key, Key>,
    /// By the Pod that an endpoint names.
    slices_for: Multimap<Key, Key>,
    /// By namespace and address, for endpoints that name no Pod.
    slices_at: Multimap<(String, IpAddr), Key>,
    pods_at: Multimap<(String, IpAddr), Key>,
    pods_on: Multimap<String, Key>,
}

impl Objects {
    /// Puts `resource` in the place of the object, or takes it away.
    pub(super) fn replace(&mut self, kind: Kind, key: &Key, resource: Option<&Resource>, settings: &Settings) {
        self.index(Step::Remove, kind, key, settings);
        match kind {
            Kind::Service => drop(self.services.remove(key)),
            Kind::ServiceEntry => drop(self.entries.remove(key)),
            Kind::EndpointSlice => drop(self.slices.remove(key)),
            Kind::Pod => drop(self.pods.remove(key)),
            Kind::WorkloadEntry => drop(self.workload_entries.remove(key)),
            Kind::Node => drop(self.nodes.remove(&key.name)),
            Kind::Namespace => drop(self.namespaces.remove(&key.name)),
            _ => {}
        }
        let (key, name) = (key.clone(), key.name.clone());
        match resource {
            Some(Resource::Service(object)) => drop(self.services.insert(key.clone(), Arc::clone(object))),
            Some(Resource::ServiceEntry(object)) => drop(self.entries.insert(key.clone(), Arc::clone(object))),
            Some(Resource::EndpointSlice(object)) => drop(self.slices.insert(key.clone(), Arc::clone(object))),
            Some(Resource::Pod(object)) => drop(self.pods.insert(key.clone(), Arc::clone(object))),
            Some(Resource::WorkloadEntry(object)) => drop(self.workload_entries.insert(key.clone(), Arc::clone(object))),
            Some(Resource::Node(object)) => drop(self.nodes.insert(name, object.locality())),
            Some(Resource::Namespace(object)) => drop(self.namespaces.insert(name, object.meta.annotations.clone())),
            _ => {}
        }
        self.index(Step::Add, kind, &key, settings);
    }

    /// The host names that an object claims.
    pub(super) fn hosts(&self, claim: &Claim, settings: &Settings) -> Vec<ServiceId> {
        let id = |host: &str, namespace: &str| Some(ServiceId { hostname: host.parse().ok()?, namespace: namespace.to_owned() });
        match claim {
            Claim::Service(key) if self.services.contains_key(key) => {
                let host = format!("{}.{}.svc.{}", key.name, key.namespace, settings.domain);
                id(&host, &key.namespace).into_iter().collect()
            }
            Claim::Service(_) => Vec::new(),
            Claim::Entry(key) => {
                let hosts = self.entries.get(key).map_or(&[][..], |entry| entry.spec.hosts.as_slice());
                hosts.iter().filter_map(|host| id(host, &key.namespace)).collect()
            }
        }
    }

    /// The objects that claim a host name.
    pub(super) fn claims(&self, id: &ServiceId) -> impl Iterator<Item = &Claim> + use<'_> {
        self.claims.of(id)
    }

    /// The one of them that has it: a Service before a ServiceEntry, the older before the younger.
    pub(super) fn winner(&self, id: &ServiceId) -> Option<&Claim> {
        let entry = |key: &Key| self.entries.get(key).map(|entry| &entry.meta);
        self.claims(id).min_by(|a, b| match (a, b) {
            (Claim::Entry(a), Claim::Entry(b)) => entry(a).map(resource::Meta::precedence).cmp(&entry(b).map(resource::Meta::precedence)),
            _ => a.cmp(b),
        })
    }

    /// Every host name that is claimed.
    pub(super) fn claimed(&self) -> impl Iterator<Item = &ServiceId> {
        self.claims.keys()
    }

    /// The objects of a namespace that claim host names.
    pub(super) fn claims_in(&self, namespace: &str) -> Vec<Claim> {
        let services = within(&self.services, namespace).map(|(key, _)| Claim::Service(key.clone()));
        services.chain(within(&self.entries, namespace).map(|(key, _)| Claim::Entry(key.clone()))).collect()
    }

    /// The objects whose selector chooses a workload of this namespace with these labels.
    pub(super) fn selecting<'a>(&'a self, namespace: &str, labels: &'a Labels) -> Vec<&'a Claim> {
        let at = |key: &str, value: &str| (namespace.to_owned(), key.to_owned(), value.to_owned());
        let first = labels.iter().flat_map(|(key, value)| self.selectors.of(&at(key, value)));
        let chosen = first.chain(self.selectors.of(&at("", "")));
        chosen.filter(|claim| self.selector(claim).is_some_and(|selector| selects(selector, labels))).collect()
    }

    pub(super) fn slices_of(&self, service: &Key) -> impl Iterator<Item = &Key> + use<'_> {
        self.slices_of.of(service)
    }

    pub(super) fn slices_for(&self, pod: &Key) -> impl Iterator<Item = &Key> + use<'_> {
        self.slices_for.of(pod)
    }

    pub(super) fn slices_at(&self, namespace: &str, ip: IpAddr) -> impl Iterator<Item = &Key> + use<'_> {
        self.slices_at.of(&(namespace.to_owned(), ip))
    }

    /// The Pods with an address; the first one counts as its owner.
    pub(super) fn pods_at(&self, namespace: &str, ip: IpAddr) -> impl Iterator<Item = &Key> + use<'_> {
        self.pods_at.of(&(namespace.to_owned(), ip))
    }

    pub(super) fn pods_on(&self, node: &str) -> impl Iterator<Item = &Key> + use<'_> {
        self.pods_on.of(&node.to_owned())
    }

    pub(super) fn pods_with<'a>(&'a self, namespace: &'a str, selector: &'a Labels) -> impl Iterator<Item = &'a Key> {
        within(&self.pods, namespace).filter(|(_, pod)| selects(selector, &pod.meta.labels)).map(|(key, _)| key)
    }

    pub(super) fn workload_entries_with<'a>(&'a self, namespace: &'a str, selector: &'a Labels) -> impl Iterator<Item = &'a Key> {
        let all = within(&self.workload_entries, namespace);
        all.filter(|(_, entry)| selects(selector, &labels_of(entry))).map(|(key, _)| key)
    }

    /// Enters an object in the indexes, or takes it out of them.
    fn index(&mut self, step: Step, kind: Kind, key: &Key, settings: &Settings) {
        let namespace = || key.namespace.clone();
        match kind {
            Kind::Service | Kind::ServiceEntry => {
                let claim = if kind == Kind::Service { Claim::Service(key.clone()) } else { Claim::Entry(key.clone()) };
                for id in self.hosts(&claim, settings) {
                    self.claims.step(step, id, claim.clone());
                }
                if let Some(selector) = self.selector(&claim) {
                    let (label, value) = selector.first_key_value().map(|(k, v)| (k.clone(), v.clone())).unwrap_or_default();
                    self.selectors.step(step, (namespace(), label, value), claim);
                }
            }
            Kind::EndpointSlice => {
                let Some(slice) = self.slices.get(key).cloned() else { return };
                let Some(service) = slice.service() else { return };
                self.slices_of.step(step, service, key.clone());
                for endpoint in &slice.spec.endpoints {
                    match pod_of(endpoint, &key.namespace) {
                        Some((namespace, name)) => self.slices_for.step(step, Key::new(namespace, name), key.clone()),
                        None => addresses(endpoint).for_each(|ip| self.slices_at.step(step, (namespace(), ip), key.clone())),
                    }
                }
            }
            Kind::Pod => {
                let Some(pod) = self.pods.get(key).cloned() else { return };
                for ip in live_addresses(&pod) {
                    self.pods_at.step(step, (namespace(), ip), key.clone());
                }
                if let Some(node) = &pod.spec.spec.node_name {
                    self.pods_on.step(step, node.clone(), key.clone());
                }
            }
            _ => {}
        }
    }

    /// What a claim selects its workloads by: a Service without labels selects none.
    fn selector(&self, claim: &Claim) -> Option<&Labels> {
        match claim {
            Claim::Service(key) => self.services.get(key).map(|service| &service.spec.selector).filter(|labels| !labels.is_empty()),
            Claim::Entry(key) => self.entries.get(key)?.spec.workload_selector.as_ref().map(|selector| &selector.labels),
        }
    }
}

/// The labels that a WorkloadEntry is selected by: those of its spec, and over them its own.
pub(super) fn labels_of(entry: &Object<WorkloadEntry>) -> Labels {
    let mut labels = entry.spec.labels.clone();
    labels.extend(entry.meta.labels.iter().map(|(key, value)| (key.clone(), value.clone())));
    labels
}

/// The addresses of a Pod; those of one that is over may be another's by now.
pub(super) fn live_addresses(pod: &Object<Pod>) -> Vec<IpAddr> {
    if pod.spec.is_over() { Vec::new() } else { pod.spec.addresses() }
}

/// Namespace and name of the Pod that an endpoint names.
pub(super) fn pod_of<'a>(endpoint: &'a Endpoint, namespace: &'a str) -> Option<(&'a str, &'a str)> {
    let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"))?;
    let namespace = target.namespace.as_deref().filter(|text| !text.is_empty()).unwrap_or(namespace);
    Some((namespace, target.name.as_deref()?))
}

/// The IP addresses of an endpoint; host names are no addresses.
pub(super) fn addresses(endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
    endpoint.addresses.iter().filter_map(|text| text.parse().ok())
}

fn within<'a, T>(map: &'a BTreeMap<Key, T>, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a T)> {
    map.range(Key::new(namespace, "")..).take_while(move |(key, _)| key.namespace == namespace)
}
