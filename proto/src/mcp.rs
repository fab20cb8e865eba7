//! The body of an MCP resource, generated from `protos/mesh/mcp.proto`.
//!
//! One [`Object`] carries one resource of the user's as JSON. The type URL of the *resource* names its kind (see
//! [`type_url`]), so that a subscriber asks for kinds; the message inside is always an `Object`.

use prost::{Message, Name};

use crate::any::UnpackError;
use crate::google::protobuf::Any;

pub use generated::Object;

#[allow(clippy::all, missing_docs, unreachable_pub)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/mesh.mcp.v1.rs"));
}

/// What stands for a kind in the type URL of services as the registry sees them, whatever objects they came from.
pub const SERVICE: &str = "RegistryService";
/// The same for workloads.
pub const WORKLOAD: &str = "RegistryWorkload";

/// The type URL under which MCP serves a kind: `mesh.dev/mcp/v1/VirtualService`.
#[must_use]
pub fn type_url(kind: &str) -> String {
    format!("{TYPE_URL_PREFIX}{kind}")
}

/// The kind that a type URL of [`type_url`]'s form names.
#[must_use]
pub fn kind(type_url: &str) -> Option<&str> {
    type_url.strip_prefix(TYPE_URL_PREFIX).filter(|kind| !kind.is_empty())
}

const TYPE_URL_PREFIX: &str = "mesh.dev/mcp/v1/";

/// Wraps an object with the type URL of its kind.
#[must_use]
pub fn pack(object: &Object) -> Any {
    Any { type_url: type_url(&object.kind), value: object.encode_to_vec() }
}

/// Reads what [`pack`] wrote.
///
/// # Errors
/// When the type URL is not one of ours, or not that of the object's kind, or the bytes do not decode.
pub fn unpack(any: &Any) -> Result<Object, UnpackError> {
    let mismatch = |expected: String| UnpackError::Type { expected, found: any.type_url.clone() };
    if kind(&any.type_url).is_none() {
        return Err(mismatch(format!("{TYPE_URL_PREFIX}<kind>")));
    }
    let object = Object::decode(any.value.as_slice()).map_err(|source| UnpackError::Malformed {
        expected: Object::type_url(),
        found: any.type_url.clone(),
        source,
    })?;
    if type_url(&object.kind) == any.type_url { Ok(object) } else { Err(mismatch(type_url(&object.kind))) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn objects_travel_under_their_kind() {
        let object = Object { kind: "Gateway".into(), name: "a".into(), json: "{}".into(), ..Default::default() };
        let any = pack(&object);
        assert_eq!(kind(&any.type_url), Some("Gateway"));
        assert_eq!(unpack(&any).unwrap(), object);
        let lie = Any { type_url: type_url("Sidecar"), ..any };
        assert!(unpack(&lie).is_err());
    }
}
