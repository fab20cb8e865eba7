//! The verifier both sides use: chain, time and usage by webpki, then names by SPIFFE id instead of host name.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{Error, Peers, Roots, Trust, provider};

/// Believes a peer whose chain the current roots vouch for and whose names are expected. For servers and clients.
#[derive(Debug)]
pub struct PeerVerifier {
    roots: Roots,
    peers: Peers,
    mandatory: bool,
}

impl PeerVerifier {
    /// Believes only `peers` vouched for by `roots`; on a server a client certificate is mandatory.
    pub fn new(roots: impl Into<Roots>, peers: Peers) -> Self {
        Self { roots: roots.into(), peers, mandatory: true }
    }

    /// On a server, lets in a client without certificate (as nobody). A certificate that is presented is still verified.
    #[must_use]
    pub fn allow_anonymous(mut self) -> Self {
        self.mandatory = false;
        self
    }

    fn trust(&self) -> Result<Arc<Trust>, rustls::Error> {
        self.roots.current().ok_or_else(|| rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn names(&self, leaf: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        self.peers.check(leaf).map_err(|error| match error {
            Error::Rustls(error) => error,
            error => rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error)))),
        })
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.trust()?.verify_server(leaf, intermediates, now)?;
        self.names(leaf)?;
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

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// Empty: a workload has one certificate and needs no hint; and the roots may change while this verifier lives.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.trust()?.verify_client(leaf, intermediates, now)?;
        self.names(leaf)?;
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
