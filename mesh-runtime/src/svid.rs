//! A workload's certificate: what it is, where the one now in force is read, and how it is asked for and rotated.
//!
//! [`Svid`] is a whole: an identity, its chain, its key and the roots that came with it, checked to belong together when
//! made. [`Source`] is where everything else reads the current one; [`Client`] is what keeps it fresh. Keys are made here
//! and never leave the process, except by an explicit [`Svid::write_files`].

mod authority;
mod client;
mod clock;
mod files;
mod pem;
mod request;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_proto::id::SpiffeId;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio::sync::watch;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::tls::{self, Trust};

pub use authority::{Authority, GrpcAuthority, Present, Refusal, Server, Signing, Token};
pub use client::{Client, Config, Renewal, Rotation};
pub use clock::Clock;
pub use files::Written;
pub use pem::certificates as certificates_pem;
pub use request::Request;

/// Why a certificate could not be obtained or is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key or the signing request could not be made.
    #[error("cannot make a key and signing request: {0}")]
    Request(#[from] rcgen::Error),
    /// The authority refused, or could not be reached.
    #[error("the certificate authority refused: {0}")]
    Refused(#[from] Refusal),
    /// The chain has no certificate.
    #[error("the certificate chain is empty")]
    Empty,
    /// Istio's answer ends with the root; without one nobody could be verified.
    #[error("the authority's answer has {0} element(s); expected the leaf first and the root last")]
    NoRoot(usize),
    /// A certificate, key or root does not parse, or the certificate carries no SPIFFE id.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The certificate does not parse.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    /// The certificate is for somebody else.
    #[error("the certificate is for {found}, asked for {expected}")]
    WrongIdentity {
        /// Whose it is.
        found: SpiffeId,
        /// Whose it should be.
        expected: SpiffeId,
    },
    /// The key does not belong to the leaf, or is of no usable kind.
    #[error("the private key does not fit the certificate: {0}")]
    WrongKey(rustls::Error),
    /// The chain does not lead to the roots that came with it, or is not valid now.
    #[error("the certificate chain does not verify against its own roots: {0}")]
    Unverified(rustls::Error),
    /// Nobody keeps the certificate fresh any more.
    #[error("the task that renews the certificate has ended")]
    Gone,
}

/// A workload certificate with its key and the roots of its mesh. Immutable; a rotation makes a new one.
pub struct Svid {
    id: SpiffeId,
    certified: Arc<CertifiedKey>,
    key: PrivateKeyDer<'static>,
    trust: Arc<Trust>,
    not_before: SystemTime,
    not_after: SystemTime,
    serial: String,
}

impl Svid {
    /// Puts the parts together: leaf first in `chain`, without the root.
    ///
    /// # Errors
    /// If a part does not parse, the leaf has no SPIFFE id, or the key is not the leaf's. The chain is not verified
    /// ([`Svid::verify`]).
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>, trust: Arc<Trust>) -> Result<Self, Error> {
        let leaf = chain.first().ok_or(Error::Empty)?;
        let id = tls::peer_spiffe_id(leaf)?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| Error::Unreadable(error.to_string()))?;
        let not_before = system_time(parsed.validity().not_before.timestamp());
        let not_after = system_time(parsed.validity().not_after.timestamp());
        let serial = parsed.raw_serial().iter().skip_while(|byte| **byte == 0).map(|byte| format!("{byte:02x}")).collect();
        let certified = CertifiedKey::from_der(chain, key.clone_key(), &tls::provider()).map_err(Error::WrongKey)?;
        Ok(Self { id, certified: Arc::new(certified), key, trust, not_before, not_after, serial })
    }

    /// The same from PEM texts, as mounted files have them (`cert-chain.pem`, `key.pem`, `root-cert.pem`).
    ///
    /// # Errors
    /// As [`Svid::new`].
    pub fn from_pem(chain: &[u8], key: &[u8], roots: &[u8]) -> Result<Self, Error> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| tls::Error::Unreadable { what: "private key", reason: error.to_string() })?;
        Self::new(chain, key, Trust::from_pem(roots)?)
    }

    /// Verifies the chain against its own roots, as a peer would at `now`.
    ///
    /// # Errors
    /// [`Error::Unverified`].
    pub fn verify(&self, now: SystemTime) -> Result<(), Error> {
        let [leaf, intermediates @ ..] = self.chain() else { return Err(Error::Empty) };
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        self.trust.verify_server(leaf, intermediates, now).map_err(Error::Unverified)?;
        self.trust.verify_client(leaf, intermediates, now).map_err(Error::Unverified)
    }

    /// Whose it is.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The chain as presented: leaf first, no root.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// Chain and key as rustls takes them.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// The roots that came with it.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// The start of its validity, seconds' resolution; back-dated by the authority for clocks that are behind.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// The end of its validity, seconds' resolution.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// How long it is still valid; zero once expired.
    pub fn remaining(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }

    /// The serial number in lower-case hex, two digits a byte.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The chain as PEM, leaf first.
    pub fn chain_pem(&self) -> String {
        pem::certificates(self.chain())
    }

    /// The roots as PEM.
    pub fn roots_pem(&self) -> String {
        pem::certificates(self.trust.roots())
    }

    /// The private key as PEM. For an SDS answer or a file that somebody asked for; never for a log.
    pub fn key_pem(&self) -> String {
        pem::key(&self.key)
    }
}

impl fmt::Debug for Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Svid")
            .field("id", &self.id.as_str())
            .field("serial", &self.serial)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Where the certificate now in force is read. Cheap to clone; every clone has its own view of what is new.
#[derive(Clone, Debug)]
pub struct Source(watch::Receiver<Option<Arc<Svid>>>);

/// The other end of a [`Source`].
#[derive(Debug)]
pub struct Publisher(watch::Sender<Option<Arc<Svid>>>);

/// A source that is empty until the first [`Publisher::publish`].
pub fn channel() -> (Publisher, Source) {
    let (sender, receiver) = watch::channel(None);
    (Publisher(sender), Source(receiver))
}

impl Source {
    /// One certificate, for ever.
    pub fn fixed(svid: Svid) -> Self {
        Self(watch::channel(Some(Arc::new(svid))).1)
    }

    /// The certificate now in force; `None` before the first. May have expired: the last good one is kept.
    pub fn current(&self) -> Option<Arc<Svid>> {
        self.0.borrow().clone()
    }

    /// Waits for the first certificate; at once if there is one. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Gone`] if there will never be one.
    pub async fn ready(&mut self) -> Result<Arc<Svid>, Error> {
        let found = self.0.wait_for(Option::is_some).await.map_err(|_| Error::Gone)?;
        found.clone().ok_or(Error::Gone)
    }

    /// Waits for a certificate that this clone has not seen yet. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Gone`] if no other will come; the current one stays readable.
    pub async fn changed(&mut self) -> Result<Arc<Svid>, Error> {
        loop {
            self.0.changed().await.map_err(|_| Error::Gone)?;
            if let Some(svid) = self.0.borrow_and_update().clone() {
                return Ok(svid);
            }
        }
    }
}

impl Publisher {
    /// Puts a certificate in force. Connections already open keep the one they were made with.
    pub fn publish(&self, svid: Svid) -> Arc<Svid> {
        let svid = Arc::new(svid);
        self.0.send_replace(Some(svid.clone()));
        svid
    }

    /// Another reader.
    pub fn source(&self) -> Source {
        Source(self.0.subscribe())
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| tls::Error::Unreadable { what: "certificate", reason: tls::material::pem_problem(&error).to_owned() }.into())
}

fn system_time(seconds: i64) -> SystemTime {
    match u64::try_from(seconds) {
        Ok(after) => UNIX_EPOCH + Duration::from_secs(after),
        Err(_) => UNIX_EPOCH - Duration::from_secs(seconds.unsigned_abs()),
    }
}
