//! TLS in and out. Secrets are live: a certificate that rotates changes nothing here.

use std::sync::Arc;

use super::StringMatcher;
use crate::secret::SecretRef;

/// `envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext`.
#[derive(Debug)]
pub struct DownstreamTls {
    /// Server certificates; the first that fits the SNI, else the first.
    pub certificates: Vec<SecretRef>,
    /// How clients are verified.
    pub validation: Option<Validation>,
    /// `require_client_certificate`.
    pub require_client_certificate: bool,
    /// In order of preference. The answer is the first that the client offers, or none (never fatal).
    pub alpn: Vec<Vec<u8>>,
    /// Bounds.
    pub versions: TlsVersions,
    /// `disable_stateless_session_resumption` / stateful.
    pub resumption: bool,
}

/// `envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext`.
#[derive(Debug)]
pub struct UpstreamTls {
    /// Client certificate.
    pub certificate: Option<SecretRef>,
    /// How the server is verified. `None`: not verified, as Envoy does without a validation context.
    pub validation: Option<Validation>,
    /// `sni`.
    pub sni: Option<Arc<str>>,
    /// `auto_host_sni`.
    pub auto_host_sni: bool,
    /// Offered protocols.
    pub alpn: Vec<Vec<u8>>,
    /// Bounds.
    pub versions: TlsVersions,
    /// Session cache entries (default 1); 0 turns resumption off.
    pub max_session_keys: u32,
    /// `allow_renegotiation` is refused; `enforce_rsa_key_usage` is rustls' behaviour.
    pub name: Arc<str>,
}

/// `CertificateValidationContext`.
#[derive(Debug)]
pub struct Validation {
    /// Trust bundle. `None` with no names: any certificate (`ACCEPT_UNTRUSTED` is refused).
    pub roots: Option<SecretRef>,
    /// One of these must match a SAN of the given kind; empty: any certificate of the roots.
    pub names: Vec<SanMatcher>,
    /// `verify_certificate_spki`, base64 of SHA-256.
    pub spki: Vec<Arc<str>>,
    /// `verify_certificate_hash`, hex of SHA-256 without colons, lower case.
    pub hashes: Vec<Arc<str>>,
    /// Certificate revocation list, PEM.
    pub crl: Option<Arc<[u8]>>,
}

/// `SubjectAltNameMatcher`.
#[derive(Debug, Clone)]
pub struct SanMatcher {
    /// Which kind of SAN.
    pub kind: SanKind,
    /// What it must be.
    pub value: StringMatcher,
}

/// Kinds of subject alternative names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SanKind {
    /// DNS name.
    Dns,
    /// URI.
    Uri,
    /// E-mail.
    Email,
    /// IP address.
    Ip,
    /// Any of them (`match_subject_alt_names`, deprecated form).
    Any,
}

/// Protocol versions allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    Tls12And13,
    /// 1.2 only.
    Tls12,
    /// 1.3 only.
    Tls13,
}
