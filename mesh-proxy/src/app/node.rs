//! Who the proxy says it is.

use base64::Engine as _;
use http::HeaderValue;
use mesh_proto::{
    envoy::{
        config::core::v3::{self as wire, BuildVersion, node::UserAgentVersionType},
        r#type::v3::SemanticVersion,
    },
    google::protobuf::{ListValue, NullValue, Struct, Value, value::Kind},
};
use prost::Message as _;
use serde_json::Value as Json;

use super::Error;
use crate::http::PeerMetadataHeaders;

/// Metadata that peers are told for their metrics (Istio's `PeerMetadataExchange`).
const TOLD: [&str; 8] = ["NAME", "NAMESPACE", "WORKLOAD_NAME", "LABELS", "MESH_ID", "CLUSTER_ID", "OWNER", "INSTANCE_IPS"];

/// The node, as xDS servers are told.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Istio: `type~ip~name.namespace~domain`.
    pub id: String,
    /// `service.namespace`.
    pub cluster: String,
    /// An object.
    pub metadata: Json,
    /// Region, zone, sub-zone.
    pub locality: Option<(String, String, String)>,
}

impl Node {
    /// On the wire.
    ///
    /// # Errors
    /// The metadata is not an object.
    pub(super) fn to_wire(&self) -> Result<wire::Node, Error> {
        let metadata = match &self.metadata {
            Json::Null => None,
            Json::Object(_) => to_struct(&self.metadata),
            other => return Err(Error::Node(format!("expected an object, found {other}"))),
        };
        let locality = self.locality.clone().map(|(region, zone, sub_zone)| wire::Locality { region, zone, sub_zone });
        let node = wire::Node { id: self.id.clone(), cluster: self.cluster.clone(), metadata, locality, ..wire::Node::default() };
        Ok(signed(node))
    }

    pub(super) fn from_wire(node: &wire::Node) -> Self {
        Self {
            id: node.id.clone(),
            cluster: node.cluster.clone(),
            metadata: node.metadata.as_ref().map_or(Json::Null, |metadata| from_struct(metadata, 0)),
            locality: node.locality.clone().map(|of| (of.region, of.zone, of.sub_zone)),
        }
    }

    /// What peers are told, if there is anything to tell.
    pub(super) fn peer_metadata(&self) -> Option<PeerMetadataHeaders> {
        let metadata = self.metadata.as_object()?;
        let told = metadata.iter().filter(|(key, _)| TOLD.contains(&key.as_str()));
        let told: serde_json::Map<_, _> = told.map(|(key, value)| (key.clone(), value.clone())).collect();
        let bytes = to_struct(&Json::Object(told))?.encode_to_vec();
        let metadata = HeaderValue::try_from(base64::engine::general_purpose::STANDARD.encode(bytes)).ok()?;
        Some(PeerMetadataHeaders { id: HeaderValue::try_from(&self.id).ok()?, metadata })
    }
}

/// With our name and version in it.
pub(super) fn signed(mut node: wire::Node) -> wire::Node {
    let number = |text: &str| text.parse().unwrap_or_default();
    let version = SemanticVersion {
        major_number: number(env!("CARGO_PKG_VERSION_MAJOR")),
        minor_number: number(env!("CARGO_PKG_VERSION_MINOR")),
        patch: number(env!("CARGO_PKG_VERSION_PATCH")),
    };
    node.user_agent_name = "mesh-proxy".to_owned();
    node.user_agent_version_type =
        Some(UserAgentVersionType::UserAgentBuildVersion(BuildVersion { version: Some(version), metadata: None }));
    node
}

fn to_struct(json: &Json) -> Option<Struct> {
    let fields = json.as_object()?.iter().map(|(key, value)| (key.clone(), to_value(value)));
    Some(Struct { fields: fields.collect() })
}

fn to_value(json: &Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(NullValue::NullValue.into()),
        Json::Bool(value) => Kind::BoolValue(*value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(values) => Kind::ListValue(ListValue { values: values.iter().map(to_value).collect() }),
        Json::Object(_) => Kind::StructValue(to_struct(json).unwrap_or_default()),
    };
    Value { kind: Some(kind) }
}

fn from_struct(from: &Struct, depth: usize) -> Json {
    Json::Object(from.fields.iter().map(|(key, value)| (key.clone(), from_value(value, depth + 1))).collect())
}

/// A file's nesting is bounded by its reader; this bound is for servers' answers.
fn from_value(value: &Value, depth: usize) -> Json {
    match &value.kind {
        _ if depth > 64 => Json::Null,
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(value)) => (*value).into(),
        Some(Kind::NumberValue(number)) => (*number).into(),
        Some(Kind::StringValue(text)) => text.clone().into(),
        Some(Kind::ListValue(list)) => list.values.iter().map(|value| from_value(value, depth + 1)).collect(),
        Some(Kind::StructValue(inner)) => from_struct(inner, depth),
    }
}
