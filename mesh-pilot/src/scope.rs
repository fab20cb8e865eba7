//! Who a proxy is: everything that a generator may know of it, and therefore also the cache key.
//!
//! Two proxies with equal scopes get the same bytes. Facts come from the proxy's node message; what is security-relevant in it (namespace, service account)
//! must equal the authenticated identity, which [`ProxyScope::authenticated`] enforces before anything is generated.

mod metadata;

use std::{collections::BTreeMap, fmt, net::IpAddr, net::SocketAddr, path::PathBuf};

use mesh_config::{registry::Locality, resource::Labels};
use mesh_proto::{
    envoy::config::core::v3::Node,
    id::{Namespace, ServiceAccount, SpiffeId},
};

use crate::settings::MeshSettings;
use metadata::{LONGEST_NAME, Metadata, bounded};

/// Bytes of `node.id`: type, address, name and namespace of a Pod, DNS domain.
const LONGEST_ID: usize = 640;

/// All that a generator may know of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProxyScope {
    /// Sidecar or gateway.
    pub role: Role,
    /// Which implementation: decides about extensions that only some have.
    pub client: Client,
    /// The workload's address.
    pub ip: IpAddr,
    /// The workload's namespace.
    pub namespace: Namespace,
    /// The workload's service account.
    pub service_account: ServiceAccount,
    /// Whether a certificate has proven namespace and service account ([`ProxyScope::authenticated`]); secrets go to no other.
    pub is_authenticated: bool,
    /// What its search path ends with: `ns.svc.cluster.local`.
    pub dns_domain: String,
    /// The workload's labels.
    pub labels: Labels,
    /// How traffic gets to the proxy.
    pub interception: Interception,
    /// The port of the outbound HTTP proxy, where traffic is not intercepted.
    pub http_proxy_port: Option<u16>,
    /// Where the application listens, by the port that the proxy serves for it (`APP_ENDPOINTS`).
    pub app_endpoints: BTreeMap<u16, AppEndpoint>,
    /// The Kubernetes cluster, or whatever stands for it.
    pub cluster_id: String,
    /// The network it is on.
    pub network: String,
    /// Where it runs.
    pub locality: Locality,
}

/// What a proxy is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Beside one workload.
    Sidecar,
    /// An ingress or egress gateway.
    Router,
}

/// Implementations of proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// Ours.
    MeshProxy,
    /// Istio's build of Envoy, with Istio's extensions.
    IstioProxy,
    /// Envoy as its project builds it.
    Envoy,
    /// A proxyless gRPC library.
    Grpc,
}

/// How traffic gets to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interception {
    /// By NAT; the original destination is recovered.
    Redirect,
    /// By transparent proxying.
    Tproxy,
    /// Not: clients address the proxy.
    None,
}

/// Where the application behind a sidecar listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AppEndpoint {
    /// Loopback address and port.
    Socket(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why a node message is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNode {
    /// Not `type~ip~name.namespace~domain`.
    #[error("node.id {id:?} is not of the form `sidecar~IP~NAME.NAMESPACE~DNS-DOMAIN`: {reason}")]
    Id {
        /// The id, cut.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// A metadata field that does not parse.
    #[error("node.metadata.{field}: {reason}")]
    Metadata {
        /// The field.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The proxy says it is someone else than its certificate does.
    #[error(
        "the node says it is {claimed}, but its certificate is for {authenticated}: give the proxy a certificate of its own service account"
    )]
    Identity {
        /// Namespace and service account of the node message.
        claimed: String,
        /// The certificate's identity.
        authenticated: String,
    },
}

impl ProxyScope {
    /// Reads a node message. Istio's `pkg/model/proxy.go` names the metadata; `APP_ENDPOINTS` (port → `unix:///path` or a loopback `address:port`) is ours.
    ///
    /// # Errors
    /// Names the field that is missing or malformed.
    pub fn from_node(node: &Node) -> Result<Self, InvalidNode> {
        let metadata = Metadata::of(node);
        let id = NodeId::parse(&node.id)?;
        let namespace = metadata.parsed("NAMESPACE")?.map_or(Ok(id.namespace.clone()), |namespace: Namespace| {
            if namespace == id.namespace { Ok(namespace) } else { Err(id.differs(&namespace)) }
        })?;
        let service_account = metadata.parsed("SERVICE_ACCOUNT")?.unwrap_or(default_account()?);
        let locality = node.locality.clone().unwrap_or_default();
        for part in [&locality.region, &locality.zone, &locality.sub_zone] {
            bounded("node.locality", part, LONGEST_NAME)?;
        }
        let cluster_id = metadata.name("CLUSTER_ID")?;
        Ok(Self {
            role: id.role,
            client: client(node, &metadata),
            ip: id.ip,
            namespace,
            service_account,
            is_authenticated: false,
            dns_domain: id.dns_domain,
            labels: metadata.labels()?,
            interception: metadata.interception()?,
            http_proxy_port: metadata.port("HTTP_PROXY_PORT")?,
            app_endpoints: metadata.app_endpoints()?,
            cluster_id: if cluster_id.is_empty() { "Kubernetes".to_owned() } else { cluster_id },
            network: metadata.name("NETWORK")?,
            locality: Locality { region: locality.region, zone: locality.zone, subzone: locality.sub_zone },
        })
    }

    /// The scope of a proxy that is who it says: trust domain, namespace and service account of its certificate (DESIGN.md D1).
    ///
    /// # Errors
    /// [`InvalidNode::Identity`] otherwise.
    pub fn authenticated(self, identity: &SpiffeId, settings: &MeshSettings) -> Result<Self, InvalidNode> {
        let same = settings.trusts(identity.trust_domain())
            && identity.namespace() == Some(&self.namespace)
            && identity.service_account() == Some(&self.service_account);
        if same {
            return Ok(Self { is_authenticated: true, ..self });
        }
        Err(InvalidNode::Identity {
            claimed: format!("ns/{}/sa/{}", self.namespace, self.service_account),
            authenticated: identity.to_string(),
        })
    }

    /// Whether the proxy implements Istio's extensions.
    pub fn speaks_istio(&self) -> bool {
        matches!(self.client, Client::MeshProxy | Client::IstioProxy)
    }

    /// Where the proxy's own listeners bind: the workload's address in a local mesh (a loopback address of its own), else `wide`.
    pub fn bind_address(&self, wide: &'static str) -> String {
        if self.ip.is_loopback() { self.ip.to_string() } else { wide.to_owned() }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MeshProxy => "mesh-proxy",
            Self::IstioProxy => "istio-proxy",
            Self::Envoy => "envoy",
            Self::Grpc => "grpc",
        })
    }
}

/// The parts of `node.id`.
struct NodeId {
    role: Role,
    ip: IpAddr,
    namespace: Namespace,
    dns_domain: String,
}

impl NodeId {
    fn parse(id: &str) -> Result<Self, InvalidNode> {
        let wrong = |reason: String| InvalidNode::Id { id: id.chars().take(200).collect(), reason };
        if id.len() > LONGEST_ID {
            return Err(wrong(format!("it has {} bytes, more than {LONGEST_ID}: shorten it", id.len())));
        }
        let parts: Vec<&str> = id.split('~').collect();
        let [role, ip, name, dns_domain] = parts[..] else {
            return Err(wrong(format!("it has {} parts, not 4", parts.len())));
        };
        let role = match role {
            "sidecar" => Role::Sidecar,
            "router" => Role::Router,
            other => return Err(wrong(format!("type {other:?} is not supported: use `sidecar` or `router`"))),
        };
        let ip = ip.parse().map_err(|_| wrong(format!("{ip:?} is not an IP address")))?;
        let (_, namespace) = name.rsplit_once('.').ok_or_else(|| wrong(format!("{name:?} is not `NAME.NAMESPACE`")))?;
        let namespace = namespace.parse().map_err(|error| wrong(format!("{error}")))?;
        if dns_domain.len() > LONGEST_NAME {
            return Err(wrong(format!("the DNS domain has {} bytes, more than {LONGEST_NAME}: shorten it", dns_domain.len())));
        }
        Ok(Self { role, ip, namespace, dns_domain: dns_domain.to_owned() })
    }

    fn differs(&self, namespace: &Namespace) -> InvalidNode {
        InvalidNode::Metadata {
            field: "NAMESPACE",
            reason: format!("{namespace} differs from {} in node.id: make them equal", self.namespace),
        }
    }
}

fn default_account() -> Result<ServiceAccount, InvalidNode> {
    "default".parse().map_err(|error| InvalidNode::Metadata { field: "SERVICE_ACCOUNT", reason: format!("{error}") })
}

/// By `user_agent_name`; Istio's agents send none of ours and call themselves `envoy`, but always with `ISTIO_VERSION`.
fn client(node: &Node, metadata: &Metadata<'_>) -> Client {
    if metadata.text("GENERATOR") == Some("grpc") || node.user_agent_name.starts_with("gRPC") {
        return Client::Grpc;
    }
    match node.user_agent_name.as_str() {
        "mesh-proxy" => Client::MeshProxy,
        _ if metadata.text("ISTIO_VERSION").is_some() => Client::IstioProxy,
        _ => Client::Envoy,
    }
}

#[cfg(test)]
mod tests;
