//! A service as the mesh sees it, whichever object declared it. What Galley serves to Pilot, as JSON.

use std::{cmp::Ordering, fmt, str::FromStr};

use mesh_proto::id::Hostname;
use serde::{Deserialize, Serialize};

use super::{InvalidId, TrafficDistribution, unset};
use crate::resource::{Labels, Protocol, Visibility, service::Transport, service_entry::Location};

/// A service's identity: several namespaces may declare the same host. Written `namespace/hostname`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceId {
    /// `name.namespace.svc.<domain>` for a Kubernetes Service, a ServiceEntry's host otherwise; may be a wildcard.
    pub hostname: Hostname,
    /// The namespace of the object that declared it.
    pub namespace: String,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Host name and namespace.
    pub id: ServiceId,
    /// The object's name.
    pub name: String,
    /// Which kind of object.
    pub source: Source,
    /// The object's labels.
    #[serde(default, skip_serializing_if = "unset")]
    pub labels: Labels,
    /// The object's annotations.
    #[serde(default, skip_serializing_if = "unset")]
    pub annotations: Labels,
    /// Its ports, in the order written.
    #[serde(default, skip_serializing_if = "unset")]
    pub ports: Vec<ServicePort>,
    /// Virtual IP addresses (several if dual-stack, the preferred family first) or CIDR blocks; a headless service or one
    /// of the local mesh has none.
    #[serde(default, skip_serializing_if = "unset")]
    pub addresses: Vec<String>,
    /// Labels that select its workloads; none are selected if empty.
    #[serde(default, skip_serializing_if = "unset")]
    pub selector: Labels,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// Whether it is outside the mesh.
    pub location: Location,
    /// Who may use it; empty: everyone.
    #[serde(default, skip_serializing_if = "unset")]
    pub export_to: Vec<Visibility>,
    /// Names its endpoints' certificates may carry.
    #[serde(default, skip_serializing_if = "unset")]
    pub subject_alt_names: Vec<String>,
    /// Which endpoints a client prefers; a DestinationRule's locality setting goes before it.
    #[serde(default, skip_serializing_if = "unset")]
    pub traffic_distribution: TrafficDistribution,
    /// A client may use the endpoints of its own node only (`internalTrafficPolicy: Local`).
    #[serde(default, skip_serializing_if = "unset")]
    pub node_local: bool,
    /// When it was created, where the source knows.
    #[serde(default, skip_serializing_if = "unset")]
    pub creation_timestamp: Option<String>,
}

/// Which kind of object declared a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Source {
    /// `v1/Service`.
    Kubernetes,
    /// `networking.istio.io/ServiceEntry`.
    ServiceEntry,
}

/// How a service's endpoints are found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServicePort {
    /// The name; may be empty for a Service's only port.
    #[serde(default, skip_serializing_if = "unset")]
    pub name: String,
    /// The number that clients use.
    pub number: u16,
    /// What is spoken; absent: found out from the first bytes.
    #[serde(default, skip_serializing_if = "unset")]
    pub protocol: Option<Protocol>,
    /// The transport below.
    pub transport: Transport,
    /// Where the workloads listen.
    pub target: TargetPort,
}

/// Where a workload listens for a service's port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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

    /// Whether it has no virtual address and clients choose an endpoint themselves.
    pub fn is_headless(&self) -> bool {
        self.source == Source::Kubernetes && self.resolution == Resolution::Passthrough
    }

    /// Of services with one host name: Kubernetes' first, then the older, then by namespace and name.
    pub(super) fn precedence(&self, other: &Self) -> Ordering {
        let rank = |service: &Self| (service.source, service.creation_timestamp.is_none());
        rank(self)
            .cmp(&rank(other))
            .then_with(|| self.creation_timestamp.cmp(&other.creation_timestamp))
            .then_with(|| (&self.id.namespace, &self.name).cmp(&(&other.id.namespace, &other.name)))
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.hostname)
    }
}

impl FromStr for ServiceId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { text: text.to_owned(), form: "namespace/hostname" };
        let (namespace, hostname) = text.split_once('/').filter(|(namespace, _)| !namespace.is_empty()).ok_or_else(invalid)?;
        Ok(Self { hostname: hostname.parse().map_err(|_| invalid())?, namespace: namespace.to_owned() })
    }
}
