//! CreateCertificate on Pilot's address: Istio's agents expect discovery and certificates on one.
//!
//! Only the caller's own token goes on, over a connection that presents no certificate of ours: Citadel must never take Pilot for the caller. A caller that
//! wants to prove itself by its certificate has to go to Citadel.

use mesh_proto::istio::auth::{IstioCertificateRequest, IstioCertificateResponse, IstioCertificateService, IstioCertificateServiceClient};
use tonic::{Request, Response, Status, metadata::MetadataMap, transport::Channel};

/// What of a caller's metadata Citadel gets to see: the credential, and the cluster it is from.
const PASSED: [&str; 2] = ["authorization", "clusterid"];

/// Passes requests on to Citadel.
#[derive(Clone)]
pub(crate) struct Relay {
    client: IstioCertificateServiceClient<Channel>,
}

impl Relay {
    /// `channel` must present no certificate.
    pub(crate) fn new(channel: Channel) -> Self {
        Self { client: IstioCertificateServiceClient::new(channel) }
    }
}

#[tonic::async_trait]
impl IstioCertificateService for Relay {
    async fn create_certificate(&self, request: Request<IstioCertificateRequest>) -> Result<Response<IstioCertificateResponse>, Status> {
        let mut passed = MetadataMap::new();
        for key in PASSED {
            if let Some(value) = request.metadata().get(key) {
                passed.insert(key, value.clone());
            }
        }
        if !passed.contains_key("authorization") {
            return Err(Status::unauthenticated("a bearer token is needed here; to renew by certificate, ask Citadel itself"));
        }
        let mut onward = Request::new(request.into_inner());
        *onward.metadata_mut() = passed;
        self.client.clone().create_certificate(onward).await
    }
}
