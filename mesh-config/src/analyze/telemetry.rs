//! Telemetries: selectors, providers, and a provider that is going away.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    Analyzer, code,
    context::{Context, Item},
    selector::{self, Selection},
};
use crate::resource::{Kind, Labels, Telemetry};

/// Several Telemetries for a whole namespace.
pub(super) static DEFAULT_SELECTOR: Analyzer = Analyzer {
    name: "telemetry.DefaultSelectorAnalyzer",
    about: "Checks that a namespace has one Telemetry without a selector at most",
    codes: &[&code::MULTIPLE_TELEMETRIES_WITHOUT_WORKLOAD_SELECTORS],
    reads: &[Kind::Telemetry],
    run: default_selectors,
};

/// A provider that is deprecated.
pub(super) static LIGHTSTEP: Analyzer = Analyzer {
    name: "telemetry.LightstepAnalyzer",
    about: "Checks that Telemetries do not use a Lightstep provider",
    codes: &[&code::DEPRECATED],
    reads: &[Kind::Telemetry],
    run: lightstep,
};

/// Access logs that go nowhere.
pub(super) static PROVIDER: Analyzer = Analyzer {
    name: "telemetry.ProviderAnalyzer",
    about: "Checks that Telemetries with access logs name a provider, if the mesh has no default one",
    codes: &[&code::INVALID_TELEMETRY_PROVIDER],
    reads: &[Kind::Telemetry],
    run: providers,
};

/// Selectors that select nothing, or the same pods.
pub(super) static SELECTOR: Analyzer = Analyzer {
    name: "telemetry.SelectorAnalyzer",
    about: "Checks that Telemetries select workloads, and each other ones",
    codes: &[&code::REFERENCED_RESOURCE_NOT_FOUND, &code::CONFLICTING_TELEMETRY_WORKLOAD_SELECTORS],
    reads: &[Kind::Telemetry, Kind::Pod],
    run: selectors,
};

fn default_selectors(cx: &mut Context<'_>) {
    let unselective = cx.all::<Telemetry>().filter(|telemetry| telemetry.spec().selector.is_none());
    for (namespace, telemetries) in selector::by_namespace(unselective) {
        if telemetries.len() > 1 {
            let names = selector::names(&telemetries);
            for telemetry in &telemetries {
                let arguments: [&dyn std::fmt::Display; 2] = [&code::List(&names), &namespace];
                cx.report(&code::MULTIPLE_TELEMETRIES_WITHOUT_WORKLOAD_SELECTORS, telemetry, "metadata.name", &arguments);
            }
        }
    }
}

fn lightstep(cx: &mut Context<'_>) {
    let providers = cx.mesh_config().get("extensionProviders").and_then(Value::as_array);
    let is_lightstep = |provider: &&Value| provider.get("lightstep").is_some_and(|settings| !settings.is_null());
    let names: HashSet<&str> =
        providers.into_iter().flatten().filter(is_lightstep).filter_map(|provider| provider.get("name")?.as_str()).collect();
    if names.is_empty() {
        return;
    }
    for telemetry in cx.all::<Telemetry>() {
        let mut told = HashSet::new();
        for (index, tracing) in telemetry.spec().tracing.iter().enumerate() {
            for (number, provider) in tracing.providers.iter().enumerate() {
                if names.contains(provider.name.as_str()) && told.insert(&provider.name) {
                    let detail = format_args!("the Lightstep provider {} goes away, OpenTelemetry takes its place", provider.name);
                    cx.report(&code::DEPRECATED, telemetry, format_args!("spec.tracing[{index}].providers[{number}].name"), &[&detail]);
                }
            }
        }
    }
}

fn providers(cx: &mut Context<'_>) {
    let defaults = cx.mesh_config().pointer("/defaultProviders/accessLogging").and_then(Value::as_array);
    if defaults.is_some_and(|providers| !providers.is_empty()) {
        return;
    }
    for telemetry in cx.all::<Telemetry>() {
        let logs = &telemetry.spec().access_logging;
        if let Some(index) = logs.iter().position(|log| log.disabled != Some(true) && log.providers.is_empty()) {
            let arguments: [&dyn std::fmt::Display; 2] = [&telemetry.meta().name, &telemetry.meta().namespace];
            cx.report(&code::INVALID_TELEMETRY_PROVIDER, telemetry, format_args!("spec.accessLogging[{index}]"), &arguments);
        }
    }
}

fn selectors(cx: &mut Context<'_>) {
    let selected = Selection::of(cx, cx.all::<Telemetry>().filter_map(|telemetry| Some((telemetry, own_selector(&telemetry)?))));
    for (telemetry, labels) in &selected.idle {
        let labels = selector::text(labels);
        cx.report(&code::REFERENCED_RESOURCE_NOT_FOUND, telemetry, "spec.selector.matchLabels", &[&"selector", &labels]);
    }
    for (pod, telemetries) in selected.pods.values().filter(|(_, telemetries)| telemetries.len() > 1) {
        let names = selector::names(telemetries);
        for telemetry in telemetries {
            let arguments: [&dyn std::fmt::Display; 3] = [&code::List(&names), &pod.meta().namespace, &pod.meta().name];
            cx.report(&code::CONFLICTING_TELEMETRY_WORKLOAD_SELECTORS, telemetry, "metadata.name", &arguments);
        }
    }
}

/// The labels of the workloads that a Telemetry is for, if it says any.
fn own_selector<'a>(telemetry: &Item<'a, Telemetry>) -> Option<&'a Labels> {
    telemetry.spec().selector.as_ref().map(|selector| &selector.match_labels).filter(|labels| !labels.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Set, check::check, run};

    const POD: &str = "apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web, tier: front}}
spec: {containers: [{name: web, image: web}]}
";

    fn telemetry(name: &str, spec: &str) -> String {
        format!("apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata:\n  name: {name}\n  namespace: shop\nspec:\n{spec}")
    }

    fn selecting(name: &str, labels: &str) -> String {
        telemetry(name, &format!("  selector:\n    matchLabels: {labels}\n  metrics: [{{providers: [{{name: prometheus}}]}}]\n"))
    }

    #[test]
    fn a_namespace_has_one_default() {
        let name = "telemetry.DefaultSelectorAnalyzer";
        let plain = |name: &str| telemetry(name, "  metrics: [{providers: [{name: prometheus}]}]\n");
        let expected = ["IST0160 Telemetry shop/a:4 metadata.name", "IST0160 Telemetry shop/b:4 metadata.name"];
        check(name, &[&plain("a"), &plain("b")], &expected);
        check(name, &[&plain("a"), &selecting("b", "{app: web}")], &[]);
    }

    #[test]
    fn a_workload_has_one_telemetry() {
        let name = "telemetry.SelectorAnalyzer";
        let files = [POD, &selecting("a", "{app: web}"), &selecting("b", "{tier: front}"), &selecting("c", "{app: wbe}")];
        let expected = [
            "IST0101 Telemetry shop/c:8 spec.selector.matchLabels",
            "IST0159 Telemetry shop/a:4 metadata.name",
            "IST0159 Telemetry shop/b:4 metadata.name",
        ];
        check(name, &files, &expected);
        check(name, &[POD, &selecting("a", "{app: web}")], &[]);
    }

    #[test]
    fn logs_need_a_provider() {
        let name = "telemetry.ProviderAnalyzer";
        let logs = |settings: &str| telemetry("a", &format!("  accessLogging:\n  - {settings}\n"));
        check(name, &[&logs("filter: {expression: 'true'}")], &["IST0157 Telemetry shop/a:8 spec.accessLogging[0]"]);
        check(name, &[&logs("providers: [{name: envoy}]")], &[]);
        check(name, &[&logs("disabled: true")], &[]);
        let mut set = Set::default();
        set.read("a.yaml", logs("filter: {expression: 'true'}").as_bytes());
        set.set_mesh_config(serde_json::json!({"defaultProviders": {"accessLogging": ["envoy"]}}));
        assert_eq!(run(&set, &Options { analyzers: vec![name.to_owned()], ..Options::default() }), []);
    }

    #[test]
    fn lightstep_goes_away() {
        let messages = |provider: &str| {
            let mut set = Set::default();
            set.read("a.yaml", telemetry("a", &format!("  tracing: [{{providers: [{{name: {provider}}}]}}]\n")).as_bytes());
            set.set_mesh_config(
                serde_json::json!({"extensionProviders": [{"name": "old", "lightstep": {}}, {"name": "new", "zipkin": {}}]}),
            );
            let options = Options { analyzers: vec!["telemetry.LightstepAnalyzer".to_owned()], ..Options::default() };
            run(&set, &options).into_iter().map(|message| message.text).collect::<Vec<_>>()
        };
        assert_eq!(messages("old"), ["Deprecated: the Lightstep provider old goes away, OpenTelemetry takes its place"]);
        assert!(messages("new").is_empty());
    }
}
