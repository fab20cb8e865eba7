//! Private keys in PEM, as far as it takes to tell whose they are.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RsaKeyPair,
};
use x509_parser::pem::Pem;

/// The public key of the first private key in a PEM text, as a certificate's subjectPublicKey has it; absent if there is
/// none that can be used.
pub(super) fn public(pem: &[u8]) -> Option<Vec<u8>> {
    let labels = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
    let block = Pem::iter_from_buffer(pem).filter_map(Result::ok).find(|block| labels.contains(&block.label.as_str()))?;
    let der = block.contents.as_slice();
    match block.label.as_str() {
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(der).ok().map(|pair| pair.public_key().as_ref().to_vec()),
        "EC PRIVATE KEY" => ecdsa(der),
        _ => ecdsa(der)
            .or_else(|| RsaKeyPair::from_pkcs8(der).ok().map(|pair| pair.public_key().as_ref().to_vec()))
            .or_else(|| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(|pair| pair.public_key().as_ref().to_vec())),
    }
}

fn ecdsa(der: &[u8]) -> Option<Vec<u8>> {
    [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING]
        .into_iter()
        .find_map(|algorithm| EcdsaKeyPair::from_private_key_der(algorithm, der).ok())
        .map(|pair| pair.public_key().as_ref().to_vec())
}
