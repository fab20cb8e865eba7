//! Certificates, keys and bundles that come as PEM from somebody else (a Kubernetes Secret): whether they are what they should be, and how they are shown.
//!
//! Nothing of a key is ever in an error or a print: only its SHA-256.

use aws_lc_rs::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use super::provider;

/// Why a piece of PEM cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// There is no block of the wanted kind, or one is damaged.
    #[error("{what} is not PEM: {reason}")]
    Pem {
        /// `certificate chain`, `private key`, …
        what: &'static str,
        /// The parser's complaint; it has nothing of the text in it.
        reason: String,
    },
    /// A certificate does not parse.
    #[error("certificate {index} of the {what} cannot be read: {reason}")]
    Certificate {
        /// `certificate chain` or `CA bundle`.
        what: &'static str,
        /// From 0.
        index: usize,
        /// The parser's complaint.
        reason: String,
    },
    /// A key of a kind that TLS here does not sign with.
    #[error("the private key is of a kind that is not supported: use RSA (2048 bits or more), ECDSA P-256, P-384, P-521 or Ed25519")]
    Key,
    /// The key of another certificate.
    #[error("the private key does not belong to the certificate: they must be of one pair")]
    Pair,
    /// A revocation list does not parse.
    #[error("the revocation list cannot be read: {0}")]
    Revocations(String),
}

/// Checks that a chain (leaf first) and a key (PKCS#8, PKCS#1 or SEC1) parse and belong together.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_pair(chain: &[u8], key: &[u8]) -> Result<(), Unusable> {
    let chain = certificates("certificate chain", chain)?;
    // The parser's own words are about form only, but nothing is to be had from them that the user needs.
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Unusable::Pem {
        what: "private key",
        reason: "no PKCS#8, PKCS#1 or SEC1 block that is whole and not encrypted".into(),
    })?;
    let key = provider().key_provider.load_private_key(key).map_err(|_| Unusable::Key)?;
    match CertifiedKey::new(chain, key).keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(()),
        Err(_) => Err(Unusable::Pair),
    }
}

/// Checks that every certificate of a bundle can be a root of trust, and that there is one.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_bundle(bundle: &[u8]) -> Result<(), Unusable> {
    let mut store = RootCertStore::empty();
    for (index, certificate) in certificates("CA bundle", bundle)?.into_iter().enumerate() {
        store.add(certificate).map_err(|error| Unusable::Certificate { what: "CA bundle", index, reason: error.to_string() })?;
    }
    Ok(())
}

/// Checks that a text holds revocation lists.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_revocations(lists: &[u8]) -> Result<(), Unusable> {
    let what = "revocation list";
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(lists)
        .collect::<Result<_, _>>()
        .map_err(|error| Unusable::Pem { what, reason: pem_problem(&error).into() })?;
    if lists.is_empty() {
        return Err(Unusable::Pem { what, reason: "no X509 CRL block".into() });
    }
    for list in lists {
        CertificateRevocationList::from_der(&list).map_err(|error| Unusable::Revocations(error.to_string()))?;
    }
    Ok(())
}

/// What is wrong with a PEM text, in words that have nothing of it in them. The parser's own quote the line that they choke on, which may be a key.
pub fn pem_problem(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a block has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is not on a line of its own",
        pem::Error::Base64Decode(_) => "a block is not base64",
        pem::Error::NoItemsFound => "there is no block of this kind",
        pem::Error::SectionTooLarge => "a block is too large",
        _ => "it cannot be read",
    }
}

/// What a secret is shown as: the SHA-256 of its bytes in hex.
pub fn fingerprint(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let list: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| Unusable::Pem { what, reason: pem_problem(&error).into() })?;
    if list.is_empty() {
        return Err(Unusable::Pem { what, reason: "no CERTIFICATE block".into() });
    }
    for (index, certificate) in list.iter().enumerate() {
        let parsed = x509_parser::parse_x509_certificate(certificate);
        parsed.map_err(|error| Unusable::Certificate { what, index, reason: error.to_string() })?;
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["a.example.com".into()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_complaint_never_quotes_the_text() {
        let (chain, key) = pair();
        let body: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
        for damaged in [
            format!("{chain}-----BEGIN PRIVATE KEY-----{body}\n-----END PRIVATE KEY-----\n"),
            format!("{chain}-----BEGIN {body}-----\n{body}\n"),
            format!("{chain}-----BEGIN PRIVATE KEY-----\n{body}"),
        ] {
            for said in
                [check_pair(damaged.as_bytes(), key.as_bytes()), check_bundle(damaged.as_bytes()), check_revocations(damaged.as_bytes())]
            {
                let Err(error) = said else { continue };
                let said = format!("{error} {error:?}");
                assert!(!said.contains(&body[..12]) && !said.contains("45, 45"), "{said}");
            }
        }
    }

    #[test]
    fn a_pair_must_be_one() {
        let ((chain, key), (_, other)) = (pair(), pair());
        check_pair(chain.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(check_pair(chain.as_bytes(), other.as_bytes()), Err(Unusable::Pair));
        assert!(matches!(check_pair(b"", key.as_bytes()), Err(Unusable::Pem { what: "certificate chain", .. })));
        assert!(matches!(check_pair(chain.as_bytes(), chain.as_bytes()), Err(Unusable::Pem { what: "private key", .. })));
        let cut = &key[..key.len() / 2];
        let error = check_pair(chain.as_bytes(), cut.as_bytes()).unwrap_err();
        let line = key.lines().nth(1).unwrap();
        assert!(!error.to_string().contains(&line[..16]), "{error}");
    }

    #[test]
    fn bundles_and_revocations_are_read() {
        let (chain, key) = pair();
        check_bundle(chain.as_bytes()).unwrap();
        assert!(check_bundle(key.as_bytes()).is_err());
        assert!(check_revocations(chain.as_bytes()).is_err());
        assert!(check_revocations(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n").is_err());
    }

    #[test]
    fn fingerprints_are_sha256() {
        assert_eq!(fingerprint(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
