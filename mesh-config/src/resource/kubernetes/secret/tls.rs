//! Certificates and keys in Secrets, under the names that Istio reads: `cert`/`key`/`cacert`/`crl` of a generic Secret
//! first, else `tls.crt`/`tls.key`/`ca.crt`/`ca.crl` (Istio, `pilot/pkg/credentials/kube`).

use time::OffsetDateTime;
use x509_parser::{pem::Pem, prelude::FromDer as _, x509::SubjectPublicKeyInfo};

use super::{Bytes, Secret};
use crate::resource::kubernetes::ConfigMap;

mod key;

/// A certificate chain with its key, as a gateway or a client presents it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// PEM: the leaf first.
    pub chain: Bytes,
    /// PEM: PKCS #8, PKCS #1 or SEC 1.
    pub key: Bytes,
    /// PEM: whom to trust, where the same Secret says so.
    pub ca: Option<Bytes>,
    /// PEM: revoked certificates.
    pub crl: Option<Bytes>,
    /// DER: the OCSP staple.
    pub ocsp_staple: Option<Bytes>,
    /// What the chain's certificates say, the leaf first; never empty.
    pub certificates: Vec<Certificate>,
}

/// Certificates to trust.
#[derive(Clone, Debug, PartialEq)]
pub struct Ca {
    /// PEM.
    pub bundle: Bytes,
    /// PEM: revoked certificates.
    pub crl: Option<Bytes>,
    /// What they say; never empty.
    pub certificates: Vec<Certificate>,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject's distinguished name.
    pub subject: String,
    /// DNS names, URIs and IP addresses of the subject.
    pub names: Vec<String>,
    /// From when on it holds.
    pub not_before: OffsetDateTime,
    /// Until when it holds.
    pub not_after: OffsetDateTime,
    /// The key's SubjectPublicKeyInfo, DER.
    spki: Vec<u8>,
}

/// Why there is no credential to use. Nothing of a key is in the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The Secret has not what it takes.
    #[error("has neither {wanted}; it has {found}: add them")]
    MissingKeys {
        /// The names that would do.
        wanted: &'static str,
        /// The names that there are.
        found: String,
    },
    /// The value is there and empty.
    #[error("{field} is empty: put the PEM text in")]
    Empty {
        /// Whose value.
        field: &'static str,
    },
    /// The value is not PEM, or of another label.
    #[error("{field} has no PEM block `{wanted}`: {found}")]
    NotPem {
        /// Whose value.
        field: &'static str,
        /// The label that it takes.
        wanted: &'static str,
        /// What there is.
        found: String,
    },
    /// A block is no certificate.
    #[error("{field}: certificate {index} cannot be parsed")]
    BadCertificate {
        /// Whose value.
        field: &'static str,
        /// Which one, from 1.
        index: usize,
    },
    /// The key cannot be read.
    #[error("{field} is no private key that can be used: give an RSA, ECDSA or Ed25519 key that is not encrypted")]
    BadKey {
        /// Whose value.
        field: &'static str,
    },
    /// The key is not the one that the leaf certifies.
    #[error("the private key does not belong to the certificate of {subject}")]
    KeyMismatch {
        /// The leaf's subject.
        subject: String,
    },
    /// The leaf holds no more.
    #[error("the certificate of {subject} expired at {not_after}: renew it")]
    Expired {
        /// Whose.
        subject: String,
        /// When.
        not_after: OffsetDateTime,
    },
    /// The leaf holds not yet.
    #[error("the certificate of {subject} is not valid before {not_before}: check the clocks")]
    NotYetValid {
        /// Whose.
        subject: String,
        /// From when on.
        not_before: OffsetDateTime,
    },
}

impl Tls {
    /// The credential in a Secret: the names are there, and the chain parses. Whether the key fits and the certificate
    /// holds now are questions of their own.
    ///
    /// # Errors
    /// If a value is missing, empty, not PEM, or no certificate.
    pub fn of(secret: &Secret) -> Result<Self, Error> {
        for [chain, key, ca, crl] in [["cert", "key", "cacert", "crl"], ["tls.crt", "tls.key", "ca.crt", "ca.crl"]] {
            if let (Some(pem), Some(key)) = (secret.value(chain), secret.value(key)) {
                return Ok(Self {
                    certificates: certificates(chain, pem.expose())?,
                    chain: pem.clone(),
                    key: key.clone(),
                    ca: secret.value(ca).cloned(),
                    crl: secret.value(crl).cloned(),
                    ocsp_staple: secret.value("tls.ocsp-staple").cloned(),
                });
            }
        }
        for [chain, key] in [["cert", "key"], ["tls.crt", "tls.key"]] {
            if secret.data.contains_key(chain) && secret.data.contains_key(key) {
                return Err(Error::Empty { field: if secret.value(chain).is_none() { chain } else { key } });
            }
        }
        Err(missing("`tls.crt` and `tls.key` nor `cert` and `key`", secret.data.keys()))
    }

    /// The certificate that is presented.
    pub fn leaf(&self) -> Option<&Certificate> {
        self.certificates.first()
    }

    /// Whether the leaf holds at `now`.
    ///
    /// # Errors
    /// If it does not yet, or no more.
    pub fn check_time(&self, now: OffsetDateTime) -> Result<(), Error> {
        self.leaf().map_or(Ok(()), |leaf| leaf.check_time(now))
    }

    /// Whether the key can be read, and is the leaf's.
    ///
    /// # Errors
    /// If it cannot, or is another's.
    pub fn check_key(&self) -> Result<(), Error> {
        let public = key::public(self.key.expose()).ok_or(Error::BadKey { field: "the private key" })?;
        let Some(leaf) = self.leaf() else { return Ok(()) };
        let certified = SubjectPublicKeyInfo::from_der(&leaf.spki).ok();
        let same = certified.is_some_and(|(_, spki)| *spki.subject_public_key.data == *public);
        if same { Ok(()) } else { Err(Error::KeyMismatch { subject: leaf.subject.clone() }) }
    }
}

impl Ca {
    /// The CA certificates in a Secret.
    ///
    /// # Errors
    /// If there are none, or one does not parse.
    pub fn of(secret: &Secret) -> Result<Self, Error> {
        Self::read(|name| secret.value(name).cloned()).unwrap_or_else(|| Err(missing("`ca.crt` nor `cacert`", secret.data.keys())))
    }

    /// The CA certificates in a ConfigMap.
    ///
    /// # Errors
    /// If there are none, or one does not parse.
    pub fn of_config_map(map: &ConfigMap) -> Result<Self, Error> {
        let value = |name: &str| map.entry(name).filter(|bytes| !bytes.is_empty()).map(|bytes| Bytes::from(bytes.to_vec()));
        Self::read(value).unwrap_or_else(|| Err(missing("`ca.crt` nor `cacert`", map.data.keys().chain(map.binary_data.keys()))))
    }

    fn read(value: impl Fn(&str) -> Option<Bytes>) -> Option<Result<Self, Error>> {
        let (field, crl, bundle) = match (value("cacert"), value("ca.crt")) {
            (Some(bundle), _) => ("cacert", "crl", bundle),
            (None, Some(bundle)) => ("ca.crt", "ca.crl", bundle),
            (None, None) => return None,
        };
        Some(certificates(field, bundle.expose()).map(|certificates| Self { bundle: bundle.clone(), crl: value(crl), certificates }))
    }
}

impl Certificate {
    /// Whether it holds at `now`.
    ///
    /// # Errors
    /// If it does not yet, or no more.
    pub fn check_time(&self, now: OffsetDateTime) -> Result<(), Error> {
        let subject = || self.subject.clone();
        if now > self.not_after {
            return Err(Error::Expired { subject: subject(), not_after: self.not_after });
        }
        if now < self.not_before {
            return Err(Error::NotYetValid { subject: subject(), not_before: self.not_before });
        }
        Ok(())
    }
}

fn missing<'a>(wanted: &'static str, found: impl Iterator<Item = &'a String>) -> Error {
    let names: Vec<&str> = found.map(String::as_str).collect();
    let shown = names.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    let found = match names.len() {
        0 => "nothing".to_owned(),
        1..=3 => shown,
        more => format!("{shown} and {} more", more - 3),
    };
    Error::MissingKeys { wanted, found }
}

/// The certificates of a PEM text; other blocks are passed over.
fn certificates(field: &'static str, pem: &[u8]) -> Result<Vec<Certificate>, Error> {
    const WANTED: &str = "CERTIFICATE";
    let not_pem = |found: &str| Error::NotPem { field, wanted: WANTED, found: found.to_owned() };
    let mut list = Vec::new();
    let mut other = None;
    for block in Pem::iter_from_buffer(pem) {
        let block = block.map_err(|_| not_pem("the text is cut off or not base64"))?;
        if block.label != WANTED {
            other = Some(block.label);
            continue;
        }
        let index = list.len() + 1;
        list.push(certificate(&block.contents).ok_or(Error::BadCertificate { field, index })?);
    }
    match (list.is_empty(), other) {
        (false, _) => Ok(list),
        (true, Some(label)) => Err(not_pem(&format!("it has `{label}`"))),
        (true, None) => Err(not_pem("there is no block at all")),
    }
}

fn certificate(der: &[u8]) -> Option<Certificate> {
    use x509_parser::{certificate::X509Certificate, extensions::GeneralName};
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
        },
        _ => None,
    });
    Some(Certificate {
        subject: certificate.subject().to_string(),
        names: names.collect(),
        not_before: certificate.validity().not_before.to_datetime(),
        not_after: certificate.validity().not_after.to_datetime(),
        spki: certificate.public_key().raw.to_vec(),
    })
}

#[cfg(test)]
mod tests;
