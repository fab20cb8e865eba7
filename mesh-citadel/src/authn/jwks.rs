//! The keys that tokens are verified with: a JWK Set (RFC 7517) in a file, read again when the file changes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::watch;

/// A larger file is refused: a key set of a cluster has two or three keys.
const MAX_BYTES: u64 = 256 * 1024;
const MAX_KEYS: usize = 64;
/// How often the file is looked at: kubelet swaps mounted files at its own leisure, a watch would miss some of it.
const EVERY: Duration = Duration::from_secs(1);

/// Why a key set cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a JWK Set.
    #[error("not a JWK Set (RFC 7517 §5, an object with `keys`): {0}")]
    Json(#[from] serde_json::Error),
    /// See the bounds.
    #[error("the key set has {0} keys, at most {MAX_KEYS} are accepted")]
    TooMany(usize),
}

/// A key that verifies exactly one algorithm. That it is fixed here, not by the token, is what makes the confusion of
/// algorithms impossible.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The usable keys of a JWK Set: for ES256, RS256 and EdDSA. Others are passed over, as the RFC has it.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a JWK Set.
    ///
    /// # Errors
    /// If it is none, or too large.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        #[derive(serde::Deserialize)]
        struct Wire {
            keys: Vec<serde_json::Value>,
        }
        let wire: Wire = serde_json::from_slice(json)?;
        if wire.keys.len() > MAX_KEYS {
            return Err(Error::TooMany(wire.keys.len()));
        }
        let found = wire.keys.len();
        let keys: Vec<Key> = wire.keys.into_iter().filter_map(usable).collect();
        if keys.len() < found {
            tracing::warn!(found, usable = keys.len(), "some keys of the JWK Set are not for ES256, RS256 or EdDSA signatures");
        }
        Ok(Self { keys })
    }

    /// The keys a token with this header may have been signed with.
    pub(super) fn candidates<'a>(&'a self, algorithm: Algorithm, id: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().filter(move |key| key.algorithm == algorithm && (id.is_none() || key.id.is_none() || key.id.as_deref() == id))
    }

    /// How many keys are usable.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no token can ever match.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// A key set that follows a file.
pub struct KeyFile {
    path: PathBuf,
    seen: Option<Stamp>,
    current: watch::Sender<Arc<KeySet>>,
}

impl KeyFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open(path: PathBuf) -> Result<Self, Error> {
        let seen = Stamp::of(&path).await.ok();
        let keys = read(&path).await?;
        if keys.is_empty() {
            tracing::warn!(path = %path.display(), "the JWK Set has no usable key: every token will be refused");
        }
        Ok(Self { path, seen, current: watch::Sender::new(Arc::new(keys)) })
    }

    /// The keys now in force.
    pub fn keys(&self) -> watch::Receiver<Arc<KeySet>> {
        self.current.subscribe()
    }

    /// Follows the file for ever: a changed file is read, a broken one reported and the last good keys kept.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            let stamp = Stamp::of(&self.path).await.ok();
            if stamp == self.seen {
                continue;
            }
            self.seen = stamp;
            match read(&self.path).await {
                Ok(keys) => {
                    tracing::info!(path = %self.path.display(), keys = keys.len(), "token keys reloaded");
                    self.current.send_replace(Arc::new(keys));
                }
                Err(error) => tracing::warn!(%error, "cannot reload the token keys, keeping the last good ones"),
            }
        }
    }
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    async fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = tokio::fs::metadata(path).await?;
        Ok(Self { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() })
    }
}

async fn read(path: &Path) -> Result<KeySet, Error> {
    use tokio::io::AsyncReadExt as _;
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut text = Vec::new();
    let length = file.take(MAX_BYTES + 1).read_to_end(&mut text).await.map_err(failed)?;
    if length as u64 > MAX_BYTES {
        return Err(failed(io::Error::other(format!("larger than {MAX_BYTES} bytes"))));
    }
    KeySet::parse(&text)
}

fn usable(json: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(json).ok()?;
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let declared = match algorithm {
        Algorithm::ES256 => KeyAlgorithm::ES256,
        Algorithm::RS256 => KeyAlgorithm::RS256,
        _ => KeyAlgorithm::EdDSA,
    };
    if jwk.common.key_algorithm.is_some_and(|name| name != declared) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some(Key { id: jwk.common.key_id, algorithm, key })
}
