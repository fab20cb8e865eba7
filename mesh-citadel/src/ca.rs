//! The signing itself, sans-I/O: a key, a caller, a time and a policy in; a chain out.
//!
//! The identity in the certificate is the caller's, proven by its credential. Nothing of it can be chosen by the request.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use mesh_proto::id::{SpiffeId, TrustDomain};
use rand::Rng as _;
use rcgen::{CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::csr::{self, Csr};

/// What is signed for how long.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The lifetime of a certificate when none is asked for; Istio's `DEFAULT_WORKLOAD_CERT_TTL`, 24 h.
    pub default_ttl: Duration,
    /// The longest lifetime that may be asked for; Istio's `MAX_WORKLOAD_CERT_TTL`, 90 d.
    pub max_ttl: Duration,
    /// How far a certificate is back-dated for callers and peers whose clocks are behind; Istio's is 2 min.
    pub skew: Duration,
    /// DNS SANs of the control plane's own identities, by which clients of Istio find their servers. Nobody else gets any.
    pub dns_names: BTreeMap<SpiffeId, Vec<String>>,
}

impl Default for Policy {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        Self { default_ttl: 24 * HOUR, max_ttl: 90 * 24 * HOUR, skew: Duration::from_secs(120), dns_names: BTreeMap::new() }
    }
}

/// A caller whose credential was verified. Only [`crate::authn`] makes one outside of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    id: SpiffeId,
}

impl Caller {
    pub(crate) fn new(id: SpiffeId) -> Self {
        Self { id }
    }

    /// The proven identity.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The request is not acceptable.
    #[error(transparent)]
    Csr(#[from] csr::Error),
    /// More than [`Policy::max_ttl`].
    #[error("a lifetime of {asked:?} was asked for, at most {max:?} is given")]
    Ttl {
        /// What was asked for.
        asked: Duration,
        /// What may be.
        max: Duration,
    },
    /// The caller is of another trust domain than the authority.
    #[error("the caller {caller} is not of the trust domain {domain}")]
    Foreign {
        /// Who asked.
        caller: SpiffeId,
        /// Whom this authority may certify.
        domain: TrustDomain,
    },
    /// The authority's own certificate has expired or is not valid yet.
    #[error("the signing certificate is valid from {from} to {to}: it cannot sign now")]
    IssuerNotValid {
        /// Its start.
        from: OffsetDateTime,
        /// Its end.
        to: OffsetDateTime,
    },
    /// The certificate could not be made.
    #[error("cannot sign: {0}")]
    Signing(#[from] rcgen::Error),
}

impl SignError {
    /// Whether the request is at fault, not the authority.
    pub fn is_callers_fault(&self) -> bool {
        matches!(self, Self::Csr(_) | Self::Ttl { .. } | Self::Foreign { .. })
    }
}

/// A signed certificate with what a peer needs to verify it.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The certificate.
    pub leaf: CertificateDer<'static>,
    /// From the leaf's issuer upwards, without roots; empty if a root signed.
    pub intermediates: Vec<CertificateDer<'static>>,
    /// The roots of the mesh.
    pub roots: Vec<CertificateDer<'static>>,
    /// The end of the leaf's validity.
    pub not_after: SystemTime,
    /// The leaf's serial number, hex.
    pub serial: String,
}

impl Chain {
    /// The chain as Istio answers it: the leaf, the intermediates if any, and last the roots.
    pub fn to_pem(&self) -> Vec<String> {
        let pem = mesh_runtime::svid::certificates_pem;
        let mut texts = vec![pem(std::slice::from_ref(&self.leaf))];
        if !self.intermediates.is_empty() {
            texts.push(pem(&self.intermediates));
        }
        texts.push(pem(&self.roots));
        texts
    }
}

/// The parts of a certificate authority, already loaded ([`crate::root`]).
pub struct Material {
    /// The signing certificate: a root, or an intermediate.
    pub certificate: CertificateDer<'static>,
    /// Its key.
    pub key: KeyPair,
    /// What follows the leaf in a chain: the signing certificate and its issuers, unless it is a root.
    pub intermediates: Vec<CertificateDer<'static>>,
    /// The roots of the mesh.
    pub roots: Vec<CertificateDer<'static>>,
}

/// A certificate authority for one trust domain.
pub struct Ca {
    domain: TrustDomain,
    policy: Policy,
    issuer: Issuer<'static, KeyPair>,
    validity: (OffsetDateTime, OffsetDateTime),
    intermediates: Vec<CertificateDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
}

impl Ca {
    /// An authority that signs with `material`.
    ///
    /// # Errors
    /// If the signing certificate does not parse.
    pub fn new(domain: TrustDomain, material: Material, policy: Policy) -> Result<Self, rcgen::Error> {
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&material.certificate).map_err(|error| rcgen::Error::X509(error.to_string()))?;
        let validity = (parsed.validity().not_before.to_datetime(), parsed.validity().not_after.to_datetime());
        let issuer = Issuer::from_ca_cert_der(&material.certificate, material.key)?;
        Ok(Self { domain, policy, issuer, validity, intermediates: material.intermediates, roots: material.roots })
    }

    /// Certifies the key of `csr` for `caller`, for `ttl` from `now` (zero asks for the default).
    ///
    /// # Errors
    /// See [`SignError`].
    pub fn sign(&self, csr: &Csr, caller: &Caller, ttl: Duration, now: SystemTime) -> Result<Chain, SignError> {
        let id = caller.id();
        if *id.trust_domain() != self.domain {
            return Err(SignError::Foreign { caller: id.clone(), domain: self.domain.clone() });
        }
        let ttl = if ttl.is_zero() { self.policy.default_ttl.min(self.policy.max_ttl) } else { ttl };
        if ttl > self.policy.max_ttl {
            return Err(SignError::Ttl { asked: ttl, max: self.policy.max_ttl });
        }
        let (from, to) = self.validity;
        let now = OffsetDateTime::from(now);
        if now < from || now >= to {
            return Err(SignError::IssuerNotValid { from, to });
        }
        // A leaf never outlives, nor begins before, its issuer: strict verifiers refuse it.
        let not_after = (now + ttl).min(to);
        let serial: [u8; 16] = random_serial();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.not_before = (now - self.policy.skew).max(from);
        params.not_after = not_after;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if csr.is_rsa() {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::URI(id.as_str().try_into()?)];
        for name in self.policy.dns_names.get(id).into_iter().flatten() {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        let leaf = params.signed_by(csr.key(), &self.issuer)?;
        Ok(Chain {
            leaf: leaf.der().clone(),
            intermediates: self.intermediates.clone(),
            roots: self.roots.clone(),
            not_after: not_after.into(),
            serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// Whose certificates it signs.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// The roots of the mesh.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The end of the signing certificate's validity.
    pub fn issuer_not_after(&self) -> SystemTime {
        self.validity.1.into()
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca")
            .field("domain", &self.domain.as_str())
            .field("validity", &self.validity)
            .field("intermediates", &self.intermediates.len())
            .field("roots", &self.roots.len())
            .finish_non_exhaustive()
    }
}

/// 127 random bits: positive, never zero, without the sign byte that would make it 17 bytes (RFC 5280 §4.1.2.2).
fn random_serial() -> [u8; 16] {
    let mut serial = [0; 16];
    rand::rng().fill_bytes(&mut serial);
    serial[0] = (serial[0] & 0x7f) | 0x40;
    serial
}
