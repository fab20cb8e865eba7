//! What Galley is told at its start.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use mesh_proto::id::SpiffeId;
use mesh_runtime::svid::Token;

/// Everything [`crate::bind`] needs.
#[derive(Clone)]
pub struct Config {
    /// MCP over mutual TLS; Istio's Galley used 9901.
    pub listen: SocketAddr,
    /// `/ready`, `/metrics`, `/debug/*` in plaintext; Istio's port is 15014. `None` serves none.
    pub monitoring: Option<SocketAddr>,
    /// Folders of YAML; where two hold the same resource, the earlier folder wins.
    pub folders: Vec<PathBuf>,
    /// Take up changes while running.
    pub watch: bool,
    /// A change is read once nothing has changed for so long.
    pub quiet: Duration,
    /// … or after so long at the latest.
    pub patience: Duration,
    /// Who Galley is.
    pub identity: Identity,
    /// Who may read configuration.
    pub allowed: Vec<SpiffeId>,
}

/// How Galley gets its certificate.
#[derive(Clone)]
pub struct Identity {
    /// Its SPIFFE id.
    pub id: SpiffeId,
    /// Citadel, `host:port`.
    pub citadel: String,
    /// Citadel's own id.
    pub citadel_id: SpiffeId,
    /// Trust bundle, PEM.
    pub roots: PathBuf,
    /// Its token.
    pub token: Token,
}

impl Config {
    /// How long files must be still before they are read: editors write in several steps.
    pub const QUIET: Duration = Duration::from_millis(50);
    /// How long a folder that never is still is waited for.
    pub const PATIENCE: Duration = Duration::from_secs(1);
}
