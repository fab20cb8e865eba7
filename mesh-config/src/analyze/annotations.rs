//! Annotations: unknown, misplaced, deprecated and wrong ones.

use super::{
    Analyzer,
    code::{self, Code},
    context::{Any, Context},
    mesh::INJECT,
};
use crate::{
    annotation::{self, Annotation, Stability},
    resource::{Kind, kubernetes::PodView},
};

/// Annotations that cannot do what they are there for.
pub(super) static KUBERNETES: Analyzer = Analyzer {
    name: "annotations.K8sAnalyzer",
    about: "Checks that Istio's annotations on Kubernetes resources exist, are where they belong, and can be read",
    codes: &[&code::UNKNOWN_ANNOTATION, &code::MISPLACED_ANNOTATION, &code::INVALID_ANNOTATION, &code::DEPRECATED_ANNOTATION],
    reads: KINDS,
    run: check_all,
};

/// Annotations whose meaning may still change. Istio's default analysis leaves it out, for nearly all are alpha; so it runs when it is named.
pub(super) static ALPHA: Analyzer = Analyzer {
    name: "annotations.AlphaAnalyzer",
    about: "Checks for annotations that are alpha features",
    codes: &[&code::ALPHA_ANNOTATION],
    reads: KINDS,
    run: alpha,
};

const KINDS: &[Kind] = &[Kind::Namespace, Kind::Service, Kind::Pod, Kind::Deployment];

/// Written by controllers, not by people.
const CONTROLLERS: [&str; 3] = ["sidecar.istio.io/status", "gateway.istio.io/controller-version", "istio.io/rev"];

/// Written by the injector where the CNI plugin intercepts.
const INJECTORS: [&str; 4] = [
    "sidecar.istio.io/interceptionMode",
    "traffic.sidecar.istio.io/includeInboundPorts",
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
];

fn check_all(cx: &mut Context<'_>) {
    for object in KINDS.iter().flat_map(|kind| cx.any(*kind)).collect::<Vec<_>>() {
        for (name, value) in &object.meta().annotations {
            if !annotation::is_istios(name) || CONTROLLERS.contains(&name.as_str()) {
                continue;
            }
            match annotation::find(name) {
                Some(known) => check_known(cx, object, known, value),
                None => tell(cx, &code::UNKNOWN_ANNOTATION, object, name, &[&name]),
            }
        }
    }
}

fn check_known(cx: &mut Context<'_>, object: Any<'_>, known: &Annotation, value: &str) {
    let name = known.name;
    // Who has set the label as well knows, and keeps both for older control planes.
    if known.deprecated && !(name == INJECT && object.meta().labels.contains_key(INJECT)) {
        let instead = if name == INJECT { " in favor of the \"sidecar.istio.io/inject\" label" } else { "" };
        tell(cx, &code::DEPRECATED_ANNOTATION, object, name, &[&name, &instead]);
    }
    if known.kinds.is_empty() {
        return;
    }
    if !known.kinds.contains(&object.kind().as_str()) {
        return tell(cx, &code::MISPLACED_ANNOTATION, object, name, &[&name, &known.kinds.join(", ")]);
    }
    if let Err(problem) = known.form.check(value) {
        tell(cx, &code::INVALID_ANNOTATION, object, name, &[&name, &problem]);
    }
}

fn alpha(cx: &mut Context<'_>) {
    for object in KINDS.iter().flat_map(|kind| cx.any(*kind)).collect::<Vec<_>>() {
        let is_pod = object.kind() == Kind::Pod;
        let by_cni =
            is_pod && PodView::of(object.resource()).is_some_and(|pod| pod.init_containers().iter().all(|init| init.name != "istio-init"));
        for name in object.meta().annotations.keys() {
            let is_alpha = annotation::find(name).is_some_and(|known| known.stability == Stability::Alpha);
            let expected = CONTROLLERS.contains(&name.as_str()) || by_cni && INJECTORS.contains(&name.as_str());
            if is_alpha && !expected {
                tell(cx, &code::ALPHA_ANNOTATION, object, name, &[&name]);
            }
        }
    }
}

fn tell(cx: &mut Context<'_>, code: &'static Code, object: Any<'_>, name: &str, arguments: &[&dyn std::fmt::Display]) {
    cx.report(code, object, format_args!("metadata.annotations[{name:?}]"), arguments);
}

#[cfg(test)]
mod tests {
    use super::super::check::run;

    fn codes(analyzer: &str, kind: &str, annotations: &str) -> Vec<String> {
        let spec = if kind == "Pod" { "\nspec: {containers: [{name: a, image: b}]}" } else { "\nspec: {}" };
        let file = format!(
            "apiVersion: v1\nkind: {kind}\nmetadata:\n  name: shop\n  labels: {{sidecar.istio.io/inject: 'true'}}\n  annotations:\n    {annotations}{spec}\n"
        );
        run(analyzer, &[&file]).iter().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    }

    #[test]
    fn what_an_annotation_can_do_wrong() {
        for (kind, annotations, expected) in [
            ("Pod", "sidecar.istio.io/injekt: 'true'", &["IST0108"][..]),
            ("Namespace", "sidecar.istio.io/proxyCPU: 100m", &["IST0107"]),
            ("Pod", "sidecar.istio.io/proxyCPU: 100 m", &["IST0125"]),
            ("Pod", "sidecar.istio.io/discoveryAddress: a", &["IST0135"]),
            ("Pod", "sidecar.istio.io/proxyCPU: 100m", &[]),
            // The label is there, too.
            ("Pod", "sidecar.istio.io/inject: 'true'", &[]),
            ("Pod", "sidecar.istio.io/status: whatever", &[]),
            ("Namespace", "galley.istio.io/analyze-suppress: '*'", &[]),
            ("Pod", "example.com/anything: a", &[]),
        ] {
            assert_eq!(codes("annotations.K8sAnalyzer", kind, annotations), expected, "{kind} {annotations}");
        }
    }

    #[test]
    fn alpha_annotations_are_told_when_asked() {
        assert_eq!(codes("annotations.AlphaAnalyzer", "Pod", "sidecar.istio.io/proxyCPU: 100m"), ["IST0136"]);
        assert!(codes("annotations.AlphaAnalyzer", "Pod", "sidecar.istio.io/interceptionMode: TPROXY").is_empty());
        assert!(codes("annotations.AlphaAnalyzer", "Pod", "proxy.istio.io/config: '{}'").is_empty());
    }
}
