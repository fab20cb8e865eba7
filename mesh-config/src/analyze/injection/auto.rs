//! `image: auto`: a placeholder that only the injector fills in.

use super::super::{Analyzer, code, context::Context, label_selector, mesh::PROXY_CONTAINER};
use crate::resource::{
    Kind, Labels, MutatingWebhookConfiguration,
    kubernetes::{PodView, webhooks::MutatingWebhook},
};

/// Workloads that wait for an injection that does not come.
pub(in super::super) static IMAGE_AUTO: Analyzer = Analyzer {
    name: "injection.ImageAutoAnalyzer",
    about: "Checks that pods with `image: auto` are going to be injected",
    codes: &[&code::IMAGE_AUTO_WITHOUT_INJECTION_WARNING, &code::IMAGE_AUTO_WITHOUT_INJECTION_ERROR],
    reads: &[Kind::Namespace, Kind::Pod, Kind::Deployment, Kind::MutatingWebhookConfiguration],
    run,
};

fn run(cx: &mut Context<'_>) {
    let webhooks: Vec<&MutatingWebhook> = cx
        .all::<MutatingWebhookConfiguration>()
        .flat_map(|configuration| &configuration.spec().webhooks)
        .filter(|webhook| webhook.name.ends_with("istio.io"))
        .collect();
    let nothing = Labels::new();
    for object in [Kind::Pod, Kind::Deployment].into_iter().flat_map(|kind| cx.any(kind)).collect::<Vec<_>>() {
        let Some(pod) = PodView::of(object.resource()) else { continue };
        let waits = |container: &k8s_openapi::api::core::v1::Container| {
            container.name == PROXY_CONTAINER && container.image.as_deref() == Some("auto")
        };
        let Some(index) = pod.containers().iter().position(waits) else { continue };
        let meta = object.meta();
        let (code, kind) = match object.kind() {
            // A pod that exists was not injected, whatever would match.
            Kind::Pod => (&code::IMAGE_AUTO_WITHOUT_INJECTION_ERROR, "Pod"),
            _ => (&code::IMAGE_AUTO_WITHOUT_INJECTION_WARNING, "Deployment"),
        };
        let namespace = cx.namespace_labels(&meta.namespace).unwrap_or(&nothing);
        let matched = object.kind() != Kind::Pod
            && webhooks.iter().any(|webhook| {
                label_selector::matches(webhook.namespace_selector.as_ref(), namespace)
                    && label_selector::matches(webhook.object_selector.as_ref(), pod.labels())
            });
        if !matched {
            cx.report(code, object, format_args!("{}.containers[{index}].image", pod.path), &[&kind, &meta.name]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::check::check;

    const ANALYZER: &str = "injection.ImageAutoAnalyzer";
    const WEBHOOK: &str =
        "{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: injector}, webhooks: [
        {name: namespace.sidecar-injector.istio.io, admissionReviewVersions: [v1], sideEffects: None, clientConfig: {url: 'https://a'},
         objectSelector: {matchExpressions: [{key: inject, operator: In, values: ['true']}]}}]}";

    fn deployment(label: &str) -> String {
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web, namespace: shop}}, spec: {{selector: {{}}, template: {{metadata: {{labels: {{inject: '{label}'}}}}, spec: {{containers: [{{name: istio-proxy, image: auto}}]}}}}}}}}"
        )
    }

    #[test]
    fn a_placeholder_needs_an_injector() {
        let said = "IST0146 Deployment shop/web:1 spec.template.spec.containers[0].image";
        check(ANALYZER, &[&deployment("true")], &[said]);
        check(ANALYZER, &[&deployment("false"), WEBHOOK], &[said]);
        check(ANALYZER, &[&deployment("true"), WEBHOOK], &[]);
        let pod =
            "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, spec: {containers: [{name: istio-proxy, image: auto}]}}";
        check(ANALYZER, &[pod, WEBHOOK], &["IST0147 Pod shop/web:1 spec.containers[0].image"]);
    }
}
