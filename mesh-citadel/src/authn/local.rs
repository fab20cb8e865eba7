//! Tokens of a local mesh: its launcher plays the part of Kubernetes' token issuer, so that Citadel verifies them by the
//! same code as in a cluster. The key lives as long as the launcher; only its public half is written anywhere.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mesh_proto::id::{InvalidId, Namespace, ServiceAccount};
use rand::Rng as _;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

use super::jwt::AUDIENCE;

/// Why a local token could not be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key could not be made.
    #[error("cannot make a token key: {0}")]
    Key(#[from] rcgen::Error),
    /// The namespace or the service account is no such name.
    #[error(transparent)]
    Name(#[from] InvalidId),
    /// The token could not be signed, or the key not be written down.
    #[error("cannot sign a token: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// The key set could not be written as JSON.
    #[error("cannot write the key set: {0}")]
    Json(#[from] serde_json::Error),
}

/// Signs short ES256 tokens for the workloads of one mesh.
pub struct LocalIssuer {
    key: EncodingKey,
    kid: Option<String>,
    jwks: String,
    issuer: String,
    lifetime: Duration,
}

impl LocalIssuer {
    /// A fresh key. `issuer` names the mesh in its tokens (`iss`), which are good for `lifetime`: enough to start a workload
    /// and to ask for its certificate.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn new(issuer: impl Into<String>, lifetime: Duration) -> Result<Self, Error> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let key = EncodingKey::from_ec_der(pair.serialized_der());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        let kid = Some(jwk.thumbprint(ThumbprintHash::SHA256)?);
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_id.clone_from(&kid);
        let jwks = serde_json::to_string_pretty(&JwkSet { keys: vec![jwk] })?;
        Ok(Self { key, kid, jwks, issuer: issuer.into(), lifetime })
    }

    /// The name of the mesh in its tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A token that proves a service account to Citadel, and to nobody else, from now on.
    ///
    /// # Errors
    /// If a name is none, or signing fails.
    pub fn token(&self, namespace: &str, service_account: &str) -> Result<String, Error> {
        self.token_at(&namespace.parse()?, &service_account.parse()?, SystemTime::now(), self.lifetime)
    }

    /// The same, for another time.
    ///
    /// # Errors
    /// If signing fails.
    pub fn token_at(&self, namespace: &Namespace, account: &ServiceAccount, now: SystemTime, lifetime: Duration) -> Result<String, Error> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut unique = [0; 16];
        rand::rng().fill_bytes(&mut unique);
        let claims = serde_json::json!({
            "iss": self.issuer,
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
            "aud": [AUDIENCE],
            "iat": now,
            "nbf": now,
            "exp": now.saturating_add(lifetime.as_secs()),
            "jti": unique.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        });
        let mut header = Header::new(Algorithm::ES256);
        header.kid.clone_from(&self.kid);
        Ok(encode(&header, &claims, &self.key)?)
    }

    /// The public half as a JWK Set: what Citadel's `--jwks` file holds.
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// Writes the JWK Set where Citadel reads it, in one step.
    ///
    /// # Errors
    /// The file system's.
    pub fn write_jwks(&self, path: &Path) -> io::Result<()> {
        let fresh = path.with_extension("new");
        let mut file = File::create(&fresh)?;
        file.write_all(self.jwks.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    }
}

impl fmt::Debug for LocalIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalIssuer").field("issuer", &self.issuer).field("kid", &self.kid).finish_non_exhaustive()
    }
}
