//! Istio's `CreateCertificate`, one request at a time: count, authenticate, bound, read, sign, answer.

use std::sync::Arc;
use std::time::Duration;

use mesh_proto::istio::auth::{IstioCertificateRequest, IstioCertificateResponse, IstioCertificateService};
use mesh_runtime::grpc::Peer;
use mesh_runtime::svid::Clock;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::authn::Authenticator;
use crate::ca::{Ca, Caller, Chain, SignError};
use crate::csr::Csr;
use crate::limit::Throttle;
use crate::metrics::Metrics;

/// Metadata keys of Istio whose meaning we do not implement, and that must not be passed over: the first asks for another
/// identity than the caller's, the second for another authority.
const UNSUPPORTED: [&str; 2] = ["ImpersonatedIdentity", "CertSigner"];

/// The gRPC service.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) ca: Arc<Ca>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}

#[tonic::async_trait]
impl IstioCertificateService for Service {
    async fn create_certificate(&self, request: Request<IstioCertificateRequest>) -> Result<Response<IstioCertificateResponse>, Status> {
        self.metrics.csr.increment();
        let caller = self.authenticate(&request)?;
        // After the authentication: nobodies cannot use up what the mesh needs to renew.
        self.throttle.take(caller.id(), Instant::now()).map_err(|wait| {
            self.metrics.overload.increment();
            Status::resource_exhausted(format!("too many requests at once, try again in {wait:?}"))
        })?;
        let message = request.into_inner();
        refuse_unsupported(&message).inspect_err(|_| self.metrics.csr_parsing_error.increment())?;
        let chain = self.sign(&message, &caller).map_err(|error| self.status(&error, &caller))?;
        self.metrics.success.increment();
        tracing::info!(id = %caller.id(), serial = chain.serial, not_after = ?chain.not_after, "certificate signed");
        Ok(Response::new(IstioCertificateResponse { cert_chain: chain.to_pem() }))
    }
}

impl Service {
    fn authenticate(&self, request: &Request<IstioCertificateRequest>) -> Result<Caller, Status> {
        let peer = Peer::of(request);
        self.authenticator.authenticate(request.metadata(), peer, self.clock.now()).map_err(|error| {
            self.metrics.authentication_failure.increment();
            let from = peer.map(|peer| peer.remote.to_string());
            tracing::warn!(from, %error, "caller not authenticated");
            Status::unauthenticated(format!("request authenticate failure: {error}"))
        })
    }

    fn sign(&self, message: &IstioCertificateRequest, caller: &Caller) -> Result<Chain, SignError> {
        let csr = Csr::from_pem(&message.csr)?;
        // Zero and below ask for the default, as in Istio.
        let ttl = Duration::from_secs(u64::try_from(message.validity_duration).unwrap_or(0));
        self.ca.sign(&csr, caller, ttl, self.clock.now())
    }

    fn status(&self, error: &SignError, caller: &Caller) -> Status {
        let id = caller.id();
        if error.is_callers_fault() {
            self.metrics.csr_parsing_error.increment();
            tracing::warn!(%id, %error, "request refused");
            return Status::invalid_argument(format!("CSR signing error: {error}"));
        }
        self.metrics.csr_sign_error.increment();
        tracing::error!(%id, %error, "cannot sign");
        Status::internal("CSR signing error: the authority cannot sign now, see its log")
    }
}

fn refuse_unsupported(message: &IstioCertificateRequest) -> Result<(), Status> {
    let fields = message.metadata.iter().flat_map(|metadata| metadata.fields.keys());
    match fields.into_iter().find(|key| UNSUPPORTED.contains(&key.as_str())) {
        Some(key) => Err(Status::invalid_argument(format!("metadata.{key} is not supported: remove it"))),
        None => Ok(()),
    }
}
