//! Live secrets: certificates and trust bundles by name, swapped when they rotate.
//!
//! A [`SecretRef`] is held by TLS settings in the snapshot; what it points to changes under it, without a new snapshot
//! and without touching a connection. Keys never print.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwapOption;
use rustls::{RootCertStore, sign::CertifiedKey};
use rustls_pki_types::CertificateDer;

/// A named place where a secret is or will be.
#[derive(Clone)]
pub struct SecretRef(Arc<Cell>);

struct Cell {
    name: Arc<str>,
    value: ArcSwapOption<Secret>,
    version: AtomicU64,
}

/// A secret.
pub enum Secret {
    /// A certificate chain with its key.
    Certificate(Arc<CertifiedKey>),
    /// A trust bundle.
    Roots(Roots),
}

/// A trust bundle, ready for verification.
#[derive(Clone)]
pub struct Roots {
    /// For chain verification.
    pub store: Arc<RootCertStore>,
    /// As given, for `/certs` and SDS.
    pub certificates: Arc<[CertificateDer<'static>]>,
    /// The revocation lists that came with it, PEM.
    pub crl: Option<Arc<[u8]>>,
}

impl SecretRef {
    /// An empty place of that name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(Arc::new(Cell { name: name.into(), value: ArcSwapOption::empty(), version: AtomicU64::new(0) }))
    }

    /// The SDS name, or a made one for inline and file secrets.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// What is there now.
    pub fn load(&self) -> Option<Arc<Secret>> {
        self.0.value.load_full()
    }

    /// Rises with each [`SecretRef::store`]: a cached rustls configuration compares it.
    pub fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// How many hold this place, the caller included.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Puts a new value in force.
    pub fn store(&self, secret: Secret) {
        self.0.value.store(Some(Arc::new(secret)));
        self.0.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes the value away: TLS that needs it fails closed.
    pub fn clear(&self) {
        self.0.value.store(None);
        self.0.version.fetch_add(1, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretRef({}, version {})", self.0.name, self.version())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Certificate(key) => write!(f, "Certificate({} in chain)", key.cert.len()),
            Self::Roots(roots) => write!(f, "Roots({})", roots.certificates.len()),
        }
    }
}
