//! Rules of `Gateway`, and of `ServerTls` wherever it is.

use std::collections::BTreeSet;

use super::{Gateway, Server, ServerTls, ServerTlsMode, TlsVersion};
use crate::{
    resource::{Object, Protocol},
    schema::Crd,
    validate::{
        Checks, Validate,
        rules::{is_label, shown},
    },
};

/// The cipher suites of TLS 1.2 and below that Envoy can offer, by BoringSSL's names.
const CIPHER_SUITES: [&str; 15] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];

impl Validate for Gateway {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().short_names(&["gw"]));

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        if spec.servers.is_empty() {
            checks.field("servers", |checks| {
                checks.error(None, "gateway must have at least one server", "add a server");
            });
        }
        if !is_label(&object.meta.name) {
            checks.metadata("name", |checks| {
                checks.error(
                    shown(&object.meta.name),
                    "invalid gateway name",
                    "use letters, digits and inner dashes, at most 63: VirtualServices name it",
                );
            });
        }
        checks.labels("selector", &spec.selector);
        let mut names = BTreeSet::new();
        checks.each("servers", &spec.servers, |checks, item| server(item, checks));
        for (index, server) in spec.servers.iter().enumerate() {
            let rule = "port names in servers must be unique: duplicate name";
            checks.unique(&format!("servers[{index}].port.name"), &mut names, server.port.name.as_str(), rule);
        }
    }
}

fn server(server: &Server, checks: &mut Checks) {
    if server.hosts.is_empty() {
        checks.field("hosts", |checks| {
            checks.error(None, "server config must contain at least one host", "list hosts, or `*`");
        });
    }
    checks.each("hosts", &server.hosts, |checks, host| self::host(host, checks));
    port(server, checks);
    let protocol = server.port.protocol;
    match &server.tls {
        None if protocol.is_tls() => checks.field("tls", |checks| {
            checks.error(None, "server must have TLS settings for HTTPS/TLS protocols", "add tls");
        }),
        Some(tls) => {
            if protocol.is_http() && !unused(tls) {
                checks.field("tls", |checks| {
                    let rule = "server cannot have TLS settings for plain text HTTP ports";
                    checks.error(None, rule, "keep only httpsRedirect, or use protocol HTTPS");
                });
            } else if !protocol.is_tls() && !protocol.is_http() {
                checks.field("tls", |checks| {
                    let rule = "server cannot have TLS settings for non HTTPS/TLS ports";
                    checks.error(shown(protocol), rule, "use protocol HTTPS or TLS");
                });
            }
            if tls.https_redirect && !protocol.is_http() {
                checks.field("tls.httpsRedirect", |checks| {
                    checks.warning(None, "tls.httpsRedirect should only be used with http servers", "remove it");
                });
            }
            checks.field("tls", |checks| server_tls(tls, checks));
        }
        None => {}
    }
}

/// Whether settings ask for no TLS: a server that speaks HTTP may have them for its redirect.
fn unused(tls: &ServerTls) -> bool {
    matches!(tls.mode, ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough)
        && [&tls.ca_certificates, &tls.private_key, &tls.server_certificate].iter().all(|file| file.is_empty())
}

fn port(server: &Server, checks: &mut Checks) {
    let unix = server.bind.starts_with("unix://");
    checks.field("port", |checks| {
        if unix && server.port.number != 0 {
            checks.field("number", |checks| {
                let rule = "port number must be 0 for unix domain socket";
                checks.error(shown(server.port.number), rule, "set 0");
            });
        } else if !unix {
            checks.port("number", server.port.number);
        }
        if server.port.target_port.is_some_and(|target| target != 0) {
            checks.field("targetPort", |checks| checks.error(None, "targetPort has no impact on Gateways", "remove it"));
        }
        if server.port.name.is_empty() {
            checks.field("name", |checks| checks.error(None, "port name must be set", "name it, such as https-web"));
        }
        if server.port.protocol == Protocol::Udp {
            checks.field("protocol", |checks| {
                let rule = "invalid protocol UDP, supported protocols are HTTP, HTTP2, GRPC, GRPC-WEB, MONGO, REDIS, MYSQL, TCP";
                checks.error(shown("UDP"), rule, "the mesh does not carry datagrams");
            });
        }
    });
    if let Some(path) = server.bind.strip_prefix("unix://") {
        checks.field("bind", |checks| checks.socket(path));
    } else if !server.bind.is_empty() && server.bind.parse::<std::net::IpAddr>().is_err() {
        checks.field("bind", |checks| {
            checks.error(shown(&server.bind), "not an IP address or unix:///path", "leave it out to listen everywhere");
        });
    }
}

/// `[namespace/]host`.
fn host(host: &str, checks: &mut Checks) {
    let (namespace, name) = host.split_once('/').map_or((None, host), |(namespace, name)| (Some(namespace), name));
    if let Some(namespace) = namespace
        && !matches!(namespace, "*" | ".")
        && !is_label(namespace)
    {
        checks.error(shown(host), "invalid namespace before `/`", "write `*`, `.` or the name of a namespace");
    }
    checks.whole_host(name, true);
}

/// How a server's TLS may be set.
pub(crate) fn server_tls(tls: &ServerTls, checks: &mut Checks) {
    use ServerTlsMode::{AutoPassthrough, IstioMutual, Mutual, OptionalMutual, Passthrough, Simple};
    let files = !tls.server_certificate.is_empty() && !tls.private_key.is_empty();
    let sources = [!tls.credential_name.is_empty(), !tls.credential_names.is_empty(), files, !tls.tls_certificates.is_empty()];
    // The schema says it of credentialNames.
    let said = sources[1] && (sources[0] || sources[3]);
    if !said && sources.iter().filter(|set| **set).count() > 1 {
        let rule =
            "only one of credentialName, credentialNames, serverCertificate with privateKey, and tlsCertificates should be specified";
        checks.error(None, rule, "keep one source of certificates");
    }
    versions_and_ciphers(tls, checks);
    match tls.mode {
        IstioMutual => istio_mutual(tls, checks),
        Passthrough | AutoPassthrough => {
            let files = [&tls.server_certificate, &tls.private_key, &tls.ca_certificates, &tls.ca_crl];
            if sources.contains(&true) || files.iter().any(|file| !file.is_empty()) {
                let rule = format!("{} mode does not use certificates, they will be ignored", tls.mode);
                checks.warning(None, rule, "remove them, or use mode SIMPLE");
            }
        }
        Simple | Mutual | OptionalMutual => terminating(tls, checks),
    }
}

/// What cannot be offered is left out by the proxy: worth a word, and no more.
fn versions_and_ciphers(tls: &ServerTls, checks: &mut Checks) {
    if tls.max_protocol_version != TlsVersion::Auto && tls.min_protocol_version > tls.max_protocol_version {
        checks.field("minProtocolVersion", |checks| {
            checks.error(shown(tls.min_protocol_version), "above maxProtocolVersion", "lower it, or raise the other");
        });
    }
    if matches!(tls.min_protocol_version, TlsVersion::V1_0 | TlsVersion::V1_1) && tls.cipher_suites.is_empty() {
        checks.field("minProtocolVersion", |checks| {
            let rule = "a TLS version below TLSV1_2 needs cipher suites of its own: those offered by default are for TLSV1_2 and above";
            checks.warning(shown(tls.min_protocol_version), rule, "set cipherSuites, or TLSV1_2");
        });
    }
    let mut seen = BTreeSet::new();
    checks.each("cipherSuites", &tls.cipher_suites, |checks, suite| {
        // A group of suites (`ALL`), or one that is added or taken away.
        let one = suite.starts_with(|c: char| c.is_alphanumeric()) && suite != "ALL";
        if one && !CIPHER_SUITES.contains(&suite.as_str()) {
            checks.warning(
                shown(suite),
                "an unknown cipher suite is ignored",
                "use a name of BoringSSL, such as ECDHE-RSA-AES128-GCM-SHA256",
            );
        } else if !seen.insert(suite.clone()) {
            checks.warning(shown(suite), format!("a duplicate cipher suite is ignored: {suite}"), "remove it");
        }
    });
}

fn istio_mutual(tls: &ServerTls, checks: &mut Checks) {
    for (field, set, what) in [
        ("serverCertificate", !tls.server_certificate.is_empty(), "server certificate"),
        ("privateKey", !tls.private_key.is_empty(), "private key"),
        ("caCertificates", !tls.ca_certificates.is_empty(), "CA bundle"),
        ("tlsCertificates", !tls.tls_certificates.is_empty(), "tlsCertificates"),
        ("credentialName", !tls.credential_name.is_empty(), "credentialName"),
        ("credentialNames", !tls.credential_names.is_empty(), "credentialNames"),
    ] {
        if set {
            checks.field(field, |checks| {
                let rule = format!("ISTIO_MUTUAL TLS cannot have associated {what}");
                checks.error(None, rule, "remove it: the mesh's own certificates are used");
            });
        }
    }
}

fn terminating(tls: &ServerTls, checks: &mut Checks) {
    let mode = tls.mode;
    // The credential brings all that it needs.
    if !tls.credential_name.is_empty() || !tls.credential_names.is_empty() {
        return;
    }
    if !tls.ca_crl.is_empty() && mode == ServerTlsMode::Simple {
        checks.field("caCrl", |checks| checks.error(None, "CRL is not supported with SIMPLE TLS", "remove it, or use MUTUAL"));
    }
    let verifies = matches!(mode, ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual);
    if !tls.tls_certificates.is_empty() {
        checks.each("tlsCertificates", &tls.tls_certificates, |checks, certificate| {
            certificate_and_key(mode, &certificate.server_certificate, &certificate.private_key, checks);
        });
    } else {
        certificate_and_key(mode, &tls.server_certificate, &tls.private_key, checks);
    }
    let authority = !tls.ca_certificates.is_empty()
        || !tls.ca_cert_credential_name.is_empty()
        || tls.tls_certificates.iter().any(|certificate| !certificate.ca_certificates.is_empty());
    if verifies && !authority && tls.insecure_skip_verify != Some(true) {
        checks.field("caCertificates", |checks| {
            checks.error(None, format!("{mode} requires a client CA bundle"), "name the CA that signs clients, or a credentialName");
        });
    }
}

fn certificate_and_key(mode: ServerTlsMode, certificate: &str, key: &str, checks: &mut Checks) {
    if certificate.is_empty() {
        checks.field("serverCertificate", |checks| {
            checks.error(None, format!("{mode} requires a server certificate"), "name a file, or use credentialName");
        });
    }
    if key.is_empty() {
        checks.field("privateKey", |checks| {
            checks.error(None, format!("{mode} requires a private key"), "name a file, or use credentialName");
        });
    }
}
