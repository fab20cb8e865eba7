//! The certificate a side presents, read anew at each handshake so that a rotation needs no new configuration.

use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::svid;

/// Where a handshake reads the certificate and key now in force. Cheap to clone; a rustls resolver for either side.
#[derive(Clone)]
pub enum Identity {
    /// This one, for ever.
    Fixed(Arc<CertifiedKey>),
    /// The workload's own, as it rotates. Before the first one: a client presents nothing, a server refuses.
    Live(svid::Source),
    /// Any other source (a secret discovered by xDS). Called at each handshake: no I/O, no lock.
    Dynamic(Arc<dyn Fn() -> Option<Arc<CertifiedKey>> + Send + Sync>),
}

impl Identity {
    /// The certificate and key now in force.
    pub fn current(&self) -> Option<Arc<CertifiedKey>> {
        match self {
            Self::Fixed(key) => Some(key.clone()),
            Self::Live(source) => source.current().map(|svid| svid.certified_key().clone()),
            Self::Dynamic(read) => read(),
        }
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current().filter(|key| key.key.choose_scheme(schemes).is_some())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fixed(_) => "Identity::Fixed",
            Self::Live(_) => "Identity::Live",
            Self::Dynamic(_) => "Identity::Dynamic",
        })
    }
}

impl From<svid::Source> for Identity {
    fn from(source: svid::Source) -> Self {
        Self::Live(source)
    }
}
