//! `x-forwarded-client-cert`: who the client proved to be, told to the endpoint (Envoy docs: HTTP header manipulation).

use std::fmt::Write as _;

use base64::Engine as _;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::append_to_list;
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
    let made = || HeaderValue::try_from(element(settings, tls)).ok();
    let element = match tls.xfcc.get_or_init(|| (settings, made())) {
        (made_for, element) if *made_for == settings => element.clone(),
        // The connection is older than its settings.
        _ => made(),
    };
    match element {
        Some(element) if append => append_to_list(headers, NAME, &element),
        Some(element) => {
            headers.insert(NAME, element);
        }
        // A certificate with a name that is no header value: nobody is believed to be behind it.
        None => {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use super::*;

    #[test]
    fn repeated_lines_are_kept() {
        let tls = PeerTls {
            peer_id: None,
            peer_uris: Arc::default(),
            peer_dns: Arc::default(),
            peer_subject: None,
            peer_certificate: Some(b"der".to_vec().into()),
            verified: true,
            local_uri: Some("spiffe://a".into()),
            version: "TLSv1.3",
            cipher: "",
            alpn: None,
            xfcc: std::sync::OnceLock::new(),
        };
        let settings = Xfcc { mode: XfccMode::AppendForward, ..Xfcc::default() };
        let mut headers = HeaderMap::new();
        headers.append(NAME, HeaderValue::from_bytes(b"Hash=1\xff").unwrap());
        headers.append(NAME, HeaderValue::from_static("Hash=2"));
        forward_client_certificate(&mut headers, settings, Some(&tls));
        let lines: Vec<&[u8]> = headers.get_all(NAME).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with(b"Hash=1\xff,Hash=2,By=spiffe://a;Hash="), "{lines:?}");
    }

    #[test]
    fn what_is_said_of_a_peer_is_made_once_for_the_settings_in_force() {
        let tls = PeerTls {
            peer_id: None,
            peer_uris: Arc::from(["spiffe://b".into()]),
            peer_dns: Arc::default(),
            peer_subject: None,
            peer_certificate: Some(b"der".to_vec().into()),
            verified: true,
            local_uri: None,
            version: "TLSv1.3",
            cipher: "",
            alpn: None,
            xfcc: std::sync::OnceLock::new(),
        };
        let told = |settings| {
            let mut headers = HeaderMap::new();
            forward_client_certificate(&mut headers, settings, Some(&tls));
            headers.remove(NAME).unwrap()
        };
        let settings = Xfcc { mode: XfccMode::SanitizeSet, ..Xfcc::default() };
        let [first, second] = [told(settings), told(settings)];
        assert_eq!(first.as_bytes().as_ptr(), second.as_bytes().as_ptr(), "the same bytes");
        let changed = told(Xfcc { uri: true, ..settings });
        assert_eq!(changed.as_bytes(), [first.as_bytes(), b";URI=spiffe://b"].concat());
    }
}
