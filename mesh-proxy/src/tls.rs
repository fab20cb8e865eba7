//! TLS as filter chains and clusters ask for it: rustls configurations made from live secrets.
//!
//! A configuration is built once for the secrets in force and shared by all workers, so that a session that one worker
//! began another can resume. It is built anew when a secret's version moves; open connections keep theirs. A secret that
//! is missing is an error, never a weaker handshake.

mod downstream;
mod facts;
mod upstream;
mod verify;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use rustls::{SupportedProtocolVersion, crypto::CryptoProvider, sign::CertifiedKey, version};

pub(crate) use self::{
    downstream::{ServerContext, serve},
    facts::{PeerFacts, hex},
    upstream::{ClientContext, Dial, Offer, dial},
    verify::revocations,
};
use crate::{
    secret::{Secret, SecretRef},
    snapshot::{DownstreamTls, TlsVersions, UpstreamTls},
};

/// Why a TLS context cannot be made or a handshake failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    /// The secret is not there (yet): nothing can be proven without it.
    #[error("the secret {0} is not available: wait for SDS or mend its source")]
    Missing(Arc<str>),
    /// The secret is there but is of the other kind.
    #[error("the secret {0} is not {1}")]
    Kind(Arc<str>, &'static str),
    /// The server name to send is no DNS name or address.
    #[error("the server name {0:?} cannot be sent as SNI")]
    ServerName(Arc<str>),
    /// A revocation list cannot be read.
    #[error("the certificate revocation list cannot be read: {0}")]
    Revocation(String),
    /// Names to verify without roots to verify them by.
    #[error("names are to be verified but no trust bundle is given")]
    NamesWithoutRoots,
    /// rustls refused the parts.
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
    /// The roots are unusable.
    #[error("the trust bundle is unusable: {0}")]
    Roots(String),
    /// The handshake failed on the wire.
    #[error("{0}")]
    Handshake(Arc<str>),
}

/// All contexts in force. One per process; locked once per new context, not per handshake (workers keep what they used).
#[derive(Default)]
pub(crate) struct Contexts {
    servers: Mutex<HashMap<usize, Slot<DownstreamTls, ServerContext>>>,
    clients: Mutex<HashMap<usize, Slot<UpstreamTls, ClientContext>>>,
}

/// A context with the settings it was made of. Only their memory is kept, so that their address stays theirs: they live
/// as long as a snapshot or a connection holds them, however many workers know them.
struct Slot<S, C> {
    settings: Weak<S>,
    versions: u64,
    context: Arc<C>,
}

impl<S, C> Clone for Slot<S, C> {
    fn clone(&self) -> Self {
        Self { settings: self.settings.clone(), versions: self.versions, context: self.context.clone() }
    }
}

/// One worker's view of [`Contexts`].
pub(crate) struct LocalContexts {
    shared: Arc<Contexts>,
    servers: std::cell::RefCell<HashMap<usize, Slot<DownstreamTls, ServerContext>>>,
    clients: std::cell::RefCell<HashMap<usize, Slot<UpstreamTls, ClientContext>>>,
}

impl LocalContexts {
    /// An empty view.
    pub(crate) fn new(shared: Arc<Contexts>) -> Self {
        Self { shared, servers: Default::default(), clients: Default::default() }
    }

    /// The context of a filter chain.
    pub(crate) fn server(&self, tls: &Arc<DownstreamTls>) -> Result<Arc<ServerContext>, Error> {
        find(&self.servers, &self.shared.servers, tls, server_versions(tls), downstream::build)
    }

    /// The context of a cluster's transport.
    pub(crate) fn client(&self, tls: &Arc<UpstreamTls>) -> Result<Arc<ClientContext>, Error> {
        find(&self.clients, &self.shared.clients, tls, client_versions(tls), upstream::build)
    }

    /// Forgets contexts whose settings nobody holds any more.
    pub(crate) fn sweep(&self) {
        self.servers.borrow_mut().retain(|_, slot| slot.is_wanted());
        self.clients.borrow_mut().retain(|_, slot| slot.is_wanted());
        lock(&self.shared.servers).retain(|_, slot| slot.is_wanted());
        lock(&self.shared.clients).retain(|_, slot| slot.is_wanted());
    }
}

impl<S, C> Slot<S, C> {
    fn is_wanted(&self) -> bool {
        self.settings.strong_count() > 0
    }
}

fn find<S, C>(
    local: &std::cell::RefCell<HashMap<usize, Slot<S, C>>>,
    shared: &Mutex<HashMap<usize, Slot<S, C>>>,
    settings: &Arc<S>,
    versions: u64,
    build: impl FnOnce(&Arc<S>) -> Result<C, Error>,
) -> Result<Arc<C>, Error> {
    let key = Arc::as_ptr(settings) as usize;
    if let Some(slot) = local.borrow().get(&key).filter(|slot| slot.versions == versions) {
        return Ok(slot.context.clone());
    }
    let mut table = lock(shared);
    let slot = match table.get(&key).filter(|slot| slot.versions == versions) {
        Some(slot) => slot.clone(),
        None => {
            let slot = Slot { settings: Arc::downgrade(settings), versions, context: Arc::new(build(settings)?) };
            table.insert(key, slot.clone());
            slot
        }
    };
    local.borrow_mut().insert(key, slot.clone());
    Ok(slot.context)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Versions only rise, so their sum changes with any of them.
fn server_versions(tls: &DownstreamTls) -> u64 {
    let roots = tls.validation.iter().filter_map(|validation| validation.roots.as_ref());
    tls.certificates.iter().chain(roots).map(SecretRef::version).sum()
}

fn client_versions(tls: &UpstreamTls) -> u64 {
    let roots = tls.validation.iter().filter_map(|validation| validation.roots.as_ref());
    tls.certificate.iter().chain(roots).map(SecretRef::version).sum()
}

/// The one crypto provider: aws-lc-rs.
fn provider() -> Arc<CryptoProvider> {
    mesh_runtime::tls::provider()
}

fn versions(allowed: TlsVersions) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    match allowed {
        TlsVersions::Tls12And13 => &BOTH,
        TlsVersions::Tls12 => &BOTH[1..],
        TlsVersions::Tls13 => &BOTH[..1],
    }
}

fn certificate(secret: &SecretRef) -> Result<Arc<CertifiedKey>, Error> {
    match secret.load().as_deref() {
        Some(Secret::Certificate(key)) => Ok(key.clone()),
        Some(Secret::Roots(_)) => Err(Error::Kind(secret.name().clone(), "a certificate with its key")),
        None => Err(Error::Missing(secret.name().clone())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn contexts_go_with_their_settings_however_many_workers_used_them() {
        mesh_runtime::tls::install_provider();
        let settings = || UpstreamTls {
            certificate: None,
            validation: None,
            sni: None,
            auto_host_sni: false,
            alpn: Vec::new(),
            versions: TlsVersions::Tls12And13,
            max_session_keys: 1,
            name: "t".into(),
        };
        let shared = Arc::new(Contexts::default());
        let workers = [0; 3].map(|_| LocalContexts::new(shared.clone()));
        let (gone, stays) = (Arc::new(settings()), Arc::new(settings()));
        let contexts = [&gone, &stays].map(|tls| workers.each_ref().map(|worker| worker.client(tls).unwrap()));
        assert!(contexts.iter().all(|of| Arc::ptr_eq(&of[0], &of[1]) && Arc::ptr_eq(&of[0], &of[2])), "built once for all");
        let [released, _] = contexts.map(|[first, ..]| Arc::downgrade(&first));
        for worker in &workers {
            worker.sweep();
        }
        assert_eq!(lock(&shared.clients).len(), 2, "settings that somebody holds keep their context");
        drop(gone);
        for worker in &workers {
            worker.sweep();
            assert_eq!(worker.clients.borrow().len(), 1);
        }
        assert_eq!((lock(&shared.clients).len(), released.strong_count()), (1, 0));
    }
}
