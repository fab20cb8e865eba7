//! Rules of `Sidecar`.

use std::collections::BTreeSet;

use super::{CaptureMode, EgressListener, IngressListener, OutboundMode, OutboundTrafficPolicy, Sidecar};
use crate::{
    resource::{
        Object, destination_rule,
        gateway::{self, ServerTls, ServerTlsMode},
        port::SidecarPort,
    },
    validate::{
        Checks, Validate,
        rules::{is_label, shown},
    },
};

impl Validate for Sidecar {
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
        egress(spec, checks);
        if let Some(pool) = &spec.inbound_connection_pool {
            checks.field("inboundConnectionPool", |checks| destination_rule::validate::connection_pool(pool, checks));
        }
        if let Some(policy) = &spec.outbound_traffic_policy {
            checks.field("outboundTrafficPolicy", |checks| outbound(policy, checks));
        }
    }
}

fn ingress(listener: &IngressListener, checks: &mut Checks) {
    target_port(&listener.port, checks);
    let unix = bind(&listener.bind, checks);
    listen(&listener.port, unix, listener.capture_mode, checks);
    if !listener.default_endpoint.is_empty() && !is_endpoint(&listener.default_endpoint) {
        checks.field("defaultEndpoint", |checks| {
            let rule = "sidecar: defaultEndpoint must be of form 127.0.0.1:<port>, 0.0.0.0:<port>, [::1]:<port>, [::]:<port>, or unix://";
            checks.error(shown(&listener.default_endpoint), rule, "write 127.0.0.1 and the application's port");
        });
    }
    if let Some(pool) = &listener.connection_pool {
        checks.field("connectionPool", |checks| destination_rule::validate::connection_pool(pool, checks));
    }
    if let Some(tls) = &listener.tls {
        checks.field("tls", |checks| {
            ingress_tls(tls, checks);
            if !listener.port.protocol.is_some_and(|protocol| protocol.is_tls()) {
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

fn egress(spec: &Sidecar, checks: &mut Checks) {
    let (mut ports, mut sockets) = (BTreeSet::new(), BTreeSet::new());
    for (index, listener) in spec.egress.iter().enumerate() {
        let last = index + 1 == spec.egress.len();
        checks.field(&format!("egress[{index}]"), |checks| {
            let unix = bind(&listener.bind, checks);
            match &listener.port {
                None if !last => {
                    let rule = "sidecar: the egress listener with empty port should be the last listener in the list";
                    checks.error(None, rule, "move it to the end; there can be only one");
                }
                None => {}
                Some(port) => {
                    target_port(port, checks);
                    listen(port, unix, listener.capture_mode, checks);
                    if unix {
                        let rule = "sidecar: unix domain socket values for listeners must be unique";
                        checks.unique("bind", &mut sockets, listener.bind.as_str(), rule);
                    } else {
                        let rule = "sidecar: ports on IP bound listeners must be unique";
                        let address = format!("{}:{}", listener.bind, port.number);
                        checks.unique("port.number", &mut ports, address, rule);
                    }
                }
            }
            hosts(listener, checks);
        });
    }
}

fn hosts(listener: &EgressListener, checks: &mut Checks) {
    if listener.hosts.is_empty() {
        checks.field("hosts", |checks| {
            checks.error(None, "sidecar: egress listener must contain at least one host", "list hosts, or `*/*`");
        });
    }
    let mut seen = BTreeSet::new();
    checks.each("hosts", &listener.hosts, |checks, host| {
        match host.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                // `~name` imports from every namespace but that one.
                let plain = namespace.strip_prefix('~').unwrap_or(namespace);
                if !matches!(namespace, "*" | "." | "~") && !is_label(plain) {
                    checks.error(shown(host), "not a namespace before `/`", "write `*`, `.`, `~` or a namespace");
                }
                if name != "*" {
                    checks.whole_label_host(name);
                }
            }
            _ => checks.error(shown(host), "host must be of form namespace/dnsName", "write ./name or */name"),
        }
        if !seen.insert(host.clone()) {
            checks.warning(shown(host), format!("duplicated egress host: {host}"), "remove one");
        }
    });
    if listener.hosts.len() > 1 && listener.hosts.iter().any(|host| host == "*/*") {
        checks.field("hosts", |checks| {
            let rule = "`*/*` host select all resources, no other hosts can be added";
            checks.warning(None, rule, "keep `*/*` alone");
        });
    }
}

fn outbound(policy: &OutboundTrafficPolicy, checks: &mut Checks) {
    if policy.mode == OutboundMode::AllowAnyDynamicDns {
        checks.field("mode", |checks| {
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
        match &proxy.port {
            Some(port) => checks.port("port.number", port.number),
            None => checks.field("port", |checks| {
                checks.error(None, "sidecar: egress_proxy port must be non-nil", "set port.number");
            }),
        }
        checks.host("host", &proxy.host, false);
    });
}

fn target_port(port: &SidecarPort, checks: &mut Checks) {
    if port.target_port.is_some_and(|target| target != 0) {
        checks.field("port.targetPort", |checks| checks.error(None, "targetPort has no impact on Sidecars", "remove it"));
    }
}

/// Whether a listener is bound to a Unix socket.
fn bind(bind: &str, checks: &mut Checks) -> bool {
    let path = bind.strip_prefix("unix://");
    let valid = match path {
        Some(path) => path.starts_with(['/', '@']) && !path.ends_with('/'),
        None => bind.is_empty() || bind.parse::<std::net::IpAddr>().is_ok(),
    };
    if !valid {
        checks.field("bind", |checks| {
            checks.error(shown(bind), "not an IP address or unix:///path", "leave it out to bind as the proxy does");
        });
    }
    path.is_some()
}

fn listen(port: &SidecarPort, unix: bool, capture: CaptureMode, checks: &mut Checks) {
    if !unix && port.number == 0 {
        checks.field("port.number", |checks| {
            let rule = "sidecar: ports with 0 value must have a unix domain socket bind address";
            checks.error(shown(0), rule, "set a port from 1 to 65535");
        });
    }
    if unix && port.number != 0 {
        checks.field("port.number", |checks| {
            checks.error(shown(port.number), "port number must be 0 for unix domain socket", "set 0");
        });
    }
    if unix && capture == CaptureMode::Iptables {
        checks.field("captureMode", |checks| {
            let rule = "sidecar: captureMode must be DEFAULT/NONE for unix domain socket listeners";
            checks.error(shown(capture), rule, "remove it");
        });
    }
}

/// `127.0.0.1:port`, `0.0.0.0:port`, `[::1]:port`, `[::]:port` or a Unix socket.
fn is_endpoint(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("unix://") {
        return path.starts_with(['/', '@']) && !path.ends_with('/');
    }
    text.parse::<std::net::SocketAddr>()
        .is_ok_and(|address| (address.ip().is_loopback() || address.ip().is_unspecified()) && address.port() > 0)
}
