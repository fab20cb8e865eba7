//! A workload as the mesh sees it: where it listens, who it is; and the endpoints it provides.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use super::{ServiceId, ServicePort};
use crate::resource::{Labels, WorkloadEntry};

/// A workload's identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadId {
    /// Namespace.
    pub namespace: String,
    /// The object's name; `name/index` for an endpoint written in a ServiceEntry.
    pub name: String,
    /// Where it is described.
    pub source: WorkloadSource,
}

/// Where a workload is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkloadSource {
    /// A WorkloadEntry object.
    WorkloadEntry,
    /// An endpoint written in a ServiceEntry, or its host where that has none and DNS finds them.
    ServiceEntry,
}

/// A workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Namespace and name.
    pub id: WorkloadId,
    /// Where it listens.
    pub address: Address,
    /// Its own ports by name.
    pub ports: BTreeMap<String, u16>,
    /// Labels, those of the object and of the spec.
    pub labels: Labels,
    /// Where it runs.
    pub locality: Locality,
    /// Its share among endpoints; at least 1.
    pub weight: u32,
    /// The network it is on; empty: the mesh's default one.
    pub network: String,
    /// Its service account, in its own namespace; empty: not known.
    pub service_account: String,
    /// Whether it takes mutual TLS.
    pub tls: TlsMode,
}

/// Where a workload listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address.
    Ip(IpAddr),
    /// A name to resolve.
    Dns(String),
    /// A Unix socket; `@name` is abstract.
    Unix(String),
    /// None: it is reached through its network's gateway.
    Network,
}

/// Whether a workload takes mutual TLS: the label `security.istio.io/tlsMode`, or else whether its service account is
/// known (Istio's rule for WorkloadEntries).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsMode {
    /// Plaintext.
    #[default]
    Disabled,
    /// Istio mutual TLS.
    Istio,
}

/// `region/zone/subzone`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locality {
    /// Region.
    pub region: String,
    /// Zone.
    pub zone: String,
    /// Subzone.
    pub subzone: String,
}

/// A workload's place behind one port of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Where it listens for that port.
    pub address: EndpointAddress,
    /// Who it is.
    pub workload: Arc<Workload>,
}

/// An address and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointAddress {
    /// IP and port.
    Socket(SocketAddr),
    /// Name and port.
    Dns(String, u16),
    /// A Unix socket.
    Unix(String),
    /// Through its network's gateway.
    Network,
}

/// A service port that a workload stands behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The service.
    pub service: ServiceId,
    /// The service's port.
    pub port: ServicePort,
    /// The port the workload listens on; for a Unix socket, the service's number.
    pub target_port: u16,
}

impl Workload {
    /// The workload that a WorkloadEntry's spec describes.
    pub(super) fn new(id: WorkloadId, object_labels: &Labels, spec: &WorkloadEntry) -> Option<Self> {
        let mut labels = object_labels.clone();
        labels.extend(spec.labels.iter().map(|(key, value)| (key.clone(), value.clone())));
        let tls = match labels.get("security.istio.io/tlsMode").map(String::as_str) {
            Some("istio") => TlsMode::Istio,
            Some(_) => TlsMode::Disabled,
            None if spec.service_account.is_empty() => TlsMode::Disabled,
            None => TlsMode::Istio,
        };
        Some(Self {
            id,
            address: Address::parse(&spec.address, &spec.network)?,
            ports: spec.ports.clone(),
            labels,
            locality: spec.locality.parse().unwrap_or_default(),
            weight: spec.weight.max(1),
            network: spec.network.clone(),
            service_account: spec.service_account.clone(),
            tls,
        })
    }

    /// Its address with a port.
    pub(super) fn endpoint_address(&self, port: u16) -> EndpointAddress {
        match &self.address {
            Address::Ip(ip) => EndpointAddress::Socket(SocketAddr::new(*ip, port)),
            Address::Dns(name) => EndpointAddress::Dns(name.clone(), port),
            Address::Unix(path) => EndpointAddress::Unix(path.clone()),
            Address::Network => EndpointAddress::Network,
        }
    }
}

impl Address {
    /// Reads a WorkloadEntry's `address`; absent only if there is neither address nor network.
    fn parse(text: &str, network: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix://") {
            return Some(Self::Unix(path.to_owned()));
        }
        match text.parse() {
            Ok(ip) => Some(Self::Ip(ip)),
            Err(_) if !text.is_empty() => Some(Self::Dns(text.to_owned())),
            Err(_) if !network.is_empty() => Some(Self::Network),
            Err(_) => None,
        }
    }
}

impl FromStr for Locality {
    type Err = std::convert::Infallible;

    /// Missing parts are empty; a fourth part belongs to the subzone.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        Ok(Self { region: part(), zone: part(), subzone: part() })
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.region)?;
        for part in [&self.zone, &self.subzone] {
            if part.is_empty() {
                break;
            }
            write!(f, "/{part}")?;
        }
        Ok(())
    }
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Dns(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "unix://{path}"),
            Self::Network => f.write_str("network gateway"),
        }
    }
}
