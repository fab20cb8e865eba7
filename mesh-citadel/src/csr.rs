//! A signing request, reduced to the only thing that is believed of it: a public key whose holder signed the request.
//!
//! Subject, alternative names and every requested extension are ignored: an identity comes from the caller's credential
//! (Istio behaves so in `CreateCertificate`).

use rcgen::SubjectPublicKeyInfo;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

/// A request larger than this is not looked at: one with an RSA-4096 key has about 2 KiB.
pub const MAX_BYTES: usize = 16 * 1024;

/// RSA keys below are weak (NIST SP 800-131A), above they cost every peer dearly in each handshake.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// Signature algorithms a request may be signed with: no SHA-1, though the parser would verify it.
const SIGNATURES: [&str; 7] = [
    "1.2.840.113549.1.1.11", // sha256WithRSAEncryption
    "1.2.840.113549.1.1.12", // sha384WithRSAEncryption
    "1.2.840.113549.1.1.13", // sha512WithRSAEncryption
    "1.2.840.113549.1.1.10", // RSASSA-PSS
    "1.2.840.10045.4.3.2",   // ecdsa-with-SHA256
    "1.2.840.10045.4.3.3",   // ecdsa-with-SHA384
    "1.3.101.112",           // Ed25519
];

/// Why a request is not signed: always the caller's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// See [`MAX_BYTES`].
    #[error("the request has {0} bytes, at most {MAX_BYTES} are read")]
    TooLarge(usize),
    /// Not PEM, or not PKCS#10 within.
    #[error("the request is not one PEM block CERTIFICATE REQUEST with PKCS#10 in it: {0}")]
    Unreadable(String),
    /// The signature algorithm is weak or unknown.
    #[error("the request is signed with {0}, which is not accepted; use ECDSA P-256 with SHA-256 or RSA with SHA-256")]
    Signature(String),
    /// Whoever sent it does not hold the key.
    #[error("the signature of the request does not fit its public key")]
    Forged,
    /// The key's kind or size is not accepted.
    #[error("the public key is {0}; accepted are ECDSA P-256 or P-384, Ed25519 and RSA of 2048 to 4096 bits")]
    Key(String),
}

/// A verified signing request.
#[derive(Clone, Debug)]
pub struct Csr {
    key: SubjectPublicKeyInfo,
    rsa: bool,
}

impl Csr {
    /// Reads and verifies a PEM request.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        if pem.len() > MAX_BYTES {
            return Err(Error::TooLarge(pem.len()));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|error| Error::Unreadable(error.to_string()))?;
        Self::from_der(&der)
    }

    fn from_der(der: &[u8]) -> Result<Self, Error> {
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|error| Error::Unreadable(error.to_string()))?;
        if !rest.is_empty() {
            return Err(Error::Unreadable("bytes follow the request".to_owned()));
        }
        let algorithm = request.signature_algorithm.algorithm.to_id_string();
        if !SIGNATURES.contains(&algorithm.as_str()) {
            return Err(Error::Signature(algorithm));
        }
        let spki = &request.certification_request_info.subject_pki;
        let rsa = match spki.parsed().map_err(|error| Error::Key(error.to_string()))? {
            PublicKey::RSA(key) if !RSA_BITS.contains(&key.key_size()) => {
                return Err(Error::Key(format!("RSA of {} bits", key.key_size())));
            }
            PublicKey::RSA(_) => true,
            PublicKey::EC(point) if !matches!(point.key_size(), 256 | 384) => {
                return Err(Error::Key(format!("an elliptic curve point of {} bits", point.key_size())));
            }
            _ => false,
        };
        // Kinds other than those above are unknown to one of the next two, and so refused.
        let key = SubjectPublicKeyInfo::from_der(spki.raw).map_err(|error| Error::Key(error.to_string()))?;
        request.verify_signature().map_err(|_| Error::Forged)?;
        Ok(Self { key, rsa })
    }

    /// The public key to certify.
    pub fn key(&self) -> &SubjectPublicKeyInfo {
        &self.key
    }

    /// Whether the key can encipher keys, as RSA can (RFC 5480 §3 forbids to claim it for elliptic curves).
    pub fn is_rsa(&self) -> bool {
        self.rsa
    }
}
