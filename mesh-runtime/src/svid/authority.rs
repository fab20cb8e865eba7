//! Whoever signs: a Citadel (or istiod) over gRPC, or a CA in this process.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use mesh_proto::istio::auth::{IstioCertificateRequest, IstioCertificateServiceClient};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use super::Source;
use crate::connect::{Connector, Target, Tls};
use crate::tls::{self, Peers, Roots};

/// What is asked of an [`Authority`].
#[derive(Clone, Debug)]
pub struct Signing {
    /// The signing request, PEM.
    pub csr: String,
    /// How long the certificate should live; zero leaves it to the authority.
    pub ttl: Duration,
    /// Prove the caller by its current certificate instead of its token.
    pub by_certificate: bool,
}

/// A certificate authority.
pub trait Authority: Send + Sync + 'static {
    /// Signs, and answers PEM texts: the leaf first, the roots last.
    fn sign(&self, signing: Signing) -> BoxFuture<'_, Result<Vec<String>, Refusal>>;
}

/// Why an authority did not sign.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The caller's own credential could not be read.
    #[error("the token cannot be read: {0}")]
    Token(String),
    /// It does not believe the credential. Another one may do; the same one will not.
    #[error("the credential is not accepted: {0}")]
    Unauthenticated(String),
    /// Unreachable, busy, or refused for another reason.
    #[error("{0}")]
    Failed(String),
}

/// A service-account token, as Kubernetes projects it or a launcher hands it over.
#[derive(Clone)]
pub enum Token {
    /// Read anew at each use: its owner replaces it before it expires.
    File(PathBuf),
    /// This one.
    Held(Arc<str>),
    /// Any other source, e.g. a descriptor inherited from the launcher. May block briefly.
    Dynamic(Arc<dyn Fn() -> Result<String, Refusal> + Send + Sync>),
}

/// What a connection to an authority presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// Nothing: the token is the credential. An expired certificate would only spoil the handshake.
    Nothing,
    /// The certificate in force.
    Certificate,
}

/// Where a Citadel is, and how it is known.
#[derive(Clone, Debug)]
pub struct Server {
    /// Makes the connections.
    pub connector: Connector,
    /// Where.
    pub target: Target,
    /// Who vouches for it: usually [`Roots::LiveOr`] a mounted `root-cert.pem`.
    pub roots: Roots,
    /// Who it must be.
    pub peers: Peers,
}

/// Istio's `CreateCertificate` over gRPC.
pub struct GrpcAuthority {
    connect: Box<dyn Fn(Present) -> Channel + Send + Sync>,
    token: Option<Token>,
    timeout: Duration,
}

impl GrpcAuthority {
    /// How long one request may take, unless said otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// Asks over the channels that `connect` makes, lazily connected. Each request takes a new one, so that each presents
    /// the certificate then in force; a request is rare.
    pub fn new(connect: impl Fn(Present) -> Channel + Send + Sync + 'static, token: Option<Token>) -> Self {
        Self { connect: Box::new(connect), token, timeout: Self::TIMEOUT }
    }

    /// Asks a Citadel over TLS. `identity` is where the certificate for renewals is read: the channel this authority's own
    /// [`super::Client`] publishes to.
    ///
    /// # Errors
    /// Only if rustls refuses the configuration.
    pub fn over_tls(server: Server, identity: Source, token: Option<Token>) -> Result<Self, tls::Error> {
        let config = |identity| tls::client_config(identity, server.roots.clone(), server.peers.clone(), &[tls::ALPN_H2]);
        let (anonymous, proven) = (config(None)?, config(Some(identity.into()))?);
        let Server { connector, target, .. } = server;
        let connect = move |present| {
            let config = if present == Present::Certificate { &proven } else { &anonymous };
            connector.channel(&target, Some(Tls { config: config.clone(), server_name: None }))
        };
        Ok(Self::new(connect, token))
    }

    /// Another bound for one request.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn ask(&self, signing: Signing) -> Result<Vec<String>, Refusal> {
        let seconds = i64::try_from(signing.ttl.as_secs()).unwrap_or(i64::MAX);
        let message = IstioCertificateRequest { csr: signing.csr, validity_duration: seconds, metadata: None };
        let mut request = tonic::Request::new(message);
        if let Some(token) = self.token.as_ref().filter(|_| !signing.by_certificate) {
            request.metadata_mut().insert("authorization", bearer(&token.read().await?)?);
        }
        request.set_timeout(self.timeout);
        let present = if signing.by_certificate { Present::Certificate } else { Present::Nothing };
        let mut client = IstioCertificateServiceClient::new((self.connect)(present));
        let answer = tokio::time::timeout(self.timeout, client.create_certificate(request))
            .await
            .map_err(|_| Refusal::Failed(format!("no answer within {:?}", self.timeout)))?;
        match answer {
            Ok(answer) => Ok(answer.into_inner().cert_chain),
            Err(status) if status.code() == tonic::Code::Unauthenticated => Err(Refusal::Unauthenticated(status.message().to_owned())),
            Err(status) => Err(Refusal::Failed(describe(&status))),
        }
    }
}

impl Authority for GrpcAuthority {
    fn sign(&self, signing: Signing) -> BoxFuture<'_, Result<Vec<String>, Refusal>> {
        Box::pin(self.ask(signing))
    }
}

impl Token {
    async fn read(&self) -> Result<String, Refusal> {
        match self {
            Self::File(path) => tokio::fs::read_to_string(path)
                .await
                .map(|text| text.trim().to_owned())
                .map_err(|error| Refusal::Token(format!("{}: {error}", path.display()))),
            Self::Held(token) => Ok(token.trim().to_owned()),
            Self::Dynamic(read) => read().map(|text| text.trim().to_owned()),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "Token::File({})", path.display()),
            Self::Held(_) => f.write_str("Token::Held"),
            Self::Dynamic(_) => f.write_str("Token::Dynamic"),
        }
    }
}

fn bearer(token: &str) -> Result<MetadataValue<Ascii>, Refusal> {
    let mut value: MetadataValue<Ascii> =
        format!("Bearer {token}").parse().map_err(|_| Refusal::Token("it has characters that a header cannot carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The code, the message, and what lies beneath (a refused connection, a failed handshake).
fn describe(status: &tonic::Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
