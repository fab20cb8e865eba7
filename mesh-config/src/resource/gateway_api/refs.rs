//! References from one object to another: parents, backends, Secrets, configuration. What is left out has a default,
//! which `Target` fills in.

use schemars::{Schema, transform::Transform as _};

use super::form;
use crate::{resource::spec::spec, schema::cel};

/// The Gateway API's own group.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// A reference with its defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target<'a> {
    /// API group; empty for the core group.
    pub group: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// `None`: the namespace of the object that refers.
    pub namespace: Option<&'a str>,
    /// Name.
    pub name: &'a str,
}

impl Target<'_> {
    /// Whether it is of this group and kind.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

/// Gives a reference type its `target()`, with the defaults of group and kind.
macro_rules! targets {
    ($($name:ident: $group:expr, $kind:literal;)*) => {
        $(
            impl $name {
                /// What is referred to, with the defaults filled in.
                pub fn target(&self) -> $crate::resource::gateway_api::refs::Target<'_> {
                    $crate::resource::gateway_api::refs::Target {
                        group: self.group.as_deref().unwrap_or($group),
                        kind: self.kind.as_deref().unwrap_or($kind),
                        namespace: self.namespace.as_deref(),
                        name: &self.name,
                    }
                }
            }
        )*
    };
}

pub(super) use targets;

/// On the struct of a backend: a Service is told by its port.
pub(super) fn service_has_port(schema: &mut Schema) {
    let rule = "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true";
    cel(rule, "Must have port for Service reference").transform(schema);
}

spec! {
    /// What a route attaches to: a Gateway, a ListenerSet, or (for traffic inside the mesh) a Service.
    pub struct ParentRef {
        /// Default: the Gateway API's group.
        #[schemars(with = "form::Group", extend("default" = GROUP))]
        group: Option<String>,
        /// Default: Gateway.
        #[schemars(with = "form::KindName", extend("default" = "Gateway"))]
        kind: Option<String>,
        /// Absent: the route's own.
        #[schemars(with = "form::Namespace")]
        namespace: Option<String>,
        #[schemars(with = "form::ObjectName")]
        required name: String,
        /// One listener of it by name. Absent: all of them.
        #[schemars(with = "form::SectionName")]
        section_name: Option<String>,
        /// The listeners on this port. Absent: all of them.
        #[schemars(with = "form::PortNumber")]
        port: Option<u16>,
    }

    /// Where requests are copied to, or who decides about them.
    #[schemars(transform = service_has_port)]
    pub struct BackendObjectRef {
        /// Default: the core group.
        #[schemars(with = "form::Group", extend("default" = ""))]
        group: Option<String>,
        /// Default: Service.
        #[schemars(with = "form::KindName", extend("default" = "Service"))]
        kind: Option<String>,
        #[schemars(with = "form::ObjectName")]
        required name: String,
        /// Absent: the referrer's own. Another one must allow it with a ReferenceGrant.
        #[schemars(with = "form::Namespace")]
        namespace: Option<String>,
        /// A Service's port; it must have one.
        #[schemars(with = "form::PortNumber")]
        port: Option<u16>,
    }

    /// Where connections go, with a share of them.
    #[schemars(transform = service_has_port)]
    pub struct BackendRef {
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
    }

    /// A Secret, or what stands for one.
    pub struct SecretRef {
        /// Default: the core group.
        #[schemars(with = "form::Group", extend("default" = ""))]
        group: Option<String>,
        /// Default: Secret.
        #[schemars(with = "form::KindName", extend("default" = "Secret"))]
        kind: Option<String>,
        #[schemars(with = "form::ObjectName")]
        required name: String,
        /// Absent: the referrer's own. Another one must allow it with a ReferenceGrant.
        #[schemars(with = "form::Namespace")]
        namespace: Option<String>,
    }

    /// Any object in any namespace.
    pub struct ObjectRef {
        #[schemars(with = "form::Group")]
        required group: String,
        #[schemars(with = "form::KindName")]
        required kind: String,
        #[schemars(with = "form::ObjectName")]
        required name: String,
        /// Absent: the referrer's own, if it has one.
        #[schemars(with = "form::Namespace")]
        namespace: Option<String>,
    }

    /// Any object in the referrer's namespace.
    pub struct LocalObjectRef {
        #[schemars(with = "form::Group")]
        required group: String,
        #[schemars(with = "form::KindName")]
        required kind: String,
        #[schemars(with = "form::ObjectName")]
        required name: String,
    }
}

targets! {
    ParentRef: GROUP, "Gateway";
    BackendObjectRef: "", "Service";
    BackendRef: "", "Service";
    SecretRef: "", "Secret";
}

impl BackendRef {
    /// Its share among the rule's backends.
    pub fn weight(&self) -> u32 {
        self.weight.unwrap_or(1)
    }
}

impl ObjectRef {
    /// What is referred to.
    pub fn target(&self) -> Target<'_> {
        Target { group: &self.group, kind: &self.kind, namespace: self.namespace.as_deref(), name: &self.name }
    }
}

impl LocalObjectRef {
    /// What is referred to.
    pub fn target(&self) -> Target<'_> {
        Target { group: &self.group, kind: &self.kind, namespace: None, name: &self.name }
    }
}

/// On a list of parents: at most 32; several references to one parent differ in section or port (the rules of the
/// experimental channel; the standard one knows sections only).
pub(super) fn parents(schema: &mut Schema) {
    schema.insert("maxItems".to_owned(), 32.into());
    cel(PARENTS_SAY_WHERE, "sectionName or port must be specified when parentRefs includes 2 or more references to the same parent")
        .transform(schema);
    cel(PARENTS_DIFFER, "sectionName or port must be unique when parentRefs includes 2 or more references to the same parent")
        .transform(schema);
}

/// All references to one parent have a section or none has; the same of ports.
const PARENTS_SAY_WHERE: &str = "self.all(p1, self.all(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && \
    (((!has(p1.__namespace__) || p1.__namespace__ == '') && (!has(p2.__namespace__) || p2.__namespace__ == '')) || \
    (has(p1.__namespace__) && has(p2.__namespace__) && p1.__namespace__ == p2.__namespace__)) ? \
    ((!has(p1.sectionName) || p1.sectionName == '') == (!has(p2.sectionName) || p2.sectionName == '') && \
    (!has(p1.port) || p1.port == 0) == (!has(p2.port) || p2.port == 0)): true))";

/// No two references are the same.
const PARENTS_DIFFER: &str = "self.all(p1, self.exists_one(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && \
    (((!has(p1.__namespace__) || p1.__namespace__ == '') && (!has(p2.__namespace__) || p2.__namespace__ == '')) || \
    (has(p1.__namespace__) && has(p2.__namespace__) && p1.__namespace__ == p2.__namespace__ )) && \
    (((!has(p1.sectionName) || p1.sectionName == '') && (!has(p2.sectionName) || p2.sectionName == '')) || \
    ( has(p1.sectionName) && has(p2.sectionName) && p1.sectionName == p2.sectionName)) && \
    (((!has(p1.port) || p1.port == 0) && (!has(p2.port) || p2.port == 0)) || \
    (has(p1.port) && has(p2.port) && p1.port == p2.port))))";

/// On a list of a route's rules: named ones differ (experimental channel).
pub(super) fn rule_names_differ(schema: &mut Schema) {
    let rule = "self.all(l1, !has(l1.name) || self.exists_one(l2, has(l2.name) && l1.name == l2.name))";
    cel(rule, "Rule name must be unique within the route").transform(schema);
}

/// What the API says where a route's rules have too many matches.
pub(super) const FEW_MATCHES_MESSAGE: &str =
    "While 16 rules and 64 matches per rule are allowed, the total number of matches across all rules in a route must be less than 128";
