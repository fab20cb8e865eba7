//! TLS whose peers are proven by SPIFFE ids, not by host names (SPIFFE X509-SVID §5, Istio's mutual TLS).
//!
//! The pieces are public, because the data path assembles its own configurations per filter chain:
//!
//! * [`Trust`]: a parsed set of roots; [`Roots`]: where the roots *now* in force are read;
//! * [`Identity`]: where the certificate *now* in force is read (a rustls resolver on both sides);
//! * [`PeerVerifier`]: chain, time and key usage against the roots, then the peer's names against [`Peers`];
//! * [`client_config`], [`server_config`]: the three put together.
//!
//! Nothing here caches a certificate or a root: every handshake reads the current ones, so a rotation needs no new
//! configuration, and connections already open are left alone. The key exchanges are rustls' defaults (X25519MLKEM768
//! first).
//!
//! Sessions in which certificates prove both sides are not resumed. rustls does not verify a resumed session anew, and
//! shows the certificates of its first handshake: a rotated, expired or distrusted one would live on for as long as the
//! ticket does, and be renewed with every resumption. (Envoy has BoringSSL verify again on resumption.)

mod identity;
pub mod material;
mod peer;
mod trust;
mod verify;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig, version};

pub use identity::Identity;
pub use peer::{Peer, Peers, peer_spiffe_id};
pub use trust::{Roots, Trust};
pub use verify::PeerVerifier;

/// The ALPN protocol of HTTP/2 and so of gRPC (RFC 9113 §3.2).
pub const ALPN_H2: &[u8] = b"h2";

/// Why a TLS piece could not be built, or a peer was not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A PEM or DER text could not be read.
    #[error("{what} cannot be read: {reason}")]
    Unreadable {
        /// What was being read: `root certificate`, `private key`, …
        what: &'static str,
        /// The parser's complaint.
        reason: String,
    },
    /// No root at all: nobody could ever be verified.
    #[error("no trust root given: at least one PEM CERTIFICATE block is needed")]
    NoRoots,
    /// The peer presented no certificate.
    #[error("the peer presented no certificate")]
    NoCertificate,
    /// The certificate has no URI SAN, so it carries no SPIFFE id.
    #[error("the certificate has no URI subject alternative name, so no SPIFFE id")]
    NoSpiffeId,
    /// X509-SVID §2: exactly one URI SAN.
    #[error("the certificate has {0} URI subject alternative names; a SPIFFE certificate has exactly one")]
    ManyUris(usize),
    /// The URI SAN is not a SPIFFE id of the form Istio uses.
    #[error("the URI subject alternative name {uri:?} is not a SPIFFE id: {reason}")]
    BadSpiffeId {
        /// The name as it stands in the certificate, cut to a printable length.
        uri: String,
        /// Why it does not parse.
        reason: String,
    },
    /// The chain is good, but this peer is not one of those expected.
    #[error("the peer is {peer}, expected {expected}")]
    UnexpectedPeer {
        /// The names the peer proved.
        peer: String,
        /// Who was expected.
        expected: String,
    },
    /// rustls refused the parts.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// Whether a server asks its client for a certificate, and whom it then believes.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// No certificate is asked for (Istio: `SIMPLE`).
    None,
    /// A certificate is asked for; a client without one is let in as nobody, a client with a wrong one is refused.
    Optional(Roots, Peers),
    /// No certificate, no handshake (Istio: `MUTUAL`, `STRICT`).
    Required(Roots, Peers),
}

/// The one crypto provider of the mesh: aws-lc-rs.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())).clone()
}

/// Makes [`provider`] the process' default, for libraries that build a rustls configuration without naming one. Call it
/// first in `main`; further calls change nothing.
pub fn install_provider() {
    if CryptoProvider::get_default().is_none() {
        // The only failure is that another thread was faster, with the same provider.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

/// A client that believes only `peers` vouched for by `roots`, and presents `identity` when asked for a certificate.
///
/// `alpn` is offered in this order; empty offers none. TLS 1.3, and 1.2 as the floor.
///
/// # Errors
/// Only if rustls refuses the protocol versions for the provider.
pub fn client_config(identity: Option<Identity>, roots: Roots, peers: Peers, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PeerVerifier::new(roots, peers)));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(identity)),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// A server that presents `identity` and asks its clients as `auth` says.
///
/// rustls refuses a handshake whose ALPN lists do not meet; a caller that must not (Envoy does not) chooses `alpn` per
/// ClientHello. TLS 1.3, and 1.2 as the floor.
///
/// # Errors
/// Only if rustls refuses the protocol versions for the provider.
pub fn server_config(identity: Identity, auth: ClientAuth, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13, &version::TLS12])?;
    let verifier = match auth {
        ClientAuth::None => None,
        ClientAuth::Optional(roots, peers) => Some(PeerVerifier::new(roots, peers).allow_anonymous()),
        ClientAuth::Required(roots, peers) => Some(PeerVerifier::new(roots, peers)),
    };
    let resumable = verifier.is_none();
    let builder = match verifier {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(Arc::new(verifier)),
    };
    let mut config = builder.with_cert_resolver(Arc::new(identity));
    if !resumable {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}
