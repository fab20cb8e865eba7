//! AuthorizationPolicies: whether each protects something, and whether the namespaces that it names exist.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Analyzer, code,
    context::{Context, Item},
    mesh, selector,
};
use crate::resource::{AuthorizationPolicy, Kind, Labels, Namespace, authorization_policy::Source, kubernetes::PodView, selector::selects};

/// Policies that apply to nothing or speak of nobody.
pub(super) static AUTHORIZATION_POLICIES: Analyzer = Analyzer {
    name: "auth.AuthorizationPoliciesAnalyzer",
    about: "Checks that AuthorizationPolicies select workloads of the mesh and name namespaces that exist",
    codes: &[&code::NO_MATCHING_WORKLOADS_FOUND, &code::REFERENCED_RESOURCE_NOT_FOUND],
    reads: &[Kind::AuthorizationPolicy, Kind::Namespace, Kind::Pod],
    run: authorization_policies,
};

fn authorization_policies(cx: &mut Context<'_>) {
    let meshed = Meshed::of(cx);
    let namespaces: BTreeSet<String> = cx.all::<Namespace>().map(|namespace| namespace.meta().name.to_lowercase()).collect();
    let mut exists: HashMap<&str, bool> = HashMap::new();
    let root = cx.root_namespace();
    for policy in cx.all::<AuthorizationPolicy>() {
        workloads(cx, &policy, root, &meshed);
        for (rule, alternative, source) in sources(policy.spec()) {
            for (list, patterns) in [("namespaces", &source.namespaces), ("notNamespaces", &source.not_namespaces)] {
                for (index, pattern) in patterns.iter().enumerate() {
                    if !*exists.entry(pattern).or_insert_with(|| any_matches(&namespaces, &pattern.to_lowercase())) {
                        let path = format_args!("spec.rules[{rule}].from[{alternative}].source.{list}[{index}]");
                        cx.report(&code::REFERENCED_RESOURCE_NOT_FOUND, policy, path, &[&"namespace", pattern]);
                    }
                }
            }
        }
    }
}

/// Whether a policy applies to some workload.
fn workloads(cx: &mut Context<'_>, policy: &Item<'_, AuthorizationPolicy>, root: &str, meshed: &Meshed<'_>) {
    let spec = policy.spec();
    // It is attached to an object, and not to the namespace's workloads.
    if spec.target_ref.is_some() || !spec.target_refs.is_empty() {
        return;
    }
    let none = Labels::new();
    let (labels, path) = match &spec.selector {
        Some(selector) => (&selector.match_labels, "spec.selector.matchLabels"),
        // The mesh has workloads, or will have.
        None if policy.meta().namespace == root => return,
        None => (&none, "metadata.namespace"),
    };
    let namespace = (policy.meta().namespace != root).then_some(policy.meta().namespace.as_str());
    if !meshed.any(namespace, labels) {
        cx.report(&code::NO_MATCHING_WORKLOADS_FOUND, policy, path, &[&selector::text(labels)]);
    }
}

/// Every source, with the numbers of its rule and of its place there.
fn sources(policy: &AuthorizationPolicy) -> impl Iterator<Item = (usize, usize, &Source)> {
    policy
        .rules
        .iter()
        .enumerate()
        .flat_map(|(rule, from)| from.from.iter().enumerate().map(move |(index, from)| (rule, index, &from.source)))
}

/// Whether one of the names is meant by a pattern, which takes `*` at one end.
fn any_matches(names: &BTreeSet<String>, pattern: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    if let Some(suffix) = pattern.strip_prefix('*') {
        return names.iter().any(|name| name.ends_with(suffix));
    }
    match pattern.strip_suffix('*') {
        Some(prefix) => names.range(prefix.to_owned()..).next().is_some_and(|name| name.starts_with(prefix)),
        None => names.contains(pattern),
    }
}

/// The pods with a proxy, their own or their node's.
struct Meshed<'a> {
    namespaces: BTreeMap<&'a str, ByLabel<'a>>,
}

/// Pods of a namespace.
#[derive(Default)]
struct ByLabel<'a> {
    all: Vec<&'a Labels>,
    by_label: HashMap<(&'a str, &'a str), Vec<&'a Labels>>,
}

impl<'a> Meshed<'a> {
    fn of(cx: &Context<'a>) -> Self {
        let mut namespaces: BTreeMap<&str, ByLabel<'_>> = BTreeMap::new();
        for pod in cx.any(Kind::Pod) {
            let meta = pod.meta();
            let injected = || PodView::of(pod.resource()).is_some_and(|view| mesh::is_injected(cx, &meta.namespace, view));
            if !selector::in_ambient_mode(meta) && !injected() {
                continue;
            }
            let pods = namespaces.entry(&meta.namespace).or_default();
            pods.all.push(&meta.labels);
            for (key, value) in &meta.labels {
                pods.by_label.entry((key, value)).or_default().push(&meta.labels);
            }
        }
        Self { namespaces }
    }

    /// Whether a pod of the namespace, or of the mesh, has these labels.
    fn any(&self, namespace: Option<&str>, labels: &Labels) -> bool {
        match namespace {
            Some(namespace) => self.namespaces.get(namespace).is_some_and(|pods| pods.any(labels)),
            None => self.namespaces.values().any(|pods| pods.any(labels)),
        }
    }
}

impl ByLabel<'_> {
    fn any(&self, selector: &Labels) -> bool {
        let lists = selector.iter().map(|(key, value)| self.by_label.get(&(key.as_str(), value.as_str())).map_or(&[][..], Vec::as_slice));
        lists.min_by_key(|list| list.len()).unwrap_or(&self.all).iter().any(|labels| selects(selector, labels))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    const SHOP: &str = "apiVersion: v1
kind: Namespace
metadata: {name: shop-prod, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop-prod, labels: {app: cart}}
spec: {containers: [{name: cart, image: cart}]}
---
apiVersion: v1
kind: Pod
metadata: {name: plain, namespace: plain, labels: {app: plain}}
spec: {containers: [{name: plain, image: plain}]}
";

    fn policy(namespace: &str, selector: &str, namespaces: &str) -> String {
        format!(
            "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: p
  namespace: {namespace}
spec:
  {selector}
  rules:
  - from:
    - source:
        namespaces: {namespaces}
"
        )
    }

    #[test]
    fn a_policy_for_nothing_or_of_nobody_is_told() {
        let name = "auth.AuthorizationPoliciesAnalyzer";
        let empty = ["IST0127 AuthorizationPolicy plain/p:5 metadata.namespace"];
        check(name, &[SHOP, &policy("plain", "", "['*']")], &empty);
        let typo = ["IST0127 AuthorizationPolicy shop-prod/p:7 spec.selector.matchLabels"];
        check(name, &[SHOP, &policy("shop-prod", "selector: {matchLabels: {app: crat}}", "[shop-prod]")], &typo);
        let root = ["IST0127 AuthorizationPolicy istio-system/p:7 spec.selector.matchLabels"];
        check(name, &[SHOP, &policy("istio-system", "selector: {matchLabels: {app: plain}}", "[shop-prod]")], &root);
        let nobody = [
            "IST0101 AuthorizationPolicy shop-prod/p:11 spec.rules[0].from[0].source.namespaces[1]",
            "IST0101 AuthorizationPolicy shop-prod/p:11 spec.rules[0].from[0].source.namespaces[3]",
        ];
        check(name, &[SHOP, &policy("shop-prod", "", "[shop-*, test-*, '*-PROD', shop, '*']")], &nobody);
    }

    #[test]
    fn a_policy_for_somebody_is_fine() {
        let name = "auth.AuthorizationPoliciesAnalyzer";
        check(name, &[SHOP, &policy("shop-prod", "selector: {matchLabels: {app: cart}}", "[shop-prod]")], &[]);
        check(name, &[SHOP, &policy("istio-system", "selector: {matchLabels: {app: cart}}", "[shop-prod]")], &[]);
        check(name, &[SHOP, &policy("istio-system", "", "[shop-prod]")], &[]);
        check(
            name,
            &[SHOP, &policy("plain", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]", "[shop-prod]")],
            &[],
        );
    }
}
