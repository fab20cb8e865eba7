//! A workload's place behind one port of one service, seen from either side.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{Address, Health, Membership, ServiceId, ServicePort, Workload};

/// A workload behind one port of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Where it listens for that port.
    pub address: EndpointAddress,
    /// Where it listens, too, if the service has both IP families.
    pub additional_addresses: Vec<SocketAddr>,
    /// Who it is.
    pub workload: Arc<Workload>,
    /// Whether it may get requests.
    pub health: Health,
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

impl Endpoint {
    /// The workload as it stands behind a service, on the port it listens on.
    pub(super) fn new(workload: &Arc<Workload>, membership: &Membership, port: u16) -> Self {
        let at = |ip: &IpAddr| SocketAddr::new(*ip, port);
        let (address, additional_addresses) = match membership.addresses.split_first() {
            Some((first, rest)) => (EndpointAddress::Socket(at(first)), rest.iter().map(at).collect()),
            None => (EndpointAddress::new(&workload.address, port), Vec::new()),
        };
        Self { address, additional_addresses, workload: Arc::clone(workload), health: membership.health }
    }
}

impl EndpointAddress {
    fn new(address: &Address, port: u16) -> Self {
        match address {
            Address::Ip(ip) => Self::Socket(SocketAddr::new(*ip, port)),
            Address::Dns(name) => Self::Dns(name.clone(), port),
            Address::Unix(path) => Self::Unix(path.clone()),
            Address::Network => Self::Network,
        }
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
