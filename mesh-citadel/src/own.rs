//! Citadel's own certificate: signed by itself, in this process, and rotated like everybody else's.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use mesh_runtime::svid::{Authority, Clock, Refusal, Signing};

use crate::ca::{Ca, Caller};
use crate::csr::Csr;

/// An authority that needs no connection and no credential: whoever holds it is Citadel.
pub(crate) struct InProcess {
    pub(crate) ca: Arc<Ca>,
    pub(crate) caller: Caller,
    pub(crate) clock: Clock,
}

impl InProcess {
    fn answer(&self, csr: &str, ttl: Duration) -> Result<Vec<String>, Refusal> {
        let csr = Csr::from_pem(csr).map_err(|error| Refusal::Failed(error.to_string()))?;
        let chain = self.ca.sign(&csr, &self.caller, ttl, self.clock.now());
        chain.map(|chain| chain.to_pem()).map_err(|error| Refusal::Failed(error.to_string()))
    }
}

impl Authority for InProcess {
    fn sign(&self, signing: Signing) -> BoxFuture<'_, Result<Vec<String>, Refusal>> {
        Box::pin(std::future::ready(self.answer(&signing.csr, signing.ttl)))
    }
}
