//! Credentials as they lie in Secrets, whole and broken.

#![allow(clippy::unwrap_used)]

use rcgen::{CertificateParams, KeyPair};
use time::{Duration, OffsetDateTime, macros::datetime};

use super::*;

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

fn certified(key: &KeyPair) -> String {
    let mut params = CertificateParams::new(vec!["shop.example.com".to_owned(), "10.0.0.1".to_owned()]).unwrap();
    params.not_before = NOW - Duration::days(1);
    params.not_after = NOW + Duration::days(1);
    params.self_signed(key).unwrap().pem()
}

fn secret(values: &[(&str, &str)]) -> Secret {
    Secret { data: values.iter().map(|(name, text)| ((*name).to_owned(), Bytes::from(*text))).collect(), ..Secret::default() }
}

#[test]
fn both_forms_are_read() {
    let key = KeyPair::generate().unwrap();
    let (pem, key_pem) = (certified(&key), key.serialize_pem());
    for [chain, private, ca] in [["tls.crt", "tls.key", "ca.crt"], ["cert", "key", "cacert"]] {
        let secret = secret(&[(chain, &pem), (private, &key_pem), (ca, &pem)]);
        let tls = Tls::of(&secret).unwrap();
        assert_eq!((tls.chain.expose(), tls.key.expose()), (pem.as_bytes(), key_pem.as_bytes()));
        assert_eq!(tls.leaf().unwrap().names, ["shop.example.com", "10.0.0.1"]);
        assert_eq!((tls.check_key(), tls.check_time(NOW)), (Ok(()), Ok(())));
        assert_eq!(Ca::of(&secret).unwrap().certificates.len(), 1);
        assert!(!format!("{tls:?}").contains("PRIVATE"));
    }
}

#[test]
fn the_clock_decides() {
    let key = KeyPair::generate().unwrap();
    let tls = Tls::of(&secret(&[("tls.crt", &certified(&key)), ("tls.key", &key.serialize_pem())])).unwrap();
    assert!(matches!(tls.check_time(NOW + Duration::days(2)), Err(Error::Expired { .. })));
    assert!(matches!(tls.check_time(NOW - Duration::days(2)), Err(Error::NotYetValid { .. })));
}

#[test]
fn every_kind_of_key_is_known_to_its_certificate_only() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let (key, other) = (KeyPair::generate_for(algorithm).unwrap(), KeyPair::generate_for(algorithm).unwrap());
        let tls = |key_pem: &str| Tls::of(&secret(&[("tls.crt", &certified(&key)), ("tls.key", key_pem)])).unwrap();
        assert_eq!(tls(&key.serialize_pem()).check_key(), Ok(()));
        assert!(matches!(tls(&other.serialize_pem()).check_key(), Err(Error::KeyMismatch { .. })));
        assert!(matches!(tls("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").check_key(), Err(Error::BadKey { .. })));
    }
}

#[test]
fn what_is_missing_or_broken_is_named() {
    let key = KeyPair::generate().unwrap();
    let (pem, key_pem) = (certified(&key), key.serialize_pem());
    let message = |values: &[(&str, &str)]| Tls::of(&secret(values)).unwrap_err().to_string();
    assert_eq!(message(&[("a", "1")]), "has neither `tls.crt` and `tls.key` nor `cert` and `key`; it has a: add them");
    assert_eq!(message(&[]), "has neither `tls.crt` and `tls.key` nor `cert` and `key`; it has nothing: add them");
    assert_eq!(message(&[("tls.crt", ""), ("tls.key", &key_pem)]), "tls.crt is empty: put the PEM text in");
    assert_eq!(message(&[("cert", "x"), ("key", &key_pem)]), "cert has no PEM block `CERTIFICATE`: there is no block at all");
    assert_eq!(message(&[("cert", &key_pem), ("key", &key_pem)]), "cert has no PEM block `CERTIFICATE`: it has `PRIVATE KEY`");
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(message(&[("tls.crt", &format!("{pem}{bad}")), ("tls.key", &key_pem)]), "tls.crt: certificate 2 cannot be parsed");
    assert!(Ca::of(&secret(&[("tls.crt", &pem)])).is_err());
}

#[test]
fn a_config_map_may_hold_the_ca() {
    let pem = certified(&KeyPair::generate().unwrap());
    let map = ConfigMap { data: [("ca.crt".to_owned(), pem)].into(), ..ConfigMap::default() };
    assert_eq!(Ca::of_config_map(&map).unwrap().certificates.len(), 1);
    assert!(Ca::of_config_map(&ConfigMap::default()).is_err());
}
