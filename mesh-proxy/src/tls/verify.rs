//! Verification of a peer as `CertificateValidationContext` has it: chain to the roots, then names, then pinned hashes.
//! Everything that is configured must hold; host names are compared only if a matcher asks for it (Envoy's rule).

use std::sync::Arc;

use base64::Engine as _;
use mesh_runtime::tls::material::pem_problem;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{Error, provider};
use crate::{
    secret::{Roots, Secret},
    snapshot::{SanKind, SanMatcher, StringPattern, Validation},
};

/// A peer's verifier, for either side.
#[derive(Debug)]
pub(super) struct Verifier {
    servers: Option<Arc<WebPkiServerVerifier>>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    names: Vec<SanMatcher>,
    spki: Vec<Arc<str>>,
    hashes: Vec<Arc<str>>,
    mandatory: bool,
}

/// The peer's certificate is good, but is not one that is expected.
#[derive(Debug, thiserror::Error)]
enum Unexpected {
    #[error("verify SAN list: no subject alternative name matches")]
    Name,
    #[error("verify certificate hash: no pinned hash matches")]
    Hash,
    #[error("the certificate cannot be read")]
    Unreadable,
}

impl Verifier {
    /// The verifier for `validation` with the roots that are in force now. `mandatory`: a client must have a certificate.
    pub(super) fn new(validation: &Validation, mandatory: bool) -> Result<Self, Error> {
        let roots = validation.roots.as_ref().map(|secret| match secret.load().as_deref() {
            Some(Secret::Roots(roots)) => Ok(roots.clone()),
            Some(Secret::Certificate(_)) => Err(Error::Kind(secret.name().clone(), "a trust bundle")),
            None => Err(Error::Missing(secret.name().clone())),
        });
        let roots = roots.transpose()?;
        if roots.is_none() && !validation.names.is_empty() {
            return Err(Error::NamesWithoutRoots);
        }
        // Those of the settings, and those that came with the bundle.
        let lists = validation.crl.iter().chain(roots.as_ref().and_then(|roots| roots.crl.as_ref()));
        let crls: Vec<_> = lists.map(|lists| revocations(lists)).collect::<Result<Vec<_>, _>>()?.concat();
        let servers = roots.as_ref().map(|roots| server_verifier(roots, crls.clone())).transpose()?;
        let clients = roots.as_ref().map(|roots| client_verifier(roots, crls)).transpose()?;
        let Validation { names, spki, hashes, .. } = validation;
        Ok(Self { servers, clients, names: names.clone(), spki: spki.clone(), hashes: hashes.clone(), mandatory })
    }

    /// Believes any server: an upstream TLS context without a validation context, as in Envoy.
    pub(super) fn anyone() -> Self {
        Self { servers: None, clients: None, names: Vec::new(), spki: Vec::new(), hashes: Vec::new(), mandatory: false }
    }

    /// Whether the chain is verified at all.
    pub(super) fn has_roots(&self) -> bool {
        self.servers.is_some()
    }

    fn check(&self, leaf: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let refused = |why: Unexpected| rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))));
        if self.names.is_empty() && self.spki.is_empty() && self.hashes.is_empty() {
            return Ok(());
        }
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| refused(Unexpected::Unreadable))?;
        if !self.names.is_empty() && !names_match(&parsed, &self.names) {
            return Err(refused(Unexpected::Name));
        }
        if (!self.spki.is_empty() || !self.hashes.is_empty()) && !self.pinned(leaf, &parsed) {
            return Err(refused(Unexpected::Hash));
        }
        Ok(())
    }

    fn pinned(&self, leaf: &CertificateDer<'_>, parsed: &X509Certificate<'_>) -> bool {
        let spki = base64::engine::general_purpose::STANDARD.encode(sha256(parsed.tbs_certificate.subject_pki.raw));
        self.spki.iter().any(|want| **want == *spki) || {
            let hash = super::facts::hex(&sha256(leaf));
            self.hashes.iter().any(|want| **want == *hash)
        }
    }
}

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    out
}

fn names_match(certificate: &X509Certificate<'_>, names: &[SanMatcher]) -> bool {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return false };
    extension.value.general_names.iter().any(|name| match name {
        GeneralName::URI(uri) => one_matches(names, SanKind::Uri, uri),
        GeneralName::DNSName(dns) => {
            let dns = dns.to_ascii_lowercase();
            one_matches(names, SanKind::Dns, &dns) || names.iter().any(|matcher| wildcard_matches(matcher, &dns))
        }
        GeneralName::RFC822Name(email) => one_matches(names, SanKind::Email, email),
        GeneralName::IPAddress(octets) => address(octets).is_some_and(|ip| one_matches(names, SanKind::Ip, &ip.to_string())),
        _ => false,
    })
}

fn one_matches(names: &[SanMatcher], kind: SanKind, text: &str) -> bool {
    names.iter().any(|matcher| (matcher.kind == kind || matcher.kind == SanKind::Any) && matcher.value.matches(text))
}

/// `*.example.com` in the certificate vouches for the exact name `www.example.com` (one label, RFC 6125).
fn wildcard_matches(matcher: &SanMatcher, presented: &str) -> bool {
    if !matches!(matcher.kind, SanKind::Dns | SanKind::Any) {
        return false;
    }
    let (StringPattern::Exact(want), Some(suffix)) = (&matcher.value.pattern, presented.strip_prefix('*')) else {
        return false;
    };
    let want = want.to_ascii_lowercase();
    want.strip_suffix(suffix).is_some_and(|label| suffix.starts_with('.') && !label.is_empty() && !label.contains('.'))
}

fn address(octets: &[u8]) -> Option<std::net::IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(Into::into)
}

/// Revocation lists, from PEM; at least one.
pub(crate) fn revocations(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    match lists {
        Ok(lists) if !lists.is_empty() => Ok(lists),
        Ok(_) => Err(Error::Revocation("no X509 CRL block".to_owned())),
        Err(error) => Err(Error::Revocation(pem_problem(&error).to_owned())),
    }
}

fn server_verifier(roots: &Roots, crls: Vec<CertificateRevocationListDer<'static>>) -> Result<Arc<WebPkiServerVerifier>, Error> {
    WebPkiServerVerifier::builder_with_provider(roots.store.clone(), provider())
        .with_crls(crls)
        .build()
        .map_err(|error| Error::Roots(error.to_string()))
}

fn client_verifier(roots: &Roots, crls: Vec<CertificateRevocationListDer<'static>>) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    WebPkiClientVerifier::builder_with_provider(roots.store.clone(), provider())
        .with_crls(crls)
        .clear_root_hint_subjects()
        .build()
        .map_err(|error| Error::Roots(error.to_string()))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        dialled: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(servers) = &self.servers {
            // webpki compares the host name last, so these two errors mean that all else is good. Names are compared below.
            match servers.verify_server_cert(leaf, intermediates, dialled, ocsp, now) {
                Ok(_)
                | Err(rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => {}
                Err(error) => return Err(error),
            }
        }
        self.check(leaf)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// Empty: a workload has one certificate and needs no hint.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if let Some(clients) = &self.clients {
            clients.verify_client_cert(leaf, intermediates, now)?;
        }
        self.check(leaf)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}
