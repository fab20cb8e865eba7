//! The proxy's image: what runs and what would be injected today.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    super::{
        Analyzer, code,
        code::List,
        context::{Context, Item},
        mesh::{INJECTION, PROXY_CONTAINER, REVISION},
    },
    INJECTOR, injector_of, values,
};
use crate::resource::{ConfigMap, Kind, Labels, Meta, Namespace, ProxyConfig, kubernetes::PodView, selector::selects};

/// Pods that were injected before an upgrade.
pub(in super::super) static IMAGE: Analyzer = Analyzer {
    name: "injection.ImageAnalyzer",
    about: "Checks that pods run the proxy that would be injected today",
    codes: &[&code::PODS_ISTIO_PROXY_IMAGE_MISMATCH_IN_NAMESPACE],
    reads: &[Kind::Namespace, Kind::Pod, Kind::ConfigMap, Kind::ProxyConfig],
    run,
};

/// A pod that chooses its own image.
const OWN_IMAGE: &str = "sidecar.istio.io/proxyImage";
const OWN_CONFIG: &str = "proxy.istio.io/config";

fn run(cx: &mut Context<'_>) {
    let injectors: BTreeMap<&str, String> = cx
        .all::<ConfigMap>()
        .filter(|map| map.meta().name.starts_with(INJECTOR))
        .map(|map| (map.meta().name.as_str(), image_of(map.spec())))
        .collect();
    if injectors.is_empty() {
        return;
    }
    let variants = Variants::of(cx);
    let mut others: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for pod in cx.any(Kind::Pod) {
        let meta = pod.meta();
        let Some(revision) = cx.namespace_labels(&meta.namespace).and_then(revision) else { continue };
        let own_image = meta.annotations.get(OWN_IMAGE).is_some_and(|image| !image.is_empty());
        let Some(image) = injectors.get(injector_of(revision).as_str()).filter(|_| !own_image) else { continue };
        let Some(proxy) = PodView::of(pod.resource()).and_then(|view| view.container(PROXY_CONTAINER)) else { continue };
        let running = proxy.image.as_deref().unwrap_or_default();
        if running != image && running != format!("{image}-{}", variants.of_pod(meta)) {
            others.entry(&meta.namespace).or_default().push(&meta.name);
        }
    }
    for (namespace, mut pods) in others {
        pods.sort_unstable();
        if let Some(namespace) = cx.find::<Namespace>("", namespace) {
            cx.report(&code::PODS_ISTIO_PROXY_IMAGE_MISMATCH_IN_NAMESPACE, namespace, "metadata.name", &[&List(&pods)]);
        }
    }
}

/// The revision that injects a namespace; none if nobody does.
fn revision(labels: &Labels) -> Option<&str> {
    let revision = labels.get(REVISION).map(String::as_str);
    revision.or_else(|| labels.get(INJECTION).filter(|value| *value == "enabled").map(|_| ""))
}

/// The image that an injector puts in, as its values say: a whole name, or hub, name and tag.
fn image_of(map: &ConfigMap) -> String {
    let values = values(map).unwrap_or_default();
    let text = |path: &str| values.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let image = text("/global/proxy/image");
    if image.contains('/') { image } else { format!("{}/{image}:{}", text("/global/hub"), text("/global/tag")) }
}

/// `image.imageType` of the ProxyConfigs, by what they are for.
struct Variants<'a> {
    mesh: Option<&'a str>,
    root: Option<&'a str>,
    namespaces: BTreeMap<&'a str, &'a str>,
    workloads: Vec<Item<'a, ProxyConfig>>,
}

impl<'a> Variants<'a> {
    fn of(cx: &Context<'a>) -> Self {
        let mesh = cx.mesh_config().pointer("/defaultConfig/image/imageType").and_then(Value::as_str);
        let mut variants = Self { mesh, root: None, namespaces: BTreeMap::new(), workloads: Vec::new() };
        for config in cx.all::<ProxyConfig>() {
            let Some(kind) = config.spec().image.as_ref().map(|image| image.image_type.as_str()).filter(|kind| !kind.is_empty()) else {
                continue;
            };
            if config.meta().namespace == cx.root_namespace() {
                variants.root = Some(kind);
            } else if config.spec().selector.is_none() {
                variants.namespaces.insert(&config.meta().namespace, kind);
            } else {
                variants.workloads.push(config);
            }
        }
        variants
    }

    /// The nearest one wins: the pod's own annotation, its workload's, its namespace's, the mesh's.
    fn of_pod(&self, meta: &Meta) -> String {
        let annotated = meta.annotations.get(OWN_CONFIG).and_then(|text| mesh_proto::yaml::parse_one(text).ok());
        let annotated = annotated.and_then(|document| Some(document.root.get("image")?.get("imageType")?.as_str()?.to_owned()));
        let workload = self.workloads.iter().rev().find(|config| {
            let selector = config.spec().selector.as_ref();
            config.meta().namespace == meta.namespace && selector.is_some_and(|selector| selects(&selector.match_labels, &meta.labels))
        });
        let workload = workload.and_then(|config| config.spec().image.as_ref()).map(|image| image.image_type.as_str());
        let namespace = self.namespaces.get(meta.namespace.as_str()).copied();
        let variant = annotated.unwrap_or_else(|| workload.or(namespace).or(self.root).or(self.mesh).unwrap_or_default().to_owned());
        if variant == "default" { String::new() } else { variant }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::check::check;

    const ANALYZER: &str = "injection.ImageAnalyzer";
    const SETTINGS: &str = r#"{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: enabled}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: istio-sidecar-injector, namespace: istio-system},
 data: {values: '{"global": {"hub": "hub", "tag": "2", "proxy": {"image": "proxyv2"}}}'}}
"#;

    fn pod(image: &str, annotation: &str) -> String {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: web, namespace: shop, annotations: {{{annotation}}}}}, spec: {{containers: [{{name: istio-proxy, image: '{image}'}}]}}}}"
        )
    }

    #[test]
    fn pods_run_what_would_be_injected() {
        let said = "IST0158 Namespace shop:1 metadata.name";
        check(ANALYZER, &[SETTINGS, &pod("hub/proxyv2:1", "")], &[said]);
        check(ANALYZER, &[SETTINGS, &pod("hub/proxyv2:2", "")], &[]);
        check(ANALYZER, &[SETTINGS, &pod("hub/proxyv2:2-distroless", "")], &[said]);
        check(ANALYZER, &[SETTINGS, &pod("hub/proxyv2:2-distroless", "proxy.istio.io/config: '{image: {imageType: distroless}}'")], &[]);
        check(ANALYZER, &[SETTINGS, &pod("mine:1", "sidecar.istio.io/proxyImage: 'mine:1'")], &[]);
    }
}
