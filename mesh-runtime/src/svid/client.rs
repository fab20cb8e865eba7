//! Keeps a [`Source`](super::Source) fresh: asks, publishes, waits for a jittered fraction of the lifetime, asks again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_proto::id::SpiffeId;
use rand::RngExt as _;

use super::{Authority, Clock, Error, Publisher, Refusal, Request, Signing, Svid};
use crate::backoff::{Backoff, Jitter, Policy};

/// When a certificate is replaced, as a part of the lifetime it had when it arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotation {
    /// The middle; istio-agent's `SECRET_GRACE_PERIOD_RATIO`, 0.5.
    pub fraction: f64,
    /// How far from the middle either way, so that a fleet does not ask at once; istio-agent's, 0.01.
    pub jitter: f64,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { fraction: 0.5, jitter: 0.01 }
    }
}

impl Rotation {
    /// The wait for a lifetime: drawn uniformly, and never beyond nine tenths, so that a retry is left.
    pub fn delay(self, lifetime: Duration, rng: &mut impl rand::Rng) -> Duration {
        let jitter = self.jitter.abs().min(0.5);
        let part = self.fraction + rng.random_range(-jitter..=jitter);
        lifetime.mul_f64(part.clamp(0.0, 0.9))
    }
}

/// How the caller proves itself when it already has a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Renewal {
    /// By its token, as istio-agent does.
    #[default]
    Token,
    /// By the certificate in force; by the token when that is refused or expired.
    Certificate,
}

/// What to ask for, and when.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose certificate. An answer for anybody else is refused.
    pub id: SpiffeId,
    /// The lifetime to ask for; zero leaves it to the authority (Istio's default is 24 h).
    pub ttl: Duration,
    /// When to renew.
    pub rotation: Rotation,
    /// How to prove oneself at a renewal.
    pub renewal: Renewal,
    /// The wait after a failure.
    pub backoff: Policy,
    /// What time it is.
    pub clock: Clock,
}

impl Config {
    /// istio-agent's defaults for `id`, and the authority's lifetime.
    pub fn new(id: SpiffeId) -> Self {
        Self {
            id,
            ttl: Duration::ZERO,
            rotation: Rotation::default(),
            renewal: Renewal::default(),
            backoff: Policy { initial: Duration::from_millis(200), max: Duration::from_secs(30), jitter: Jitter::Decorrelated },
            clock: Clock::system(),
        }
    }
}

/// Obtains and renews one workload's certificate.
pub struct Client {
    config: Config,
    authority: Arc<dyn Authority>,
    publisher: Publisher,
}

impl Client {
    /// Asks `authority` and publishes to `publisher`. Make the channel first ([`super::channel`]): the authority's own
    /// connection presents what its source holds.
    pub fn new(config: Config, authority: impl Authority, publisher: Publisher) -> Self {
        Self { config, authority: Arc::new(authority), publisher }
    }

    /// Obtains and publishes one certificate now. For a first one whose failure must end the start.
    ///
    /// # Errors
    /// Why there is none; the one in force stays.
    pub async fn request(&self) -> Result<Arc<Svid>, Error> {
        let by_certificate = self.config.renewal == Renewal::Certificate && self.holds_valid();
        let svid = match self.obtain(by_certificate).await {
            Err(Error::Refused(Refusal::Unauthenticated(reason))) if by_certificate => {
                tracing::info!(id = %self.config.id, reason, "renewal by certificate was refused, trying the token");
                self.obtain(false).await?
            }
            other => other?,
        };
        Ok(self.publisher.publish(svid))
    }

    /// Obtains a certificate if none is in force, then renews for ever, keeping the last good one over failures. Ends only
    /// by being dropped: run it as an owned task, or in a `select!` with the drain.
    pub async fn run(self) {
        let mut backoff = Backoff::new(self.config.backoff);
        // What was left of the certificate in force when it arrived. Not its whole validity: that is back-dated.
        let mut lifetime = Duration::ZERO;
        let mut next = self.publisher.source().current().map(|svid| {
            lifetime = svid.remaining(self.config.clock.now());
            self.rotation_time(lifetime)
        });
        loop {
            if let Some(time) = next {
                self.config.clock.sleep_until(time).await;
            }
            match self.request().await {
                Ok(svid) => {
                    backoff.reset();
                    lifetime = svid.remaining(self.config.clock.now());
                    tracing::info!(id = %svid.id(), serial = svid.serial(), ?lifetime, "workload certificate in force");
                    next = Some(self.rotation_time(lifetime));
                }
                Err(error) => {
                    let delay = self.retry_delay(backoff.next_delay(), lifetime);
                    self.report(&error, delay, lifetime);
                    next = Some(self.config.clock.now() + delay);
                }
            }
        }
    }

    async fn obtain(&self, by_certificate: bool) -> Result<Svid, Error> {
        let request = Request::new(&self.config.id)?;
        let signing = Signing { csr: request.csr_pem().to_owned(), ttl: self.config.ttl, by_certificate };
        let answer = self.authority.sign(signing).await?;
        request.accept(&answer, self.config.clock.now())
    }

    fn holds_valid(&self) -> bool {
        let current = self.publisher.source().current();
        current.is_some_and(|svid| !svid.remaining(self.config.clock.now()).is_zero())
    }

    fn rotation_time(&self, lifetime: Duration) -> SystemTime {
        let delay = self.config.rotation.delay(lifetime, &mut rand::rng());
        // Certificates that are nearly over when they arrive must not become a busy loop.
        self.config.clock.now() + delay.max(self.config.backoff.initial)
    }

    /// A wait after a failure, short enough that a short-lived certificate sees several attempts before its end.
    fn retry_delay(&self, delay: Duration, lifetime: Duration) -> Duration {
        if lifetime.is_zero() { delay } else { delay.min((lifetime / 20).max(self.config.backoff.initial)) }
    }

    /// The nearer the end, the louder.
    fn report(&self, error: &Error, delay: Duration, lifetime: Duration) {
        let id = &self.config.id;
        let now = self.config.clock.now();
        let Some(svid) = self.publisher.source().current() else {
            tracing::warn!(%id, %error, ?delay, "no workload certificate yet, trying again");
            return;
        };
        let left = svid.remaining(now);
        if left.is_zero() {
            tracing::error!(%id, %error, ?delay, "the workload certificate has expired and cannot be renewed: peers refuse it");
        } else if left < lifetime / 4 {
            tracing::warn!(%id, %error, ?delay, ?left, "the workload certificate expires soon and cannot be renewed");
        } else {
            tracing::warn!(%id, %error, ?delay, ?left, "the workload certificate cannot be renewed now, keeping the current one");
        }
    }
}
