//! PEM as RFC 7468 writes it. Reading is rustls-pki-types'; it has no writer.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Certificates as consecutive `CERTIFICATE` blocks.
pub fn certificates(chain: &[CertificateDer<'_>]) -> String {
    chain.iter().fold(String::new(), |text, certificate| text + &block("CERTIFICATE", certificate))
}

/// A private key under the label of its encoding.
pub(super) fn key(key: &PrivateKeyDer<'_>) -> String {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    block(label, key.secret_der())
}

/// RFC 7468 §2: lines of 64 characters.
fn block(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        let _ = writeln!(text, "{}", STANDARD.encode(line));
    }
    let _ = writeln!(text, "-----END {label}-----");
    text
}
