//! EnvoyFilters: operations that do nothing where they are used, and patches whose effect depends on the order of filters.

use std::collections::{BTreeSet, HashSet};

use super::{
    Analyzer, Code, code,
    context::{Context, Item},
};
use crate::resource::{
    EnvoyFilter, Kind,
    envoy_filter::{ApplyTo, ConfigPatch, Operation, Patch},
};

/// Patches that are not what they seem.
pub(super) static ENVOY_PATCH: Analyzer = Analyzer {
    name: "envoyfilter.EnvoyPatchAnalyzer",
    about: "Checks that the patches of EnvoyFilters use operations where they work, and do not depend on the order of filters",
    codes: &[
        &code::ENVOY_FILTER_USES_RELATIVE_OPERATION,
        &code::ENVOY_FILTER_USES_RELATIVE_OPERATION_WITH_PROXY_VERSION,
        &code::ENVOY_FILTER_USES_REPLACE_OPERATION_INCORRECTLY,
        &code::ENVOY_FILTER_USES_ADD_OPERATION_INCORRECTLY,
        &code::ENVOY_FILTER_USES_REMOVE_OPERATION_INCORRECTLY,
    ],
    reads: &[Kind::EnvoyFilter],
    run: patches,
};

/// What a patch is about, as far as patches can be told to be about the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject<'a> {
    /// The object of this name, which it brings.
    Value(&'a str),
    /// The filter of this name, which it looks for.
    Filter(&'a str),
    Unknown,
}

fn patches(cx: &mut Context<'_>) {
    // What the patches so far are about that are for certain versions of the proxy.
    let mut versioned = HashSet::new();
    for filter in cx.all::<EnvoyFilter>() {
        patches_of(cx, &filter, &mut versioned);
    }
}

fn patches_of<'a>(cx: &mut Context<'a>, filter: &Item<'a, EnvoyFilter>, versioned: &mut HashSet<Subject<'a>>) {
    // Each code once: the messages do not say which patch they are about.
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for (index, config) in filter.spec().config_patches.iter().enumerate() {
        // Istio, too, reads no further.
        let Some(patch) = &config.patch else { break };
        let subject = subject(config, patch);
        if let Some(code) = judge(filter.spec().priority, config.apply_to, patch.operation, versioned.contains(&subject))
            && told.insert(code.id)
        {
            cx.report(code, filter, format_args!("spec.configPatches[{index}].patch.operation"), &[]);
        }
        let proxy = config.r#match.as_ref().and_then(|target| target.proxy.as_ref());
        if proxy.is_some_and(|proxy| !proxy.proxy_version.is_empty()) {
            versioned.insert(subject);
        }
    }
}

/// What is wrong with an operation. `versioned`: an earlier patch of the same thing is for certain versions of the proxy.
fn judge(priority: i32, target: ApplyTo, operation: Operation, versioned: bool) -> Option<&'static Code> {
    let is_route = matches!(target, ApplyTo::RouteConfiguration | ApplyTo::HttpRoute);
    let relative = || match (priority, versioned) {
        (0, true) => Some(&code::ENVOY_FILTER_USES_RELATIVE_OPERATION_WITH_PROXY_VERSION),
        (0, false) => Some(&code::ENVOY_FILTER_USES_RELATIVE_OPERATION),
        _ => None,
    };
    match operation {
        Operation::Add => is_route.then_some(&code::ENVOY_FILTER_USES_ADD_OPERATION_INCORRECTLY),
        Operation::Remove if is_route => Some(&code::ENVOY_FILTER_USES_REMOVE_OPERATION_INCORRECTLY),
        Operation::Replace if !matches!(target, ApplyTo::NetworkFilter | ApplyTo::HttpFilter | ApplyTo::VirtualHost) => {
            Some(&code::ENVOY_FILTER_USES_REPLACE_OPERATION_INCORRECTLY)
        }
        Operation::Remove | Operation::Replace | Operation::InsertBefore | Operation::InsertAfter => relative(),
        Operation::Invalid | Operation::Merge | Operation::InsertFirst | Operation::MergeAndReplaceList => None,
    }
}

fn subject<'a>(config: &'a ConfigPatch, patch: &'a Patch) -> Subject<'a> {
    let Some(value) = &patch.value else { return Subject::Unknown };
    if let Some(name) = value.get("name") {
        return Subject::Value(name.as_str().unwrap_or_default());
    }
    let chain = config.r#match.as_ref().and_then(|target| target.listener.as_ref()?.filter_chain.as_ref());
    chain.and_then(|chain| chain.filter.as_ref()).map_or(Subject::Unknown, |filter| Subject::Filter(&filter.name))
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    const NAME: &str = "envoyfilter.EnvoyPatchAnalyzer";

    fn patch(target: &str, operation: &str, version: &str) -> String {
        format!(
            "  - applyTo: {target}
    match: {{context: SIDECAR_INBOUND, proxy: {{proxyVersion: '{version}'}}}}
    patch:
      operation: {operation}
      value: {{name: lua}}
"
        )
    }

    fn filter(priority: i32, patches: &[String]) -> String {
        format!(
            "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: f, namespace: shop}}
spec:
  priority: {priority}
  configPatches:
{}",
            patches.concat()
        )
    }

    #[test]
    fn operations_that_do_nothing_are_told() {
        let expected = |code: &str| [format!("{code} EnvoyFilter shop/f:10 spec.configPatches[0].patch.operation")];
        for (target, operation, code) in [
            ("HTTP_ROUTE", "ADD", "IST0153"),
            ("ROUTE_CONFIGURATION", "REMOVE", "IST0154"),
            ("CLUSTER", "REPLACE", "IST0152"),
            ("HTTP_FILTER", "INSERT_BEFORE", "IST0151"),
        ] {
            let expected = expected(code);
            check(NAME, &[&filter(0, &[patch(target, operation, "")])], &expected.each_ref().map(String::as_str));
        }
    }

    #[test]
    fn a_patch_for_a_version_and_another_after_it() {
        let patches =
            [patch("HTTP_FILTER", "INSERT_AFTER", "^1.2"), patch("HTTP_FILTER", "REPLACE", ""), patch("HTTP_FILTER", "REMOVE", "")];
        let expected = [
            "IST0151 EnvoyFilter shop/f:10 spec.configPatches[0].patch.operation",
            "IST0155 EnvoyFilter shop/f:15 spec.configPatches[1].patch.operation",
        ];
        check(NAME, &[&filter(0, &patches)], &expected);
        check(NAME, &[&filter(10, &patches)], &[]);
    }

    #[test]
    fn absolute_operations_are_fine() {
        check(
            NAME,
            &[&filter(0, &[patch("HTTP_FILTER", "INSERT_FIRST", ""), patch("CLUSTER", "ADD", ""), patch("CLUSTER", "MERGE", "")])],
            &[],
        );
    }
}
