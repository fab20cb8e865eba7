//! TLS as a client that believes every server, because what the proxy presents is what we want to see.

use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::differential::{certificates::Certificates, observe::Session, scenario::ClientTls};

/// Shakes hands; `None` if the proxy refuses.
pub(super) async fn connect(
    stream: TcpStream,
    tls: &ClientTls,
    certificates: &Certificates,
) -> Result<Option<(TlsStream<TcpStream>, Session)>> {
    let provider = CryptoProvider::get_default().context("no TLS provider is installed")?.clone();
    let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Credulous(provider)));
    let mut config = match &tls.certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let leaf = certificates.leaf(name)?;
            builder.with_client_auth_cert(vec![leaf.certificate.clone()], leaf.key.clone_key())?
        }
    };
    config.alpn_protocols = tls.alpn.iter().map(|name| name.clone().into_bytes()).collect();
    config.enable_sni = tls.sni.is_some();
    let name = ServerName::try_from(tls.sni.clone().unwrap_or_else(|| "unnamed.example".to_owned()))?;
    let Ok(stream) = TlsConnector::from(Arc::new(config)).connect(name, stream).await else { return Ok(None) };
    let session = stream.get_ref().1;
    let certificate = session.peer_certificates().and_then(<[_]>::first).map_or_else(String::new, |shown| certificates.name_of(shown));
    let version = session.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default();
    let alpn = session.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned()).unwrap_or_default();
    Ok(Some((stream, Session { certificate, version, alpn })))
}

#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
