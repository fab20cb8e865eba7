//! Roots of trust: parsed once, shared, and read anew at each handshake.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{Error, provider};
use crate::svid;

/// A non-empty set of root certificates, ready to verify with. Immutable; a new root is a new `Trust`.
pub struct Trust {
    roots: Vec<CertificateDer<'static>>,
    store: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl Trust {
    /// Parses roots given as DER certificates.
    ///
    /// # Errors
    /// [`Error::NoRoots`] for an empty list; [`Error::Unreadable`] if any one does not parse (none is skipped).
    pub fn from_der(roots: Vec<CertificateDer<'static>>) -> Result<Arc<Self>, Error> {
        if roots.is_empty() {
            return Err(Error::NoRoots);
        }
        let mut store = RootCertStore::empty();
        for root in &roots {
            store.add(root.clone()).map_err(|error| unreadable(&error))?;
        }
        let store = Arc::new(store);
        let clients = WebPkiClientVerifier::builder_with_provider(store.clone(), provider())
            .clear_root_hint_subjects()
            .build()
            .map_err(|error| unreadable(&error))?;
        Ok(Arc::new(Self { roots, store, clients }))
    }

    /// Parses every `CERTIFICATE` block of a PEM text (`root-cert.pem`).
    ///
    /// # Errors
    /// As [`Trust::from_der`].
    pub fn from_pem(pem: &[u8]) -> Result<Arc<Self>, Error> {
        let roots = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unreadable(&super::material::pem_problem(&error)))?;
        Self::from_der(roots)
    }

    /// The roots as they were given.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// Verifies that `leaf` may prove a TLS server: chain to a root, validity at `now`, key usage.
    ///
    /// # Errors
    /// rustls' reason.
    pub fn verify_server(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let leaf = ParsedCertificate::try_from(leaf)?;
        let algorithms = provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &self.store, intermediates, now, algorithms)
    }

    /// Verifies that `leaf` may prove a TLS client: chain to a root, validity at `now`, key usage.
    ///
    /// # Errors
    /// rustls' reason.
    pub fn verify_client(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        self.clients.verify_client_cert(leaf, intermediates, now).map(drop)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("roots", &self.roots.len()).finish_non_exhaustive()
    }
}

/// Where a verifier reads the roots now in force. Cheap to clone.
#[derive(Clone)]
pub enum Roots {
    /// These, for ever: a mounted file, a static bootstrap.
    Fixed(Arc<Trust>),
    /// Those that came with the workload's own certificate. Before the first certificate: none, so nobody is believed.
    Live(svid::Source),
    /// [`Roots::Live`] once there is a certificate, the given ones until then: how a workload first speaks to its CA.
    LiveOr(svid::Source, Arc<Trust>),
    /// Any other source (a secret discovered by xDS). `None` believes nobody. Called at each handshake: no I/O, no lock.
    Dynamic(Arc<dyn Fn() -> Option<Arc<Trust>> + Send + Sync>),
}

impl Roots {
    /// The roots now in force.
    pub fn current(&self) -> Option<Arc<Trust>> {
        match self {
            Self::Fixed(trust) => Some(trust.clone()),
            Self::Live(source) => source.current().map(|svid| svid.trust().clone()),
            Self::LiveOr(source, trust) => Some(source.current().map_or_else(|| trust.clone(), |svid| svid.trust().clone())),
            Self::Dynamic(read) => read(),
        }
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Fixed(_) => "Fixed",
            Self::Live(_) => "Live",
            Self::LiveOr(..) => "LiveOr",
            Self::Dynamic(_) => "Dynamic",
        };
        f.debug_tuple(name).field(&self.current()).finish()
    }
}

impl From<Arc<Trust>> for Roots {
    fn from(trust: Arc<Trust>) -> Self {
        Self::Fixed(trust)
    }
}

impl From<svid::Source> for Roots {
    fn from(source: svid::Source) -> Self {
        Self::Live(source)
    }
}

fn unreadable(reason: &dyn fmt::Display) -> Error {
    Error::Unreadable { what: "root certificate", reason: reason.to_string() }
}
