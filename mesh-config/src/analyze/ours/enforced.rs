//! What this mesh reads, checks and distributes, and does not act upon yet. Said plainly, so that nobody relies on it: a guard that is missing is an error.

use super::super::{
    Analyzer, code,
    context::{Context, Item},
};
use crate::resource::{
    AuthorizationPolicy, EnvoyFilter, Kind, ProxyConfig, RequestAuthentication, Telemetry, TrafficExtension, WasmPlugin,
    authorization_policy::Action, traffic_extension::ExtensionPhase, wasm_plugin::FailStrategy,
};

/// Kinds and fields without effect.
pub(in super::super) static NOT_ENFORCED: Analyzer = Analyzer {
    name: "mesh.NotEnforcedAnalyzer",
    about: "Tells which kinds and fields this mesh does not act upon yet",
    codes: &[&code::NOT_ENFORCED, &code::SECURITY_NOT_ENFORCED],
    reads: &[
        Kind::AuthorizationPolicy,
        Kind::EnvoyFilter,
        Kind::ProxyConfig,
        Kind::RequestAuthentication,
        Kind::Telemetry,
        Kind::TrafficExtension,
        Kind::WasmPlugin,
    ],
    run: not_enforced,
};

/// Parts of the names of Envoy filters that guard something.
const GUARDS: [&str; 6] = ["rbac", "jwt", "ext_authz", "ratelimit", "rate_limit", "csrf"];

const CLOSED: &str = "the module is not run, and as it must not be passed by (failStrategy), the requests that it is for are refused";
const OPEN: &str = "the module is not run, and traffic passes without it, as its failStrategy allows";

fn not_enforced(cx: &mut Context<'_>) {
    for policy in cx.all::<RequestAuthentication>() {
        let effect = "its proxies do not check tokens yet, so they refuse the requests to the workloads that it selects";
        cx.report(&code::SECURITY_NOT_ENFORCED, policy, "spec.jwtRules", &[&"RequestAuthentication", &effect]);
    }
    for policy in cx.all::<AuthorizationPolicy>() {
        authorization(cx, &policy);
    }
    for filter in cx.all::<EnvoyFilter>() {
        envoy_filter(cx, &filter);
    }
    for plugin in cx.all::<WasmPlugin>() {
        wasm(cx, plugin, "WasmPlugin", plugin.spec().fail_strategy, "spec.failStrategy");
    }
    for extension in cx.all::<TrafficExtension>() {
        if let Some(module) = &extension.spec().wasm {
            wasm(cx, extension, "TrafficExtension", module.fail_strategy, "spec.wasm.failStrategy");
        } else {
            let guards = matches!(extension.spec().phase, ExtensionPhase::Authn | ExtensionPhase::Authz);
            let code = if guards { &code::SECURITY_NOT_ENFORCED } else { &code::NOT_ENFORCED };
            cx.report(code, extension, "spec.lua", &[&"TrafficExtension with a Lua script", &"the script is not run"]);
        }
    }
    for telemetry in cx.all::<Telemetry>() {
        let effect = "metrics, access logs and spans are as by default";
        cx.report(&code::NOT_ENFORCED, telemetry, "spec", &[&"Telemetry", &effect]);
    }
    for config in cx.all::<ProxyConfig>() {
        let effect = "the proxies that it selects run with the settings they were started with";
        cx.report(&code::NOT_ENFORCED, config, "spec", &[&"ProxyConfig", &effect]);
    }
}

fn authorization(cx: &mut Context<'_>, policy: &Item<'_, AuthorizationPolicy>) {
    let spec = policy.spec();
    if spec.target_ref.is_some() || !spec.target_refs.is_empty() {
        let path = if spec.target_refs.is_empty() { "spec.targetRef" } else { "spec.targetRefs" };
        let effect = "the policy is refused as a whole; policies by selector are in force";
        cx.report(&code::SECURITY_NOT_ENFORCED, policy, path, &[&"AuthorizationPolicy with targetRefs", &effect]);
    }
    if spec.action == Action::Custom {
        let effect = "no external authorizer is asked, and the requests that it would be asked about are refused";
        cx.report(&code::SECURITY_NOT_ENFORCED, policy, "spec.action", &[&"AuthorizationPolicy with action CUSTOM", &effect]);
    }
}

fn envoy_filter(cx: &mut Context<'_>, filter: &Item<'_, EnvoyFilter>) {
    let guard = filter.spec().config_patches.iter().position(|config| {
        let name = config.patch.as_ref().and_then(|patch| patch.value.as_ref()?.get("name")?.as_str()).unwrap_or_default();
        GUARDS.iter().any(|guard| name.contains(guard))
    });
    match guard {
        Some(index) => {
            let effect = "its patches are not applied, and what the filter would refuse passes";
            let path = format_args!("spec.configPatches[{index}].patch.value.name");
            cx.report(&code::SECURITY_NOT_ENFORCED, filter, path, &[&"EnvoyFilter", &effect]);
        }
        None => cx.report(&code::NOT_ENFORCED, filter, "spec.configPatches", &[&"EnvoyFilter", &"its patches are not applied"]),
    }
}

fn wasm<T>(cx: &mut Context<'_>, item: Item<'_, T>, kind: &str, strategy: FailStrategy, path: &str) {
    if strategy == FailStrategy::FailOpen {
        cx.report(&code::NOT_ENFORCED, item, path, &[&kind, &OPEN]);
    } else {
        cx.report(&code::SECURITY_NOT_ENFORCED, item, path, &[&format!("{kind} with failStrategy {strategy}"), &CLOSED]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::check::check;

    const NAME: &str = "mesh.NotEnforcedAnalyzer";

    fn object(api: &str, kind: &str, spec: &str) -> String {
        format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: x, namespace: a}}\nspec:\n{spec}\n")
    }

    #[test]
    fn a_missing_guard_is_an_error_and_the_rest_a_warning() {
        let tokens =
            object("security.istio.io/v1", "RequestAuthentication", "  jwtRules: [{issuer: me, jwksUri: 'https://example.com/keys'}]");
        check(NAME, &[&tokens], &["MESH0010 RequestAuthentication a/x:5 spec.jwtRules"]);
        let closed = object("extensions.istio.io/v1alpha1", "WasmPlugin", "  url: oci://example.com/waf:1");
        check(NAME, &[&closed], &["MESH0010 WasmPlugin a/x:5 spec.failStrategy"]);
        let open = object("extensions.istio.io/v1alpha1", "WasmPlugin", "  url: oci://example.com/waf:1\n  failStrategy: FAIL_OPEN");
        check(NAME, &[&open], &["MESH0009 WasmPlugin a/x:6 spec.failStrategy"]);
        let telemetry = object("telemetry.istio.io/v1", "Telemetry", "  accessLogging: [{disabled: true}]");
        check(NAME, &[&telemetry], &["MESH0009 Telemetry a/x:5 spec"]);
    }

    #[test]
    fn patches_that_guard_are_errors() {
        let patch = |name: &str| {
            let value = format!("{{name: {name}}}");
            let spec = format!("  configPatches:\n  - applyTo: HTTP_FILTER\n    patch: {{operation: INSERT_FIRST, value: {value}}}");
            object("networking.istio.io/v1alpha3", "EnvoyFilter", &spec)
        };
        check(NAME, &[&patch("envoy.filters.http.ext_authz")], &["MESH0010 EnvoyFilter a/x:7 spec.configPatches[0].patch.value.name"]);
        check(NAME, &[&patch("envoy.filters.http.buffer")], &["MESH0009 EnvoyFilter a/x:6 spec.configPatches"]);
    }

    #[test]
    fn what_is_enforced_is_not_mentioned() {
        let policy = object("security.istio.io/v1", "AuthorizationPolicy", "  rules: [{from: [{source: {namespaces: [b]}}]}]");
        check(NAME, &[&policy], &[]);
    }
}
