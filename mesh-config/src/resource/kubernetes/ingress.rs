//! `Ingress` and `IngressClass` (networking.k8s.io/v1): Kubernetes' first way to let requests in.

pub use k8s_openapi::api::networking::v1::{HTTPIngressPath, IngressBackend, IngressRule, IngressTLS};
use k8s_openapi::api::networking::v1::{IngressClassSpec, IngressSpec};

use super::wraps;
use crate::{
    resource::Object,
    validate::{Checks, Validate, rules::shown},
};

/// The annotation that named the class before `spec.ingressClassName` did.
pub const CLASS: &str = "kubernetes.io/ingress.class";

wraps! {
    /// Hosts and paths, and the Services they lead to.
    Ingress(IngressSpec);
    /// Who serves the Ingresses of a class.
    IngressClass(IngressClassSpec);
}

impl Object<Ingress> {
    /// The class that it asks for: the field, or the older annotation.
    pub fn class(&self) -> Option<&str> {
        self.spec.ingress_class_name.as_deref().or_else(|| self.meta.annotations.get(CLASS).map(String::as_str))
    }
}

impl Ingress {
    /// Every path with the host of its rule.
    pub fn paths(&self) -> impl Iterator<Item = (Option<&str>, &HTTPIngressPath)> {
        let rules = self.rules.iter().flatten();
        rules.flat_map(|rule| rule.http.iter().flat_map(|http| &http.paths).map(|path| (rule.host.as_deref(), path)))
    }
}

impl Validate for Ingress {
    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        if spec.default_backend.is_none() && spec.rules.as_ref().is_none_or(Vec::is_empty) {
            checks.error(None, "Invalid value: neither defaultBackend nor rules", "say where requests go");
        }
        for (index, rule) in spec.rules.iter().flatten().enumerate() {
            for (number, path) in rule.http.iter().flat_map(|http| &http.paths).enumerate() {
                checks.field(&format!("rules[{index}].http.paths[{number}].pathType"), |checks| {
                    if !matches!(path.path_type.as_str(), "Exact" | "Prefix" | "ImplementationSpecific") {
                        checks.error(shown(&path.path_type), "Unsupported value", "use one of Exact, Prefix, ImplementationSpecific");
                    }
                });
            }
        }
    }
}

impl Validate for IngressClass {
    fn validate(_: &Object<Self>, _: &mut Checks) {}
}
