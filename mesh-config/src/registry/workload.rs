//! A workload as the mesh sees it: where it listens, who it is, and which services it stands behind. What Galley serves
//! to Pilot, one resource a workload, as JSON.

use std::{borrow::Cow, collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{InvalidId, ServiceId, unset};
use crate::resource::Labels;

/// A workload's identity. Its key is `cluster/source/namespace/name`, the same over restarts and replicas.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadId {
    /// Namespace.
    pub namespace: String,
    /// The object's name; `name/index` or `name/host` for an endpoint that a ServiceEntry lists, `service/address` for one
    /// that an EndpointSlice lists and no Pod is known for.
    pub name: String,
    /// Where it is described.
    pub source: WorkloadSource,
    /// The cluster that it was seen in.
    pub cluster: String,
}

/// Where a workload is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WorkloadSource {
    /// A WorkloadEntry object.
    WorkloadEntry,
    /// An endpoint written in a ServiceEntry, or its host where that has none and DNS finds them.
    ServiceEntry,
    /// A Pod.
    Pod,
    /// An address in an EndpointSlice that belongs to no Pod.
    EndpointSlice,
}

/// A workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// Who it is.
    pub id: WorkloadId,
    /// Where it listens.
    pub address: Address,
    /// Its other addresses, if it has several (a dual-stack Pod).
    #[serde(default, skip_serializing_if = "unset")]
    pub additional_addresses: Vec<IpAddr>,
    /// Its own ports by name.
    #[serde(default, skip_serializing_if = "unset")]
    pub ports: BTreeMap<String, u16>,
    /// Labels, those of the object and of the spec. Subsets and failover ask `label`, which knows the place, too.
    #[serde(default, skip_serializing_if = "unset")]
    pub labels: Labels,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "unset")]
    pub locality: Locality,
    /// Its share among endpoints; at least 1.
    pub weight: u32,
    /// The network it is on; empty: the mesh's default one.
    #[serde(default, skip_serializing_if = "unset")]
    pub network: String,
    /// Its service account, in its own namespace; empty: not known.
    #[serde(default, skip_serializing_if = "unset")]
    pub service_account: String,
    /// Whether it takes mutual TLS.
    #[serde(default, skip_serializing_if = "unset")]
    pub tls: TlsMode,
    /// The node it runs on; empty: none or not known.
    #[serde(default, skip_serializing_if = "unset")]
    pub node: String,
    /// What runs it (`reviews-v1`, a Deployment's name), as metrics have it; its own name where nothing does.
    #[serde(default, skip_serializing_if = "unset")]
    pub workload_name: String,
    /// `hostname.subdomain`, the name it has below its namespace's domain; empty: none.
    #[serde(default, skip_serializing_if = "unset")]
    pub dns_name: String,
    /// Whether it is ready, whatever the services say.
    #[serde(default, skip_serializing_if = "unset")]
    pub health: Health,
    /// The services it stands behind, in order, each once.
    #[serde(default, skip_serializing_if = "unset")]
    pub services: Vec<Membership>,
}

/// A workload's place behind a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Membership {
    /// The service.
    pub service: ServiceId,
    /// The service's port → the port that the workload listens on.
    #[serde(default, skip_serializing_if = "unset")]
    pub ports: BTreeMap<u16, u16>,
    /// Where it is reached for this service, the preferred address first; empty: at its `address` only.
    #[serde(default, skip_serializing_if = "unset")]
    pub addresses: Vec<IpAddr>,
    /// Whether this service may send it requests.
    #[serde(default, skip_serializing_if = "unset")]
    pub health: Health,
}

/// Whether a workload may get requests. The better one is the smaller one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Health {
    /// It may.
    #[default]
    Healthy,
    /// It is on its way out and still serves: sessions that belong to it may go on, new ones do not start.
    Draining,
    /// It is not ready.
    Unhealthy,
    /// It is on its way out and serves no more.
    Terminating,
}

/// Where a workload listens. In JSON the text of a WorkloadEntry's `address`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", from = "Cow<'_, str>")]
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

/// Whether a workload takes mutual TLS: the label `security.istio.io/tlsMode`, which injection sets; without it, a
/// WorkloadEntry does if its service account is known (Istio's rule).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsMode {
    /// Plaintext.
    #[default]
    Disabled,
    /// Istio mutual TLS.
    Istio,
}

/// `region/zone/subzone`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Locality {
    /// Region.
    #[serde(skip_serializing_if = "unset")]
    pub region: String,
    /// Zone.
    #[serde(skip_serializing_if = "unset")]
    pub zone: String,
    /// Subzone.
    #[serde(skip_serializing_if = "unset")]
    pub subzone: String,
}

impl WorkloadId {
    /// `cluster/source/namespace/name`: the resource's name on MCP; `parse` reads it.
    pub fn key(&self) -> String {
        format!("{}/{:?}/{}/{}", self.cluster, self.source, self.namespace, self.name)
    }
}

impl Workload {
    /// The value of a label: one of its own, or where it is (`topology.kubernetes.io/region`, `…/zone`,
    /// `topology.istio.io/subzone`, `…/network`, `…/cluster`, `kubernetes.io/hostname`), as Istio labels endpoints.
    pub fn label(&self, name: &str) -> Option<&str> {
        let place = match name {
            "topology.kubernetes.io/region" => &self.locality.region,
            "topology.kubernetes.io/zone" => &self.locality.zone,
            "topology.istio.io/subzone" => &self.locality.subzone,
            "topology.istio.io/cluster" => &self.id.cluster,
            "kubernetes.io/hostname" => &self.node,
            "topology.istio.io/network" => {
                return self.own(name).or(Some(&self.network).filter(|network| !network.is_empty()).map(String::as_str));
            }
            _ => return self.own(name),
        };
        if place.is_empty() { self.own(name) } else { Some(place) }
    }

    fn own(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// Its IP addresses, the primary one first.
    pub fn ip_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let primary = match self.address {
            Address::Ip(ip) => Some(ip),
            _ => None,
        };
        primary.into_iter().chain(self.additional_addresses.iter().copied())
    }
}

impl TlsMode {
    /// What the label says, if it is there.
    pub(super) fn of(labels: &Labels) -> Option<Self> {
        labels.get("security.istio.io/tlsMode").map(|mode| if mode == "istio" { Self::Istio } else { Self::Disabled })
    }
}

impl Address {
    /// Reads a WorkloadEntry's `address`; absent only if there is neither address nor network.
    pub(super) fn parse(text: &str, network: &str) -> Option<Self> {
        (!text.is_empty() || !network.is_empty()).then(|| Cow::Borrowed(text).into())
    }
}

impl From<Cow<'_, str>> for Address {
    fn from(text: Cow<'_, str>) -> Self {
        if let Some(path) = text.strip_prefix("unix://") {
            return Self::Unix(path.to_owned());
        }
        match text.parse() {
            Ok(ip) => Self::Ip(ip),
            Err(_) if text.is_empty() => Self::Network,
            Err(_) => Self::Dns(text.into_owned()),
        }
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        match address {
            Address::Ip(ip) => ip.to_string(),
            Address::Dns(name) => name,
            Address::Unix(path) => format!("unix://{path}"),
            Address::Network => Self::new(),
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

impl FromStr for WorkloadId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { text: text.to_owned(), form: "cluster/source/namespace/name" };
        let mut parts = text.splitn(4, '/');
        let (Some(cluster), Some(source), Some(namespace), Some(name)) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(invalid());
        };
        let source = match source {
            "WorkloadEntry" => WorkloadSource::WorkloadEntry,
            "ServiceEntry" => WorkloadSource::ServiceEntry,
            "Pod" => WorkloadSource::Pod,
            "EndpointSlice" => WorkloadSource::EndpointSlice,
            _ => return Err(invalid()),
        };
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned(), source, cluster: cluster.to_owned() })
    }
}
