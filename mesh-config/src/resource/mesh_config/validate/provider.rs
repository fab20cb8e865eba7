//! Rules of extension providers.

use std::collections::BTreeSet;

use mesh_proto::envoy::r#type::v3::StatusCode;

use super::{as_warnings, at_most_one};
use crate::{
    resource::mesh_config::ExtensionProvider,
    validate::{
        Checks,
        rules::{is_label, shown},
    },
};

/// As Istio does, a provider that is wrong is warned of: it does no harm until a policy names it.
pub(super) fn providers(providers: &[ExtensionProvider], checks: &mut Checks) {
    let mut names = BTreeSet::new();
    for (index, item) in providers.iter().enumerate() {
        checks.field(&format!("extensionProviders[{index}]"), |checks| {
            if item.name.is_empty() {
                checks.field("name", |checks| checks.warning(None, "a provider without a name", "name it"));
            } else if !names.insert(item.name.as_str()) {
                checks.field("name", |checks| checks.warning(shown(&item.name), "two providers have this name", "give each its own"));
            }
            as_warnings(|checks| provider(item, checks), checks);
        });
    }
}

pub(super) fn provider(item: &ExtensionProvider, checks: &mut Checks) {
    let kinds = item.kinds();
    match kinds.len() {
        0 => checks.error(None, "the provider is of no kind", "set one, such as opentelemetry"),
        1 => {}
        _ => checks.error(shown(kinds.join(", ")), "a provider is of one kind", "keep one"),
    }
    for (kind, service, port) in servers(item) {
        checks.field(kind, |checks| server(service, port, checks));
    }
    if let Some(http) = &item.envoy_ext_authz_http {
        checks.field("envoyExtAuthzHttp", |checks| {
            status("statusOnError", &http.status_on_error, checks);
            if !http.path_prefix.is_empty() && !http.path_prefix.starts_with('/') {
                checks
                    .field("pathPrefix", |checks| checks.error(shown(&http.path_prefix), "a path begins with `/`", "put a `/` before it"));
            }
        });
    }
    if let Some(grpc) = &item.envoy_ext_authz_grpc {
        checks.field("envoyExtAuthzGrpc", |checks| status("statusOnError", &grpc.status_on_error, checks));
    }
    if item.lightstep.as_ref().is_some_and(|lightstep| lightstep.access_token.expose().is_empty()) {
        checks.field("lightstep.accessToken", |checks| checks.error(None, "an access token is required", "set it"));
    }
    if let Some(otel) = &item.opentelemetry {
        checks.field("opentelemetry", |checks| at_most_one(&[("http", otel.http.is_some()), ("grpc", otel.grpc.is_some())], checks));
    }
}

/// Kind, service and port of each server that is set.
fn servers(item: &ExtensionProvider) -> Vec<(&'static str, &str, u32)> {
    macro_rules! servers {
        ($($field:ident = $name:literal,)*) => {
            [$(item.$field.as_ref().map(|server| ($name, server.service.as_str(), server.port)),)*]
        };
    }
    let servers = servers! {
        envoy_ext_authz_http = "envoyExtAuthzHttp",
        envoy_ext_authz_grpc = "envoyExtAuthzGrpc",
        zipkin = "zipkin",
        lightstep = "lightstep",
        datadog = "datadog",
        opencensus = "opencensus",
        skywalking = "skywalking",
        opentelemetry = "opentelemetry",
        envoy_http_als = "envoyHttpAls",
        envoy_tcp_als = "envoyTcpAls",
        envoy_otel_als = "envoyOtelAls",
        sds = "sds",
    };
    servers.into_iter().flatten().collect()
}

fn server(service: &str, port: u32, checks: &mut Checks) {
    if !(1..=65535).contains(&port) {
        checks.field("port", |checks| checks.error(shown(port), "port must be between 1-65535", "set the number of a port"));
    }
    checks.field("service", |checks| match service.split_once('/') {
        None => checks.host("", service, false),
        Some((namespace, host)) => {
            let bare = namespace.strip_prefix('~').unwrap_or(namespace);
            if !matches!(bare, "*" | ".") && !is_label(bare) {
                checks.error(shown(service), "not `namespace/host`", "write the namespace of the service before the `/`");
            } else {
                checks.whole_host(host, false);
            }
        }
    });
}

/// Empty, or a code that Envoy can answer with.
fn status(field: &str, code: &str, checks: &mut Checks) {
    if !code.is_empty() && !code.parse::<i32>().is_ok_and(|code| StatusCode::try_from(code).is_ok()) {
        checks.field(field, |checks| checks.error(shown(code), "not a status code that Envoy can answer with", "use 403 or 503"));
    }
}
