//! Sidecar injection: which namespaces and pods get one, and whether it is the right one.

mod auto;
mod image;

pub(super) use auto::IMAGE_AUTO;
pub(super) use image::IMAGE;

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Analyzer, code,
    code::List,
    context::Context,
    mesh::{INJECT, INJECTION, PROXY_CONTAINER, REVISION},
};
use crate::resource::{ConfigMap, Kind, Namespace, kubernetes::PodView};

/// Namespaces that do not say, or say twice; pods without the sidecar that they should have.
pub(super) static INJECTION_LABELS: Analyzer = Analyzer {
    name: "injection.Analyzer",
    about: "Checks that namespaces say whether their pods get a sidecar, and that pods have theirs",
    codes: &[
        &code::NAMESPACE_NOT_INJECTED,
        &code::POD_MISSING_PROXY,
        &code::NAMESPACE_MULTIPLE_INJECTION_LABELS,
        &code::NAMESPACE_INJECTION_ENABLED_BY_DEFAULT,
    ],
    reads: &[Kind::Namespace, Kind::Pod, Kind::ConfigMap],
    run,
};

/// The label of namespaces in ambient mode.
const DATAPLANE_MODE: &str = "istio.io/dataplane-mode";
/// The injector's settings; with a revision, `-<revision>` follows.
pub(super) const INJECTOR: &str = "istio-sidecar-injector";

fn run(cx: &mut Context<'_>) {
    let mut injected = BTreeSet::new();
    for namespace in cx.all::<Namespace>() {
        let name = namespace.meta().name.as_str();
        if name == cx.options().root_namespace {
            continue;
        }
        let label = |key: &str| namespace.meta().labels.get(key).map(String::as_str);
        let (injection, revision) = (label(INJECTION), label(REVISION));
        let mut said: Vec<String> = injection.iter().map(|value| format!("{INJECTION}={value}")).collect();
        if matches!(injection, None | Some("enabled")) {
            said.extend([REVISION, DATAPLANE_MODE].into_iter().filter_map(|key| Some(format!("{key}={}", label(key)?))));
        }
        if said.len() > 1 {
            cx.report(&code::NAMESPACE_MULTIPLE_INJECTION_LABELS, namespace, "metadata.labels", &[&List(&said)]);
        }
        if label(DATAPLANE_MODE) == Some("ambient") {
            continue;
        }
        match injection.unwrap_or_default() {
            "enabled" => drop(injected.insert(name)),
            "" if revision.is_none() && enabled_by_default(cx) => {
                cx.report(&code::NAMESPACE_INJECTION_ENABLED_BY_DEFAULT, namespace, "metadata.name", &[]);
            }
            "" if revision.is_none() => cx.report(&code::NAMESPACE_NOT_INJECTED, namespace, "metadata.name", &[&name]),
            // Said deliberately.
            _ => {}
        }
    }
    for pod in cx.any(Kind::Pod).filter(|pod| injected.contains(pod.meta().namespace.as_str())) {
        let meta = pod.meta();
        let own = meta.labels.get(INJECT).or_else(|| meta.annotations.get(INJECT));
        let excused = own.is_some_and(|value| value.eq_ignore_ascii_case("false"));
        let Some(view) = PodView::of(pod.resource()).filter(|view| !excused && !view.host_network()) else { continue };
        if !has_proxy(view) {
            cx.report(&code::POD_MISSING_PROXY, pod, "metadata.name", &[&meta.key()]);
        }
    }
}

fn has_proxy(pod: PodView<'_>) -> bool {
    let proxy = pod.container(PROXY_CONTAINER);
    proxy.and_then(|proxy| proxy.image.as_deref()).is_some_and(|image| !image.is_empty())
}

/// Whether the control plane was installed with `sidecarInjectorWebhook.enableNamespacesByDefault`.
fn enabled_by_default(cx: &Context<'_>) -> bool {
    let injector = cx.all::<ConfigMap>().find(|map| map.meta().name == INJECTOR);
    let values = injector.and_then(|map| values(map.spec()));
    values.and_then(|values| values.get("sidecarInjectorWebhook")?.get("enableNamespacesByDefault")?.as_bool()).unwrap_or_default()
}

/// The values of the installation that an injector's ConfigMap carries.
fn values(map: &ConfigMap) -> Option<Value> {
    serde_json::from_str(map.data.get("values")?).ok()
}

/// The name of the ConfigMap of a revision's injector.
fn injector_of(revision: &str) -> String {
    if matches!(revision, "" | "default") { INJECTOR.to_owned() } else { format!("{INJECTOR}-{revision}") }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    const ANALYZER: &str = "injection.Analyzer";

    fn namespace(labels: &str) -> String {
        format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels: {{{labels}}}\n")
    }

    fn pod(label: &str, container: &str) -> String {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: web, namespace: shop, labels: {{{label}}}}}, spec: {{containers: [{{name: {container}, image: b}}]}}}}"
        )
    }

    #[test]
    fn a_namespace_says_once_whether_it_is_injected() {
        for (labels, expected) in [
            ("", &["IST0102 Namespace shop:4 metadata.name"][..]),
            ("istio-injection: enabled", &[]),
            ("istio-injection: disabled", &[]),
            ("istio.io/rev: canary", &[]),
            ("istio-injection: enabled, istio.io/rev: canary", &["IST0123 Namespace shop:5 metadata.labels"]),
            ("istio-injection: disabled, istio.io/rev: canary", &[]),
            ("istio.io/dataplane-mode: ambient", &[]),
        ] {
            check(ANALYZER, &[&namespace(labels)], expected);
        }
    }

    #[test]
    fn a_pod_of_an_injected_namespace_has_a_sidecar() {
        let enabled = namespace("istio-injection: enabled");
        check(ANALYZER, &[&enabled, &pod("a: b", "app")], &["IST0103 Pod shop/web:1 metadata.name"]);
        check(ANALYZER, &[&enabled, &pod("a: b", "istio-proxy")], &[]);
        check(ANALYZER, &[&enabled, &pod("sidecar.istio.io/inject: 'False'", "app")], &[]);
    }

    #[test]
    fn an_installation_may_inject_by_default() {
        let map = r#"{apiVersion: v1, kind: ConfigMap, metadata: {name: istio-sidecar-injector, namespace: istio-system},
            data: {values: '{"sidecarInjectorWebhook": {"enableNamespacesByDefault": true}}'}}"#;
        check(ANALYZER, &[&namespace(""), map], &["IST0148 Namespace shop:4 metadata.name"]);
    }
}
