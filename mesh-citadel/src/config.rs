//! What Citadel is told at its start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use mesh_proto::id::{Namespace, ServiceAccount, SpiffeId, TrustDomain};
use mesh_runtime::svid::{Clock, Rotation};

use crate::authn::jwt::Rules;
use crate::ca::Policy;
use crate::root::Location;

/// The service accounts of the control plane; each is found under its Service's DNS names.
const CONTROL_PLANE: [&str; 3] = ["mesh-citadel", "mesh-galley", "mesh-pilot"];

/// Everything `bind` needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where `CreateCertificate` is served over TLS; Istio's port is 15012.
    pub listen: SocketAddr,
    /// Where `/metrics` and `/ready` are served in plaintext; Istio's port is 15014. `None` serves none.
    pub monitoring: Option<SocketAddr>,
    /// Citadel's own identity; its trust domain is the one certified.
    pub id: SpiffeId,
    /// Where the signing key is.
    pub root: Location,
    /// What is signed.
    pub policy: Policy,
    /// How tokens are verified; `None` accepts none.
    pub tokens: Option<Tokens>,
    /// Bounds on load.
    pub limits: Limits,
    /// When Citadel replaces its own certificate.
    pub rotation: Rotation,
    /// What time it is.
    pub clock: Clock,
}

/// How tokens are verified.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The JWK Set of the cluster's, or the launcher's, token issuer.
    pub jwks: PathBuf,
    /// What is asked of a token besides its signature.
    pub rules: Rules,
}

/// Bounds on load.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Authenticated requests a second in the long run; more are turned away (`RESOURCE_EXHAUSTED`). One identity gets half.
    pub per_second: u32,
    /// Authenticated requests at once; one identity gets half.
    pub burst: u32,
    /// Bytes of one request.
    pub request_bytes: usize,
    /// Requests in progress on one connection.
    pub streams: u32,
}

impl Default for Limits {
    /// For meshes of a few thousand workloads that start at once: a P-256 signature costs well below a millisecond.
    fn default() -> Self {
        Self { per_second: 500, burst: 2_000, request_bytes: 64 * 1024, streams: 100 }
    }
}

impl Config {
    /// A Citadel of `domain` in `namespace` with the defaults, that accepts no tokens yet.
    pub fn new(domain: &TrustDomain, namespace: &Namespace, listen: SocketAddr, root: Location) -> Self {
        let dns_names = control_plane_dns_names(domain, namespace);
        Self {
            listen,
            monitoring: None,
            id: control_plane_id(domain, namespace, CONTROL_PLANE[0]),
            root,
            policy: Policy { dns_names, ..Policy::default() },
            tokens: None,
            limits: Limits::default(),
            rotation: Rotation::default(),
            clock: Clock::system(),
        }
    }
}

/// The DNS names of each control-plane identity: those of the Service that has its name.
pub fn control_plane_dns_names(domain: &TrustDomain, namespace: &Namespace) -> BTreeMap<SpiffeId, Vec<String>> {
    let names = |name: &str| vec![format!("{name}.{namespace}.svc"), format!("{name}.{namespace}")];
    CONTROL_PLANE.iter().map(|name| (control_plane_id(domain, namespace, name), names(name))).collect()
}

/// `spiffe://DOMAIN/ns/NAMESPACE/sa/NAME`, for a name that is one of ours.
fn control_plane_id(domain: &TrustDomain, namespace: &Namespace, name: &str) -> SpiffeId {
    let account: ServiceAccount = name.parse().expect("the names of the control plane are valid service accounts");
    SpiffeId::new(domain, namespace, &account)
}
