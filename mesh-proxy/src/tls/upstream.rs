//! TLS begun here: towards endpoints.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, SignatureScheme,
    client::{ResolvesClientCert, Resumption},
    sign::CertifiedKey,
};
use rustls_pki_types::ServerName;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Error, PeerFacts, certificate, facts, provider, verify::Verifier, versions};
use crate::{info::PeerTls, snapshot::UpstreamTls, transport::Raw};

/// A cluster's TLS, ready for handshakes.
pub(crate) struct ClientContext {
    /// By [`Offer`].
    offers: [Arc<ClientConfig>; Offer::COUNT],
    /// The same without SNI, for clusters that have none.
    configured_without_sni: bool,
    local_uri: Option<Arc<str>>,
    verifies: bool,
    sni: Option<ServerName<'static>>,
}

/// Which protocols are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Offer {
    /// What the transport says, and nothing if it says nothing.
    Configured,
    /// What the transport says, else `h2` and `http/1.1` (`auto_config`).
    Auto,
    /// What the transport says, else `http/1.1`.
    Http1,
    /// What the transport says, else `h2`.
    Http2,
    /// Istio's mark for HTTP/1.1 over mesh mTLS (`istio.alpn`).
    IstioHttp1,
    /// Istio's mark for HTTP/2 over mesh mTLS (`istio.alpn`).
    IstioHttp2,
}

/// How to dial once.
pub(crate) struct Dial<'a> {
    /// Protocols.
    pub(crate) offer: Offer,
    /// In place of the configured SNI (`auto_host_sni`).
    pub(crate) server_name: Option<&'a str>,
}

impl Offer {
    const COUNT: usize = 6;

    fn protocols(self, configured: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let list = |names: &[&[u8]]| names.iter().map(|name| name.to_vec()).collect();
        match self {
            // The exchange behind this name is not implemented here, so it is never offered (DESIGN: wire compatibility).
            Self::Configured => configured.iter().filter(|name| &name[..] != b"istio-peer-exchange").cloned().collect(),
            Self::Auto if configured.is_empty() => list(&[b"h2", b"http/1.1"]),
            Self::Http1 if configured.is_empty() => list(&[b"http/1.1"]),
            Self::Http2 if configured.is_empty() => list(&[b"h2"]),
            Self::Auto | Self::Http1 | Self::Http2 => Self::Configured.protocols(configured),
            Self::IstioHttp1 => list(&[b"istio-http/1.1", b"istio", b"http/1.1"]),
            Self::IstioHttp2 => list(&[b"istio-h2", b"istio", b"h2"]),
        }
    }
}

/// Makes the handshake.
pub(crate) async fn dial(context: &ClientContext, how: Dial<'_>, socket: Raw) -> Result<(TlsStream<Raw>, PeerTls), Error> {
    let mut config = context.offers[how.offer as usize].clone();
    let name = match how.server_name {
        Some(name) => ServerName::try_from(name.to_owned()).map_err(|_| Error::ServerName(name.into()))?,
        None => match &context.sni {
            Some(name) => name.clone(),
            // rustls wants a name to remember sessions under; it is not sent.
            None => ServerName::try_from("sni.invalid").map_err(|_| Error::ServerName("sni.invalid".into()))?,
        },
    };
    if how.server_name.is_some() && context.configured_without_sni {
        let mut named = (*config).clone();
        named.enable_sni = true;
        config = Arc::new(named);
    }
    let stream = TlsConnector::from(config).connect(name, socket).await.map_err(|error| Error::Handshake(error.to_string().into()))?;
    let session = stream.get_ref().1;
    let facts = PeerFacts {
        chain: session.peer_certificates(),
        verified: context.verifies,
        local_uri: context.local_uri.clone(),
        version: session.protocol_version(),
        suite: session.negotiated_cipher_suite().map(|suite| suite.suite()),
        alpn: session.alpn_protocol(),
    }
    .read();
    Ok((stream, facts))
}

/// Makes the context from the secrets in force.
pub(super) fn build(tls: &Arc<UpstreamTls>) -> Result<ClientContext, Error> {
    let verifier = match &tls.validation {
        Some(validation) => Verifier::new(validation, false)?,
        None => Verifier::anyone(),
    };
    let verifies = verifier.has_roots();
    let key = tls.certificate.as_ref().map(certificate).transpose()?;
    let local_uri = key.as_ref().and_then(|key| key.cert.first()).and_then(|leaf| facts::first_uri(leaf));
    let sni = match &tls.sni {
        Some(name) => Some(ServerName::try_from(name.to_string()).map_err(|_| Error::ServerName(name.clone()))?),
        None => None,
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(tls.versions))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match key {
        Some(key) => builder.with_client_cert_resolver(Arc::new(Only(key))),
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = sni.is_some();
    config.resumption = match tls.max_session_keys {
        0 => Resumption::disabled(),
        keys => Resumption::in_memory_sessions(keys as usize),
    };
    let with = |offer: Offer| {
        let mut config = config.clone();
        config.alpn_protocols = offer.protocols(&tls.alpn);
        Arc::new(config)
    };
    let offers = [
        with(Offer::Configured),
        with(Offer::Auto),
        with(Offer::Http1),
        with(Offer::Http2),
        with(Offer::IstioHttp1),
        with(Offer::IstioHttp2),
    ];
    Ok(ClientContext { offers, configured_without_sni: sni.is_none(), local_uri, verifies, sni })
}

/// The one client certificate.
struct Only(Arc<CertifiedKey>);

impl ResolvesClientCert for Only {
    fn resolve(&self, _hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.key.choose_scheme(schemes).map(|_| self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Only(..)")
    }
}
