//! Citadel as a server: everything that can fail is done by [`bind`]; [`Bound::run`] serves until the drain.
//!
//! One TLS port. A client certificate is asked for and not demanded: newcomers prove themselves by a token. The server's own
//! certificate is signed in this process, by the authority it serves.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use mesh_proto::istio::auth::IstioCertificateServiceServer;
use mesh_runtime::admin::{self, Pages, Reply};
use mesh_runtime::drain::DrainWatch;
use mesh_runtime::grpc;
use mesh_runtime::listen::{Address, BindError, Listener, Options};
use mesh_runtime::ready::Readiness;
use mesh_runtime::svid::{self, Clock, Source};
use mesh_runtime::task::{Failure, Tasks};
use mesh_runtime::tls::{self, ClientAuth, Peers};
use rustls_pki_types::CertificateDer;
use tonic::service::Routes;

use crate::authn::{Authenticator, jwks, jwt};
use crate::ca::{Ca, Caller};
use crate::config::Config;
use crate::limit::Throttle;
use crate::metrics::Metrics;
use crate::own::InProcess;
use crate::root;
use crate::service::Service;

/// Why Citadel does not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No signing key.
    #[error("signing key: {0}")]
    Root(#[from] root::Error),
    /// The signing certificate cannot be used.
    #[error("signing certificate: {0}")]
    Ca(#[from] rcgen::Error),
    /// No token keys.
    #[error("token keys (--jwks): {0}")]
    Jwks(#[from] jwks::Error),
    /// What the authority signs would not be believed.
    #[error("cannot sign a certificate for Citadel itself: {0}")]
    Own(#[from] svid::Error),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The server failed.
    #[error("serving failed: {0}")]
    Serve(#[from] tonic::transport::Error),
    /// A task failed.
    #[error(transparent)]
    Task(#[from] Failure),
}

/// A Citadel that listens and does not serve yet.
pub struct Bound {
    listener: Listener,
    monitoring: Option<Listener>,
    tls: Arc<rustls::ServerConfig>,
    routes: Routes,
    service: Service,
    streams: u32,
    own: svid::Client,
    source: Source,
    keys: Option<jwks::KeyFile>,
}

/// Loads or makes the signing key, reads the token keys, signs Citadel's own certificate, and binds.
///
/// # Errors
/// Whatever of that fails.
pub async fn bind(config: Config) -> Result<Bound, Error> {
    let listener = Listener::bind(&Address::Tcp(config.listen), Options::default())?;
    let monitoring = match config.monitoring {
        Some(address) => Some(Listener::bind(&Address::Tcp(address), Options::default())?),
        None => None,
    };
    let domain = config.id.trust_domain().clone();
    let clock = config.clock.clone();
    let (root, own_domain, now) = (config.root, domain.clone(), clock.now());
    let material = tokio::task::spawn_blocking(move || root::load(&root, &own_domain, now))
        .await
        .map_err(|error| root::Error::Io { path: "signing key".into(), source: io::Error::other(error) })??;
    let ttl = config.policy.default_ttl.min(config.policy.max_ttl);
    let ca = Arc::new(Ca::new(domain.clone(), material, config.policy)?);
    let metrics = Arc::new(Metrics::default());
    metrics.set_expiries(first_expiry(ca.roots()).unwrap_or(now), ca.issuer_not_after());

    let keys = match &config.tokens {
        Some(tokens) => Some(jwks::KeyFile::open(tokens.jwks.clone()).await?),
        None => None,
    };
    let verifier = keys.as_ref().zip(config.tokens).map(|(keys, tokens)| jwt::Verifier::new(keys.keys(), tokens.rules));

    let (publisher, source) = svid::channel();
    let caller = Caller::new(config.id.clone());
    let authority = InProcess { ca: ca.clone(), caller, clock: clock.clone() };
    let own = svid::Config { ttl, rotation: config.rotation, clock: clock.clone(), ..svid::Config::new(config.id) };
    let own = svid::Client::new(own, authority, publisher);
    own.request().await?;

    let service = Service {
        ca,
        authenticator: Arc::new(Authenticator::new(domain.clone(), verifier)),
        throttle: Arc::new(Throttle::new(config.limits.per_second, config.limits.burst, tokio::time::Instant::now())),
        metrics,
        clock,
    };
    let routes = Routes::new(IstioCertificateServiceServer::new(service.clone()).max_decoding_message_size(config.limits.request_bytes));
    let auth = ClientAuth::Optional(source.clone().into(), Peers::TrustDomain(domain));
    let tls = tls::server_config(source.clone().into(), auth, &[tls::ALPN_H2])?;
    Ok(Bound { listener, monitoring, tls, routes, service, streams: config.limits.streams, own, source, keys })
}

impl Bound {
    /// Where `CreateCertificate` is served.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.address().tcp()
    }

    /// Where `/metrics` and `/ready` are served.
    pub fn monitoring(&self) -> Option<SocketAddr> {
        self.monitoring.as_ref().and_then(|listener| listener.address().tcp())
    }

    /// Citadel's own certificate, as it rotates.
    pub fn source(&self) -> Source {
        self.source.clone()
    }

    /// The roots of the mesh as PEM: what a workload needs before its first certificate.
    pub fn roots_pem(&self) -> String {
        svid::certificates_pem(self.service.ca.roots())
    }

    /// What is counted.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.service.metrics.clone()
    }

    /// Serves until `drain`; requests in progress are answered.
    ///
    /// # Errors
    /// If a server or a task fails.
    pub async fn run(self, drain: DrainWatch) -> Result<(), Error> {
        let tasks = Tasks::new("citadel");
        tasks.spawn("own certificate", self.own.run());
        if let Some(keys) = self.keys {
            tasks.spawn("token keys", keys.run());
        }
        if let Some(listener) = self.monitoring {
            let pages = pages(self.service.metrics.clone(), self.service.clock.clone());
            tasks.spawn("monitoring", admin::serve(listener, pages, drain.clone()));
        }
        tracing::info!(address = %self.listener.address(), domain = %self.service.ca.trust_domain(), "citadel serves");
        let options = grpc::Options { tls: Some(self.tls), streams: self.streams, ..grpc::Options::default() };
        let served = tokio::select! {
            served = grpc::serve(self.listener, self.routes, options, drain) => served.map_err(Error::from),
            failure = tasks.failure() => Err(failure.into()),
        };
        // Dropped here, `tasks` aborts what is left: renewing and looking at files, nothing that could be cut in the middle.
        served
    }
}

fn pages(metrics: Arc<Metrics>, clock: Clock) -> Pages {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    let scrape = move |_| std::future::ready(Reply::text(metrics.render(clock.now())).content_type(TEXT));
    // Serving means ready: the keys are loaded, the own certificate is signed.
    Pages::new().readiness(Readiness::new()).get("/metrics", scrape)
}

fn first_expiry(roots: &[CertificateDer<'_>]) -> Option<SystemTime> {
    let expiries = roots.iter().filter_map(|root| {
        let (_, root) = x509_parser::parse_x509_certificate(root).ok()?;
        Some(root.validity().not_after.to_datetime().into())
    });
    expiries.min()
}
