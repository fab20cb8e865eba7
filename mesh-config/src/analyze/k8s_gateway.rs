//! The Gateway API: selectors that do not reach its gateways, and CRDs that are too old.

use std::collections::BTreeMap;

use super::{Analyzer, code, context::Context, set::Id};
use crate::resource::{
    AuthorizationPolicy, CustomResourceDefinition, Kind, Labels, Pod, RequestAuthentication, Telemetry, WasmPlugin,
    selector::{LabelSelector, selects},
};

/// Policies that mean to select the pods of a Gateway API Gateway.
pub(super) static SELECTOR: Analyzer = Analyzer {
    name: "k8sgateway.SelectorAnalyzer",
    about: "Checks that policies reach Gateway API Gateways by targetRefs and not by labels",
    codes: &[&code::INEFFECTIVE_SELECTOR],
    reads: &[Kind::AuthorizationPolicy, Kind::RequestAuthentication, Kind::Telemetry, Kind::WasmPlugin, Kind::Pod],
    run: selectors,
};

/// CRDs of the Gateway API that a control plane would not serve.
pub(super) static CRD_VERSION: Analyzer = Analyzer {
    name: "k8sgateway.CRDVersionAnalyzer",
    about: "Checks that the Gateway API's CRDs are new enough",
    codes: &[&code::GATEWAY_API_CRD_VERSION_BELOW_MINIMUM],
    reads: &[Kind::CustomResourceDefinition],
    run: crd_versions,
};

/// The label of pods that run a Gateway API Gateway: its name.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// The version of the bundle that a CRD came with.
const BUNDLE_VERSION: &str = "gateway.networking.k8s.io/bundle-version";

/// The first bundle whose CRD has the version that is served.
const MINIMUM: [(&str, [u64; 3]); 4] = [
    ("grpcroutes.gateway.networking.k8s.io", [1, 1, 0]),
    ("backendtlspolicies.gateway.networking.k8s.io", [1, 4, 0]),
    ("tlsroutes.gateway.networking.k8s.io", [1, 5, 0]),
    ("tcproutes.gateway.networking.k8s.io", [1, 6, 0]),
];

fn selectors(cx: &mut Context<'_>) {
    let mut gateways: BTreeMap<&str, Vec<(&str, &Labels)>> = BTreeMap::new();
    for pod in cx.all::<Pod>() {
        if let Some(name) = pod.meta().labels.get(GATEWAY_NAME) {
            gateways.entry(&pod.meta().namespace).or_default().push((name, &pod.meta().labels));
        }
    }
    if gateways.is_empty() {
        return;
    }
    // The namespace, whether there is a targetRef, the selector.
    let mut policies: Vec<(Id, &str, bool, Option<&LabelSelector>)> = Vec::new();
    for policy in cx.all::<AuthorizationPolicy>() {
        policies.push((policy.id(), &policy.meta().namespace, policy.spec().target_ref.is_some(), policy.spec().selector.as_ref()));
    }
    for policy in cx.all::<RequestAuthentication>() {
        policies.push((policy.id(), &policy.meta().namespace, policy.spec().target_ref.is_some(), policy.spec().selector.as_ref()));
    }
    for policy in cx.all::<Telemetry>() {
        policies.push((policy.id(), &policy.meta().namespace, policy.spec().target_ref.is_some(), policy.spec().selector.as_ref()));
    }
    for policy in cx.all::<WasmPlugin>() {
        policies.push((policy.id(), &policy.meta().namespace, policy.spec().target_ref.is_some(), policy.spec().selector.as_ref()));
    }
    for (id, namespace, targets, selector) in policies {
        let Some(selector) = selector.filter(|_| !targets) else { continue };
        for (gateway, labels) in gateways.get(namespace).into_iter().flatten() {
            if selects(&selector.match_labels, labels) {
                cx.report(&code::INEFFECTIVE_SELECTOR, id, "spec.selector", &[gateway]);
            }
        }
    }
}

fn crd_versions(cx: &mut Context<'_>) {
    for crd in cx.all::<CustomResourceDefinition>() {
        let Some((name, minimum)) = MINIMUM.iter().find(|(name, _)| crd.meta().name == *name) else { continue };
        let Some(stated) = crd.meta().annotations.get(BUNDLE_VERSION) else { continue };
        if version(stated).is_some_and(|installed| installed < *minimum) {
            let minimum = minimum.map(|number| number.to_string()).join(".");
            let installed = stated.trim_start_matches('v');
            cx.report(&code::GATEWAY_API_CRD_VERSION_BELOW_MINIMUM, crd, "metadata.annotations", &[name, &installed, &minimum]);
        }
    }
}

/// `v1.2.3`, with or without a pre-release: a release candidate has the version's fields.
fn version(text: &str) -> Option<[u64; 3]> {
    let numbers = text.trim_start_matches('v').split(['-', '+']).next()?;
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    let mut next = || parts.next().unwrap_or(Some(0));
    let version = [next()?, next()?, next()?];
    parts.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::{super::check::check, version};

    #[test]
    fn selectors_do_not_reach_gateways() {
        let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: b, labels: {gateway.networking.k8s.io/gateway-name: front, app: front}}, spec: {containers: [{name: a, image: b}]}}";
        let policy = |how: &str| {
            format!("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: b}}\nspec:\n  {how}\n")
        };
        let selector = policy("selector: {matchLabels: {app: front}}");
        check("k8sgateway.SelectorAnalyzer", &[pod, &selector], &["IST0166 AuthorizationPolicy b/p:5 spec.selector"]);
        check("k8sgateway.SelectorAnalyzer", &[pod, &policy("selector: {matchLabels: {app: other}}")], &[]);
        check("k8sgateway.SelectorAnalyzer", &[&selector], &[]);
    }

    #[test]
    fn crds_that_are_too_old() {
        let crd = |version: &str| {
            format!(
                "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: tlsroutes.gateway.networking.k8s.io\n  annotations: {{gateway.networking.k8s.io/bundle-version: {version}}}\nspec: {{group: gateway.networking.k8s.io, scope: Namespaced, names: {{plural: tlsroutes, kind: TLSRoute}}, versions: []}}\n"
            )
        };
        let said = "IST0176 CustomResourceDefinition tlsroutes.gateway.networking.k8s.io:5 metadata.annotations";
        check("k8sgateway.CRDVersionAnalyzer", &[&crd("v1.4.1")], &[said]);
        check("k8sgateway.CRDVersionAnalyzer", &[&crd("v1.5.0-rc.1")], &[]);
        check("k8sgateway.CRDVersionAnalyzer", &[&crd("unknown")], &[]);
    }

    #[test]
    fn versions() {
        assert_eq!(version("v1.4"), Some([1, 4, 0]));
        assert_eq!(version("1.4.2-rc1"), Some([1, 4, 2]));
        assert_eq!(version("1.x"), None);
        assert_eq!(version("1.2.3.4"), None);
    }
}
