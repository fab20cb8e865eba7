//! What Galley is told at its start.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use mesh_proto::id::SpiffeId;
use mesh_runtime::enroll::Enrollment;

/// Everything [`crate::bind`] needs.
#[derive(Clone)]
pub struct Config {
    /// MCP over mutual TLS; Istio's Galley used 9901.
    pub listen: SocketAddr,
    /// `/ready`, `/metrics`, `/debug/*` in plaintext; Istio's port is 15014. `None` serves none.
    pub monitoring: Option<SocketAddr>,
    /// Folders of YAML; where two hold the same resource, the earlier folder wins.
    pub folders: Vec<PathBuf>,
    /// Where the last good configuration is kept over restarts; made if it is not there. No other process may write to it. With `None`, a restart does not know the
    /// last good version of what is broken then: subscribers keep what they have of it, and new ones get nothing of it.
    pub state: Option<PathBuf>,
    /// Take up changes while running.
    pub watch: bool,
    /// A change is read once nothing has changed for so long.
    pub quiet: Duration,
    /// … or after so long at the latest.
    pub patience: Duration,
    /// Who Galley is, and how it gets its certificate.
    pub enrollment: Enrollment,
    /// Who may read configuration.
    pub allowed: Vec<SpiffeId>,
    /// Who of them may read Secrets, keys included: Pilot.
    pub trusted: Vec<SpiffeId>,
}

impl Config {
    /// How long files must be still before they are read: editors write in several steps.
    pub const QUIET: Duration = Duration::from_millis(50);
    /// How long a folder that never is still is waited for.
    pub const PATIENCE: Duration = Duration::from_secs(1);
}
