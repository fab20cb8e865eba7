//! Sidecars: whether each selects something, and whether several claim the same workloads.

use std::collections::BTreeSet;

use super::{
    Analyzer, code,
    context::{Context, Item},
    selector::{self, Selection},
};
use crate::resource::{Kind, Labels, Sidecar};

/// Selectors that select nothing, the same pods, or pods without a sidecar.
pub(super) static SELECTOR: Analyzer = Analyzer {
    name: "sidecar.SelectorAnalyzer",
    about: "Checks that Sidecars select workloads that have sidecars, and each other ones",
    codes: &[
        &code::REFERENCED_RESOURCE_NOT_FOUND,
        &code::CONFLICTING_SIDECAR_WORKLOAD_SELECTORS,
        &code::MULTIPLE_SIDECARS_WITHOUT_WORKLOAD_SELECTORS,
        &code::INEFFECTIVE_POLICY,
    ],
    reads: &[Kind::Sidecar, Kind::Pod, Kind::Namespace],
    run: selectors,
};

fn selectors(cx: &mut Context<'_>) {
    let mut ineffective = BTreeSet::new();
    let selected = Selection::of(cx, cx.all::<Sidecar>().filter_map(|sidecar| Some((sidecar, own_selector(&sidecar)?))));
    for (sidecar, labels) in &selected.idle {
        let labels = selector::text(labels);
        cx.report(&code::REFERENCED_RESOURCE_NOT_FOUND, sidecar, "spec.workloadSelector.labels", &[&"selector", &labels]);
    }
    for (pod, sidecars) in selected.pods.values() {
        if selector::in_ambient_mode(pod.meta()) {
            for sidecar in sidecars.iter().filter(|sidecar| ineffective.insert(sidecar.id())) {
                let reason = "the selected workload is in ambient mode and has no sidecar";
                cx.report(&code::INEFFECTIVE_POLICY, sidecar, "spec.workloadSelector.labels", &[&reason]);
            }
        } else if sidecars.len() > 1 {
            let names = selector::names(sidecars);
            for sidecar in sidecars {
                let arguments: [&dyn std::fmt::Display; 3] = [&code::List(&names), &pod.meta().namespace, &pod.meta().name];
                cx.report(&code::CONFLICTING_SIDECAR_WORKLOAD_SELECTORS, sidecar, "metadata.name", &arguments);
            }
        }
    }
    for (namespace, sidecars) in selector::by_namespace(cx.all::<Sidecar>().filter(|sidecar| own_selector(sidecar).is_none())) {
        if cx.namespace_labels(namespace).is_some_and(selector::is_ambient) {
            for sidecar in sidecars.iter().filter(|sidecar| ineffective.insert(sidecar.id())) {
                cx.report(
                    &code::INEFFECTIVE_POLICY,
                    sidecar,
                    "metadata.namespace",
                    &[&"the namespace is in ambient mode, where there are no sidecars"],
                );
            }
        } else if sidecars.len() > 1 {
            let names = selector::names(&sidecars);
            for sidecar in &sidecars {
                cx.report(
                    &code::MULTIPLE_SIDECARS_WITHOUT_WORKLOAD_SELECTORS,
                    sidecar,
                    "metadata.name",
                    &[&code::List(&names), &namespace],
                );
            }
        }
    }
}

/// The labels of the workloads that a Sidecar is for; none: all of its namespace.
fn own_selector<'a>(sidecar: &Item<'a, Sidecar>) -> Option<&'a Labels> {
    sidecar.spec().workload_selector.as_ref().map(|selector| &selector.labels).filter(|labels| !labels.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    const PODS: &str = "apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web, tier: front}}
spec: {containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Pod
metadata: {name: mesh, namespace: shop, labels: {app: mesh}, annotations: {ambient.istio.io/redirection: enabled}}
spec: {containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: calm, labels: {istio.io/dataplane-mode: ambient}}
";

    fn sidecar(name: &str, namespace: &str, labels: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: {name}
  namespace: {namespace}
spec:
  workloadSelector:
    labels: {labels}
  egress: [{{hosts: [./*]}}]
"
        )
    }

    #[test]
    fn what_selects_nothing_or_the_same_pod_is_told() {
        let files = [
            PODS,
            &sidecar("typo", "shop", "{app: wbe}"),
            &sidecar("by-app", "shop", "{app: web}"),
            &sidecar("by-tier", "shop", "{tier: front}"),
            &sidecar("mesh", "shop", "{app: mesh}"),
            &sidecar("calm", "calm", "{}"),
            &sidecar("one", "other", "{}"),
            &sidecar("two", "other", "{}"),
        ];
        let expected = [
            "IST0101 Sidecar shop/typo:8 spec.workloadSelector.labels",
            "IST0110 Sidecar shop/by-app:4 metadata.name",
            "IST0110 Sidecar shop/by-tier:4 metadata.name",
            "IST0111 Sidecar other/one:4 metadata.name",
            "IST0111 Sidecar other/two:4 metadata.name",
            "IST0167 Sidecar calm/calm:5 metadata.namespace",
            "IST0167 Sidecar shop/mesh:8 spec.workloadSelector.labels",
        ];
        check("sidecar.SelectorAnalyzer", &files, &expected);
    }

    #[test]
    fn one_sidecar_a_workload_and_one_default_are_fine() {
        check("sidecar.SelectorAnalyzer", &[PODS, &sidecar("web", "shop", "{app: web}"), &sidecar("default", "shop", "{}")], &[]);
    }
}
