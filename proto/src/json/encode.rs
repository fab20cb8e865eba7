//! Message → JSON as Envoy prints it, by descriptors. Never fails: what cannot be expanded is printed as base64.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Name;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, SerializeOptions, Value};
use serde_json::{Map, Value as Json};

use super::decode::{MAX_DEPTH, is_well_known};
use super::pool;
use crate::google::protobuf::Any;
use crate::type_url;
use crate::yaml;

const REDACTED: &str = "[redacted]";

/// Full names of the fields that Envoy's API marks with `udpa.annotations.sensitive`.
static SENSITIVE: LazyLock<BTreeSet<&str>> = LazyLock::new(|| include_str!(concat!(env!("OUT_DIR"), "/sensitive.txt")).lines().collect());

/// `None` if the pool has no such message, or the bytes are not one.
pub(super) fn bytes(name: &str, bytes: &[u8]) -> Option<Json> {
    let message = DynamicMessage::decode(pool::find(name)?, bytes).ok()?;
    Some(Printer { depth: MAX_DEPTH, redact: false }.message(&message))
}

pub(super) fn any(type_url: &str, value: &[u8]) -> Json {
    Printer { depth: MAX_DEPTH, redact: false }.any(type_url, value)
}

/// An `Any` that is not expanded.
pub(super) fn opaque(type_url: &str, value: &[u8]) -> Json {
    serde_json::json!({"@type": type_url, "value": STANDARD.encode(value)})
}

#[derive(Clone, Copy)]
struct Printer {
    /// Levels that may still be entered.
    depth: usize,
    /// Inside a sensitive field: print no content.
    redact: bool,
}

impl Printer {
    fn message(self, message: &DynamicMessage) -> Json {
        let descriptor = message.descriptor();
        if descriptor.full_name() == Any::full_name() {
            let type_url = message.get_field_by_number(1);
            let value = message.get_field_by_number(2);
            let type_url = type_url.as_deref().and_then(Value::as_str).unwrap_or_default();
            let value = value.as_deref().and_then(Value::as_bytes).map(AsRef::as_ref).unwrap_or_default();
            return self.any(type_url, value);
        }
        if is_well_known(&descriptor) {
            if self.redact {
                return REDACTED.into();
            }
            let options = SerializeOptions::new().use_proto_field_name(true);
            if let Ok(json) = message.serialize_with_options(serde_json::value::Serializer, &options) {
                return normal(json);
            }
        }
        Json::Object(self.fields(message))
    }

    fn any(self, type_url: &str, value: &[u8]) -> Json {
        if type_url.is_empty() && value.is_empty() {
            return Json::Object(Map::new());
        }
        let expanded = self.entered().and_then(|printer| {
            let descriptor = pool::find(type_url::message_name(type_url))?;
            let message = DynamicMessage::decode(descriptor, value).ok()?;
            let well_known = is_well_known(&message.descriptor());
            Some(if well_known { Map::from_iter([("value".to_owned(), printer.message(&message))]) } else { printer.fields(&message) })
        });
        let Some(mut fields) = expanded else {
            return opaque(type_url, if self.redact { REDACTED.as_bytes() } else { value });
        };
        fields.insert("@type".to_owned(), type_url.into());
        Json::Object(fields)
    }

    fn fields(self, message: &DynamicMessage) -> Map<String, Json> {
        message.fields().map(|(field, value)| (field.name().to_owned(), self.field(&field, value))).collect()
    }

    fn field(self, field: &FieldDescriptor, value: &Value) -> Json {
        let printer = Self { redact: self.redact || SENSITIVE.contains(field.full_name()), ..self };
        match value {
            Value::List(items) => items.iter().map(|item| printer.single(&field.kind(), item)).collect(),
            Value::Map(pairs) => {
                let kind = field.kind();
                let kind = kind.as_message().map_or(Kind::String, |entry| entry.map_entry_value_field().kind());
                Json::Object(pairs.iter().map(|(key, value)| (map_key(key), printer.single(&kind, value))).collect())
            }
            single => printer.single(&field.kind(), single),
        }
    }

    fn single(self, kind: &Kind, value: &Value) -> Json {
        match value {
            Value::Message(message) => match self.entered() {
                Some(printer) => printer.message(message),
                None => "[nested too deep]".into(),
            },
            Value::Bytes(_) if self.redact => STANDARD.encode(REDACTED).into(),
            _ if self.redact => REDACTED.into(),
            Value::Bool(value) => (*value).into(),
            Value::I32(value) => (*value).into(),
            Value::U32(value) => (*value).into(),
            Value::I64(value) => value.to_string().into(),
            Value::U64(value) => value.to_string().into(),
            // The shortest text of the narrow number, not the long one of the wide.
            Value::F32(value) => yaml::float_to_json(value.to_string().parse().unwrap_or_else(|_| f64::from(*value))),
            Value::F64(value) => yaml::float_to_json(*value),
            Value::String(text) => text.clone().into(),
            Value::Bytes(bytes) => STANDARD.encode(bytes).into(),
            Value::EnumNumber(number) => enum_name(kind, *number),
            Value::List(_) | Value::Map(_) => Json::Null, // Handled by `field`: neither nests in itself.
        }
    }

    fn entered(self) -> Option<Self> {
        Some(Self { depth: self.depth.checked_sub(1)?, ..self })
    }
}

fn enum_name(kind: &Kind, number: i32) -> Json {
    let value = kind.as_enum().and_then(|descriptor| descriptor.get_value(number));
    value.map_or_else(|| number.into(), |value| value.name().into())
}

fn map_key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

/// Numbers of a `Struct` are floats on the wire; whole ones are printed as such.
fn normal(json: Json) -> Json {
    match json {
        Json::Number(number) if number.is_f64() => number.as_f64().map_or(Json::Null, yaml::float_to_json),
        Json::Array(items) => items.into_iter().map(normal).collect(),
        Json::Object(fields) => Json::Object(fields.into_iter().map(|(key, value)| (key, normal(value))).collect()),
        other => other,
    }
}
