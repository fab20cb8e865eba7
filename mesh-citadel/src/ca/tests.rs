//! What a certificate says, whatever its request asked for.
#![allow(clippy::unwrap_used)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::*;
use crate::root::{self, Location};

const ID: &str = "spiffe://cluster.local/ns/shop/sa/frontend";

fn ca(policy: Policy) -> Ca {
    let folder = tempfile::tempdir().unwrap();
    let domain: TrustDomain = "cluster.local".parse().unwrap();
    let material = root::load(&Location::Local(folder.path().join("ca")), &domain, SystemTime::now()).unwrap();
    Ca::new(domain, material, policy).unwrap()
}

fn caller(id: &str) -> Caller {
    Caller::new(id.parse().unwrap())
}

fn request(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::default();
    change(&mut params);
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn csr() -> Csr {
    Csr::from_pem(&request(&KeyPair::generate().unwrap(), |_| {})).unwrap()
}

fn armoured(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", STANDARD.encode(der))
}

#[test]
fn the_identity_is_the_callers_whatever_the_request_asks_for() {
    let greedy = request(&KeyPair::generate().unwrap(), |params| {
        let uri = "spiffe://cluster.local/ns/mesh-system/sa/mesh-pilot";
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap()), SanType::DnsName("bank.example".try_into().unwrap())];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    });
    let now = SystemTime::now();
    let chain = ca(Policy::default()).sign(&Csr::from_pem(&greedy).unwrap(), &caller(ID), Duration::ZERO, now).unwrap();
    let (_, leaf) = parse_x509_certificate(&chain.leaf).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical, "with an empty subject the name is critical (RFC 5280 §4.1.2.6)");
    assert_eq!(names.value.general_names, [GeneralName::URI(ID)]);
    assert_eq!(leaf.subject().iter().count(), 0);
    assert!(!leaf.is_ca() && leaf.basic_constraints().unwrap().is_some());
    let usage = leaf.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign() && !usage.key_encipherment());
    let usages = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usages.server_auth && usages.client_auth && !usages.code_signing && !usages.any);
    assert_eq!(chain.serial.len(), 32);
    assert_eq!(chain.to_pem().len(), 2);
}

#[test]
fn lifetimes_are_bounded_and_back_dated() {
    let ca = ca(Policy { max_ttl: Duration::from_secs(7200), default_ttl: Duration::from_secs(3600), ..Policy::default() });
    let now = SystemTime::now();
    let sign = |ttl: u64, now| ca.sign(&csr(), &caller(ID), Duration::from_secs(ttl), now);
    let lifetime = |chain: Chain| chain.not_after.duration_since(now).unwrap().as_secs();
    assert_eq!(lifetime(sign(0, now).unwrap()), 3600);
    assert_eq!(lifetime(sign(7200, now).unwrap()), 7200);
    let error = sign(7201, now).unwrap_err();
    assert!(error.is_callers_fault(), "{error}");
    let chain = sign(60, now + Duration::from_secs(3600)).unwrap();
    let (_, leaf) = parse_x509_certificate(&chain.leaf).unwrap();
    assert_eq!(leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp(), 180);

    let end = ca.issuer_not_after();
    let last = sign(7200, end - Duration::from_secs(100)).unwrap();
    assert_eq!(last.not_after, end, "a leaf does not outlive its issuer");
    let error = sign(60, end).unwrap_err();
    assert!(!error.is_callers_fault() && error.to_string().contains("cannot sign now"), "{error}");
}

#[test]
fn dns_names_are_given_by_configuration_only() {
    let pilot = "spiffe://cluster.local/ns/mesh-system/sa/mesh-pilot";
    let dns_names = [(pilot.parse().unwrap(), vec!["mesh-pilot.mesh-system.svc".to_owned()])].into();
    let ca = ca(Policy { dns_names, ..Policy::default() });
    let names = |id| {
        let chain = ca.sign(&csr(), &caller(id), Duration::ZERO, SystemTime::now()).unwrap();
        mesh_runtime::tls::Peer::from_der(&chain.leaf).unwrap().dns_names
    };
    assert_eq!(names(pilot), ["mesh-pilot.mesh-system.svc"]);
    assert!(names(ID).is_empty());
}

#[test]
fn another_trust_domain_is_not_certified() {
    let foreign = caller("spiffe://elsewhere/ns/shop/sa/frontend");
    let error = ca(Policy::default()).sign(&csr(), &foreign, Duration::ZERO, SystemTime::now()).unwrap_err();
    assert!(matches!(error, SignError::Foreign { .. }) && error.is_callers_fault());
}

#[test]
fn accepted_and_refused_keys() {
    let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size).unwrap();
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let ca = ca(Policy::default());
    for (key, enciphers) in [(rsa(RsaKeySize::_2048), true), (p384, false), (ed25519, false)] {
        let csr = Csr::from_pem(&request(&key, |_| {})).unwrap();
        let chain = ca.sign(&csr, &caller(ID), Duration::ZERO, SystemTime::now()).unwrap();
        let (_, leaf) = parse_x509_certificate(&chain.leaf).unwrap();
        assert_eq!(leaf.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&key));
        assert_eq!(leaf.key_usage().unwrap().unwrap().value.key_encipherment(), enciphers);
    }

    let good = request(&KeyPair::generate().unwrap(), |_| {});
    let mut der = CertificateSigningRequestDer::from_pem_slice(good.as_bytes()).unwrap().as_ref().to_vec();
    let at = der.len() - 10;
    der[at] ^= 1;
    assert!(matches!(Csr::from_pem(&armoured(&der)), Err(csr::Error::Forged | csr::Error::Unreadable(_))));
    assert!(matches!(Csr::from_pem("hello"), Err(csr::Error::Unreadable(_))));
    assert!(matches!(Csr::from_pem(&"x".repeat(csr::MAX_BYTES + 1)), Err(csr::Error::TooLarge(_))));
}

#[test]
fn serials_differ_and_are_positive() {
    let serials: std::collections::BTreeSet<_> = (0..1000).map(|_| random_serial()).collect();
    assert_eq!(serials.len(), 1000);
    assert!(serials.iter().all(|serial| (0x40..0x80).contains(&serial[0])));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_refused_without_panic(text in "\\PC*", der: Vec<u8>) {
        let _ = Csr::from_pem(&text);
        proptest::prop_assert!(Csr::from_pem(&armoured(&der)).is_err());
    }
}
