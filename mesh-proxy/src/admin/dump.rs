//! `/config_dump`: what was accepted, as it came over the wire (`envoy.admin.v3.ConfigDump`), secrets redacted.

use http::StatusCode;
use mesh_proto::{
    envoy::config::bootstrap::v3::{Bootstrap, bootstrap::StaticResources},
    google::protobuf::Any,
    json, type_url,
};
use mesh_runtime::admin::{Reply, Request};
use serde_json::{Map, Value, json};

use super::Admin;
use crate::{
    access_log::rfc3339,
    metrics::Filter,
    xds::{Accepted, Entry},
};

pub(super) fn page(admin: &Admin, request: &Request) -> Reply {
    let filter = match Filter::new(request.query.get("name_regex").map(String::as_str)) {
        Ok(filter) => filter,
        Err(error) => return Reply::text(format!("name_regex: {error}\n")).status(StatusCode::BAD_REQUEST),
    };
    let resource = request.query.get("resource").map(String::as_str);
    let with_endpoints = request.query.contains_key("include_eds") || resource.is_some_and(|wanted| wanted.contains("endpoint"));
    let bootstrap = admin.static_text.as_deref().and_then(|text| json::bootstrap_from_yaml(text).ok());
    let mut configs = admin.session.accepted(|accepted| {
        let dump = Dump { accepted, filter: &filter, resources: bootstrap.as_ref().and_then(|of| of.static_resources.as_ref()) };
        dump.configs(with_endpoints)
    });
    configs.insert(0, bootstrap_dump(admin, bootstrap.as_ref()));
    if let Some(resource) = resource {
        let found = configs.iter().find_map(|config| config.get(resource)).cloned();
        return match found {
            Some(found) => Reply::json(&json!({ "configs": found })),
            None => Reply::text(format!("{resource} not found in config dump\n")).status(StatusCode::NOT_FOUND),
        };
    }
    Reply::json(&json!({ "configs": configs }))
}

struct Dump<'a> {
    accepted: &'a Accepted,
    filter: &'a Filter,
    resources: Option<&'a StaticResources>,
}

impl Dump<'_> {
    fn configs(&self, with_endpoints: bool) -> Vec<Value> {
        let mut configs = vec![self.clusters(), self.listeners(), self.routes(), self.secrets()];
        if with_endpoints {
            let wrap = |_: &str, entry: &Entry| entry.resource.as_ref().map(|resource| wrapped("endpoint_config", &resource.body, entry));
            configs.push(typed("EndpointsConfigDump", [("dynamic_endpoint_configs", self.each(type_url::ENDPOINT, wrap))]));
        }
        configs
    }

    fn clusters(&self) -> Value {
        let fixed = self.resources.into_iter().flat_map(|resources| &resources.clusters);
        let fixed = fixed.filter(|cluster| self.filter.passes(&cluster.name)).map(|cluster| json!({ "cluster": json::encode(cluster) }));
        let active =
            self.each(type_url::CLUSTER, |_, entry| entry.resource.as_ref().map(|resource| wrapped("cluster", &resource.body, entry)));
        let mut dump = typed("ClustersConfigDump", [("static_clusters", fixed.collect()), ("dynamic_active_clusters", active)]);
        dump["version_info"] = self.accepted.revision(type_url::CLUSTER).into();
        dump
    }

    fn listeners(&self) -> Value {
        let fixed = self.resources.into_iter().flat_map(|resources| &resources.listeners);
        let fixed =
            fixed.filter(|listener| self.filter.passes(&listener.name)).map(|listener| json!({ "listener": json::encode(listener) }));
        let dynamic = self.each(type_url::LISTENER, |name, entry| {
            let mut state = json!({ "name": name });
            if let Some(resource) = &entry.resource {
                let mut active = wrapped("listener", &resource.body, entry);
                if let Some(active) = active.as_object_mut() {
                    active.remove("error_state");
                }
                state["active_state"] = active;
            }
            if let Some(error) = error(entry) {
                state["error_state"] = error;
            }
            Some(state)
        });
        let mut dump = typed("ListenersConfigDump", [("static_listeners", fixed.collect()), ("dynamic_listeners", dynamic)]);
        dump["version_info"] = self.accepted.revision(type_url::LISTENER).into();
        dump
    }

    fn routes(&self) -> Value {
        let dynamic =
            self.each(type_url::ROUTE, |_, entry| entry.resource.as_ref().map(|resource| wrapped("route_config", &resource.body, entry)));
        typed("RoutesConfigDump", [("dynamic_route_configs", dynamic)])
    }

    fn secrets(&self) -> Value {
        let dynamic = self.each(type_url::SECRET, |name, entry| {
            let mut secret = wrapped("secret", &entry.resource.as_ref()?.body, entry);
            secret["name"] = name.into();
            Some(secret)
        });
        typed("SecretsConfigDump", [("dynamic_active_secrets", dynamic)])
    }

    fn each(&self, type_url: &str, dump: impl Fn(&str, &Entry) -> Option<Value>) -> Vec<Value> {
        let entries = self.accepted.entries(type_url).filter(|(name, _)| self.filter.passes(name));
        entries.filter_map(|(name, entry)| dump(name, entry)).collect()
    }
}

fn bootstrap_dump(admin: &Admin, bootstrap: Option<&Bootstrap>) -> Value {
    let node = &admin.node;
    let bootstrap = bootstrap.map_or_else(
        || json!({"node": {"id": node.id, "cluster": node.cluster, "metadata": node.metadata, "user_agent_name": "mesh-proxy"}}),
        json::encode,
    );
    let mut dump = typed("BootstrapConfigDump", []);
    dump["bootstrap"] = bootstrap;
    dump
}

/// A message of Envoy's dump; empty lists are left out, as Envoy's printer does.
fn typed<const N: usize>(name: &str, lists: [(&str, Vec<Value>); N]) -> Value {
    let mut dump = Map::new();
    dump.insert("@type".to_owned(), format!("type.googleapis.com/envoy.admin.v3.{name}").into());
    for (list, entries) in lists {
        if !entries.is_empty() {
            dump.insert(list.to_owned(), entries.into());
        }
    }
    Value::Object(dump)
}

fn wrapped(member: &str, body: &Any, entry: &Entry) -> Value {
    let mut dump = json!({
        "version_info": entry.revision,
        "last_updated": rfc3339(entry.updated),
        member: json::encode_any(body),
    });
    if let Some(error) = error(entry) {
        dump["error_state"] = error;
    }
    dump
}

fn error(entry: &Entry) -> Option<Value> {
    let (details, at) = entry.refused.as_ref()?;
    Some(json!({"last_update_attempt": rfc3339(*at), "details": details}))
}
