//! Addresses, names and node metadata of a mesh's proxies, and what Galley is told of its workloads.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
};

use serde_json::{Value, json};

use super::{
    folder::Folder,
    spec::{App, Gateway, Service, Spec, Workload},
    subnet::{self, Subnet},
};

/// Outbound HTTP of a workload, on its own address.
pub const HTTP_PROXY_PORT: u16 = 15_080;
/// A proxy's admin interface, on its own address.
pub const ADMIN_PORT: u16 = 15_000;
/// Pilot's and Citadel's secured port.
pub const XDS_PORT: u16 = 15_012;
/// Galley's MCP port.
pub const MCP_PORT: u16 = 9_901;
/// Monitoring of the control plane.
pub const MONITORING_PORT: u16 = 15_014;
/// All that must be free on every address of a subnet.
pub const PORTS: &[u16] = &[HTTP_PROXY_PORT, ADMIN_PORT, XDS_PORT, MCP_PORT, MONITORING_PORT, 8080];

/// Namespace of the control plane.
pub const SYSTEM_NAMESPACE: &str = "mesh-system";
/// The local mesh's trust domain.
pub const TRUST_DOMAIN: &str = "cluster.local";

/// Where one proxy is and who it is.
#[derive(Debug, Clone)]
pub struct Place {
    /// Workload name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its address.
    pub address: Ipv4Addr,
    /// Gateway or sidecar.
    pub gateway: bool,
    /// Target port to where the app listens.
    pub endpoints: BTreeMap<u16, Endpoint>,
}

/// Where an app listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// On a Unix socket.
    Unix(PathBuf),
    /// On loopback.
    Tcp(SocketAddr),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// Why a mesh cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many.
    #[error(transparent)]
    Subnet(#[from] subnet::Error),
    /// No port for an app.
    #[error("no free loopback port for {workload}: {source}")]
    Port {
        /// Whose.
        workload: String,
        /// Why.
        source: io::Error,
    },
}

impl Place {
    /// Of gateway `n`.
    ///
    /// # Errors
    /// When the subnet is full.
    pub fn gateway(subnet: &Subnet, n: usize, gateway: &Gateway) -> Result<Self, Error> {
        Ok(Self {
            name: gateway.name.clone(),
            namespace: gateway.namespace.clone(),
            service_account: gateway.name.clone(),
            labels: gateway.labels.clone(),
            address: subnet.gateway(n)?,
            gateway: true,
            endpoints: BTreeMap::new(),
        })
    }

    /// Of workload `n`.
    ///
    /// # Errors
    /// When the subnet is full or no loopback port is free.
    pub fn workload(subnet: &Subnet, folder: &Folder, n: usize, workload: &Workload) -> Result<Self, Error> {
        let mut endpoints = BTreeMap::new();
        for port in &workload.ports {
            let endpoint = match &workload.app {
                App::Shop { .. } => Endpoint::Unix(folder.socket(&workload.name)),
                App::Command(_) | App::None => {
                    Endpoint::Tcp(free_port().map_err(|source| Error::Port { workload: workload.name.clone(), source })?)
                }
            };
            endpoints.insert(port.target, endpoint);
        }
        Ok(Self {
            name: workload.name.clone(),
            namespace: workload.namespace.clone(),
            service_account: workload.service_account.clone(),
            labels: workload.labels.clone(),
            address: subnet.workload(n)?,
            gateway: false,
            endpoints,
        })
    }

    /// Istio's node id: `type~ip~name.namespace~namespace.svc.cluster.local`.
    pub fn node_id(&self) -> String {
        let kind = if self.gateway { "router" } else { "sidecar" };
        let Self { name, namespace, address, .. } = self;
        format!("{kind}~{address}~{name}.{namespace}~{namespace}.svc.cluster.local")
    }

    /// Istio's node metadata.
    pub fn metadata(&self) -> Value {
        let endpoints: BTreeMap<String, String> = self.endpoints.iter().map(|(port, at)| (port.to_string(), at.to_string())).collect();
        json!({
            "NAME": self.name,
            "NAMESPACE": self.namespace,
            "SERVICE_ACCOUNT": self.service_account,
            "WORKLOAD_NAME": self.labels.get("app").map_or(self.name.clone(), |app| {
                self.labels.get("version").map_or(app.clone(), |version| format!("{app}-{version}"))
            }),
            "LABELS": self.labels,
            "CLUSTER_ID": "Kubernetes",
            "MESH_ID": TRUST_DOMAIN,
            "INSTANCE_IPS": self.address.to_string(),
            "INTERCEPTION_MODE": "NONE",
            "HTTP_PROXY_PORT": HTTP_PROXY_PORT.to_string(),
            "APP_ENDPOINTS": endpoints,
        })
    }

    /// Where its app finds its HTTP proxy.
    pub fn http_proxy(&self) -> SocketAddr {
        SocketAddr::from((self.address, HTTP_PROXY_PORT))
    }

    /// Its admin interface.
    pub fn admin(&self) -> SocketAddr {
        SocketAddr::from((self.address, ADMIN_PORT))
    }
}

/// `WorkloadEntry` and `Service` resources of the mesh, as YAML for Galley.
pub fn generated_yaml(spec: &Spec, places: &[Place]) -> String {
    let entries = places.iter().filter(|place| !place.gateway).map(|place| {
        let ports: BTreeMap<&str, u16> = spec
            .workloads
            .iter()
            .filter(|workload| workload.name == place.name && workload.namespace == place.namespace)
            .flat_map(|workload| workload.ports.iter().map(|port| (port.name.as_str(), port.target)))
            .collect();
        json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "WorkloadEntry",
            "metadata": {"name": place.name, "namespace": place.namespace, "labels": place.labels},
            "spec": {"address": place.address.to_string(), "ports": ports, "labels": place.labels, "serviceAccount": place.service_account},
        })
    });
    let mut text = String::from("# Written by meshctl: the workloads of this mesh. JSON is YAML.\n");
    for document in entries.chain(spec.services.iter().map(service)) {
        text.push_str("---\n");
        text.push_str(&document.to_string());
        text.push('\n');
    }
    text
}

fn service(service: &Service) -> Value {
    let ports: Vec<Value> = service
        .ports
        .iter()
        .map(|(name, port, target, protocol)| {
            let mut value = json!({"name": name, "port": port, "targetPort": target});
            if let (Some(protocol), Some(value)) = (protocol, value.as_object_mut()) {
                value.insert("appProtocol".into(), json!(protocol));
            }
            value
        })
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service.name, "namespace": service.namespace},
        "spec": {"selector": {"app": service.name}, "ports": ports},
    })
}

fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
