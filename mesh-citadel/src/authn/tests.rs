//! Tokens that are believed, and every way in which one must not be.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::jwks::{KeyFile, KeySet};
use super::jwt::{self, Rules, Verifier};
use super::local::LocalIssuer;
use super::*;

const LIFETIME: Duration = Duration::from_secs(600);

fn domain() -> TrustDomain {
    "cluster.local".parse().unwrap()
}

fn verifier(jwks: &str, rules: Rules) -> Verifier {
    Verifier::new(watch::channel(Arc::new(KeySet::parse(jwks.as_bytes()).unwrap())).1, rules)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims(now: SystemTime) -> Value {
    json!({ "iss": "kubernetes", "sub": "system:serviceaccount:shop:frontend", "aud": ["istio-ca", "other"],
            "nbf": seconds(now), "exp": seconds(now) + 600 })
}

/// A key pair of any kind as the two halves of a token exchange.
fn pair(algorithm: Algorithm, kid: Option<&str>) -> (EncodingKey, String) {
    let (key, mut jwk) = match algorithm {
        Algorithm::EdDSA => {
            // The library writes no JWK for the longer encoding of this key that aws-lc makes.
            let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
            let x = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
            (EncodingKey::from_ed_der(pair.serialized_der()), json!({ "kty": "OKP", "crv": "Ed25519", "x": x }))
        }
        _ => {
            let key = if algorithm == Algorithm::RS256 {
                let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
                EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap()
            } else {
                EncodingKey::from_ec_der(KeyPair::generate().unwrap().serialized_der())
            };
            let jwk = Jwk::from_encoding_key(&key, algorithm).unwrap();
            (key, serde_json::to_value(jwk).unwrap())
        }
    };
    if let Some(kid) = kid {
        jwk["kid"] = json!(kid);
    }
    (key, json!({ "keys": [jwk] }).to_string())
}

fn sign(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    encode(&header, claims, key).unwrap()
}

#[test]
fn accepts_the_three_algorithms_with_and_without_key_id() {
    let now = SystemTime::now();
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256] {
        for kid in [None, Some("k1")] {
            let (key, jwks) = pair(algorithm, kid);
            let token = sign(algorithm, kid, &key, &claims(now));
            let caller = verifier(&jwks, Rules::default()).verify(&token, &domain(), now).unwrap();
            assert_eq!(caller.id().as_str(), "spiffe://cluster.local/ns/shop/sa/frontend", "{algorithm:?}");
        }
    }
}

#[test]
fn refuses_claims_that_do_not_fit() {
    let now = SystemTime::now();
    let (key, jwks) = pair(Algorithm::ES256, None);
    let rules = Rules { issuers: vec!["kubernetes".to_owned()], ..Rules::default() };
    let verifier = verifier(&jwks, rules);
    let verdict = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims(now);
        change(&mut claims);
        verifier.verify(&sign(Algorithm::ES256, None, &key, &claims), &domain(), now)
    };
    let at = |offset: i64| json!(i64::try_from(seconds(now)).unwrap() + offset);
    assert!(verdict(&|_| {}).is_ok());
    assert!(verdict(&|claims| claims["aud"] = json!("istio-ca")).is_ok());
    assert!(verdict(&|claims| claims["exp"] = at(-30)).is_ok(), "within the leeway");
    assert!(matches!(verdict(&|claims| claims["exp"] = at(-61)), Err(jwt::Error::Expired)));
    assert!(matches!(verdict(&|claims| claims["nbf"] = at(90)), Err(jwt::Error::NotYet)));
    assert!(matches!(verdict(&|claims| claims["aud"] = json!(["sts"])), Err(jwt::Error::Audience)));
    assert!(matches!(verdict(&|claims| claims["aud"] = json!([])), Err(jwt::Error::Audience)));
    assert!(matches!(verdict(&|claims| claims["iss"] = json!("other")), Err(jwt::Error::Issuer)));
    for missing in ["aud", "exp", "sub"] {
        let removed = verdict(&|claims| drop(claims.as_object_mut().unwrap().remove(missing)));
        assert!(matches!(removed, Err(jwt::Error::Malformed(_))), "{missing}");
    }
    assert!(matches!(verdict(&|claims| drop(claims.as_object_mut().unwrap().remove("iss"))), Err(jwt::Error::Issuer)));
    for subject in ["frontend", "system:serviceaccount:shop", "system:serviceaccount:shop/../x:a", "system:node:n1", ""] {
        assert!(matches!(verdict(&|claims| claims["sub"] = json!(subject)), Err(jwt::Error::Subject)), "{subject}");
    }
}

#[test]
fn refuses_forgeries() {
    let now = SystemTime::now();
    let (key, jwks) = pair(Algorithm::ES256, Some("k1"));
    let verifier = verifier(&jwks, Rules::default());
    let verify = |token: &str| verifier.verify(token, &domain(), now).unwrap_err();
    let good = sign(Algorithm::ES256, Some("k1"), &key, &claims(now));
    let parts: Vec<&str> = good.split('.').collect();
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());

    // Tampered claims, another key, a key id that nobody has.
    let mut admin = claims(now);
    admin["sub"] = json!("system:serviceaccount:shop:admin");
    assert!(matches!(verify(&format!("{}.{}.{}", parts[0], encoded(&admin), parts[2])), jwt::Error::Signature));
    let (other, _) = pair(Algorithm::ES256, Some("k1"));
    assert!(matches!(verify(&sign(Algorithm::ES256, Some("k1"), &other, &claims(now))), jwt::Error::Signature));
    assert!(matches!(verify(&sign(Algorithm::ES256, Some("k2"), &key, &claims(now))), jwt::Error::Signature));

    // No signature at all, under every name.
    for name in ["none", "None", "NONE", ""] {
        let header = encoded(&json!({ "alg": name }));
        assert!(matches!(verify(&format!("{header}.{}.", parts[1])), jwt::Error::Algorithm), "{name}");
    }
    assert!(matches!(verify(&format!("{}.{}.", parts[0], parts[1])), jwt::Error::Signature));

    // The public key as an HMAC secret.
    let public = serde_json::from_str::<Value>(&jwks).unwrap()["keys"][0]["x"].as_str().unwrap().to_owned();
    for secret in [jwks.as_bytes(), public.as_bytes()] {
        let confused = sign(Algorithm::HS256, Some("k1"), &EncodingKey::from_secret(secret), &claims(now));
        assert!(matches!(verify(&confused), jwt::Error::Algorithm));
    }
    // Another accepted algorithm than the key's.
    let (edwards, _) = pair(Algorithm::EdDSA, None);
    assert!(matches!(verify(&sign(Algorithm::EdDSA, Some("k1"), &edwards, &claims(now))), jwt::Error::Signature));
    // A key of its own.
    let header = encoded(&json!({ "alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": false }));
    assert!(matches!(verify(&format!("{header}.{}.{}", parts[1], parts[2])), jwt::Error::Malformed(_)));

    assert!(matches!(verify("x"), jwt::Error::Malformed(_)));
    assert!(matches!(verify("a.b.c.d"), jwt::Error::Malformed(_)));
    assert!(matches!(verify(&"a".repeat(jwt::MAX_BYTES + 1)), jwt::Error::TooLarge(_)));
}

#[test]
fn passes_over_keys_that_are_not_for_signatures() {
    let (_, mine) = pair(Algorithm::ES256, Some("good"));
    let mut keys = serde_json::from_str::<Value>(&mine).unwrap();
    let list = keys["keys"].as_array_mut().unwrap();
    let mut encryption = list[0].clone();
    encryption["use"] = json!("enc");
    let mut mislabelled = list[0].clone();
    mislabelled["alg"] = json!("RS256");
    list.extend([encryption, mislabelled, json!({ "kty": "oct", "k": "c2VjcmV0" }), json!({ "kty": "new" }), json!(7)]);
    assert_eq!(KeySet::parse(keys.to_string().as_bytes()).unwrap().len(), 1);
    assert!(KeySet::parse(br#"{"keys":[]}"#).unwrap().is_empty());
    assert!(KeySet::parse(b"[]").is_err());
    let many = json!({ "keys": vec![json!({}); 65] }).to_string();
    assert!(KeySet::parse(many.as_bytes()).is_err());
}

#[test]
fn a_local_token_is_verified_like_any_other() {
    let issuer = LocalIssuer::new("local-mesh", LIFETIME).unwrap();
    let now = SystemTime::now();
    let rules = Rules { issuers: vec![issuer.issuer().to_owned()], ..Rules::default() };
    let verifier = verifier(issuer.jwks(), rules);
    let (namespace, account) = ("shop".parse().unwrap(), "inventory".parse().unwrap());
    let token = issuer.token_at(&namespace, &account, now, LIFETIME).unwrap();
    let caller = verifier.verify(&token, &domain(), now).unwrap();
    assert_eq!(caller.id().as_str(), "spiffe://cluster.local/ns/shop/sa/inventory");
    let later = now + LIFETIME + Duration::from_secs(61);
    assert!(matches!(verifier.verify(&token, &domain(), later), Err(jwt::Error::Expired)));
    assert!(!issuer.jwks().contains("\"d\"") && !format!("{issuer:?}").contains("key:"));
}

#[tokio::test(start_paused = true)]
async fn a_changed_key_file_is_read_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    assert!(KeyFile::open(path.clone()).await.is_err(), "a missing file ends the start");
    LocalIssuer::new("a", LIFETIME).unwrap().write_jwks(&path).unwrap();
    let file = KeyFile::open(path.clone()).await.unwrap();
    let mut keys = file.keys();
    let tasks = mesh_runtime::task::Tasks::new("test");
    tasks.spawn("keys", file.run());

    let second = LocalIssuer::new("b", LIFETIME).unwrap();
    second.write_jwks(&path).unwrap();
    keys.changed().await.unwrap();
    let verifier = Verifier::new(keys.clone(), Rules::default());
    let now = SystemTime::now();
    let token = second.token_at(&"a".parse().unwrap(), &"b".parse().unwrap(), now, Duration::from_secs(60)).unwrap();
    verifier.verify(&token, &domain(), now).unwrap();

    std::fs::write(&path, "{ broken").unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(5), keys.changed()).await.is_err());
    verifier.verify(&token, &domain(), now).unwrap();
    LocalIssuer::new("c", LIFETIME).unwrap().write_jwks(&path).unwrap();
    keys.changed().await.unwrap();
    assert!(verifier.verify(&token, &domain(), now).is_err());
}

#[test]
fn a_token_decides_and_no_credential_is_nobody() {
    let issuer = LocalIssuer::new("local-mesh", LIFETIME).unwrap();
    let now = SystemTime::now();
    let token = issuer.token_at(&"a".parse().unwrap(), &"b".parse().unwrap(), now, Duration::from_secs(60)).unwrap();
    let with = |values: &[&str]| {
        let mut headers = MetadataMap::new();
        for value in values {
            headers.append("authorization", value.parse().unwrap());
        }
        Authenticator::new(domain(), Some(verifier(issuer.jwks(), Rules::default()))).authenticate(&headers, None, now)
    };
    assert!(with(&[&format!("Bearer {token}")]).is_ok());
    assert!(with(&[&format!("bearer {token}")]).is_ok());
    assert!(matches!(with(&[]), Err(Error::None)));
    assert!(matches!(with(&[&token]), Err(Error::Header)));
    assert!(matches!(with(&[&format!("Basic {token}")]), Err(Error::Header)));
    assert!(matches!(with(&[&format!("Bearer {token}"), &format!("Bearer {token}")]), Err(Error::Header)));
    let mut headers = MetadataMap::new();
    headers.append("authorization", format!("Bearer {token}").parse().unwrap());
    let tokenless = Authenticator::new(domain(), None).authenticate(&headers, None, now);
    assert!(matches!(tokenless, Err(Error::Jwt(jwt::Error::NotAccepted))));
}

proptest::proptest! {
    #[test]
    fn any_text_is_refused_without_panic(text in "\\PC*", header: Vec<u8>, claims: Vec<u8>, signature: Vec<u8>) {
        let issuer = LocalIssuer::new("local-mesh", LIFETIME).unwrap();
        let verifier = verifier(issuer.jwks(), Rules::default());
        let parts = [header, claims, signature].map(|part| URL_SAFE_NO_PAD.encode(part));
        let named = format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#), parts[1], parts[2]);
        for token in [text, parts.join("."), named] {
            proptest::prop_assert!(verifier.verify(&token, &domain(), SystemTime::now()).is_err());
        }
    }
}
