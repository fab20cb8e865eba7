//! VirtualServices that delegate to others: to nothing, from nobody, or with matches that exclude each other.

use std::collections::HashMap;

use super::{
    super::{
        Analyzer, code,
        context::{Context, Item},
    },
    rule_name,
};
use crate::resource::{
    Key, Kind, StringMatch, VirtualService,
    selector::visible,
    virtual_service::{HttpAction, HttpMatch, HttpRoute},
};

/// Delegates that are not there, that nobody uses, or whose rules cannot match.
pub(in super::super) static DELEGATE: Analyzer = Analyzer {
    name: "mesh.DelegateAnalyzer",
    about: "Checks that rules delegate to VirtualServices that exist and whose matches fit",
    codes: &[&code::DELEGATE_NOT_FOUND, &code::NOBODY_DELEGATES, &code::ROUTE_NEVER_MATCHES],
    reads: &[Kind::VirtualService],
    run: delegates,
};

fn delegates(cx: &mut Context<'_>) {
    // The matches of all rules that lead to a delegate.
    let mut leading: HashMap<Key, Vec<&HttpRoute>> = HashMap::new();
    for root in cx.all::<VirtualService>() {
        for (index, rule) in root.spec().http.iter().enumerate() {
            let HttpAction::Delegate(delegate) = &rule.action else { continue };
            let namespace = if delegate.namespace.is_empty() { &root.meta().namespace } else { &delegate.namespace };
            let key = Key::new(namespace, delegate.name.as_str());
            match missing(cx, &root, &key) {
                Some(reason) => {
                    let path = format_args!("spec.http[{index}].delegate.name");
                    cx.report(&code::DELEGATE_NOT_FOUND, root, path, &[&rule_name(&rule.name, index), &key, &reason]);
                }
                None => leading.entry(key).or_default().push(rule),
            }
        }
    }
    for delegate in cx.all::<VirtualService>().filter(|service| service.spec().hosts.is_empty()) {
        match leading.get(&delegate.key()) {
            Some(roots) => unreachable(cx, &delegate, roots),
            None => cx.report(&code::NOBODY_DELEGATES, delegate, "metadata.name", &[]),
        }
    }
}

/// Why a rule cannot delegate to `key`.
fn missing(cx: &Context<'_>, root: &Item<'_, VirtualService>, key: &Key) -> Option<&'static str> {
    let Some(delegate) = cx.find::<VirtualService>(&key.namespace, &key.name) else { return Some("which does not exist") };
    if !delegate.spec().hosts.is_empty() {
        return Some("which has hosts of its own and so is no delegate");
    }
    let seen = visible(&delegate.spec().export_to, &key.namespace, &root.meta().namespace);
    (!seen).then_some("which is not exported to this namespace")
}

/// Reports the delegate's rules that fit none of the rules that lead to it.
fn unreachable(cx: &mut Context<'_>, delegate: &Item<'_, VirtualService>, roots: &[&HttpRoute]) {
    for (index, rule) in delegate.spec().http.iter().enumerate() {
        let fits = |root: &&HttpRoute| {
            root.matches.is_empty()
                || rule.matches.is_empty()
                || root.matches.iter().any(|root| rule.matches.iter().any(|leaf| !excludes(root, leaf)))
        };
        if !roots.iter().any(fits) {
            let reason = "its matches exclude those of the rule that delegates to it";
            cx.report(
                &code::ROUTE_NEVER_MATCHES,
                delegate,
                format_args!("spec.http[{index}].match"),
                &[&rule_name(&rule.name, index), &reason],
            );
        }
    }
}

/// Whether Istio cannot merge the two: the delegate's match must be no wider than the root's (`pilot/pkg/model/virtualservice.go`).
fn excludes(root: &HttpMatch, leaf: &HttpMatch) -> bool {
    let differ = |a: &str, b: &str| !a.is_empty() && !b.is_empty() && a != b;
    texts(root.uri.as_ref(), leaf.uri.as_ref())
        || texts(root.scheme.as_ref(), leaf.scheme.as_ref())
        || texts(root.method.as_ref(), leaf.method.as_ref())
        || texts(root.authority.as_ref(), leaf.authority.as_ref())
        || root.port.zip(leaf.port).is_some_and(|(root, leaf)| root != leaf)
        || differ(&root.source_namespace, &leaf.source_namespace)
        || root.source_labels.iter().any(|(key, value)| leaf.source_labels.get(key).is_some_and(|other| other != value))
}

fn texts(root: Option<&StringMatch>, leaf: Option<&StringMatch>) -> bool {
    use StringMatch::{Exact, Prefix, Regex};
    match (root, leaf) {
        (None, _) | (_, None) => false,
        (Some(Regex(_)), _) | (_, Some(Regex(_))) | (Some(Exact(_)), Some(Prefix(_))) => true,
        (Some(Exact(root)), Some(Exact(leaf))) => root != leaf,
        (Some(Prefix(root)), Some(Exact(leaf) | Prefix(leaf))) => !leaf.starts_with(root.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::check::check;

    const ROOT: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root, namespace: a}
spec:
  hosts: [shop.example.com]
  http:
  - match: [{uri: {prefix: /cart}}]
    delegate: {name: cart, namespace: b}
";
    const LEAF: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: b}
spec:
  http:
  - match: [{uri: {prefix: PATH}}]
    route: [{destination: {host: cart}}]
";
    const NAME: &str = "mesh.DelegateAnalyzer";

    #[test]
    fn a_delegate_is_there_and_used() {
        check(NAME, &[ROOT, &LEAF.replace("PATH", "/cart/items")], &[]);
        check(NAME, &[ROOT], &["MESH0014 VirtualService a/root:8 spec.http[0].delegate.name"]);
        check(NAME, &[&LEAF.replace("PATH", "/cart")], &["MESH0015 VirtualService b/cart:3 metadata.name"]);
        let hosted = LEAF.replace("PATH", "/cart").replace("  http:", "  hosts: [cart]\n  http:");
        check(NAME, &[ROOT, &hosted], &["MESH0014 VirtualService a/root:8 spec.http[0].delegate.name"]);
    }

    #[test]
    fn a_rule_that_the_root_never_hands_on_is_told() {
        check(NAME, &[ROOT, &LEAF.replace("PATH", "/list")], &["MESH0002 VirtualService b/cart:6 spec.http[0].match"]);
    }
}
