//! What Pilot is told at its start.

use std::net::SocketAddr;

use mesh_proto::id::SpiffeId;
use mesh_runtime::enroll::Enrollment;

use crate::{push::Debounce, settings::MeshSettings};

/// Everything [`crate::bind`] needs.
#[derive(Clone)]
pub struct Config {
    /// ADS and CreateCertificate over TLS; Istio's port is 15012.
    pub listen: SocketAddr,
    /// ADS in plaintext, without identities; loopback only. `None` serves none. Istio's port is 15010.
    pub plaintext: Option<SocketAddr>,
    /// `/ready`, `/metrics`, `/debug/*` in plaintext; Istio's port is 15014. `None` serves none.
    pub monitoring: Option<SocketAddr>,
    /// Galley's MCP: `host:port`.
    pub galley: String,
    /// Who Galley must be.
    pub galley_id: SpiffeId,
    /// Who Pilot is, and how it gets its certificate.
    pub enrollment: Enrollment,
    /// Mesh-wide settings.
    pub mesh: MeshSettings,
    /// When changes are pushed.
    pub debounce: Debounce,
}
