//! Rules of `Sidecar`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{CaptureMode, EgressListener, IngressListener, OutboundMode, OutboundTrafficPolicy, Sidecar};
use crate::{
    resource::{
        Object, Protocol, destination_rule,
        gateway::{self, ServerTls, ServerTlsMode},
        port::SidecarPort,
        virtual_service,
    },
    schema::Crd,
    validate::{
        Checks, Validate,
        rules::{is_label, is_socket, shown},
    },
};

impl Validate for Sidecar {
    const CRD: Option<Crd> = Some(Crd::of::<Self>());

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        if let Some(selector) = &spec.workload_selector {
            checks.selector("workloadSelector.labels", &selector.labels);
            checks.selects_nothing_special("workloadSelector", &selector.labels);
        }
        if spec.ingress.is_empty()
            && spec.egress.is_empty()
            && spec.outbound_traffic_policy.is_none()
            && spec.inbound_connection_pool.is_none()
        {
            checks.error(None, "sidecar: empty configuration provided", "add egress or ingress listeners");
        }
        let mut ports = BTreeSet::new();
        for (index, listener) in spec.ingress.iter().enumerate() {
            let rule = "sidecar: ports on IP bound listeners must be unique";
            checks.unique(&format!("ingress[{index}].port.number"), &mut ports, listener.port.number, rule);
            checks.field(&format!("ingress[{index}]"), |checks| ingress(listener, checks));
        }
        egress(spec, &object.meta.namespace, checks);
        if let Some(pool) = &spec.inbound_connection_pool {
            checks.field("inboundConnectionPool", |checks| destination_rule::validate::connection_pool(pool, checks));
        }
        if let Some(policy) = &spec.outbound_traffic_policy {
            checks.field("outboundTrafficPolicy", |checks| outbound(policy, checks));
        }
    }
}

fn ingress(listener: &IngressListener, checks: &mut Checks) {
    port(&listener.port, checks);
    checks.port("port.number", listener.port.number);
    bind_address(&listener.bind, checks);
    if !listener.default_endpoint.is_empty() && !is_endpoint(&listener.default_endpoint) {
        checks.field("defaultEndpoint", |checks| {
            let rule = "sidecar: defaultEndpoint must be of form 127.0.0.1:<port>, 0.0.0.0:<port>, [::1]:<port>, [::]:<port>, or unix://";
            checks.error(shown(&listener.default_endpoint), rule, "write 127.0.0.1 and the application's port");
        });
    }
    if let Some(pool) = &listener.connection_pool {
        checks.field("connectionPool", |checks| {
            destination_rule::validate::connection_pool(pool, checks);
            if pool.http.is_some() && !listener.port.protocol.is_some_and(Protocol::is_http) {
                checks.field("http", |checks| {
                    let rule = "sidecar: HTTP connection pool settings have no effect: the port's protocol is not HTTP";
                    checks.warning(None, rule, "set port.protocol: HTTP, or keep only tcp");
                });
            }
        });
    }
    if let Some(tls) = &listener.tls {
        checks.field("tls", |checks| {
            ingress_tls(tls, checks);
            if !listener.port.protocol.is_some_and(Protocol::is_tls) {
                let rule = "server cannot have TLS settings for non HTTPS/TLS ports";
                checks.error(None, rule, "set port.protocol: HTTPS or TLS");
            }
        });
    }
}

fn ingress_tls(tls: &ServerTls, checks: &mut Checks) {
    for (field, set) in [
        ("subjectAltNames", !tls.subject_alt_names.is_empty()),
        ("httpsRedirect", tls.https_redirect),
        ("credentialName", !tls.credential_name.is_empty()),
        ("credentialNames", !tls.credential_names.is_empty()),
        ("tlsCertificates", !tls.tls_certificates.is_empty()),
    ] {
        if set {
            checks.field(field, |checks| {
                checks.error(None, format!("sidecar: {field} is not supported in ingress tls"), "remove it; use files");
            });
        }
    }
    if matches!(tls.mode, ServerTlsMode::IstioMutual | ServerTlsMode::AutoPassthrough) {
        checks.field("mode", |checks| {
            let rule = format!("configuration is invalid: cannot set mode to {} in sidecar ingress tls", tls.mode);
            checks.error(shown(tls.mode), rule, "use SIMPLE or MUTUAL; mutual TLS of the mesh is by PeerAuthentication");
        });
    }
    gateway::validate::server_tls(tls, checks);
}

fn egress(spec: &Sidecar, own: &str, checks: &mut Checks) {
    let (mut ports, mut sockets) = (BTreeSet::new(), BTreeSet::new());
    for (index, listener) in spec.egress.iter().enumerate() {
        let last = index + 1 == spec.egress.len();
        checks.field(&format!("egress[{index}]"), |checks| {
            match &listener.port {
                None if !last => {
                    let rule = "sidecar: the egress listener with empty port should be the last listener in the list";
                    checks.error(None, rule, "move it to the end; there can be only one");
                }
                None => {}
                Some(port) => {
                    self::port(port, checks);
                    if port.number == 0 {
                        socket(listener, checks);
                        let rule = "sidecar: unix domain socket values for listeners must be unique";
                        checks.unique("bind", &mut sockets, listener.bind.as_str(), rule);
                    } else {
                        bind_address(&listener.bind, checks);
                        let rule = "sidecar: ports on IP bound listeners must be unique";
                        checks.unique("port.number", &mut ports, port.number, rule);
                    }
                }
            }
            hosts(listener, own, checks);
        });
    }
}

fn hosts(listener: &EgressListener, own: &str, checks: &mut Checks) {
    if listener.hosts.is_empty() {
        checks.field("hosts", |checks| {
            checks.error(None, "sidecar: egress listener must contain at least one host", "list hosts, or `*/*`");
        });
    }
    let mut imported: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    checks.each("hosts", &listener.hosts, |checks, host| {
        match host.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                // `~namespace/name` takes away what other entries import.
                let plain = namespace.strip_prefix('~').unwrap_or(namespace);
                if !matches!(plain, "*" | "." | "") && !is_label(plain) {
                    checks.error(shown(host), "invalid namespace before `/`", "write `*`, `.`, `~` or a namespace");
                }
                checks.whole_host(name, false);
            }
            _ => checks.error(shown(host), "host must be of form namespace/dnsName", "write ./name or */name"),
        }
    });
    for (index, host) in listener.hosts.iter().enumerate() {
        let Some((namespace, name)) = host.split_once('/').filter(|(namespace, _)| !namespace.starts_with('~')) else { continue };
        let names = imported.entry(if namespace == "." { own } else { namespace }).or_default();
        let covered = if name == "*" { !names.is_empty() } else { names.contains(name) || names.contains("*") };
        names.insert(name);
        if covered {
            checks.field(&format!("hosts[{index}]"), |checks| {
                checks.warning(shown(host), format!("duplicated egress host: {host}"), "remove one of the entries that import it");
            });
        }
    }
    if imported.len() > 1 && imported.get("*").is_some_and(|names| names.contains("*")) {
        checks.field("hosts", |checks| {
            let rule = "`*/*` host select all resources, no other hosts can be added";
            checks.warning(None, rule, "keep `*/*` alone");
        });
    }
}

fn outbound(policy: &OutboundTrafficPolicy, checks: &mut Checks) {
    if policy.mode == OutboundMode::AllowAnyDynamicDns {
        return checks.field("mode", |checks| {
            let rule = "sidecar: ALLOW_ANY_DYNAMIC_DNS mode is only supported in MeshConfig, not in Sidecar resource";
            checks.error(shown(policy.mode), rule, "use ALLOW_ANY or REGISTRY_ONLY");
        });
    }
    let Some(proxy) = &policy.egress_proxy else { return };
    checks.field("egressProxy", |checks| {
        if policy.mode != OutboundMode::AllowAny {
            let rule = "sidecar: egress_proxy must be set only with ALLOW_ANY outbound_traffic_policy mode";
            checks.error(None, rule, "set mode: ALLOW_ANY, or remove it");
        }
        if proxy.port.is_none() {
            checks.field("port", |checks| {
                checks.error(None, "sidecar: egress_proxy port must be non-nil", "set port.number");
            });
        }
        virtual_service::validate::destination("", proxy, checks);
        if proxy.host.starts_with('*') {
            checks.domain("host", &proxy.host, false);
        }
    });
}

fn port(port: &SidecarPort, checks: &mut Checks) {
    if port.target_port.is_some_and(|target| target != 0) {
        checks.field("port.targetPort", |checks| checks.error(None, "targetPort has no impact on Sidecars", "remove it"));
    }
    if !port.name.is_empty() && !is_label(&port.name) {
        let remedy = "use letters, digits and inner dashes, at most 63";
        checks.field("port.name", |checks| checks.error(shown(&port.name), "invalid port name", remedy));
    }
}

fn bind_address(bind: &str, checks: &mut Checks) {
    if !bind.is_empty() && bind.parse::<IpAddr>().is_err() {
        let unix = bind.starts_with("unix://");
        checks.field("bind", |checks| {
            let remedy = if unix {
                "only an egress listener binds a Unix socket, with port.number: 0"
            } else {
                "leave it out to bind as the proxy does"
            };
            checks.error(shown(bind), "not a valid IP address", remedy);
        });
    }
}

/// Port 0: an egress listener on a Unix socket.
fn socket(listener: &EgressListener, checks: &mut Checks) {
    match listener.bind.strip_prefix("unix://") {
        Some(path) => checks.field("bind", |checks| checks.socket(path)),
        None => checks.field("port.number", |checks| {
            let rule = "sidecar: ports with 0 value must have a unix domain socket bind address";
            checks.error(shown(0), rule, "set a port from 1 to 65535, or bind: unix:///path");
        }),
    }
    if listener.capture_mode == CaptureMode::Iptables {
        checks.field("captureMode", |checks| {
            let rule = "sidecar: captureMode must be DEFAULT/NONE for unix domain socket listeners";
            checks.error(shown(listener.capture_mode), rule, "remove it");
        });
    }
}

/// `127.0.0.1:port`, `0.0.0.0:port`, `[::1]:port`, `[::]:port`, `:port` or a Unix socket.
fn is_endpoint(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("unix://") {
        return is_socket(path);
    }
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    matches!(host, "" | "127.0.0.1" | "0.0.0.0" | "[::1]" | "[::]") && port.parse::<u16>().is_ok_and(|port| port > 0)
}
