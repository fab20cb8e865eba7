//! What a finished handshake proved, in the form that logs, policies and headers use.

use std::sync::{Arc, OnceLock};

use rustls::{CipherSuite, ProtocolVersion};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::info::PeerTls;

/// The raw material of [`PeerTls`].
pub(crate) struct PeerFacts<'a> {
    /// The peer's chain, leaf first.
    pub(crate) chain: Option<&'a [CertificateDer<'static>]>,
    /// The chain was verified against roots.
    pub(crate) verified: bool,
    /// Our own URI SAN.
    pub(crate) local_uri: Option<Arc<str>>,
    /// Protocol version.
    pub(crate) version: Option<ProtocolVersion>,
    /// Cipher suite.
    pub(crate) suite: Option<CipherSuite>,
    /// ALPN agreed on.
    pub(crate) alpn: Option<&'a [u8]>,
}

impl PeerFacts<'_> {
    /// Reads the peer's certificate, if it has one. One that cannot be read proves nothing.
    pub(crate) fn read(self) -> PeerTls {
        let leaf = self.chain.and_then(<[_]>::first);
        let parsed = leaf.and_then(|leaf| X509Certificate::from_der(leaf).ok()).map(|(_, parsed)| parsed);
        let (uris, dns) = parsed.as_ref().map(alternative_names).unwrap_or_default();
        let verified = self.verified && parsed.is_some();
        let peer_id = match &uris[..] {
            [uri] if verified => uri.parse().ok(),
            _ => None,
        };
        PeerTls {
            peer_id,
            peer_uris: uris.into(),
            peer_dns: dns.into(),
            peer_subject: parsed.as_ref().map(|parsed| subject(parsed).into()),
            peer_certificate: leaf.map(|leaf| Arc::from(&**leaf)),
            verified,
            local_uri: self.local_uri,
            version: version_name(self.version),
            cipher: cipher_name(self.suite),
            alpn: self.alpn.map(Arc::from),
            xfcc: OnceLock::new(),
        }
    }
}

/// The first URI SAN of a certificate.
pub(super) fn first_uri(certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    alternative_names(&parsed).0.into_iter().next().map(Into::into)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn alternative_names(certificate: &X509Certificate<'_>) -> (Vec<Box<str>>, Vec<Box<str>>) {
    let (mut uris, mut dns) = (Vec::new(), Vec::new());
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        for name in &extension.value.general_names {
            match name {
                GeneralName::URI(uri) => uris.push((*uri).into()),
                GeneralName::DNSName(name) => dns.push((*name).into()),
                _ => {}
            }
        }
    }
    (uris, dns)
}

/// RFC 2253: most specific attribute first, no blanks after commas.
fn subject(certificate: &X509Certificate<'_>) -> String {
    let text = certificate.subject().to_string();
    let mut parts: Vec<&str> = text.split(", ").collect();
    parts.reverse();
    parts.join(",")
}

fn version_name(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "",
    }
}

fn cipher_name(suite: Option<CipherSuite>) -> &'static str {
    match suite {
        Some(CipherSuite::TLS13_AES_128_GCM_SHA256) => "TLS_AES_128_GCM_SHA256",
        Some(CipherSuite::TLS13_AES_256_GCM_SHA384) => "TLS_AES_256_GCM_SHA384",
        Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256) => "TLS_CHACHA20_POLY1305_SHA256",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256) => "ECDHE-ECDSA-AES128-GCM-SHA256",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384) => "ECDHE-ECDSA-AES256-GCM-SHA384",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256) => "ECDHE-ECDSA-CHACHA20-POLY1305",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) => "ECDHE-RSA-AES128-GCM-SHA256",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) => "ECDHE-RSA-AES256-GCM-SHA384",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256) => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "",
    }
}
