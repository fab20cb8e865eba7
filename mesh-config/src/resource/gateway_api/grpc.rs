//! `GRPCRoute`: services and methods, filters, backends.

use schemars::{Schema, transform::Transform as _};

use super::{
    filter::{ExtensionRef, HeaderFilter, MirrorFilter, choices, not_repeated, one_of},
    form,
    gateway::DefaultScope,
    http::matches::ValueMatchType,
    refs::{FEW_MATCHES_MESSAGE, ParentRef, parents, rule_names_differ, service_has_port, targets},
    session::SessionPersistence,
};
use crate::{
    resource::spec::{names, spec},
    schema::{cel, list_map},
};

spec! {
    /// Where the calls for some hosts go.
    pub struct GrpcRoute {
        #[schemars(transform = parents)]
        parent_refs: Vec<ParentRef>,
        /// Empty: the listener's.
        #[schemars(with = "Vec<form::Hostname>", length(max = 16))]
        hostnames: Vec<String>,
        #[schemars(length(max = 16), transform = rules)]
        rules: Vec<GrpcRule>,
        /// Attach to the default Gateways, too (experimental).
        use_default_gateways: Option<DefaultScope>,
    }

    /// What happens to the calls that match.
    pub struct GrpcRule {
        /// Unique in the route.
        #[schemars(with = "form::SectionName")]
        name: Option<String>,
        /// One of them must hold. Empty: every call.
        #[schemars(length(max = 64))]
        matches: Vec<GrpcMatch>,
        #[schemars(length(max = 16), transform = filters)]
        filters: Vec<GrpcFilter>,
        /// Empty: UNAVAILABLE.
        #[schemars(length(max = 16))]
        backend_refs: Vec<GrpcBackendRef>,
        /// Experimental.
        session_persistence: Option<SessionPersistence>,
    }

    /// Conditions that all hold.
    pub struct GrpcMatch {
        /// Absent: every method.
        method: Option<MethodMatch>,
        #[schemars(length(max = 16), transform = list_map(&["name"]))]
        headers: Vec<MetadataMatch>,
    }

    /// A condition on service and method.
    #[schemars(transform = method)]
    pub struct MethodMatch {
        #[schemars(extend("default" = "Exact"))]
        r#type: ValueMatchType,
        /// Absent: every service.
        #[schemars(with = "form::Text")]
        service: Option<String>,
        /// Absent: every method.
        #[schemars(with = "form::Text")]
        method: Option<String>,
    }

    /// A condition on a header.
    pub struct MetadataMatch {
        #[schemars(extend("default" = "Exact"))]
        r#type: ValueMatchType,
        /// Case does not matter.
        #[schemars(with = "form::HeaderName")]
        required name: String,
        #[schemars(length(min = 1, max = 4096))]
        required value: String,
    }

    /// One filter: a type and that type's own field.
    #[schemars(transform = typed)]
    pub struct GrpcFilter {
        required r#type: GrpcFilterType,
        request_header_modifier: Option<HeaderFilter>,
        response_header_modifier: Option<HeaderFilter>,
        request_mirror: Option<MirrorFilter>,
        extension_ref: Option<ExtensionRef>,
    }

    /// Where calls go, with a share of them and filters of its own.
    #[schemars(transform = service_has_port)]
    pub struct GrpcBackendRef {
        /// Default: the core group.
        #[schemars(with = "form::Group", extend("default" = ""))]
        group: Option<String>,
        /// Default: Service.
        #[schemars(with = "form::KindName", extend("default" = "Service"))]
        kind: Option<String>,
        #[schemars(with = "form::ObjectName")]
        required name: String,
        /// Absent: the route's own. Another one must allow it with a ReferenceGrant.
        #[schemars(with = "form::Namespace")]
        namespace: Option<String>,
        /// A Service's port; it must have one.
        #[schemars(with = "form::PortNumber")]
        port: Option<u16>,
        /// Its share among the rule's backends; default 1.
        #[schemars(with = "i32", range(min = 0, max = 1_000_000), extend("default" = 1))]
        weight: Option<u32>,
        /// Only for calls that go here.
        #[schemars(length(max = 16), transform = filters)]
        filters: Vec<GrpcFilter>,
    }
}

names! {
    /// What a filter does.
    pub enum GrpcFilterType {
        /// Edits the answer's headers.
        ResponseHeaderModifier = "ResponseHeaderModifier",
        /// Edits the call's headers.
        #[default]
        RequestHeaderModifier = "RequestHeaderModifier",
        /// Copies the call.
        RequestMirror = "RequestMirror",
        /// An implementation's own.
        ExtensionRef = "ExtensionRef",
    }
}

targets! {
    GrpcBackendRef: "", "Service";
}

impl GrpcBackendRef {
    /// Its share among the rule's backends.
    pub fn weight(&self) -> u32 {
        self.weight.unwrap_or(1)
    }
}

/// On a route's rules: at most 128 matches in all, names differ.
fn rules(schema: &mut Schema) {
    cel(FEW_MATCHES, FEW_MATCHES_MESSAGE).transform(schema);
    rule_names_differ(schema);
}

/// The matches of each of the 16 rules.
const FEW_MATCHES: &str = "(self.size() > 0 ? (has(self[0].matches) ? self[0].matches.size() : 0) : 0) + \
    (self.size() > 1 ? (has(self[1].matches) ? self[1].matches.size() : 0) : 0) + \
    (self.size() > 2 ? (has(self[2].matches) ? self[2].matches.size() : 0) : 0) + \
    (self.size() > 3 ? (has(self[3].matches) ? self[3].matches.size() : 0) : 0) + \
    (self.size() > 4 ? (has(self[4].matches) ? self[4].matches.size() : 0) : 0) + \
    (self.size() > 5 ? (has(self[5].matches) ? self[5].matches.size() : 0) : 0) + \
    (self.size() > 6 ? (has(self[6].matches) ? self[6].matches.size() : 0) : 0) + \
    (self.size() > 7 ? (has(self[7].matches) ? self[7].matches.size() : 0) : 0) + \
    (self.size() > 8 ? (has(self[8].matches) ? self[8].matches.size() : 0) : 0) + \
    (self.size() > 9 ? (has(self[9].matches) ? self[9].matches.size() : 0) : 0) + \
    (self.size() > 10 ? (has(self[10].matches) ? self[10].matches.size() : 0) : 0) + \
    (self.size() > 11 ? (has(self[11].matches) ? self[11].matches.size() : 0) : 0) + \
    (self.size() > 12 ? (has(self[12].matches) ? self[12].matches.size() : 0) : 0) + \
    (self.size() > 13 ? (has(self[13].matches) ? self[13].matches.size() : 0) : 0) + \
    (self.size() > 14 ? (has(self[14].matches) ? self[14].matches.size() : 0) : 0) + \
    (self.size() > 15 ? (has(self[15].matches) ? self[15].matches.size() : 0) : 0) <= 128";

/// On a list of filters: which of them come once.
fn filters(schema: &mut Schema) {
    not_repeated!(schema, "RequestHeaderModifier", "ResponseHeaderModifier");
}

fn typed(schema: &mut Schema) {
    one_of(
        schema,
        choices! {
            "requestHeaderModifier": "RequestHeaderModifier",
            "responseHeaderModifier": "ResponseHeaderModifier",
            "requestMirror": "RequestMirror",
            "extensionRef": "ExtensionRef",
        },
    );
}

/// On a method: something is said, and in names of the protobuf language.
fn method(schema: &mut Schema) {
    let rules = [
        ("has(self.type) ? has(self.service) || has(self.method) : true", "One or both of 'service' or 'method' must be specified"),
        (
            r#"(!has(self.type) || self.type == 'Exact') && has(self.service) ? self.service.matches(r"""^(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$"""): true"#,
            r"service must only contain valid characters (matching ^(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$)",
        ),
        (
            r#"(!has(self.type) || self.type == 'Exact') && has(self.method) ? self.method.matches(r"""^[A-Za-z_][A-Za-z_0-9]*$"""): true"#,
            "method must only contain valid characters (matching ^[A-Za-z_][A-Za-z_0-9]*$)",
        ),
    ];
    for (rule, message) in rules {
        cel(rule, message).transform(schema);
    }
}
