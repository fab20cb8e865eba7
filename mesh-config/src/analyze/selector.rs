//! What label selectors select: how they are printed, and which pods several objects select together.

use std::collections::BTreeMap;

use super::context::{Context, Item};
use crate::resource::{Key, Labels, Meta, Pod, Spec};

/// `a=b,c=d`, as Kubernetes prints a selector.
pub(super) fn text(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// Whether a pod's traffic is redirected to ambient mode's proxy, so that it has no sidecar.
pub(super) fn in_ambient_mode(pod: &Meta) -> bool {
    pod.annotations.get("ambient.istio.io/redirection").is_some_and(|value| value == "enabled")
}

/// Whether a namespace is in ambient mode: a label that asks for sidecars wins over one that asks for ambient.
pub(super) fn is_ambient(namespace: &Labels) -> bool {
    let is = |label: &str, wanted: &str| namespace.get(label).is_some_and(|value| value == wanted);
    let revision = namespace.get("istio.io/rev").is_some_and(|value| !value.is_empty());
    is("istio.io/dataplane-mode", "ambient") && !is("istio-injection", "enabled") && !revision
}

/// Objects of one kind and the pods of their own namespaces that they select.
pub(super) struct Selection<'a, T> {
    /// Those that select nothing, with their selectors.
    pub(super) idle: Vec<(Item<'a, T>, &'a Labels)>,
    /// Every pod that is selected, with all that select it.
    pub(super) pods: BTreeMap<Key, (Item<'a, Pod>, Vec<Item<'a, T>>)>,
}

impl<'a, T: Spec> Selection<'a, T> {
    /// Looks up what each object selects.
    pub(super) fn of(cx: &Context<'a>, objects: impl Iterator<Item = (Item<'a, T>, &'a Labels)>) -> Self {
        let mut selection = Self { idle: Vec::new(), pods: BTreeMap::new() };
        for (object, selector) in objects {
            let pods = cx.selected::<Pod>(&object.meta().namespace, selector);
            if pods.is_empty() {
                selection.idle.push((object, selector));
            }
            for pod in pods {
                selection.pods.entry(pod.key()).or_insert_with(|| (pod, Vec::new())).1.push(object);
            }
        }
        selection
    }
}

/// The objects' names, in order.
pub(super) fn names<'a, T>(objects: &[Item<'a, T>]) -> Vec<&'a str> {
    let mut names: Vec<_> = objects.iter().map(|object| object.meta().name.as_str()).collect();
    names.sort_unstable();
    names
}

/// The objects of each namespace, where there are several.
pub(super) fn by_namespace<'a, T>(objects: impl Iterator<Item = Item<'a, T>>) -> BTreeMap<&'a str, Vec<Item<'a, T>>> {
    let mut namespaces: BTreeMap<&str, Vec<Item<'a, T>>> = BTreeMap::new();
    for object in objects {
        namespaces.entry(object.meta().namespace.as_str()).or_default().push(object);
    }
    namespaces
}
