//! TLS ended here. The chain was chosen from the ClientHello before; ALPN is then the first of ours that the client
//! offered, or none: rustls would refuse a client with which we share none, Envoy does not.

use std::{fmt, sync::Arc};

use rustls::{
    ServerConfig,
    client::verify_server_name,
    server::{Accepted, ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::ServerName;
use tokio_rustls::{StartHandshake, server::TlsStream};

use super::{Error, PeerFacts, certificate, facts, provider, verify::Verifier, versions};
use crate::{info::PeerTls, snapshot::DownstreamTls, transport::Raw};

/// A filter chain's TLS, ready for handshakes: one configuration per protocol we may agree on.
pub(crate) struct ServerContext {
    alpn: Vec<(Vec<u8>, Arc<ServerConfig>)>,
    no_alpn: Arc<ServerConfig>,
    local_uri: Option<Arc<str>>,
    verifies: bool,
}

/// Finishes a handshake whose ClientHello was read.
pub(crate) async fn serve(context: &ServerContext, accepted: Accepted, socket: Raw) -> Result<(TlsStream<Raw>, PeerTls), Error> {
    let config = context.choose(&accepted.client_hello());
    let stream = StartHandshake::from_parts(accepted, socket)
        .into_stream(config)
        .await
        .map_err(|error| Error::Handshake(error.to_string().into()))?;
    let session = stream.get_ref().1;
    let facts = PeerFacts {
        chain: session.peer_certificates(),
        verified: context.verifies && session.peer_certificates().is_some(),
        local_uri: context.local_uri.clone(),
        version: session.protocol_version(),
        suite: session.negotiated_cipher_suite().map(|suite| suite.suite()),
        alpn: session.alpn_protocol(),
    }
    .read();
    Ok((stream, facts))
}

/// Makes the context from the secrets in force.
pub(super) fn build(tls: &Arc<DownstreamTls>) -> Result<ServerContext, Error> {
    let mut keys = Vec::with_capacity(tls.certificates.len());
    let mut missing = None;
    for secret in &tls.certificates {
        match certificate(secret) {
            Ok(key) => keys.push(key),
            Err(error) => missing = Some(error),
        }
    }
    let Some(first) = keys.first() else {
        return Err(missing.unwrap_or_else(|| Error::Missing("(no certificate configured)".into())));
    };
    let local_uri = first.cert.first().and_then(|leaf| facts::first_uri(leaf));
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions(tls.versions))?;
    let mut verifies = false;
    let mut config = match &tls.validation {
        None if tls.require_client_certificate => return Err(Error::NamesWithoutRoots),
        None => builder.with_no_client_auth(),
        Some(validation) => {
            let verifier = Verifier::new(validation, tls.require_client_certificate)?;
            verifies = verifier.has_roots();
            builder.with_client_cert_verifier(Arc::new(verifier))
        }
    }
    .with_cert_resolver(Arc::new(BySni(keys)));
    if tls.resumption {
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    let alpn = tls.alpn.iter().map(|name| {
        let mut config = config.clone();
        config.alpn_protocols = vec![name.clone()];
        (name.clone(), Arc::new(config))
    });
    Ok(ServerContext { alpn: alpn.collect(), no_alpn: Arc::new(config), local_uri, verifies })
}

impl ServerContext {
    fn choose(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let offered: Vec<&[u8]> = hello.alpn().map(Iterator::collect).unwrap_or_default();
        let agreed = self.alpn.iter().find(|(name, _)| offered.contains(&&name[..]));
        agreed.map_or_else(|| self.no_alpn.clone(), |(_, config)| config.clone())
    }
}

/// The first certificate whose names fit the SNI, else the first.
struct BySni(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let [only] = &self.0[..] {
            return Some(only.clone());
        }
        let wanted = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let fits = |key: &&Arc<CertifiedKey>| {
            let parsed = key.cert.first().and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
            wanted.as_ref().zip(parsed).is_some_and(|(name, parsed)| verify_server_name(&parsed, name).is_ok())
        };
        self.0.iter().find(fits).or(self.0.first()).cloned()
    }
}

impl fmt::Debug for BySni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BySni({} certificates)", self.0.len())
    }
}
