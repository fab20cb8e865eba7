//! A key, its signing request, and the judgement of the answer. Sans-I/O.

use std::time::SystemTime;

use mesh_proto::id::SpiffeId;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{Error, Svid, certificates};
use crate::tls::Trust;

/// A fresh P-256 key waiting for its certificate.
pub struct Request {
    id: SpiffeId,
    key: KeyPair,
    csr: String,
}

impl Request {
    /// Makes a key and a request naming `id` (which an authority is free to ignore: it goes by the credential).
    ///
    /// # Errors
    /// [`Error::Request`].
    pub fn new(id: &SpiffeId) -> Result<Self, Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(id.as_str().try_into()?)];
        let csr = params.serialize_request(&key)?.pem()?;
        Ok(Self { id: id.clone(), key, csr })
    }

    /// The request as PEM (PKCS#10).
    pub fn csr_pem(&self) -> &str {
        &self.csr
    }

    /// Judges the authority's answer, a list of PEM texts: the leaf first, the roots in the last (as istio-agent reads
    /// it). The result is for the identity asked for, holds this key, and verifies against its roots at `now`.
    ///
    /// # Errors
    /// Whatever of that does not hold.
    pub fn accept(self, answer: &[String], now: SystemTime) -> Result<Svid, Error> {
        let [chain @ .., roots] = answer else { return Err(Error::NoRoot(0)) };
        if chain.is_empty() {
            return Err(Error::NoRoot(answer.len()));
        }
        let chain = certificates(chain.join("\n").as_bytes())?;
        let trust = Trust::from_pem(roots.as_bytes())?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let svid = Svid::new(chain, key, trust)?;
        if *svid.id() != self.id {
            return Err(Error::WrongIdentity { found: svid.id().clone(), expected: self.id });
        }
        svid.verify(now)?;
        Ok(svid)
    }
}
