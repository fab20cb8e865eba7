//! From a scenario to the Envoy bootstrap both proxies read. Scenarios may write Envoy's fields throughout; the shorthand here only spares them what is
//! always the same:
//!
//! * `http: {routes | virtual_hosts | route_config, filters, …}` on the scenario, or as a network filter: an HTTP connection manager;
//! * HTTP filters `{rbac: {…}}`, `{fault: {…}}`, `{cors: {}}`: the extension of that name (the router is added last);
//! * network filters `{tcp: {…}}`, `{network_rbac: {…}}`;
//! * `tls: {…}` on a filter chain or a cluster: its `DownstreamTlsContext` or `UpstreamTlsContext`; `tls_inspector: true` on a listener;
//! * clusters `{endpoints: [backend, {backend, weight, priority}]}`; a cluster of an HTTP/2 backend speaks HTTP/2;
//! * `${port.NAME}` of a listener or backend, `${certs}` the folder of certificates.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::scenario::{Protocol, Scenario};

const TYPE: &str = "type.googleapis.com/";
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Ports by listener and backend name; `admin` is the proxy's own.
pub(super) type Ports = BTreeMap<String, u16>;

/// The bootstrap, as JSON, which YAML includes.
pub(super) fn expand(scenario: &Scenario, ports: &Ports, certificates: &Path) -> Result<Value> {
    let mut listeners = scenario.listeners.clone();
    if let Some(http) = &scenario.http {
        listeners.insert("main".to_owned(), json!({"filter_chains": [{"filters": [{"http": http}]}]}));
    }
    let listeners = listeners
        .into_iter()
        .map(|(name, fields)| listener(&name, fields).with_context(|| format!("listener {name}")))
        .collect::<Result<Vec<_>>>()?;
    let mut clusters = scenario.clusters.clone();
    for name in scenario.backends.keys() {
        clusters.entry(name.clone()).or_insert_with(|| json!({"endpoints": [name]}));
    }
    let clusters = clusters
        .into_iter()
        .map(|(name, fields)| cluster(scenario, &name, fields).with_context(|| format!("cluster {name}")))
        .collect::<Result<Vec<_>>>()?;
    let mut bootstrap = json!({
        "node": {"id": "differential", "cluster": "differential"},
        "admin": {"address": address("${port.admin}")},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut bootstrap, scenario.bootstrap.clone()) {
        all.extend(more);
    }
    fill(&mut bootstrap, ports, certificates)?;
    Ok(bootstrap)
}

/// Names of all listeners.
pub(super) fn listener_names(scenario: &Scenario) -> Vec<String> {
    scenario.listeners.keys().cloned().chain(scenario.http.iter().map(|_| "main".to_owned())).collect()
}

fn address(port: &str) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn listener(name: &str, fields: Value) -> Result<Value> {
    let mut fields = object(fields)?;
    fields.insert("name".to_owned(), json!(name));
    fields.entry("address").or_insert_with(|| address(&format!("${{port.{name}}}")));
    if fields.remove("tls_inspector").is_some() {
        let inspector = extension(
            "envoy.filters.listener.tls_inspector",
            "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
            json!({}),
        )?;
        fields.insert("listener_filters".to_owned(), json!([inspector]));
    }
    for chain in fields.get_mut("filter_chains").and_then(Value::as_array_mut).into_iter().flatten() {
        expand_chain(chain)?;
    }
    if let Some(chain) = fields.get_mut("default_filter_chain") {
        expand_chain(chain)?;
    }
    Ok(fields.into())
}

fn expand_chain(chain: &mut Value) -> Result<()> {
    let Value::Object(chain) = chain else { bail!("a filter chain is not an object") };
    if let Some(tls) = chain.remove("tls") {
        let socket = extension("envoy.transport_sockets.tls", "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", tls)?;
        chain.insert("transport_socket".to_owned(), socket);
    }
    for filter in chain.get_mut("filters").and_then(Value::as_array_mut).into_iter().flatten() {
        *filter = network_filter(filter.take())?;
    }
    Ok(())
}

fn network_filter(filter: Value) -> Result<Value> {
    let mut fields = object(filter)?;
    if let Some(http) = fields.remove("http") {
        let manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
        return extension("envoy.filters.network.http_connection_manager", manager, http_manager(http)?);
    }
    if let Some(tcp) = fields.remove("tcp") {
        let mut tcp = object(tcp)?;
        tcp.entry("stat_prefix").or_insert_with(|| json!("tcp"));
        return extension("envoy.filters.network.tcp_proxy", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", tcp.into());
    }
    if let Some(rbac) = fields.remove("network_rbac") {
        let mut rbac = object(rbac)?;
        rbac.entry("stat_prefix").or_insert_with(|| json!("rbac"));
        return extension("envoy.filters.network.rbac", "envoy.extensions.filters.network.rbac.v3.RBAC", rbac.into());
    }
    Ok(fields.into())
}

fn http_manager(http: Value) -> Result<Value> {
    let mut http = object(http)?;
    http.entry("stat_prefix").or_insert_with(|| json!("http"));
    let mut routes = http.remove("route_config").map_or_else(|| Ok(Map::new()), object)?;
    routes.entry("name").or_insert_with(|| json!("local"));
    if let Some(hosts) = http.remove("virtual_hosts") {
        routes.insert("virtual_hosts".to_owned(), hosts);
    }
    if let Some(list) = http.remove("routes") {
        routes.insert("virtual_hosts".to_owned(), json!([{"name": "all", "domains": ["*"], "routes": list}]));
    }
    http.insert("route_config".to_owned(), routes.into());
    let filters = match http.remove("filters") {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    let mut filters = filters.into_iter().map(http_filter).collect::<Result<Vec<_>>>()?;
    filters.push(extension("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router", json!({}))?);
    http.insert("http_filters".to_owned(), filters.into());
    Ok(http.into())
}

fn http_filter(filter: Value) -> Result<Value> {
    let mut fields = object(filter)?;
    let known = [
        ("rbac", "envoy.extensions.filters.http.rbac.v3.RBAC"),
        ("fault", "envoy.extensions.filters.http.fault.v3.HTTPFault"),
        ("cors", "envoy.extensions.filters.http.cors.v3.Cors"),
        ("header_mutation", "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"),
    ];
    for (name, type_name) in known {
        if let Some(config) = fields.remove(name) {
            return extension(&format!("envoy.filters.http.{name}"), type_name, config);
        }
    }
    Ok(fields.into())
}

fn cluster(scenario: &Scenario, name: &str, fields: Value) -> Result<Value> {
    let mut fields = object(fields)?;
    fields.insert("name".to_owned(), json!(name));
    fields.entry("connect_timeout").or_insert_with(|| json!("1s"));
    fields.entry("type").or_insert_with(|| json!("STATIC"));
    if let Some(tls) = fields.remove("tls") {
        let socket = extension("envoy.transport_sockets.tls", "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", tls)?;
        fields.insert("transport_socket".to_owned(), socket);
    }
    let Some(endpoints) = fields.remove("endpoints") else { return Ok(fields.into()) };
    let mut priorities: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    let mut http2 = false;
    for endpoint in endpoints.as_array().into_iter().flatten() {
        let backend = endpoint.as_str().or_else(|| endpoint["backend"].as_str()).context("an endpoint names no backend")?;
        let server = scenario.backends.get(backend).with_context(|| format!("no backend {backend}"))?;
        http2 |= server.protocol == Protocol::Http2;
        let mut entry = json!({"endpoint": {"address": address(&format!("${{port.{backend}}}"))}});
        if let Some(weight) = endpoint.get("weight") {
            entry["load_balancing_weight"] = weight.clone();
        }
        priorities.entry(endpoint["priority"].as_u64().unwrap_or(0)).or_default().push(entry);
    }
    let localities: Vec<Value> =
        priorities.into_iter().map(|(priority, list)| json!({"priority": priority, "lb_endpoints": list})).collect();
    fields.insert("load_assignment".to_owned(), json!({"cluster_name": name, "endpoints": localities}));
    if http2 && !fields.contains_key("typed_extension_protocol_options") {
        let options = json!({"@type": format!("{TYPE}{HTTP_OPTIONS}"), "explicit_http_config": {"http2_protocol_options": {}}});
        fields.insert(
            "typed_extension_protocol_options".to_owned(),
            json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options }),
        );
    }
    Ok(fields.into())
}

fn extension(name: &str, type_name: &str, config: Value) -> Result<Value> {
    let mut config = object(config)?;
    config.insert("@type".to_owned(), json!(format!("{TYPE}{type_name}")));
    Ok(json!({"name": name, "typed_config": config}))
}

fn object(value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(fields) => Ok(fields),
        Value::Null => Ok(Map::new()),
        other => bail!("expected an object, found {other}"),
    }
}

/// Replaces the placeholders in every text; a text that is nothing but a port becomes a number.
fn fill(value: &mut Value, ports: &Ports, certificates: &Path) -> Result<()> {
    match value {
        Value::String(text) => {
            let whole = text.strip_prefix("${port.").and_then(|rest| rest.strip_suffix('}'));
            if let Some(name) = whole {
                *value = json!(ports.get(name).with_context(|| format!("no port {name}"))?);
            } else if text.contains("${") {
                let mut filled = text.replace("${certs}", &certificates.display().to_string());
                for (name, port) in ports {
                    filled = filled.replace(&format!("${{port.{name}}}"), &port.to_string());
                }
                *text = filled;
            }
        }
        Value::Array(items) => {
            for item in items {
                fill(item, ports, certificates)?;
            }
        }
        Value::Object(fields) => {
            for field in fields.values_mut() {
                fill(field, ports, certificates)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}
