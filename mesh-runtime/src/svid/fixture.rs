//! A small certificate authority for tests: signs whatever it is told, so that verifiers can be shown wrong certificates.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use mesh_proto::id::SpiffeId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DistinguishedName, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{Authority, Clock, Refusal, Signing, Svid};
use crate::tls::Trust;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn id(text: &str) -> SpiffeId {
    text.parse().unwrap()
}

/// What a certificate of the fixture says.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) uris: Vec<String>,
    pub(crate) dns: Vec<String>,
    pub(crate) usages: Vec<ExtendedKeyUsagePurpose>,
    pub(crate) from: SystemTime,
    pub(crate) to: SystemTime,
}

impl Leaf {
    pub(crate) fn of(uri: &str) -> Self {
        let now = SystemTime::now();
        Self {
            uris: vec![uri.to_owned()],
            dns: Vec::new(),
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            from: now - HOUR,
            to: now + HOUR,
        }
    }
}

pub(crate) struct TestCa(CertifiedIssuer<'static, KeyPair>);

impl TestCa {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn svid(&self, leaf: &Leaf) -> Svid {
        let key = KeyPair::generate().unwrap();
        let certificate = params(leaf).signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Svid::new(vec![certificate.der().clone()], key, Trust::from_der(vec![self.root()]).unwrap()).unwrap()
    }

    pub(crate) fn certificate(&self, leaf: &Leaf) -> CertificateDer<'static> {
        params(leaf).signed_by(&KeyPair::generate().unwrap(), &self.0).unwrap().der().clone()
    }

    /// Certifies the key of a request, as Istio answers.
    pub(crate) fn answer(&self, csr: &str, leaf: &Leaf) -> Vec<String> {
        let request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        let certificate = params(leaf).signed_by(&request.public_key, &self.0).unwrap();
        vec![certificate.pem(), self.0.pem()]
    }
}

fn params(leaf: &Leaf) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = leaf.from.into();
    params.not_after = leaf.to.into();
    params.extended_key_usages = leaf.usages.clone();
    params.subject_alt_names = leaf.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap())).collect();
    params.subject_alt_names.extend(leaf.dns.iter().map(|name| SanType::DnsName(name.as_str().try_into().unwrap())));
    params
}

/// An authority that signs for `id`, counts, and fails while told to.
pub(crate) struct FlakyAuthority {
    pub(crate) ca: TestCa,
    pub(crate) id: SpiffeId,
    pub(crate) clock: Clock,
    pub(crate) asked: AtomicUsize,
    pub(crate) failures: AtomicUsize,
    pub(crate) refuse_certificates: bool,
    pub(crate) last_by_certificate: AtomicBool,
}

impl Authority for std::sync::Arc<FlakyAuthority> {
    fn sign(&self, signing: Signing) -> BoxFuture<'_, Result<Vec<String>, Refusal>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.last_by_certificate.store(signing.by_certificate, Ordering::SeqCst);
            let failing = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if failing.is_ok() {
                return Err(Refusal::Failed("the authority is away".to_owned()));
            }
            if signing.by_certificate && self.refuse_certificates {
                return Err(Refusal::Unauthenticated("no certificate, please".to_owned()));
            }
            let now = self.clock.now();
            let leaf = Leaf { from: now - Duration::from_secs(60), to: now + 24 * HOUR, ..Leaf::of(self.id.as_str()) };
            Ok(self.ca.answer(&signing.csr, &leaf))
        })
    }
}
