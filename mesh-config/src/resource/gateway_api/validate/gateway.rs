//! Doubtful settings of Gateways and ListenerSets.

use super::hostname;
use crate::{
    resource::{
        Object,
        gateway_api::{
            GROUP, K8sGateway, ListenerSet,
            gateway::{FromListenerNamespaces, FrontendTlsConfig, FrontendValidationMode},
            listener::{FromNamespaces, Listener, ListenerTlsMode, NamespaceSelector},
        },
    },
    schema::Crd,
    suggest::nearest,
    validate::{Checks, Validate, rules::shown},
};

/// What the API itself names, and the routes that each can carry.
const PROTOCOLS: [(&str, &[&str]); 5] = [
    ("HTTP", &["HTTPRoute", "GRPCRoute"]),
    ("HTTPS", &["HTTPRoute", "GRPCRoute"]),
    ("TLS", &["TLSRoute", "TCPRoute"]),
    ("TCP", &["TCPRoute"]),
    ("UDP", &["UDPRoute"]),
];

/// Istio's own protocol name, of the one listener that a waypoint has.
const WAYPOINT: &str = "HBONE";

impl Validate for K8sGateway {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().requires_spec());

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        checks.each("listeners", &spec.listeners, |checks, item| listener(item, checks));
        if let Some(allowed) = &spec.allowed_listeners {
            let wanted = allowed.namespaces.from == FromListenerNamespaces::Selector;
            checks.field("allowedListeners.namespaces", |checks| selector(wanted, allowed.namespaces.selector.as_ref(), checks));
        }
        if let Some(frontend) = spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref()) {
            checks.field("tls.frontend.default", |checks| insecure(&frontend.default, checks));
            checks.each("tls.frontend.perPort", &frontend.per_port, |checks, port| {
                checks.field("tls", |checks| insecure(&port.tls, checks));
            });
        }
    }
}

impl Validate for ListenerSet {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().requires_spec());

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        checks.each("listeners", &object.spec.listeners, |checks, item| listener(item, checks));
    }
}

fn listener(listener: &Listener, checks: &mut Checks) {
    let protocol = listener.protocol.as_str();
    let routes = PROTOCOLS.iter().find(|(name, _)| *name == protocol).map(|(_, routes)| *routes);
    if routes.is_none() && protocol != WAYPOINT && !protocol.contains('/') {
        checks.field("protocol", |checks| {
            let remedy = match nearest(protocol, PROTOCOLS.iter().map(|(name, _)| *name)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "use HTTP, HTTPS, TLS or TCP".to_owned(),
            };
            checks.warning(shown(protocol), "the protocol is not known: the listener takes no traffic", remedy);
        });
    }
    if protocol == "UDP" {
        checks.field("protocol", |checks| {
            let rule = "the mesh carries no datagrams: the listener takes no traffic";
            checks.warning(shown(protocol), rule, "use TCP, TLS, HTTP or HTTPS");
        });
    }
    if let Some(name) = &listener.hostname {
        checks.field("hostname", |checks| hostname(checks, name));
    }
    match &listener.tls {
        None if protocol == "HTTPS" => checks.field("tls", |checks| {
            checks.warning(None, "an HTTPS listener without tls takes no traffic", "add tls.certificateRefs");
        }),
        Some(tls) if tls.mode == ListenerTlsMode::Passthrough && !tls.certificate_refs.is_empty() => {
            checks.field("tls.certificateRefs", |checks| {
                let rule = "TLS that is passed through is not ended here: the certificates are not used";
                checks.warning(None, rule, "remove them, or use mode Terminate");
            });
        }
        _ => {}
    }
    checks.field("allowedRoutes", |checks| {
        let namespaces = &listener.allowed_routes.namespaces;
        let wanted = namespaces.from == FromNamespaces::Selector;
        checks.field("namespaces", |checks| selector(wanted, namespaces.selector.as_ref(), checks));
        checks.each("kinds", &listener.allowed_routes.kinds, |checks, kind| {
            let carried = routes.is_none_or(|routes| kind.group() == GROUP && routes.contains(&kind.kind.as_str()));
            if !carried {
                let rule = format!("a listener of protocol {protocol} carries no such routes: none attaches");
                checks.warning(shown(&kind.kind), rule, format!("use {}", routes.unwrap_or_default().join(" or ")));
            }
        });
    });
}

/// A selector is there if it is asked for, and says something.
fn selector(wanted: bool, selector: Option<&NamespaceSelector>, checks: &mut Checks) {
    checks.field("selector", |checks| match selector {
        None if wanted => checks.warning(None, "from is Selector and there is no selector: no namespace is allowed", "add a selector"),
        Some(_) if !wanted => checks.warning(None, "from is not Selector: the selector has no effect", "set from: Selector, or remove it"),
        Some(selector) => checks.each("matchExpressions", &selector.match_expressions, |checks, requirement| {
            let (known, valued) = match requirement.operator.as_str() {
                "In" | "NotIn" => (true, !requirement.values.is_empty()),
                "Exists" | "DoesNotExist" => (true, requirement.values.is_empty()),
                _ => (false, true),
            };
            if !known {
                checks.field("operator", |checks| {
                    let rule = "the operator is not known: no namespace is allowed";
                    checks.warning(shown(&requirement.operator), rule, "use In, NotIn, Exists or DoesNotExist");
                });
            }
            if !valued {
                checks.field("values", |checks| {
                    let rule = "In and NotIn need values, Exists and DoesNotExist take none: no namespace is allowed";
                    checks.warning(None, rule, "add or remove values");
                });
            }
        }),
        None => {}
    });
}

fn insecure(config: &FrontendTlsConfig, checks: &mut Checks) {
    if let Some(validation) =
        config.validation.as_ref().filter(|validation| validation.mode == FrontendValidationMode::AllowInsecureFallback)
    {
        checks.field("validation.mode", |checks| {
            let rule = "clients without a valid certificate are let in";
            checks.warning(shown(validation.mode), rule, "use AllowValidOnly unless the backends check for themselves");
        });
    }
}
