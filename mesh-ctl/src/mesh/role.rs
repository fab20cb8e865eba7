//! The launch document: what one process of the mesh is to be, read from its standard input.
//!
//! The first line of a child's standard input is this document as JSON, with its credential in it: nothing secret is on a
//! command line, in the environment or in a file. The pipe then stays open; when it closes, the launcher is gone and the
//! child drains and ends. A child tells what happens to it by lines of JSON ([`Event`]) on its standard output; its
//! standard error is its log.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::spec::{Ads, Command};
use crate::shop;

/// What a process is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Launch {
    /// Its name in the mesh, for logs.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// `tracing` filter.
    pub log: String,
}

/// The roles.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The certificate authority.
    Citadel(Citadel),
    /// Configuration.
    Galley(Galley),
    /// Discovery.
    Pilot(Pilot),
    /// A sidecar or gateway.
    Proxy(Box<Proxy>),
    /// An Envoy as sidecar, and the agent beside it.
    Envoy(Box<Envoy>),
    /// A service of the shop.
    Shop(shop::Config),
    /// The user's command, supervised.
    Command(Command),
}

impl Role {
    /// Namespace and service account of a role that has an identity.
    pub fn account(&self) -> Option<(&str, &str)> {
        let identity = match self {
            Self::Galley(galley) => &galley.identity,
            Self::Pilot(pilot) => &pilot.identity,
            Self::Proxy(proxy) => &proxy.identity,
            Self::Envoy(envoy) => &envoy.proxy.identity,
            Self::Citadel(_) | Self::Shop(_) | Self::Command(_) => return None,
        };
        let (_, path) = identity.id.split_once("/ns/")?;
        path.split_once("/sa/")
    }
}

/// Citadel's settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Citadel {
    /// Where it listens.
    pub listen: SocketAddr,
    /// `/metrics` and `/ready`.
    pub monitoring: SocketAddr,
    /// Where its root is kept.
    pub root: PathBuf,
    /// Keys that tokens are verified with.
    pub jwks: PathBuf,
    /// Lifetime of certificates, in seconds.
    pub lifetime_seconds: u64,
}

/// Galley's settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Galley {
    /// MCP.
    pub listen: SocketAddr,
    /// `/metrics` and `/ready`.
    pub monitoring: SocketAddr,
    /// Folders of YAML.
    pub folders: Vec<PathBuf>,
    /// Where the last good configuration is kept over restarts.
    #[serde(default)]
    pub state: Option<PathBuf>,
    /// Take up changes while running.
    pub watch: bool,
    /// Its identity.
    pub identity: Identity,
}

/// Pilot's settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pilot {
    /// ADS.
    pub listen: SocketAddr,
    /// `/metrics`, `/ready`, `/debug/*`.
    pub monitoring: SocketAddr,
    /// Galley's MCP.
    pub galley: SocketAddr,
    /// Its identity.
    pub identity: Identity,
    /// Write access logs.
    pub access_log: bool,
}

/// A proxy's settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Proxy {
    /// Node id.
    pub node_id: String,
    /// Node cluster: `app.namespace`.
    pub node_cluster: String,
    /// Node metadata.
    pub metadata: serde_json::Value,
    /// Pilot's ADS.
    pub pilot: SocketAddr,
    /// Its identity.
    pub identity: Identity,
    /// Admin interface.
    pub admin: SocketAddr,
    /// Workers.
    pub concurrency: usize,
    /// Where it serves SDS to others, if anywhere.
    pub sds: Option<PathBuf>,
}

/// An Envoy's settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envoy {
    /// Its executable.
    pub program: PathBuf,
    /// How it asks Pilot.
    pub ads: Ads,
    /// Where its bootstrap is written.
    pub bootstrap: PathBuf,
    /// Where it gets its certificate: a Unix socket of its agent's.
    pub sds: PathBuf,
    /// All that it shares with any proxy.
    pub proxy: Proxy,
}

/// How a process gets its certificate.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    /// `spiffe://…`.
    pub id: String,
    /// Citadel.
    pub citadel: SocketAddr,
    /// Trust bundle to verify Citadel by, PEM.
    pub roots: PathBuf,
    /// A short-lived token, proof of who it is.
    pub token: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("id", &self.id).field("citadel", &self.citadel).finish_non_exhaustive()
    }
}

/// What a child tells.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It serves.
    Ready {
        /// What it listens on, by name.
        #[serde(default)]
        addresses: BTreeMap<String, String>,
    },
    /// It ends because of this.
    Failed {
        /// Why.
        error: String,
    },
}
