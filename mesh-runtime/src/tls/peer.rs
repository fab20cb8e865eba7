//! Who a verified certificate says its owner is, and who is expected.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use mesh_proto::id::{SpiffeId, TrustDomain};
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, ServerName};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Error;

/// The names in a peer's certificate. Believe them only after the chain was verified ([`super::PeerVerifier`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The SPIFFE id, if the certificate has exactly one URI SAN and it is one.
    pub spiffe_id: Option<SpiffeId>,
    /// All URI SANs.
    pub uris: Vec<String>,
    /// All DNS SANs, as they stand (a wildcard is not expanded).
    pub dns_names: Vec<String>,
    /// All IP address SANs.
    pub ip_addresses: Vec<IpAddr>,
    /// All e-mail SANs.
    pub emails: Vec<String>,
    /// The certificate itself, for rules about its fingerprint, key or subject.
    pub certificate: CertificateDer<'static>,
}

impl Peer {
    /// Reads the names of a certificate.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if it does not parse. A certificate without SPIFFE id is no error here.
    pub fn from_der(certificate: &CertificateDer<'_>) -> Result<Self, Error> {
        let unreadable = |reason: String| Error::Unreadable { what: "certificate", reason };
        let (rest, parsed) = X509Certificate::from_der(certificate).map_err(|error| unreadable(error.to_string()))?;
        if !rest.is_empty() {
            return Err(unreadable("bytes follow the certificate".to_owned()));
        }
        let mut peer = Self {
            spiffe_id: None,
            uris: Vec::new(),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            emails: Vec::new(),
            certificate: certificate.clone().into_owned(),
        };
        let names = parsed.subject_alternative_name().map_err(|error| unreadable(error.to_string()))?;
        for name in names.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::URI(uri) => peer.uris.push((*uri).to_owned()),
                GeneralName::DNSName(name) => peer.dns_names.push((*name).to_owned()),
                GeneralName::RFC822Name(name) => peer.emails.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => peer.ip_addresses.extend(ip_address(bytes)),
                _ => {}
            }
        }
        peer.spiffe_id = spiffe_id(&peer.uris).ok();
        Ok(peer)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.uris.iter().chain(&self.dns_names).map(String::as_str).collect();
        if names.is_empty() { f.write_str("(no names)") } else { f.write_str(&printable(&names.join(", "))) }
    }
}

/// The SPIFFE id of a certificate: its one URI SAN (SPIFFE X509-SVID §2, §5.2).
///
/// # Errors
/// No URI SAN, more than one, or one that is not a SPIFFE id.
pub fn peer_spiffe_id(certificate: &CertificateDer<'_>) -> Result<SpiffeId, Error> {
    spiffe_id(&Peer::from_der(certificate)?.uris)
}

/// Whom a side believes, once the chain is verified. Cheap to clone.
#[derive(Clone)]
pub enum Peers {
    /// Whoever the roots vouch for, with or without a SPIFFE id: gateways with a customer's CA, Envoy's validation
    /// context without name matchers. Not for the mesh's own traffic.
    AnyTrusted,
    /// Any SPIFFE id; the caller authorizes it afterwards.
    AnySpiffe,
    /// Any SPIFFE id of this trust domain.
    TrustDomain(TrustDomain),
    /// One of these SPIFFE ids.
    Ids(Arc<BTreeSet<SpiffeId>>),
    /// One of these DNS SANs, wildcards as RFC 6125 has them; the way to an `istiod` whose certificate has no SPIFFE id.
    Dns(Arc<[ServerName<'static>]>),
    /// Any other rule, with its description for error messages.
    Matching(Arc<str>, Arc<dyn Fn(&Peer) -> bool + Send + Sync>),
}

impl Peers {
    /// Exactly this SPIFFE id.
    pub fn id(id: SpiffeId) -> Self {
        Self::ids([id])
    }

    /// One of these SPIFFE ids; an empty set believes nobody.
    pub fn ids(ids: impl IntoIterator<Item = SpiffeId>) -> Self {
        Self::Ids(Arc::new(ids.into_iter().collect()))
    }

    /// This DNS SAN.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if it is not a DNS name.
    pub fn dns(name: &str) -> Result<Self, Error> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| Error::Unreadable { what: "expected DNS name of the peer", reason: format!("{name:?}: {error}") })?;
        Ok(Self::Dns(Arc::new([name])))
    }

    /// Whether the owner of `leaf`, whose chain has been verified, is one of these.
    ///
    /// # Errors
    /// The certificate does not parse, has no SPIFFE id where one is needed, or names somebody else.
    pub fn check(&self, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        let believed = match self {
            Self::AnyTrusted => true,
            Self::AnySpiffe => peer_spiffe_id(leaf).map(|_| true)?,
            Self::TrustDomain(domain) => peer_spiffe_id(leaf)?.trust_domain() == domain,
            Self::Ids(ids) => ids.contains(&peer_spiffe_id(leaf)?),
            Self::Dns(names) => {
                let parsed = ParsedCertificate::try_from(leaf)?;
                names.iter().any(|name| verify_server_name(&parsed, name).is_ok())
            }
            Self::Matching(_, rule) => rule(&Peer::from_der(leaf)?),
        };
        if believed {
            return Ok(());
        }
        Err(Error::UnexpectedPeer { peer: Peer::from_der(leaf)?.to_string(), expected: self.to_string() })
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyTrusted => f.write_str("any certificate of the roots"),
            Self::AnySpiffe => f.write_str("any SPIFFE id"),
            Self::TrustDomain(domain) => write!(f, "a SPIFFE id of the trust domain {domain}"),
            Self::Ids(ids) => {
                let ids: Vec<String> = ids.iter().take(8).map(ToString::to_string).collect();
                write!(f, "one of [{}]", ids.join(", "))
            }
            Self::Dns(names) => {
                let names: Vec<_> = names.iter().map(ServerName::to_str).collect();
                write!(f, "the DNS name {}", names.join(" or "))
            }
            Self::Matching(rule, _) => f.write_str(rule),
        }
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peers({self})")
    }
}

/// RFC 5280 §4.2.1.6: four bytes or sixteen; anything else is no address.
fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn spiffe_id(uris: &[String]) -> Result<SpiffeId, Error> {
    match uris {
        [] => Err(Error::NoSpiffeId),
        [uri] => uri
            .parse()
            .map_err(|error: <SpiffeId as std::str::FromStr>::Err| Error::BadSpiffeId { uri: printable(uri), reason: error.to_string() }),
        many => Err(Error::ManyUris(many.len())),
    }
}

/// A peer chooses these bytes: keep them short and on one line.
fn printable(text: &str) -> String {
    text.chars().take(256).flat_map(char::escape_default).collect()
}
