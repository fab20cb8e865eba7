//! Which hosts a destination can name, and from where: Kubernetes Services and the hosts of ServiceEntries, with who may see them
//! (Istio, `pkg/config/analysis/analyzers/util/service_lookup.go`).

use std::collections::HashMap;

use super::context::{Context, Item};
use crate::resource::{Service, ServiceEntry, Visibility};

/// The annotation that says who may see a Service.
const EXPORT_TO: &str = "networking.istio.io/exportTo";

/// The cluster's DNS domain, as short names are completed with.
pub(super) const CLUSTER_DOMAIN: &str = "svc.cluster.local";

/// What a host name means.
#[derive(Clone, Copy, Debug)]
pub enum Host<'a> {
    /// A Kubernetes Service.
    Service(Item<'a, Service>),
    /// A host of a ServiceEntry.
    Entry(Item<'a, ServiceEntry>),
}

/// Every host.
#[derive(Debug, Default)]
pub struct Hosts<'a> {
    /// By name and then by who may see it: `*` or a namespace. The later one wins, and Services come last.
    exact: HashMap<String, Vec<(Scope<'a>, Host<'a>)>>,
    /// `*.example.com` as `.example.com`, the longest first.
    wildcards: Vec<(String, Scope<'a>, Host<'a>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope<'a> {
    Everywhere,
    Namespace(&'a str),
}

impl<'a> Host<'a> {
    /// The numbers of its ports, in order.
    pub fn ports(&self) -> Vec<u16> {
        match self {
            Self::Service(service) => service.spec.ports.iter().map(|port| port.port).collect(),
            Self::Entry(entry) => entry.spec.ports.iter().map(|port| port.number).collect(),
        }
    }

    /// The Service, if it is one.
    pub fn service(&self) -> Option<Item<'a, Service>> {
        match self {
            Self::Service(service) => Some(*service),
            Self::Entry(_) => None,
        }
    }
}

impl<'a> Hosts<'a> {
    pub(super) fn build(cx: &Context<'a>) -> Self {
        let mut hosts = Self::default();
        for entry in cx.all::<ServiceEntry>() {
            let meta = entry.meta();
            for host in &entry.spec().hosts {
                for scope in scopes(&entry.spec().export_to, &meta.namespace) {
                    hosts.insert(full_name(host, &meta.namespace), scope, Host::Entry(entry));
                }
            }
        }
        for service in cx.all::<Service>() {
            let meta = service.meta();
            let annotation = meta.annotations.get(EXPORT_TO).map(String::as_str).unwrap_or_default();
            let names = annotation.split(',').map(str::trim).filter(|name| !name.is_empty());
            let scopes: Vec<Scope<'a>> = names.filter_map(|name| scope(name, &meta.namespace)).collect();
            let scopes = if annotation.trim().is_empty() { vec![Scope::Everywhere] } else { scopes };
            for scope in scopes {
                hosts.insert(full_name(&meta.name, &meta.namespace), scope, Host::Service(service));
            }
        }
        hosts.wildcards.sort_by_key(|(suffix, ..)| std::cmp::Reverse(suffix.len()));
        hosts
    }

    /// What `host` means in a resource of namespace `from`; `export_to` is that resource's own visibility, whose namespaces count too.
    pub fn find(&self, from: &str, export_to: &[Visibility], host: &str) -> Option<Host<'a>> {
        let name = full_name(host, from);
        let known = self.exact.get(&name).map(Vec::as_slice).unwrap_or_default();
        let scoped = |wanted: &str| known.iter().rev().find(|(scope, _)| *scope == Scope::Namespace(wanted));
        let exact = known.iter().rev().find(|(scope, _)| *scope == Scope::Everywhere).or_else(|| {
            if export_to.is_empty() {
                return scoped(from);
            }
            export_to.iter().find_map(|entry| match entry {
                Visibility::Private => scoped(from),
                Visibility::Namespace(namespace) => scoped(namespace),
                Visibility::Public | Visibility::Nobody => None,
            })
        });
        if let Some((_, host)) = exact {
            return Some(*host);
        }
        let suffix = host.strip_prefix('*').unwrap_or(host);
        let covers = |scope: &Scope<'_>| matches!(scope, Scope::Everywhere) || *scope == Scope::Namespace(from);
        self.wildcards.iter().find(|(known, scope, _)| covers(scope) && suffix.ends_with(known.as_str())).map(|(.., host)| *host)
    }

    /// Every host name that is not a wildcard, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.exact.keys().map(String::as_str)
    }

    fn insert(&mut self, name: String, scope: Scope<'a>, host: Host<'a>) {
        if let Some(suffix) = name.strip_prefix('*') {
            self.wildcards.push((suffix.to_owned(), scope, host));
        } else {
            self.exact.entry(name).or_default().push((scope, host));
        }
    }
}

/// The full name of a host: a name without a dot is completed with the namespace and the cluster's domain.
pub(super) fn full_name(host: &str, namespace: &str) -> String {
    if host.starts_with('*') || host.contains('.') { host.to_owned() } else { format!("{host}.{namespace}.{CLUSTER_DOMAIN}") }
}

fn scopes<'a>(export_to: &'a [Visibility], own: &'a str) -> Vec<Scope<'a>> {
    if export_to.is_empty() || export_to.contains(&Visibility::Public) {
        return vec![Scope::Everywhere];
    }
    export_to
        .iter()
        .filter_map(|entry| match entry {
            Visibility::Public => Some(Scope::Everywhere),
            Visibility::Private => Some(Scope::Namespace(own)),
            Visibility::Nobody => None,
            Visibility::Namespace(namespace) => Some(Scope::Namespace(namespace)),
        })
        .collect()
}

fn scope<'a>(name: &'a str, own: &'a str) -> Option<Scope<'a>> {
    match name {
        "*" => Some(Scope::Everywhere),
        "." => Some(Scope::Namespace(own)),
        "~" => None,
        namespace => Some(Scope::Namespace(namespace)),
    }
}
