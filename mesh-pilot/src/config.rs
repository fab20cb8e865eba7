//! What Pilot is told at its start.

use std::{net::SocketAddr, path::PathBuf};

use mesh_proto::id::SpiffeId;
use mesh_runtime::svid::Token;

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
    /// Who Pilot is.
    pub identity: Identity,
    /// Mesh-wide settings.
    pub mesh: MeshSettings,
    /// When changes are pushed.
    pub debounce: Debounce,
}

/// How Pilot gets its certificate.
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
