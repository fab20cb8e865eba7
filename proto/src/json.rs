//! Protobuf JSON for Envoy's configuration: reading bootstraps, printing dumps.
//!
//! Needed only for `-c bootstrap.yaml`, the admin endpoints' dumps and `meshctl`; a sidecar that gets its configuration by xDS never loads any
//! of it: the descriptors are embedded as bytes, and parsed on first use.
//!
//! # Why re-exported types and a pruned descriptor pool
//!
//! The choice was between envoy-types re-exported, with reflection for JSON, and our own subset generated with serde code (pbjson). Measured on two
//! cores, debug profile for builds, release for loading:
//!
//! | | build (CPU time) | debug rlib | JSON when first used |
//! |---|---|---|---|
//! | envoy-types, all of its descriptors (1602 messages, 3.4 MB) | 21 s | 98 MB | 53 ms, 48 MB |
//! | envoy-types, descriptors pruned to 867 messages, 281 kB | 21 s | 98 MB | 9 to 16 ms, 9.4 MB |
//! | all v3 messages, without options and comments | | | on top of that, where a rare type is met |
//! | subset of the same messages, with pbjson | 21 s, generating included | 83 MB | nothing to load |
//!
//! The subset saves no build time: what it leaves out in messages it spends on 120 000 lines of serde code, which, being generic, is compiled
//! again in the crates that use it. Nor does pbjson expand an `Any`, which is half of any Envoy configuration: that needs a registry of types, that is,
//! the pool again. So: re-export, and pay some 10 ms and 9.4 MB, once, where a file is read or a dump printed. This crate itself builds in 3 s after
//! its dependencies.
//!
//! # Rules
//!
//! Where protobuf's JSON mapping leaves a choice:
//! * reading takes `snake_case` and `camelCase` names, enums by name or number, numbers in quotes; refuses unknown fields, unknown `@type`s,
//!   two members of a oneof, and says where;
//! * printing is Envoy's own (`/config_dump`): proto field names, 64-bit numbers in quotes, defaults left out, `Any` expanded; an `Any` that is
//!   not in the pool is printed as `{"@type", "value": base64}`;
//! * what Envoy's API marks as sensitive (private keys, passwords, tokens) is printed as `[redacted]`, always.

mod decode;
mod encode;
mod error;
mod pool;

use std::borrow::Cow;

use prost::{Message, Name};
use serde_json::Value;

pub use error::{ConfigError, Error, Path, Reason, Segment};

use crate::envoy::config::bootstrap::v3::Bootstrap;
use crate::google::protobuf::Any;
use crate::{any, typed_struct, yaml};

/// Reads a message.
///
/// # Errors
/// With the path to the first value that does not fit.
pub fn decode<M: Message + Name + Default>(value: Value) -> Result<M, Error> {
    decode::message(&M::full_name(), &value)
}

/// Reads an `Any` from its expanded form, `{"@type": …, fields…}`.
///
/// # Errors
/// As [`decode`].
pub fn decode_any(value: &Value) -> Result<Any, Error> {
    decode::message(&Any::full_name(), value)
}

/// Reads a message from a YAML or JSON text with one document.
///
/// # Errors
/// With line and column, and the path to the first value that does not fit.
pub fn from_yaml<M: Message + Name + Default>(text: &str) -> Result<M, ConfigError> {
    let document = yaml::parse_one(text)?;
    decode(document.root.to_json()).map_err(|error| ConfigError::locate(error, &document.root))
}

/// Reads an Envoy bootstrap file.
///
/// # Errors
/// As [`from_yaml`].
pub fn bootstrap_from_yaml(text: &str) -> Result<Bootstrap, ConfigError> {
    from_yaml(text)
}

/// Prints a message as Envoy's `/config_dump` does, secrets redacted. A message that is not in the pool is printed as an unknown
/// `Any`.
pub fn encode<M: Message + Name>(message: &M) -> Value {
    encode::bytes(&M::full_name(), &message.encode_to_vec()).unwrap_or_else(|| encode::opaque(&M::type_url(), &message.encode_to_vec()))
}

/// Prints an `Any` with its content expanded, secrets redacted.
#[must_use]
pub fn encode_any(any: &Any) -> Value {
    encode::any(&any.type_url, &any.value)
}

/// Turns a `TypedStruct` (a message written as JSON inside an `Any`) into the `Any` that it stands for; any other `Any` is returned as it is.
///
/// # Errors
/// When the struct does not fit the type that it names, or that type is not in the pool.
pub fn resolve_typed_struct(any: &Any) -> Result<Cow<'_, Any>, Error> {
    let (type_url, fields) = if any::is::<typed_struct::xds::TypedStruct>(any) {
        let typed: typed_struct::xds::TypedStruct = any::unpack(any).map_err(Error::unpack)?;
        (typed.type_url, typed.value)
    } else if any::is::<typed_struct::udpa::TypedStruct>(any) {
        let typed: typed_struct::udpa::TypedStruct = any::unpack(any).map_err(Error::unpack)?;
        (typed.type_url, typed.value)
    } else {
        return Ok(Cow::Borrowed(any));
    };
    let fields = fields.map_or_else(|| Value::Object(serde_json::Map::new()), |fields| encode(&fields));
    decode::any_of(&type_url, &fields).map(Cow::Owned)
}

/// Whether messages of a type URL can be read and printed.
#[must_use]
pub fn knows(type_url: &str) -> bool {
    pool::find(crate::type_url::message_name(type_url)).is_some()
}

#[cfg(test)]
mod tests;
