//! `x-forwarded-client-cert`: who the client proved to be, told to the endpoint (Envoy docs: HTTP header manipulation).

use std::fmt::Write as _;

use base64::Engine as _;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    info::PeerTls,
    snapshot::{Xfcc, XfccMode},
    tls::hex,
};

const NAME: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Forwards, replaces or removes the header.
pub(crate) fn forward_client_certificate(headers: &mut HeaderMap, settings: Xfcc, tls: Option<&PeerTls>) {
    if settings.mode == XfccMode::AlwaysForwardOnly {
        return;
    }
    let Some(tls) = tls.filter(|tls| tls.peer_certificate.is_some()) else {
        headers.remove(NAME);
        return;
    };
    let append = match settings.mode {
        XfccMode::Sanitize => {
            headers.remove(NAME);
            return;
        }
        XfccMode::ForwardOnly | XfccMode::AlwaysForwardOnly => return,
        XfccMode::AppendForward => true,
        XfccMode::SanitizeSet => false,
    };
    let element = element(settings, tls);
    let before = headers.get(NAME).and_then(|value| value.to_str().ok()).filter(|_| append);
    let value = before.map_or_else(|| element.clone(), |before| format!("{before},{element}"));
    match HeaderValue::try_from(value) {
        Ok(value) => {
            headers.insert(NAME, value);
        }
        // A certificate with a name that is no header value: nobody is believed to be behind it.
        Err(_) => {
            headers.remove(NAME);
        }
    }
}

fn element(settings: Xfcc, tls: &PeerTls) -> String {
    let mut parts: Vec<String> = Vec::with_capacity(6);
    if let Some(local) = &tls.local_uri {
        parts.push(format!("By={local}"));
    }
    let certificate = tls.peer_certificate.as_deref().unwrap_or_default();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    parts.push(format!("Hash={}", hex(digest.as_ref())));
    let pem = || percent_encoded_pem(certificate);
    if settings.cert {
        parts.push(format!("Cert=\"{}\"", pem()));
    }
    if settings.chain {
        parts.push(format!("Chain=\"{}\"", pem()));
    }
    if settings.subject {
        let subject = tls.peer_subject.as_deref().unwrap_or_default().replace('\\', "\\\\").replace('"', "\\\"");
        parts.push(format!("Subject=\"{subject}\""));
    }
    if settings.uri {
        let uris = &tls.peer_uris;
        parts.extend(uris.iter().map(|uri| format!("URI={uri}")));
        if uris.is_empty() {
            parts.push("URI=".to_owned());
        }
    }
    if settings.dns {
        parts.extend(tls.peer_dns.iter().map(|dns| format!("DNS={dns}")));
    }
    parts.join(";")
}

fn percent_encoded_pem(der: &[u8]) -> String {
    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in base64.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    let mut out = String::with_capacity(pem.len() + pem.len() / 8);
    for byte in pem.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
