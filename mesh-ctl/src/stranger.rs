//! A TLS client that trusts anybody and has no certificate: what a stranger on the network sees of a workload.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

const DEADLINE: Duration = Duration::from_secs(5);

/// What a stranger saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// The server's certificate, DER.
    pub certificate: Option<Vec<u8>>,
    /// What came back after the request.
    pub answer: Option<String>,
    /// How it was refused.
    pub refused: Option<String>,
}

/// Connects, shakes hands, sends `request`, reads the answer.
pub async fn call(address: SocketAddr, request: &str) -> Seen {
    visit(address, &[], request).await
}

/// Looks at the certificate only, with the hello of a mesh client: so the sidecar itself answers even where it lets others through to the app.
pub async fn look(address: SocketAddr) -> Seen {
    visit(address, &[b"istio"], "").await
}

async fn visit(address: SocketAddr, alpn: &[&[u8]], request: &str) -> Seen {
    let mut seen = Seen::default();
    match timeout(DEADLINE, try_call(address, alpn, request, &mut seen)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => seen.refused = Some(error.to_string()),
        Err(_) => seen.refused = Some(format!("nothing for {DEADLINE:?}")),
    }
    seen
}

async fn try_call(address: SocketAddr, alpn: &[&[u8]], request: &str, seen: &mut Seen) -> std::io::Result<()> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("stranger.invalid").map_err(std::io::Error::other)?;
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    seen.certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.to_vec());
    if request.is_empty() {
        return Ok(());
    }
    tls.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let read = (&mut tls).take(4096).read_to_end(&mut answer).await;
    if answer.is_empty() {
        read?;
    } else {
        seen.answer = Some(String::from_utf8_lossy(&answer).into_owned());
    }
    Ok(())
}

/// Verifies signatures, trusts every chain. Only for looking.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
