//! How a component gets its identity: from Citadel, with a token first, rotating for as long as it runs.

use std::{path::PathBuf, time::Duration};

use mesh_proto::id::SpiffeId;

use crate::{
    backoff::{Backoff, Jitter, Policy},
    connect::{Connector, Target},
    svid::{self, Client, GrpcAuthority, Renewal, Source, Token},
    task::Tasks,
    tls::{self, Peers, Roots, Trust},
};

/// Who to become, and who can say so.
#[derive(Clone)]
pub struct Enrollment {
    /// The SPIFFE id to get a certificate for.
    pub id: SpiffeId,
    /// Citadel (or istiod).
    pub citadel: Target,
    /// Whom to believe there.
    pub peers: Peers,
    /// Trust bundle, PEM, for the first contact; later ones use the roots that came with the certificate.
    pub roots: PathBuf,
    /// The token that proves who is asking.
    pub token: Token,
    /// How to prove it at a renewal.
    pub renewal: Renewal,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The trust bundle cannot be read.
    #[error("the trust bundle {path}: {reason}")]
    Roots {
        /// Its place.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// TLS refused its parts.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// No certificate in time.
    #[error("no certificate for {id} within {patience:?}; the last try: {last}")]
    Refused {
        /// Whose.
        id: SpiffeId,
        /// How long it was tried.
        patience: Duration,
        /// Why the last try failed.
        last: svid::Error,
    },
}

impl Enrollment {
    /// Gets the first certificate, trying for at most `patience`, and keeps renewing it on `tasks`.
    ///
    /// # Errors
    /// When there is none in time. Nothing runs then.
    pub async fn start(self, connector: &Connector, tasks: &Tasks, patience: Duration) -> Result<Source, Error> {
        let (client, source) = self.client(connector)?;
        let mut backoff = Backoff::new(Policy { initial: Duration::from_millis(100), max: Duration::from_secs(2), jitter: Jitter::Full });
        let until = tokio::time::Instant::now() + patience;
        while let Err(last) = client.request().await {
            let wait = backoff.next_delay();
            if tokio::time::Instant::now() + wait > until {
                return Err(Error::Refused { id: self.id, patience, last });
            }
            tracing::info!(id = %self.id, error = %last, ?wait, "no certificate yet, trying again");
            tokio::time::sleep(wait).await;
        }
        tasks.spawn("certificate", client.run());
        Ok(source)
    }

    fn client(&self, connector: &Connector) -> Result<(Client, Source), Error> {
        let unreadable = |reason: String| Error::Roots { path: self.roots.clone(), reason };
        let pem = std::fs::read(&self.roots).map_err(|error| unreadable(error.to_string()))?;
        let bootstrap = Trust::from_pem(&pem).map_err(|error| unreadable(error.to_string()))?;
        let (publisher, source) = svid::channel();
        let server = svid::Server {
            connector: connector.clone(),
            target: self.citadel.clone(),
            roots: Roots::LiveOr(source.clone(), bootstrap),
            peers: self.peers.clone(),
        };
        let authority = GrpcAuthority::over_tls(server, source.clone(), Some(self.token.clone()))?;
        let config = svid::Config { renewal: self.renewal, ..svid::Config::new(self.id.clone()) };
        Ok((Client::new(config, authority, publisher), source))
    }
}
