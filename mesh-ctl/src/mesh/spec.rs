//! What a local mesh consists of, before anything has an address.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// A mesh on this machine.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Folders of Istio YAML for Galley, beside what is generated. A name in an earlier folder wins.
    pub config: Vec<PathBuf>,
    /// Take up changes of those folders while running.
    pub watch: bool,
    /// Gateways, in address order.
    pub gateways: Vec<Gateway>,
    /// Workloads, in address order.
    pub workloads: Vec<Workload>,
    /// Services that no YAML describes (of `meshctl up`).
    pub services: Vec<Service>,
    /// How long workload certificates live.
    pub certificate_lifetime: Duration,
    /// Worker threads of each proxy.
    pub concurrency: usize,
    /// Write access logs to each proxy's standard output (in its log file).
    pub access_log: bool,
}

/// A gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Its workload name and service account.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What `Gateway.spec.selector` looks for.
    pub labels: BTreeMap<String, String>,
}

/// One workload: an app and its sidecar.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Unique name, like a pod's.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its identity.
    pub service_account: String,
    /// What Services and policies select by.
    pub labels: BTreeMap<String, String>,
    /// Where the service's ports arrive.
    pub ports: Vec<Port>,
    /// What runs.
    pub app: App,
    /// What proxies for it.
    pub sidecar: Sidecar,
}

/// What proxies for a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sidecar {
    /// mesh-proxy.
    #[default]
    Mesh,
    /// An Envoy that is already there, beside an agent of ours that gets its certificates.
    Envoy(Envoy),
}

/// An Envoy to use as sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envoy {
    /// Its executable.
    pub program: PathBuf,
    /// How it asks Pilot.
    pub ads: Ads,
}

/// A variant of the aggregated discovery service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ads {
    /// Incremental: only what changed.
    #[default]
    Delta,
    /// State of the world: everything of a type at each change.
    Sotw,
}

/// A port of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Name, as in the Service.
    pub name: String,
    /// `targetPort`: where the sidecar listens for it. Above 1023, for nobody here is root.
    pub target: u16,
}

/// A Kubernetes Service to generate.
#[derive(Debug, Clone)]
pub struct Service {
    /// Name; selects `app: name`.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// `(name, port, targetPort, appProtocol)`.
    pub ports: Vec<(String, u16, u16, Option<String>)>,
}

/// What runs beside a sidecar.
#[derive(Debug, Clone)]
pub enum App {
    /// A service of the demo's shop.
    Shop {
        /// Which.
        service: String,
        /// Version told in answers.
        version: String,
    },
    /// The user's own command.
    Command(Command),
    /// Nothing: the sidecar alone.
    None,
}

/// A command of the user's.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments; `$NAME` is replaced from the environment given.
    pub argv: Vec<String>,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
    /// When to start it again.
    pub restart: Restart,
    /// Working folder.
    pub folder: PathBuf,
}

/// When a command is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Whenever it ends.
    Always,
    /// When it ends with an error.
    #[default]
    OnFailure,
    /// Never.
    Never,
}
