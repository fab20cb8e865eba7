//! The monitoring port's pages: readiness, metrics, and what Pilot holds, in Istio's paths.

use std::{collections::BTreeMap, sync::Arc};

use mesh_config::resource::{Kind, Resource};
use mesh_proto::{
    any::unpack,
    envoy::{
        config::core::v3::{DataSource, data_source::Specifier},
        extensions::transport_sockets::tls::v3::{Secret, secret::Type},
    },
    type_url,
};
use mesh_runtime::{
    admin::{Pages, Reply, Request},
    ready::Readiness,
    tls::material::fingerprint,
};
use serde_json::{Value, json};

use crate::{generate::Refusal, metrics::Metrics, push::Discovery, status::Status};

/// All pages.
pub(crate) fn pages(readiness: &Readiness, metrics: &Arc<Metrics>, status: &Status, discovery: &Discovery) -> Pages {
    let (metrics, syncz) = (metrics.clone(), status.clone());
    let (adsz_status, adsz_discovery, adsz_metrics) = (status.clone(), discovery.clone(), metrics.clone());
    let secrets = (status.clone(), discovery.clone());
    let (endpoints, configuration, dumps) = (discovery.clone(), discovery.clone(), (status.clone(), discovery.clone()));
    Pages::new()
        .readiness(readiness.clone())
        .get("/metrics", move |_| {
            let text = metrics.encode();
            async move { Reply::text(text) }
        })
        .get("/debug/syncz", move |_| {
            let table = syncz.syncz();
            async move { Reply::json(&table) }
        })
        .get("/debug/adsz", move |_| {
            let page = adsz(&adsz_status, &adsz_discovery, &adsz_metrics);
            async move { Reply::json(&page) }
        })
        .get("/debug/endpointz", move |_| {
            let page = endpointz(&endpoints);
            async move { Reply::json(&page) }
        })
        .get("/debug/configz", move |_| {
            let page = configz(&configuration);
            async move { Reply::json(&page) }
        })
        .get("/debug/secretz", move |_| {
            let page = secretz(&secrets.0, &secrets.1);
            async move { Reply::json(&page) }
        })
        .get("/debug/config_dump", move |request| {
            let page = config_dump(&dumps.0, &dumps.1, &request);
            async move { page }
        })
}

/// Who is connected, the revision in force, and how often changes made anything to be generated.
fn adsz(status: &Status, discovery: &Discovery, metrics: &Metrics) -> Value {
    let clients: Vec<Value> = status
        .scopes()
        .iter()
        .map(|(id, scope)| json!({ "connectionId": id, "client": scope.client.to_string(), "address": scope.ip.to_string(), "labels": scope.labels }))
        .collect();
    let generations: BTreeMap<&str, i64> = metrics.generations().into_iter().collect();
    let revision = discovery.world().map(|world| world.revision().to_string());
    json!({ "totalClients": clients.len(), "clients": clients, "revision": revision, "generations": generations })
}

/// Every service port with its endpoints.
fn endpointz(discovery: &Discovery) -> Value {
    let Some(world) = discovery.world() else { return json!([]) };
    let registry = world.registry();
    let ports = registry.services().flat_map(|service| service.ports.iter().map(move |port| (service, port)));
    let rows = ports.map(|(service, port)| {
        let endpoints: Vec<Value> = registry
            .endpoints(&service.id, port.number)
            .iter()
            .map(|endpoint| {
                json!({
                    "address": endpoint.address.to_string(),
                    "workload": endpoint.workload.id.to_string(),
                    "labels": endpoint.workload.labels,
                    "serviceAccount": endpoint.workload.service_account,
                    "locality": endpoint.workload.locality.to_string(),
                })
            })
            .collect();
        json!({ "service": service.id.to_string(), "port": port.number, "endpoints": endpoints })
    });
    rows.collect()
}

/// The configuration in force, without Secrets: what of them is where, [`secretz`] tells.
fn configz(discovery: &Discovery) -> Value {
    let Some(world) = discovery.world() else { return json!([]) };
    world.snapshot().resources().filter(|resource| resource.kind() != Kind::Secret).map(Resource::to_json).collect()
}

/// The secrets of each proxy: what it is served, as SHA-256, and what it is not (any more), why, and what follows from it.
fn secretz(status: &Status, discovery: &Discovery) -> Value {
    let rows = status.scopes().into_iter().filter_map(|(id, scope)| {
        let (snapshot, report) = discovery.fed(&scope)?;
        let secrets = snapshot.resources(type_url::SECRET).into_iter().flat_map(|secrets| secrets.iter());
        let served: BTreeMap<&str, Value> = secrets.map(|(name, resource)| (&**name, shown(resource))).collect();
        let told = |refusal: &Refusal| json!({ "reason": refusal.reason.to_string(), "effect": refusal.effect() });
        let withheld: BTreeMap<&str, Value> = report.refusals.iter().map(|refusal| (refusal.name.as_str(), told(refusal))).collect();
        (!served.is_empty() || !withheld.is_empty()).then(|| json!({ "proxy": id, "served": served, "withheld": withheld }))
    });
    rows.collect()
}

/// A secret by its fingerprints.
fn shown(resource: &mesh_runtime::xds::Resource) -> Value {
    let hash = |source: Option<&DataSource>| match source.and_then(|source| source.specifier.as_ref()) {
        Some(Specifier::InlineBytes(bytes)) => Some(fingerprint(bytes)),
        _ => None,
    };
    match unpack::<Secret>(&resource.body).ok().and_then(|secret| secret.r#type) {
        Some(Type::TlsCertificate(pair)) => {
            json!({ "certificate_sha256": hash(pair.certificate_chain.as_ref()), "key_sha256": hash(pair.private_key.as_ref()) })
        }
        Some(Type::ValidationContext(bundle)) => {
            json!({ "ca_sha256": hash(bundle.trusted_ca.as_ref()), "crl_sha256": hash(bundle.crl.as_ref()) })
        }
        _ => Value::Null,
    }
}

/// What a connected proxy (`?proxyID=`) has been fed, resource by resource, in protobuf JSON.
fn config_dump(status: &Status, discovery: &Discovery, request: &Request) -> Reply {
    let wanted = request.query.get("proxyID").map_or("", String::as_str);
    let scope = status.scopes().into_iter().find(|(id, _)| id == wanted || id.split('~').nth(2) == Some(wanted));
    // Nothing is generated here: whoever reads the page costs no more than that.
    let Some((snapshot, _)) = scope.and_then(|(_, scope)| discovery.fed(&scope)) else {
        let known: Vec<String> = status.scopes().into_iter().map(|(id, _)| id).collect();
        return Reply::json(
            &json!({ "error": format!("no connected proxy {wanted:?}: give ?proxyID=, one of the known"), "known": known }),
        )
        .status(http::StatusCode::NOT_FOUND);
    };
    let mut dump = serde_json::Map::new();
    for url in [type_url::CLUSTER, type_url::ENDPOINT, type_url::LISTENER, type_url::ROUTE] {
        let resources = snapshot.resources(url).into_iter().flat_map(|resources| resources.values());
        let list: Vec<Value> = resources.map(|resource| mesh_proto::json::encode_any(&resource.body)).collect();
        dump.insert(crate::metrics::short(url).to_owned(), list.into());
    }
    Reply::json(&Value::Object(dump))
}
