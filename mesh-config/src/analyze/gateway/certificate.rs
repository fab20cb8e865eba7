//! One certificate in several Gateways: a browser reuses its HTTP/2 connection for every host that the certificate names, and
//! the filter chain that it was opened with knows only the routes of one Gateway.

use std::collections::{BTreeSet, HashMap};

use crate::{
    analyze::{
        Analyzer, code,
        context::{Context, Item},
    },
    resource::{Gateway, Kind, gateway::ServerTls, selector::selects},
};

/// Gateways that share a certificate.
pub(in crate::analyze) static CERTIFICATE: Analyzer = Analyzer {
    name: "gateway.CertificateAnalyzer",
    about: "Checks that Gateways of the same workloads do not share a certificate",
    codes: &[&code::GATEWAY_DUPLICATE_CERTIFICATE],
    reads: &[Kind::Gateway],
    run: duplicate_certificates,
};

/// Where a server's certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Certificate<'a> {
    Secret(&'a str),
    Files { chain: &'a str, key: &'a str },
}

fn duplicate_certificates(cx: &mut Context<'_>) {
    let gateways: Vec<Item<'_, Gateway>> = cx.all::<Gateway>().collect();
    let mut holders: HashMap<Certificate<'_>, BTreeSet<usize>> = HashMap::new();
    for (index, gateway) in gateways.iter().enumerate() {
        for certificate in certificates(gateway.spec()) {
            holders.entry(certificate).or_default().insert(index);
        }
    }
    for (index, gateway) in gateways.iter().enumerate() {
        let sharers: BTreeSet<usize> =
            certificates(gateway.spec()).filter_map(|certificate| holders.get(&certificate)).flatten().copied().collect();
        for other in sharers.into_iter().filter(|other| *other != index).filter_map(|other| gateways.get(other)) {
            // It is told about the one for the same workloads or more: all that the other is for, it is for as well.
            if selects(&gateway.spec().selector, &other.spec().selector) {
                let names = [gateway.key(), other.key()];
                cx.report(&code::GATEWAY_DUPLICATE_CERTIFICATE, gateway, "metadata.name", &[&code::List(&names)]);
            }
        }
    }
}

fn certificates(gateway: &Gateway) -> impl Iterator<Item = Certificate<'_>> {
    gateway.servers.iter().filter_map(|server| certificate(server.tls.as_ref()?))
}

fn certificate(tls: &ServerTls) -> Option<Certificate<'_>> {
    if !tls.credential_name.is_empty() {
        return Some(Certificate::Secret(&tls.credential_name));
    }
    let files = !tls.server_certificate.is_empty() && !tls.private_key.is_empty();
    files.then_some(Certificate::Files { chain: &tls.server_certificate, key: &tls.private_key })
}
