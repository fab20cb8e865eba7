//! Routes of bytes and datagrams: `TLSRoute` (by SNI), `TCPRoute` and `UDPRoute` (by listener).

use schemars::{Schema, transform::Transform as _};
use serde_json::{Value, json};

use super::{
    form,
    gateway::DefaultScope,
    refs::{BackendRef, ParentRef, parents, rule_names_differ},
};
use crate::{resource::spec::spec, schema::cel};

spec! {
    /// TLS connections by server name, to backends that end TLS (or, at a listener that ends it, in clear text).
    #[schemars(transform = hostnames_required)]
    pub struct TlsRoute {
        #[schemars(transform = parents)]
        parent_refs: Vec<ParentRef>,
        /// SNI names. At least one, but in v1alpha2, where none means all of the listener's.
        #[schemars(with = "Vec<form::Hostname>", length(min = 1, max = 1024), transform = server_names)]
        hostnames: Vec<String>,
        #[schemars(length(min = 1, max = 1))]
        required rules: Vec<StreamRule>,
        /// Attach to the default Gateways, too (experimental).
        use_default_gateways: Option<DefaultScope>,
    }

    /// TCP connections to a listener's port.
    pub struct TcpRoute {
        #[schemars(transform = parents)]
        parent_refs: Vec<ParentRef>,
        #[schemars(length(min = 1, max = 1))]
        required rules: Vec<StreamRule>,
        /// Attach to the default Gateways, too (experimental).
        use_default_gateways: Option<DefaultScope>,
    }

    /// Datagrams to a listener's port.
    pub struct UdpRoute {
        #[schemars(transform = parents)]
        parent_refs: Vec<ParentRef>,
        #[schemars(length(min = 1, max = 1))]
        required rules: Vec<StreamRule>,
        /// Attach to the default Gateways, too (experimental).
        use_default_gateways: Option<DefaultScope>,
    }

    /// Where connections go.
    pub struct StreamRule {
        #[schemars(with = "form::SectionName")]
        name: Option<String>,
        #[schemars(length(min = 1, max = 16))]
        required backend_refs: Vec<BackendRef>,
    }
}

/// On a TLSRoute: it names its servers. The type itself can do without, for v1alpha2.
fn hostnames_required(schema: &mut Schema) {
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.push(json!("hostnames"));
    }
}

/// What v1alpha2 says of a TLSRoute: names are not needed nor looked at; several rules.
pub(super) fn v1alpha2_tls(spec: &mut Value) {
    v1alpha2(spec);
    spec["required"] = json!(["rules"]);
    if let Some(Value::Object(hostnames)) = spec["properties"].get_mut("hostnames") {
        hostnames.retain(|keyword, _| !matches!(keyword.as_str(), "minItems" | "x-kubernetes-validations"));
    }
}

/// What v1alpha2 says of a TCPRoute or UDPRoute: up to 16 rules.
pub(super) fn v1alpha2(spec: &mut Value) {
    let rules = &mut spec["properties"]["rules"];
    rules["maxItems"] = json!(16);
    if let Ok(mut schema) = Schema::try_from(std::mem::take(rules)) {
        rule_names_differ(&mut schema);
        *rules = schema.to_value();
    }
}

/// On a list of SNI names.
fn server_names(schema: &mut Schema) {
    let rules = [
        ("self.all(h, !isIP(h))", "Hostnames cannot contain an IP"),
        (
            r"self.all(h, !h.contains('*') ? h.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$') : true)",
            "Hostnames must be valid based on RFC-1123",
        ),
        (
            r"self.all(h, h.contains('*') ? (h.startsWith('*.') && h.substring(2).matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$')) : true)",
            "Wildcards on hostnames must be the first label, and the rest of hostname must be valid based on RFC-1123",
        ),
    ];
    for (rule, message) in rules {
        cel(rule, message).transform(schema);
    }
}
