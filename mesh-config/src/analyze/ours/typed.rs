//! EnvoyFilters that do what a resource of Istio's does: those outlive the next version of Envoy.

use super::super::{Analyzer, code, context::Context};
use crate::resource::{
    EnvoyFilter, Kind,
    envoy_filter::{ApplyTo, ConfigPatch},
};

/// Patches that need no EnvoyFilter.
pub(in super::super) static TYPED_REPLACEMENT: Analyzer = Analyzer {
    name: "mesh.EnvoyFilterReplacementAnalyzer",
    about: "Tells which patches of EnvoyFilters a typed resource can say",
    codes: &[&code::ENVOY_FILTER_HAS_TYPED_REPLACEMENT],
    reads: &[Kind::EnvoyFilter],
    run: replacements,
};

/// Filters by a part of their name, and what says the same.
const FILTERS: [(&str, &str); 9] = [
    ("jwt_authn", "a RequestAuthentication"),
    ("rbac", "an AuthorizationPolicy"),
    ("ext_authz", "an AuthorizationPolicy with action CUSTOM and an extensionProvider"),
    ("fault", "`fault` of a VirtualService"),
    ("cors", "`corsPolicy` of a VirtualService"),
    ("wasm", "a WasmPlugin, or a TrafficExtension"),
    ("lua", "a TrafficExtension with `lua`"),
    ("access_loggers", "`accessLogging` of a Telemetry"),
    ("proxy_protocol", "`gatewayTopology.proxyProtocol` of a ProxyConfig"),
];

/// Fields of clusters, routes and connection managers, and what says the same.
const FIELDS: [(ApplyTo, &str, &str); 15] = [
    (ApplyTo::Cluster, "circuit_breakers", "`connectionPool` of a DestinationRule"),
    (ApplyTo::Cluster, "outlier_detection", "`outlierDetection` of a DestinationRule"),
    (ApplyTo::Cluster, "lb_policy", "`loadBalancer` of a DestinationRule"),
    (ApplyTo::Cluster, "connect_timeout", "`connectionPool.tcp.connectTimeout` of a DestinationRule"),
    (ApplyTo::Cluster, "max_requests_per_connection", "`connectionPool.http.maxRequestsPerConnection` of a DestinationRule"),
    (ApplyTo::Cluster, "upstream_connection_options", "`connectionPool.tcp.tcpKeepalive` of a DestinationRule"),
    (ApplyTo::Cluster, "transport_socket", "`tls` of a DestinationRule"),
    (ApplyTo::HttpRoute, "timeout", "`timeout` of a VirtualService's route"),
    (ApplyTo::HttpRoute, "retry_policy", "`retries` of a VirtualService's route"),
    (ApplyTo::HttpRoute, "cors", "`corsPolicy` of a VirtualService's route"),
    (ApplyTo::HttpRoute, "request_headers_to_add", "`headers` of a VirtualService's route"),
    (ApplyTo::HttpRoute, "response_headers_to_add", "`headers` of a VirtualService's route"),
    (ApplyTo::VirtualHost, "cors", "`corsPolicy` of a VirtualService's routes"),
    (ApplyTo::NetworkFilter, "access_log", "`accessLogging` of a Telemetry"),
    (ApplyTo::NetworkFilter, "tracing", "`tracing` of a Telemetry"),
];

fn replacements(cx: &mut Context<'_>) {
    for filter in cx.all::<EnvoyFilter>() {
        for (index, config) in filter.spec().config_patches.iter().enumerate() {
            if let Some((what, replacement)) = replacement(config) {
                let path = format_args!("spec.configPatches[{index}].patch.value");
                cx.report(&code::ENVOY_FILTER_HAS_TYPED_REPLACEMENT, filter, path, &[&what, &replacement]);
            }
        }
    }
}

fn replacement(config: &ConfigPatch) -> Option<(String, &'static str)> {
    let value = config.patch.as_ref()?.value.as_ref()?;
    if let Some(name) = value.get("name").and_then(|name| name.as_str())
        && matches!(config.apply_to, ApplyTo::HttpFilter | ApplyTo::NetworkFilter | ApplyTo::ListenerFilter | ApplyTo::ExtensionConfig)
        && let Some((_, replacement)) = FILTERS.iter().find(|(part, _)| name.contains(part))
    {
        return Some((name.to_owned(), replacement));
    }
    // A route's fields are within its action, a network filter's within its typed configuration.
    let inner = ["route", "typed_config"].iter().filter_map(|name| value.get(*name)?.as_object());
    let fields: Vec<&str> = value
        .keys()
        .chain(inner.flat_map(|inner| inner.keys()))
        .map(String::as_str)
        .filter(|name| !matches!(*name, "name" | "route" | "typed_config" | "@type"))
        .collect();
    // Only if all that is patched can be said so.
    let known = |field: &str| FIELDS.iter().find(|(target, name, _)| *target == config.apply_to && *name == field);
    let (first, rest) = fields.split_first()?;
    let (_, name, replacement) = known(first)?;
    rest.iter().all(|field| known(field).is_some()).then(|| ((*name).to_owned(), *replacement))
}

#[cfg(test)]
mod tests {
    use super::super::super::check::check;

    const NAME: &str = "mesh.EnvoyFilterReplacementAnalyzer";

    fn patch(target: &str, value: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: x, namespace: a}}
spec:
  configPatches:
  - applyTo: {target}
    patch:
      operation: MERGE
      value: {value}
"
        )
    }

    #[test]
    fn what_a_typed_resource_says_is_told() {
        let expected = ["MESH0007 EnvoyFilter a/x:9 spec.configPatches[0].patch.value"];
        check(NAME, &[&patch("CLUSTER", "{connect_timeout: 3s, outlier_detection: {}}")], &expected);
        check(NAME, &[&patch("HTTP_FILTER", "{name: envoy.filters.http.jwt_authn}")], &expected);
        check(NAME, &[&patch("HTTP_ROUTE", "{route: {timeout: 3s}}")], &expected);
    }

    #[test]
    fn what_only_envoy_knows_is_not() {
        check(NAME, &[&patch("CLUSTER", "{connect_timeout: 3s, dns_lookup_family: V4_ONLY}")], &[]);
        check(NAME, &[&patch("HTTP_FILTER", "{name: envoy.filters.http.buffer}")], &[]);
    }
}
