//! What several analyzers ask about an object.

use super::context::Context;
use crate::resource::{Labels, Meta, kubernetes::PodView};

/// The sidecar's name in a pod.
pub(super) const PROXY_CONTAINER: &str = "istio-proxy";

/// The label of namespaces whose pods get a sidecar.
pub(super) const INJECTION: &str = "istio-injection";

/// The label (and, formerly, annotation) of a pod that decides for itself.
pub(super) const INJECT: &str = "sidecar.istio.io/inject";

/// The label that chooses a revision of the control plane.
pub(super) const REVISION: &str = "istio.io/rev";

/// Istio's own: nobody is told how to write what an installer wrote.
pub(super) fn is_control_plane(meta: &Meta) -> bool {
    meta.labels.contains_key("istio") || meta.labels.get("release").is_some_and(|release| release == "istio")
}

/// Made from a Gateway API Gateway, and not by a person.
pub(super) fn is_managed_gateway(meta: &Meta) -> bool {
    let managed = meta.labels.get("gateway.istio.io/managed").map(String::as_str);
    matches!(managed, Some("istio.io-gateway-controller" | "istio.io-mesh-controller" | "istio.io-eastwest-controller"))
}

/// Whether a pod of `namespace` has a sidecar or would get one: it has one; it says; its namespace says.
pub(super) fn is_injected(cx: &Context<'_>, namespace: &str, pod: PodView<'_>) -> bool {
    let has_image = |image: &Option<String>| image.as_ref().is_some_and(|image| !image.is_empty());
    if pod.container(PROXY_CONTAINER).is_some_and(|proxy| has_image(&proxy.image)) {
        return true;
    }
    let says = |of: &Labels| of.get(INJECT).map(|value| value == "true");
    says(pod.labels())
        .or_else(|| says(pod.annotations()))
        .or_else(|| cx.namespace_labels(namespace).map(|labels| labels.get(INJECTION).is_some_and(|value| value == "enabled")))
        .unwrap_or_default()
}
