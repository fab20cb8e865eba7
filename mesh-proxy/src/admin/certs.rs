//! `/certs`: every certificate that TLS settings in force refer to.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mesh_runtime::admin::{Reply, Request};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
};

use super::Admin;
use crate::{
    access_log::rfc3339,
    secret::{Secret, SecretRef},
    snapshot::{DownstreamTransport, Snapshot, UpstreamTransport, Validation},
};

/// One entry per TLS context, as Envoy has it; contexts of the same secrets are one.
pub(super) fn page(admin: &Admin, _request: &Request) -> Reply {
    let now = SystemTime::now();
    let describe = |place: &SecretRef| -> Vec<Value> {
        let secret = place.load();
        let certificates = match secret.as_deref() {
            Some(Secret::Certificate(key)) => &key.cert[..],
            Some(Secret::Roots(roots)) => &roots.certificates[..],
            None => &[],
        };
        certificates.iter().filter_map(|certificate| describe(place.name(), certificate, now)).collect()
    };
    let certificates: Vec<Value> = contexts(&admin.plane.snapshot())
        .into_values()
        .map(|context| {
            let chains: Vec<Value> = context.certificates.iter().flat_map(describe).collect();
            let roots: Vec<Value> = context.roots.iter().flat_map(describe).collect();
            json!({"ca_cert": roots, "cert_chain": chains})
        })
        .collect();
    Reply::json(&json!({ "certificates": certificates }))
}

/// Whole days until the first certificate that we present expires.
pub(super) fn first_expiry_days(snapshot: &Snapshot) -> Option<u64> {
    let now = SystemTime::now();
    let places = contexts(snapshot).into_values().flat_map(|context| context.certificates);
    let expiries = places.filter_map(|place| match place.load().as_deref() {
        Some(Secret::Certificate(key)) => {
            let (_, leaf) = X509Certificate::from_der(key.cert.first()?).ok()?;
            Some(days(time(leaf.validity().not_after.timestamp()), now))
        }
        _ => None,
    });
    expiries.min()
}

/// The secrets of TLS settings.
struct Context {
    certificates: Vec<SecretRef>,
    roots: Option<SecretRef>,
}

/// The names of a context's secrets.
type Names = (Vec<Arc<str>>, Option<Arc<str>>);

/// Those in force, by the names of their secrets.
fn contexts(snapshot: &Snapshot) -> BTreeMap<Names, Context> {
    let mut found = BTreeMap::new();
    let mut add = |certificates: Vec<SecretRef>, validation: Option<&Validation>| {
        let roots = validation.and_then(|validation| validation.roots.clone());
        let names = certificates.iter().map(|place| place.name().clone()).collect();
        let key = (names, roots.as_ref().map(|place| place.name().clone()));
        found.entry(key).or_insert(Context { certificates, roots });
    };
    for listener in snapshot.listeners.iter().flatten() {
        for chain in listener.chains.iter().chain(&listener.default_chain) {
            if let DownstreamTransport::Tls(tls) = &chain.transport {
                add(tls.certificates.clone(), tls.validation.as_ref());
            }
        }
    }
    for cluster in snapshot.clusters.iter().flatten() {
        let matches = cluster.transport_matches.iter().map(|matched| &matched.transport);
        for transport in matches.chain([&cluster.transport]) {
            if let UpstreamTransport::Tls(tls) = transport {
                add(tls.certificate.iter().cloned().collect(), tls.validation.as_ref());
            }
        }
    }
    found
}

/// `envoy.admin.v3.CertificateDetails`.
fn describe(path: &str, certificate: &CertificateDer<'_>, now: SystemTime) -> Option<Value> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let names: Vec<Value> = names
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(json!({ "uri": uri })),
            GeneralName::DNSName(name) => Some(json!({ "dns": name })),
            GeneralName::IPAddress(bytes) => Some(json!({"ip_address": address(bytes)?})),
            _ => None,
        })
        .collect();
    let serial: String = parsed.raw_serial().iter().skip_while(|byte| **byte == 0).map(|byte| format!("{byte:02x}")).collect();
    let (from, to) = (time(parsed.validity().not_before.timestamp()), time(parsed.validity().not_after.timestamp()));
    Some(json!({
        "path": path,
        "serial_number": serial,
        "subject_alt_names": names,
        // Envoy prints 64-bit numbers in quotes.
        "days_until_expiration": days(to, now).to_string(),
        "valid_from": rfc3339(from),
        "expiration_time": rfc3339(to),
    }))
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(std::net::IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(std::net::IpAddr::from)).map(|address| address.to_string())
}

fn days(until: SystemTime, now: SystemTime) -> u64 {
    until.duration_since(now).unwrap_or_default().as_secs() / 86_400
}

fn time(seconds: i64) -> SystemTime {
    u64::try_from(seconds).map_or(UNIX_EPOCH, |seconds| UNIX_EPOCH + Duration::from_secs(seconds))
}
