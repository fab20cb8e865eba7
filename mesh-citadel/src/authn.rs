//! Who is calling: proven by a service-account token or by the certificate the caller already holds.
//!
//! A token that is presented decides, good or bad: a bad one is never overlooked because the connection has a certificate.

pub mod jwks;
pub mod jwt;
pub mod local;
pub mod svid;

#[cfg(test)]
mod tests;

use std::time::SystemTime;

use mesh_proto::id::TrustDomain;
use mesh_runtime::grpc::Peer;
use tonic::metadata::MetadataMap;

use crate::ca::Caller;

pub use local::LocalIssuer;

/// Why a caller is nobody. Told to the caller, so it says what is wrong and never what would have been right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither token nor certificate.
    #[error("no credential: send `authorization: Bearer <token>`, or connect with a certificate of this mesh")]
    None,
    /// The `authorization` header is not one Bearer token.
    #[error("the authorization header is not one Bearer token")]
    Header,
    /// See [`jwt::Error`].
    #[error("token: {0}")]
    Jwt(#[from] jwt::Error),
    /// See [`svid::Error`].
    #[error("client certificate: {0}")]
    Svid(#[from] svid::Error),
}

/// Proves callers.
#[derive(Debug)]
pub struct Authenticator {
    domain: TrustDomain,
    tokens: Option<jwt::Verifier>,
}

impl Authenticator {
    /// Certifies callers of `domain`; tokens are refused without a verifier.
    pub fn new(domain: TrustDomain, tokens: Option<jwt::Verifier>) -> Self {
        Self { domain, tokens }
    }

    /// The caller of a request that arrived with these headers from this peer.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn authenticate(&self, headers: &MetadataMap, peer: Option<&Peer>, now: SystemTime) -> Result<Caller, Error> {
        let mut authorizations = headers.get_all("authorization").iter();
        match (authorizations.next(), authorizations.next()) {
            (None, _) => {
                let peer = peer.filter(|peer| !peer.certificates.is_empty()).ok_or(Error::None)?;
                Ok(svid::authenticate(peer, &self.domain, now)?)
            }
            (Some(header), None) => {
                let header = header.to_str().map_err(|_| Error::Header)?;
                let (scheme, token) = header.split_once(' ').ok_or(Error::Header)?;
                if !scheme.eq_ignore_ascii_case("bearer") {
                    return Err(Error::Header);
                }
                let verifier = self.tokens.as_ref().ok_or(jwt::Error::NotAccepted)?;
                Ok(verifier.verify(token.trim(), &self.domain, now)?)
            }
            (Some(_), Some(_)) => Err(Error::Header),
        }
    }
}
