//! Rules of `Gateway`, and of `ServerTls` wherever it is.

use std::collections::BTreeSet;

use super::{Gateway, Server, ServerTls, ServerTlsMode};
use crate::{
    resource::{Object, Protocol},
    validate::{
        Checks, Validate,
        rules::{is_label, shown},
    },
};

impl Validate for Gateway {
    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        if spec.servers.is_empty() {
            checks.field("servers", |checks| {
                checks.error(None, "gateway must have at least one server", "add a server");
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
            let plain_redirect = protocol == Protocol::Http && *tls == (ServerTls { https_redirect: true, ..ServerTls::default() });
            if protocol == Protocol::Http && !plain_redirect {
                checks.field("tls", |checks| {
                    let rule = "server cannot have TLS settings for plain text HTTP ports";
                    checks.error(None, rule, "keep only httpsRedirect, or use protocol HTTPS");
                });
            } else if !protocol.is_tls() && protocol != Protocol::Http {
                checks.field("tls", |checks| {
                    let rule = "server cannot have TLS settings for non HTTPS/TLS ports";
                    checks.error(shown(protocol), rule, "use protocol HTTPS or TLS");
                });
            }
            if tls.https_redirect && protocol != Protocol::Http {
                checks.field("tls.httpsRedirect", |checks| {
                    checks.warning(None, "tls.httpsRedirect should only be used with http servers", "remove it");
                });
            }
            if protocol.is_tls() {
                checks.field("tls", |checks| server_tls(tls, checks));
            }
        }
        None => {}
    }
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
    if !server.bind.is_empty() && !unix && server.bind.parse::<std::net::IpAddr>().is_err() {
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
        checks.error(shown(host), "not a namespace before `/`", "write `*`, `.` or the name of a namespace");
    }
    if name != "*" {
        checks.whole_label_host(name);
        if !name.contains(['.', ':']) {
            checks.error(shown(host), "short names (non FQDN) are not allowed", "write the whole DNS name");
        }
    }
}

/// How a server's TLS may be set.
pub(crate) fn server_tls(tls: &ServerTls, checks: &mut Checks) {
    use ServerTlsMode::{AutoPassthrough, IstioMutual, Mutual, OptionalMutual, Passthrough, Simple};
    let files = !tls.server_certificate.is_empty() && !tls.private_key.is_empty();
    let sources = [!tls.credential_name.is_empty(), !tls.credential_names.is_empty(), files, !tls.tls_certificates.is_empty()];
    if sources.iter().filter(|set| **set).count() > 1 {
        let rule = "only one of credential_name, credential_names, server_certificate/private_key, tls_certificates should be specified: \
                    only one of credentialNames or tlsCertificates can be set";
        checks.error(None, rule, "keep one source of certificates");
    }
    for (field, count) in [("credentialNames", tls.credential_names.len()), ("tlsCertificates", tls.tls_certificates.len())] {
        if count > 2 {
            checks.field(field, |checks| checks.error(shown(count), "at most 2: one RSA, one ECDSA", "remove the others"));
        }
    }
    if tls.max_protocol_version != super::TlsVersion::Auto && tls.min_protocol_version > tls.max_protocol_version {
        checks.field("minProtocolVersion", |checks| {
            checks.error(shown(tls.min_protocol_version), "above maxProtocolVersion", "lower it, or raise the other");
        });
    }
    match tls.mode {
        IstioMutual => istio_mutual(tls, checks),
        Passthrough | AutoPassthrough => {
            if sources.contains(&true) || !tls.ca_certificates.is_empty() {
                let rule = format!("{} mode does not use certificates, they will be ignored", tls.mode);
                checks.warning(None, rule, "remove them, or use mode SIMPLE");
            }
        }
        Simple | Mutual | OptionalMutual => terminating(tls, checks),
    }
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
    let secret = !tls.credential_name.is_empty() || !tls.credential_names.is_empty();
    if !tls.ca_crl.is_empty() && mode == ServerTlsMode::Simple {
        let rule = "CRL is not supported with SIMPLE TLS";
        if secret {
            checks.field("caCrl", |checks| checks.warning(None, rule, "remove it, or use MUTUAL"));
        } else {
            checks.field("caCrl", |checks| checks.error(None, rule, "remove it, or use MUTUAL"));
        }
    } else if !tls.ca_crl.is_empty() && secret {
        let rule = "CRL is not supported with credentialName. CRL has to be specified in the credential";
        checks.field("caCrl", |checks| checks.error(None, rule, "put the CRL into the Secret"));
    }
    if secret {
        return;
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
