//! Listeners, of a Gateway and of a ListenerSet: a port, its protocol, how TLS ends, and whose routes may attach.

use std::collections::BTreeMap;

use schemars::{Schema, transform::Transform as _};

use super::{
    backend_tls::options,
    form,
    refs::{GROUP, SecretRef},
};
use crate::{
    resource::{
        selector::Labels,
        spec::{names, spec},
    },
    schema::{cel, list_map},
};

spec! {
    /// One listener.
    pub struct Listener {
        /// Unique in its Gateway or ListenerSet; routes refer to it as `sectionName`.
        #[schemars(with = "form::SectionName")]
        required name: String,
        /// Which requests it takes. Absent: all.
        #[schemars(with = "form::Hostname")]
        hostname: Option<String>,
        #[schemars(with = "form::PortNumber")]
        required port: u16,
        /// HTTP, HTTPS, TLS, TCP, UDP, or an implementation's own as `domain/name`.
        #[schemars(with = "form::ProtocolName")]
        required protocol: String,
        /// For HTTPS and TLS.
        tls: Option<ListenerTls>,
        #[schemars(extend("default" = { "namespaces": { "from": "Same" } }))]
        allowed_routes: AllowedRoutes,
    }

    /// How TLS ends at a listener.
    #[schemars(transform = cel(
        "self.mode == 'Terminate' ? size(self.certificateRefs) > 0 || size(self.options) > 0 : true",
        "certificateRefs or options must be specified when mode is Terminate",
    ))]
    pub struct ListenerTls {
        #[schemars(extend("default" = "Terminate"))]
        mode: ListenerTlsMode,
        /// Secrets with the listener's certificates.
        #[schemars(length(max = 64))]
        certificate_refs: Vec<SecretRef>,
        /// Settings of an implementation's own.
        #[schemars(extend("maxProperties" = 16), transform = options)]
        options: Labels,
    }

    /// Which routes may attach to a listener.
    pub struct AllowedRoutes {
        #[schemars(extend("default" = { "from": "Same" }))]
        namespaces: RouteNamespaces,
        /// Empty: those that the listener's protocol can carry.
        #[schemars(length(max = 8))]
        kinds: Vec<RouteGroupKind>,
    }

    /// A kind of route.
    pub struct RouteGroupKind {
        /// Default: the Gateway API's group.
        #[schemars(with = "form::Group", extend("default" = GROUP))]
        group: Option<String>,
        #[schemars(with = "form::KindName")]
        required kind: String,
    }

    /// Namespaces whose routes may attach.
    pub struct RouteNamespaces {
        #[schemars(extend("default" = "Same"))]
        from: FromNamespaces,
        /// For `Selector`.
        #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
        selector: Option<NamespaceSelector>,
    }

    /// Namespaces by their labels: all conditions hold.
    pub struct NamespaceSelector {
        match_labels: Labels,
        match_expressions: Vec<Requirement>,
    }

    /// A condition on one label.
    pub struct Requirement {
        required key: String,
        /// `In`, `NotIn`, `Exists` or `DoesNotExist`. The API server takes any other, and it selects nothing.
        required operator: String,
        /// For `In` and `NotIn`.
        values: Vec<String>,
    }
}

names! {
    /// Where TLS ends.
    pub enum ListenerTlsMode {
        /// At the listener.
        #[default]
        Terminate = "Terminate",
        /// Behind it: the SNI chooses the route.
        Passthrough = "Passthrough",
    }

    /// A choice of namespaces.
    pub enum FromNamespaces {
        /// Every namespace.
        All = "All",
        /// By label.
        Selector = "Selector",
        /// The Gateway's own.
        #[default]
        Same = "Same",
    }
}

impl RouteGroupKind {
    /// The group, with its default filled in.
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or(GROUP)
    }
}

impl NamespaceSelector {
    /// Whether a namespace with these labels is selected. A condition that cannot be understood selects nothing.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        crate::resource::selector::selects(&self.match_labels, labels)
            && self.match_expressions.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator.as_str() {
            "In" => value.is_some_and(|value| self.values.contains(value)),
            "NotIn" => !self.values.is_empty() && value.is_none_or(|value| !self.values.contains(value)),
            "Exists" => self.values.is_empty() && value.is_some(),
            "DoesNotExist" => self.values.is_empty() && value.is_none(),
            _ => false,
        }
    }
}

/// On a list of listeners: what the API says of protocols, names and TLS, whoever has the list.
pub(super) fn listeners(schema: &mut Schema) {
    list_map(&["name"]).transform(schema);
    let rules = [
        (
            "self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true)",
            "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
        ),
        (
            "self.all(l, (l.protocol == 'HTTPS' && has(l.tls)) ? (l.tls.mode == '' || l.tls.mode == 'Terminate') : true)",
            "tls mode must be Terminate for protocol HTTPS",
        ),
        (
            "self.all(l, (l.protocol == 'TLS' ? has(l.tls) && has(l.tls.mode) && l.tls.mode != '' : true))",
            "tls mode must be set for protocol TLS",
        ),
        (
            "self.all(l, l.protocol in ['TCP', 'UDP']  ? (!has(l.hostname) || l.hostname == '') : true)",
            "hostname must not be specified for protocols ['TCP', 'UDP']",
        ),
        ("self.all(l1, self.exists_one(l2, l1.name == l2.name))", "Listener name must be unique within the Gateway"),
    ];
    for (rule, message) in rules {
        cel(rule, message).transform(schema);
    }
}
