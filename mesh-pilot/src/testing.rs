//! What unit tests share: YAML to configuration, and scopes.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use mesh_config::{
    load,
    registry::Registry,
    snapshot::{Builder, ConfigSnapshot},
};
use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::google::protobuf::{Struct, Value, value::Kind};

use tokio::time::Instant;

use crate::{scope::ProxyScope, settings::MeshSettings, source::Received, world::World};

pub(crate) fn snapshot(yaml: &str) -> Arc<ConfigSnapshot> {
    let loaded = load::documents("test.yaml", yaml.as_bytes());
    assert!(!loaded.has_errors(), "{}", loaded.diagnostics.iter().map(ToString::to_string).collect::<String>());
    loaded.objects.into_iter().map(|object| object.resource).collect::<Builder>().build()
}

/// As it would come from Galley.
pub(crate) fn received(yaml: &str) -> Received {
    let snapshot = snapshot(yaml);
    Received { revision: snapshot.revision().clone(), registry: Arc::new(Registry::build(&snapshot)), snapshot, at: Instant::now() }
}

pub(crate) fn settings() -> MeshSettings {
    MeshSettings::new("cluster.local".parse().unwrap())
}

pub(crate) fn world(yaml: &str) -> World {
    World::build(snapshot(yaml), settings())
}

/// A sidecar of the local mesh: namespace and service account `name`, label `app: name`.
pub(crate) fn node(namespace: &str, name: &str) -> Node {
    let text = |value: &str| Value { kind: Some(Kind::StringValue(value.into())) };
    let labels = Struct { fields: [("app".to_owned(), text(name))].into() };
    let fields = [
        ("SERVICE_ACCOUNT".to_owned(), text(name)),
        ("INTERCEPTION_MODE".to_owned(), text("NONE")),
        ("HTTP_PROXY_PORT".to_owned(), text("15080")),
        ("LABELS".to_owned(), Value { kind: Some(Kind::StructValue(labels)) }),
    ];
    Node {
        id: format!("sidecar~127.9.9.11~{name}.{namespace}~{namespace}.svc.cluster.local"),
        user_agent_name: "mesh-proxy".into(),
        metadata: Some(Struct { fields: fields.into() }),
        ..Node::default()
    }
}

pub(crate) fn scope(namespace: &str, name: &str) -> ProxyScope {
    ProxyScope::from_node(&node(namespace, name)).unwrap()
}

/// A service `web` with two versions, and a split between them.
pub(crate) fn split(v1: u32) -> String {
    format!(
        r#"
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: shop}}
spec:
  hosts: [web]
  http:
    - route:
        - {{destination: {{host: web, subset: v1}}, weight: {v1}}}
        - {{destination: {{host: web, subset: v2}}, weight: {}}}
"#,
        100 - v1
    )
}
