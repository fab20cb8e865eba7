//! The Gateway API's `Gateway`, which is not Istio's: a class, listeners, and the addresses they listen on.

use schemars::{Schema, transform::Transform as _};

use super::{
    form,
    listener::{Listener, NamespaceSelector, listeners},
    refs::{LocalObjectRef, ObjectRef, SecretRef},
};
use crate::{
    resource::{
        selector::Labels,
        spec::{names, spec},
    },
    schema::{cel, list_map, values},
};

spec! {
    /// Listeners of one class.
    pub struct K8sGateway {
        #[schemars(with = "form::ObjectName")]
        required gateway_class_name: String,
        #[schemars(length(min = 1, max = 64), transform = own_listeners)]
        required listeners: Vec<Listener>,
        /// Addresses asked for; empty: the implementation chooses.
        #[schemars(length(max = 16), transform = addresses_differ)]
        addresses: Vec<Address>,
        infrastructure: Option<Infrastructure>,
        /// Which ListenerSets may add listeners. Absent: none.
        allowed_listeners: Option<AllowedListeners>,
        tls: Option<GatewayTls>,
        /// Routes that name no parent may use this Gateway (experimental).
        default_scope: Option<DefaultScope>,
    }

    /// An address of a Gateway.
    #[schemars(extend("oneOf" = [
        {
            "properties": { "type": { "enum": ["IPAddress"] }, "value": { "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] } }
        },
        { "properties": { "type": { "not": { "enum": ["IPAddress"] } } } }
    ]))]
    #[schemars(transform = cel(
        r#"self.type == 'Hostname' ? (!has(self.value) || self.value.matches(r"""^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$""")): true"#,
        r"Hostname value must be empty or contain only valid characters (matching ^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$)",
    ))]
    pub struct Address {
        /// `IPAddress` (the default), `Hostname`, `NamedAddress`, or an implementation's own as `domain/name`.
        #[schemars(with = "form::AddressType", extend("default" = "IPAddress"))]
        r#type: Option<String>,
        /// Absent: the implementation chooses one of the type.
        #[schemars(length(max = 253))]
        value: Option<String>,
    }

    /// What goes onto the objects made for a Gateway.
    pub struct Infrastructure {
        #[schemars(extend("maxProperties" = 8), transform = label_map)]
        labels: Labels,
        #[schemars(extend("maxProperties" = 16), transform = annotation_map)]
        annotations: Labels,
        /// Settings of the controller's own.
        parameters_ref: Option<LocalObjectRef>,
    }

    /// Which ListenerSets may add listeners.
    pub struct AllowedListeners {
        #[schemars(extend("default" = { "from": "None" }))]
        namespaces: ListenerNamespaces,
    }

    /// Namespaces whose ListenerSets may add listeners.
    pub struct ListenerNamespaces {
        #[schemars(extend("default" = "None"))]
        from: FromListenerNamespaces,
        /// For `Selector`.
        #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
        selector: Option<NamespaceSelector>,
    }

    /// TLS of the Gateway as a whole.
    pub struct GatewayTls {
        backend: Option<BackendTls>,
        frontend: Option<FrontendTls>,
    }

    /// TLS to backends.
    pub struct BackendTls {
        /// The certificate that the Gateway shows.
        client_certificate_ref: Option<SecretRef>,
    }

    /// TLS from clients.
    pub struct FrontendTls {
        /// For every HTTPS listener but those on a port of `per_port`.
        required default: FrontendTlsConfig,
        #[schemars(length(max = 64), transform = ports_differ)]
        per_port: Vec<FrontendTlsPort>,
    }

    /// TLS from the clients of one port.
    pub struct FrontendTlsPort {
        #[schemars(with = "form::PortNumber")]
        required port: u16,
        required tls: FrontendTlsConfig,
    }

    /// What clients must prove.
    pub struct FrontendTlsConfig {
        /// Absent: nothing.
        validation: Option<FrontendValidation>,
    }

    /// What a client's certificate must be.
    pub struct FrontendValidation {
        #[schemars(length(min = 1, max = 16))]
        required ca_certificate_refs: Vec<ObjectRef>,
        #[schemars(extend("default" = "AllowValidOnly"))]
        mode: FrontendValidationMode,
    }
}

names! {
    /// A choice of namespaces.
    pub enum FromListenerNamespaces {
        /// Every namespace.
        All = "All",
        /// By label.
        Selector = "Selector",
        /// The Gateway's own.
        Same = "Same",
        /// No namespace.
        #[default]
        None = "None",
    }

    /// What happens to a client without a valid certificate.
    pub enum FrontendValidationMode {
        /// It is refused.
        #[default]
        AllowValidOnly = "AllowValidOnly",
        /// It is let in.
        AllowInsecureFallback = "AllowInsecureFallback",
    }

    /// Whether a Gateway serves routes that name no parent, and whether a route wants that.
    pub enum DefaultScope {
        /// Yes.
        All = "All",
        /// No.
        #[default]
        None = "None",
    }
}

impl Address {
    /// The type, with its default filled in.
    pub fn kind(&self) -> &str {
        self.r#type.as_deref().unwrap_or("IPAddress")
    }
}

fn own_listeners(schema: &mut Schema) {
    listeners(schema);
    let rule = "self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && (has(l1.hostname) && has(l2.hostname) ? \
                l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))";
    cel(rule, "Combination of port, protocol and hostname must be unique for each listener").transform(schema);
}

fn addresses_differ(schema: &mut Schema) {
    let rule = "self.all(a1, a1.type == 'IPAddress' && has(a1.value) ? self.exists_one(a2, a2.type == a1.type && has(a2.value) && \
                a2.value == a1.value) : true )";
    cel(rule, "IPAddress values must be unique").transform(schema);
    let rule = "self.all(a1, a1.type == 'Hostname'  && has(a1.value) ? self.exists_one(a2, a2.type == a1.type && has(a2.value) && \
                a2.value == a1.value) : true )";
    cel(rule, "Hostname values must be unique").transform(schema);
}

fn ports_differ(schema: &mut Schema) {
    list_map(&["port"]).transform(schema);
    let rule = "self.all(t1, self.exists_one(t2, t1.port == t2.port))";
    cel(rule, "Port for TLS configuration must be unique within the Gateway").transform(schema);
}

/// Keys of labels and annotations: an optional DNS prefix and a name.
const QUALIFIED_KEY: &str = r#"self.all(key, key.matches(r"""^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$"""))"#;

/// The prefix is not too long.
const SHORT_PREFIX: &str = r#"self.all(key, key.split("/")[0].size() < 253)"#;

fn label_map(schema: &mut Schema) {
    values(form::put::<form::LabelValue>).transform(schema);
    let rule =
        "Label keys must be in the form of an optional DNS subdomain prefix followed by a required name segment of up to 63 characters.";
    cel(QUALIFIED_KEY, rule).transform(schema);
    let rule = "If specified, the label key's prefix must be a DNS subdomain not longer than 253 characters in total.";
    cel(SHORT_PREFIX, rule).transform(schema);
}

fn annotation_map(schema: &mut Schema) {
    values(form::put::<form::AnnotationValue>).transform(schema);
    let rule = "Annotation keys must be in the form of an optional DNS subdomain prefix followed by a required name segment of up to 63 characters.";
    cel(QUALIFIED_KEY, rule).transform(schema);
    let rule = "If specified, the annotation key's prefix must be a DNS subdomain not longer than 253 characters in total.";
    cel(SHORT_PREFIX, rule).transform(schema);
}
