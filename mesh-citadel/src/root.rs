//! Where the signing key comes from: made and kept on disk for a local mesh, or mounted as Istio's `cacerts`.

mod local;
mod mounted;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use mesh_proto::id::TrustDomain;
use mesh_runtime::tls::material::pem_problem;
use rcgen::{KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::ca::Material;

/// The signing certificate.
pub const CERTIFICATE: &str = "ca-cert.pem";
/// Its private key.
pub const KEY: &str = "ca-key.pem";
/// The root certificates that peers trust.
pub const ROOTS: &str = "root-cert.pem";
/// The signing certificate and its issuers, when it is an intermediate.
pub const CHAIN: &str = "cert-chain.pem";

/// Where the signing key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder of this process' own: a self-signed root is made in it once, and kept.
    Local(PathBuf),
    /// A folder with the four files of Istio's Secret `cacerts`; nothing is ever written or self-signed.
    Mounted(PathBuf),
}

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system's.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong, and how to mend it.
        reason: String,
    },
    /// The root could not be made.
    #[error("cannot make a root certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// Loads the signing key, or makes a local one. Blocks; takes a lock file in a local folder.
///
/// # Errors
/// See [`Error`].
pub fn load(location: &Location, domain: &TrustDomain, now: SystemTime) -> Result<Material, Error> {
    match location {
        Location::Local(folder) => local::load_or_create(folder, domain, now),
        Location::Mounted(folder) => mounted::load(folder, now),
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_owned(), source }
}

fn unusable(path: &Path, reason: impl Into<String>) -> Error {
    Error::Unusable { path: path.to_owned(), reason: reason.into() }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = std::fs::read(path).map_err(io_error(path))?;
    CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(path, format!("not PEM certificates: {}", pem_problem(&error))))
}

fn read_key(path: &Path) -> Result<KeyPair, Error> {
    let text = std::fs::read_to_string(path).map_err(io_error(path))?;
    KeyPair::from_pem(&text).map_err(|_| unusable(path, "not an unencrypted PEM private key"))
}

/// What every signing certificate must be, wherever it comes from.
fn check_signer(path: &Path, der: &CertificateDer<'_>, key: &KeyPair, now: SystemTime) -> Result<(), Error> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| unusable(path, format!("not a certificate: {error}")))?;
    if certificate.public_key().raw != key.subject_public_key_info() {
        return Err(unusable(path, format!("its public key is not that of {KEY}: mount both from one Secret")));
    }
    if !certificate.is_ca() {
        return Err(unusable(path, "not a certificate authority (basic constraints CA:TRUE is missing)"));
    }
    let usage = certificate.key_usage().map_err(|error| unusable(path, error.to_string()))?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(unusable(path, "its key usage does not allow to sign certificates (keyCertSign)"));
    }
    let end = certificate.validity().not_after.to_datetime();
    if end <= OffsetDateTime::from(now) {
        return Err(unusable(path, format!("expired on {end}")));
    }
    Ok(())
}
