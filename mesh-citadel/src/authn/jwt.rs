//! Service-account tokens, as Kubernetes projects them and [`super::local`] signs them (RFC 7519, RFC 8725).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use mesh_proto::id::{Namespace, ServiceAccount, SpiffeId, TrustDomain};
use tokio::sync::watch;

use super::jwks::KeySet;
use crate::ca::Caller;

/// The audience of Istio's tokens for its CA.
pub const AUDIENCE: &str = "istio-ca";
/// A longer token is not looked at; Kubernetes' have about 1 KiB.
pub const MAX_BYTES: usize = 16 * 1024;
/// Verifying costs a signature check per key tried; a token without `kid` tries no more than this.
const MAX_TRIES: usize = 8;

/// Why a token proves nobody.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No key set is configured.
    #[error("tokens are not accepted here")]
    NotAccepted,
    /// See [`MAX_BYTES`].
    #[error("it has {0} bytes, at most {MAX_BYTES} are read")]
    TooLarge(usize),
    /// Not a JWT, or one that needs something we do not do.
    #[error("it is not a signed JWT: {0}")]
    Malformed(&'static str),
    /// `none`, a symmetric algorithm, or an asymmetric one that is not accepted.
    #[error("its algorithm is not accepted; ES256, RS256 and EdDSA are")]
    Algorithm,
    /// No key for it, or the signature is not that key's.
    #[error("its signature is not by a known key")]
    Signature,
    /// The lifetime is over.
    #[error("it has expired")]
    Expired,
    /// The lifetime has not begun.
    #[error("it is not valid yet")]
    NotYet,
    /// For somebody else.
    #[error("its audience is not {AUDIENCE}")]
    Audience,
    /// By somebody else.
    #[error("its issuer is not accepted")]
    Issuer,
    /// Not `system:serviceaccount:NAMESPACE:NAME`.
    #[error("its subject is not system:serviceaccount:NAMESPACE:NAME")]
    Subject,
}

/// What is asked of a token besides its signature.
#[derive(Clone, Debug)]
pub struct Rules {
    /// One of its audiences must be one of these.
    pub audiences: Vec<String>,
    /// Its issuer must be one of these; empty asks for none.
    pub issuers: Vec<String>,
    /// How far clocks may disagree.
    pub leeway: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self { audiences: vec![AUDIENCE.to_owned()], issuers: Vec::new(), leeway: Duration::from_secs(60) }
    }
}

/// Verifies tokens with the keys now in force.
#[derive(Clone, Debug)]
pub struct Verifier {
    keys: watch::Receiver<Arc<KeySet>>,
    rules: Rules,
}

#[derive(serde::Deserialize)]
struct Claims {
    #[serde(default)]
    iss: Option<String>,
    sub: String,
    aud: Audiences,
    /// NumericDate: seconds, may have a fraction (RFC 7519 §2).
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

impl Verifier {
    /// Verifies with `keys`, as they change, under `rules`.
    pub fn new(keys: watch::Receiver<Arc<KeySet>>, rules: Rules) -> Self {
        Self { keys, rules }
    }

    /// The service account that a token proves at `now`, as an identity of `domain`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn verify(&self, token: &str, domain: &TrustDomain, now: SystemTime) -> Result<Caller, Error> {
        let claims = self.signed_claims(token)?;
        self.check_times(&claims, now)?;
        let audiences = match &claims.aud {
            Audiences::One(one) => std::slice::from_ref(one),
            Audiences::Many(many) => many,
        };
        if !audiences.iter().any(|audience| self.rules.audiences.contains(audience)) {
            return Err(Error::Audience);
        }
        let accepted = |issuer: &String| self.rules.issuers.contains(issuer);
        if !self.rules.issuers.is_empty() && !claims.iss.as_ref().is_some_and(accepted) {
            return Err(Error::Issuer);
        }
        identity(&claims.sub, domain).map(Caller::new).ok_or(Error::Subject)
    }

    fn signed_claims(&self, token: &str) -> Result<Claims, Error> {
        if token.len() > MAX_BYTES {
            return Err(Error::TooLarge(token.len()));
        }
        if token.split('.').count() != 3 {
            return Err(Error::Malformed("expected three parts with dots between"));
        }
        // An algorithm that the library does not know, `none` among them, fails to parse.
        let header = decode_header(token).map_err(|_| Error::Algorithm)?;
        if !matches!(header.alg, Algorithm::ES256 | Algorithm::RS256 | Algorithm::EdDSA) {
            return Err(Error::Algorithm);
        }
        if header.crit.is_some() || header.zip.is_some() || header.enc.is_some() {
            return Err(Error::Malformed("it names an extension that is not understood"));
        }
        // Times and audiences are checked against the caller's clock and rules, not the library's.
        let mut signature_only = Validation::new(header.alg);
        signature_only.required_spec_claims.clear();
        signature_only.validate_exp = false;
        signature_only.validate_nbf = false;
        signature_only.validate_aud = false;
        let keys = self.keys.borrow().clone();
        let mut signed = false;
        for key in keys.candidates(header.alg, header.kid.as_deref()).take(MAX_TRIES) {
            match decode::<Claims>(token, &key.key, &signature_only) {
                Ok(data) => return Ok(data.claims),
                // Only read after the signature was found good.
                Err(error) => signed |= matches!(error.kind(), jsonwebtoken::errors::ErrorKind::Json(_)),
            }
        }
        Err(if signed { Error::Malformed("sub, aud and exp are needed") } else { Error::Signature })
    }

    fn check_times(&self, claims: &Claims, now: SystemTime) -> Result<(), Error> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let leeway = self.rules.leeway.as_secs_f64();
        // Written so that a NaN refuses.
        if !(claims.exp.is_finite() && now < claims.exp + leeway) {
            return Err(Error::Expired);
        }
        match claims.nbf {
            Some(nbf) if !(nbf.is_finite() && now >= nbf - leeway) => Err(Error::NotYet),
            _ => Ok(()),
        }
    }
}

fn identity(subject: &str, domain: &TrustDomain) -> Option<SpiffeId> {
    let (namespace, account) = subject.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let namespace: Namespace = namespace.parse().ok()?;
    let account: ServiceAccount = account.parse().ok()?;
    Some(SpiffeId::new(domain, &namespace, &account))
}
