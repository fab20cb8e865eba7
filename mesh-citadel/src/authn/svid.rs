//! A caller proven by the certificate it already holds: the way to renew without a token.

use std::time::SystemTime;

use mesh_proto::id::{SpiffeId, TrustDomain};
use mesh_runtime::grpc::Peer;
use time::OffsetDateTime;

use crate::ca::Caller;

/// Why a client certificate proves nobody. Its chain was verified in the handshake.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No SPIFFE id in it.
    #[error("it carries no SPIFFE id")]
    NoIdentity,
    /// Another mesh's.
    #[error("{0} is of another trust domain")]
    Foreign(SpiffeId),
    /// Not a workload's: the path is not `/ns/NAMESPACE/sa/ACCOUNT`.
    #[error("{0} does not name a namespace and a service account")]
    NotAWorkload(SpiffeId),
    /// It was valid when the connection was made and is not any more.
    #[error("it is not valid now: connect anew")]
    NotValidNow,
}

/// The caller at the other end of a connection whose certificate was verified against the mesh's roots.
///
/// # Errors
/// See [`Error`].
pub fn authenticate(peer: &Peer, domain: &TrustDomain, now: SystemTime) -> Result<Caller, Error> {
    let id = peer.identity.as_ref().ok_or(Error::NoIdentity)?;
    if id.trust_domain() != domain {
        return Err(Error::Foreign(id.clone()));
    }
    if id.namespace().is_none() {
        return Err(Error::NotAWorkload(id.clone()));
    }
    // The handshake looked at the clock once; a connection that stays open must not renew for ever.
    let leaf = peer.certificates.first().ok_or(Error::NoIdentity)?;
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).map_err(|_| Error::NoIdentity)?;
    let (from, to) = (leaf.validity().not_before.to_datetime(), leaf.validity().not_after.to_datetime());
    let now = OffsetDateTime::from(now);
    if now < from || now >= to {
        return Err(Error::NotValidNow);
    }
    Ok(Caller::new(id.clone()))
}
