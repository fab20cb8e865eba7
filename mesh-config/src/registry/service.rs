//! A service as the mesh sees it, whichever object declared it.

use std::fmt;

use mesh_proto::id::Hostname;

use crate::resource::{Labels, Protocol, Visibility, service::Transport, service_entry::Location};

/// A service's identity: several namespaces may declare the same host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId {
    /// `name.namespace.svc.<domain>` for a Kubernetes Service, a ServiceEntry's host otherwise; may be a wildcard.
    pub hostname: Hostname,
    /// The namespace of the object that declared it.
    pub namespace: String,
}

/// A service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Host name and namespace.
    pub id: ServiceId,
    /// The object's name.
    pub name: String,
    /// Which kind of object.
    pub source: Source,
    /// The object's labels.
    pub labels: Labels,
    /// The object's annotations.
    pub annotations: Labels,
    /// Its ports, in the order written.
    pub ports: Vec<ServicePort>,
    /// Virtual IP addresses or CIDR blocks; a headless service or one of the local mesh has none.
    pub addresses: Vec<String>,
    /// Labels that select its workloads; none are selected if empty.
    pub selector: Labels,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// Whether it is outside the mesh.
    pub location: Location,
    /// Who may use it; empty: everyone.
    pub export_to: Vec<Visibility>,
    /// Names its endpoints' certificates may carry.
    pub subject_alt_names: Vec<String>,
    /// When it was created, where the source knows.
    pub creation_timestamp: Option<String>,
}

/// Which kind of object declared a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// `v1/Service`.
    Kubernetes,
    /// `networking.istio.io/ServiceEntry`.
    ServiceEntry,
}

/// How a service's endpoints are found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// The proxy balances over the known endpoints.
    Static,
    /// The proxy resolves the endpoints' names: all addresses.
    Dns,
    /// The proxy resolves the endpoint's name: one address a connection.
    DnsRoundRobin,
    /// The proxy resolves whatever host was asked for.
    DynamicDns,
    /// The original destination (headless Services, ServiceEntries with NONE).
    Passthrough,
    /// Another name for a DNS name (ExternalName).
    Alias(String),
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// The name; may be empty for a Service's only port.
    pub name: String,
    /// The number that clients use.
    pub number: u16,
    /// What is spoken; absent: found out from the first bytes.
    pub protocol: Option<Protocol>,
    /// The transport below.
    pub transport: Transport,
    /// Where the workloads listen.
    pub target: TargetPort,
}

/// Where a workload listens for a service's port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// On this port.
    Number(u16),
    /// On the workload's port of this name.
    Name(String),
}

impl Service {
    /// The port with this number.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// Whether it is outside the mesh.
    pub fn mesh_external(&self) -> bool {
        self.location == Location::MeshExternal
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.hostname)
    }
}
