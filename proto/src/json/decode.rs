//! JSON → message, by descriptors. Not prost-reflect's own reader, because that one does not say where it failed.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;
use prost::{Message, Name};
use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value};
use serde_json::Value as Json;

use super::error::{Error, Reason, Segment};
use super::pool;
use crate::google::protobuf::Any;
use crate::{canonical, type_url};

/// Messages inside messages, those inside an `Any` included. prost refuses to decode more than 100.
pub(super) const MAX_DEPTH: usize = 96;

pub(super) fn message<M: Message + Default>(name: &str, json: &Json) -> Result<M, Error> {
    let dynamic = by_name(name, json, MAX_DEPTH)?;
    dynamic.transcode_to().map_err(|error| Reason::Malformed(error.to_string()).into())
}

/// The fields of a message whose type URL stands elsewhere, as an `Any`.
pub(super) fn any_of(type_url: &str, fields: &Json) -> Result<Any, Error> {
    let dynamic = by_name(type_url::message_name(type_url), fields, MAX_DEPTH)?;
    Ok(Any { type_url: type_url.to_owned(), value: encoded(&dynamic) })
}

/// Equal configurations must give equal bytes inside an `Any` too.
fn encoded(message: &DynamicMessage) -> Vec<u8> {
    canonical::order(message.descriptor().full_name(), message.encode_to_vec())
}

fn by_name(name: &str, json: &Json, depth: usize) -> Result<DynamicMessage, Error> {
    let unknown = || Error::from(Reason::UnknownType { type_url: name.to_owned() });
    of_descriptor(&pool::find(name).ok_or_else(unknown)?, json, depth)
}

fn of_descriptor(descriptor: &MessageDescriptor, json: &Json, depth: usize) -> Result<DynamicMessage, Error> {
    let depth = depth.checked_sub(1).ok_or(Reason::TooDeep)?;
    if descriptor.full_name() == Any::full_name() {
        return expanded_any(descriptor, json, depth);
    }
    if is_well_known(descriptor) {
        return DynamicMessage::deserialize(descriptor.clone(), json)
            .map_err(|error| Reason::Malformed(format!("not a {}: {error}", descriptor.full_name())).into());
    }
    let Json::Object(fields) = json else { return Err(kind("an object", json)) };
    of_fields(descriptor, fields.iter(), depth)
}

/// Types whose JSON form is not an object of their fields.
pub(super) fn is_well_known(descriptor: &MessageDescriptor) -> bool {
    descriptor.package_name() == "google.protobuf"
}

fn of_fields<'j>(
    descriptor: &MessageDescriptor,
    fields: impl Iterator<Item = (&'j String, &'j Json)>,
    depth: usize,
) -> Result<DynamicMessage, Error> {
    let mut message = DynamicMessage::new(descriptor.clone());
    for (key, json) in fields {
        set_field(&mut message, key, json, depth).map_err(|error| error.at_key(key))?;
    }
    Ok(message)
}

fn set_field(message: &mut DynamicMessage, key: &str, json: &Json, depth: usize) -> Result<(), Error> {
    let descriptor = message.descriptor();
    let found = descriptor.get_field_by_name(key).or_else(|| descriptor.get_field_by_json_name(key));
    let field = found.ok_or_else(|| unknown_field(&descriptor, key))?;
    if json.is_null() && !takes_null(&field) {
        return Ok(());
    }
    if message.has_field(&field) {
        return Err(Reason::Twice.into());
    }
    if let Some(oneof) = field.containing_oneof()
        && let Some(other) = oneof.fields().find(|other| message.has_field(other))
    {
        return Err(Reason::Oneof { oneof: oneof.name().to_owned(), other: other.name().to_owned() }.into());
    }
    let value = field_value(&field, json, depth)?;
    message.try_set_field(&field, value).map_err(|error| Reason::Malformed(error.to_string()).into())
}

fn takes_null(field: &FieldDescriptor) -> bool {
    match field.kind() {
        Kind::Message(message) => !field.is_list() && message.full_name() == "google.protobuf.Value",
        Kind::Enum(enumeration) => enumeration.full_name() == "google.protobuf.NullValue",
        _ => false,
    }
}

fn field_value(field: &FieldDescriptor, json: &Json, depth: usize) -> Result<Value, Error> {
    match (field.kind(), json) {
        (Kind::Message(entry), Json::Object(pairs)) if field.is_map() => map(&entry, pairs, depth),
        (_, other) if field.is_map() => Err(kind("an object", other)),
        (of, Json::Array(items)) if field.is_list() => {
            let element = |(index, item)| single(&of, item, depth).map_err(|error| error.at(Segment::Index(index)));
            items.iter().enumerate().map(element).collect::<Result<_, _>>().map(Value::List)
        }
        (_, other) if field.is_list() => Err(kind("a list", other)),
        (of, other) => single(&of, other, depth),
    }
}

fn map(entry: &MessageDescriptor, pairs: &serde_json::Map<String, Json>, depth: usize) -> Result<Value, Error> {
    let (key_kind, value_kind) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
    let mut values = HashMap::with_capacity(pairs.len());
    for (key, json) in pairs {
        let pair = map_key(&key_kind, key).and_then(|map_key| Ok((map_key, single(&value_kind, json, depth)?)));
        let (map_key, value) = pair.map_err(|error| error.at_key(key))?;
        values.insert(map_key, value);
    }
    Ok(Value::Map(values))
}

fn map_key(of: &Kind, key: &str) -> Result<MapKey, Error> {
    let text = Json::String(key.to_owned());
    let value = match of {
        Kind::Bool => key.parse().map(Value::Bool).map_err(|_| kind("true or false", &text))?,
        other => single(other, &text, 1)?,
    };
    value.into_map_key().ok_or_else(|| kind("a key", &text))
}

fn single(of: &Kind, json: &Json, depth: usize) -> Result<Value, Error> {
    let value = match (of, json) {
        (Kind::Message(descriptor), _) => Some(Value::Message(of_descriptor(descriptor, json, depth)?)),
        (Kind::Enum(descriptor), _) => Some(Value::EnumNumber(enum_number(descriptor, json)?)),
        (Kind::String, Json::String(text)) => Some(Value::String(text.clone())),
        (Kind::Bytes, Json::String(text)) => base64_any(text).map(|bytes| Value::Bytes(bytes.into())),
        (Kind::Bool, Json::Bool(value)) => Some(Value::Bool(*value)),
        (Kind::Double, _) => float(json).map(Value::F64),
        (Kind::Float, _) => float(json).and_then(to_f32).map(Value::F32),
        (Kind::Int32 | Kind::Sint32 | Kind::Sfixed32, _) => integer(json).and_then(|n| n.try_into().ok()).map(Value::I32),
        (Kind::Int64 | Kind::Sint64 | Kind::Sfixed64, _) => integer(json).and_then(|n| n.try_into().ok()).map(Value::I64),
        (Kind::Uint32 | Kind::Fixed32, _) => integer(json).and_then(|n| n.try_into().ok()).map(Value::U32),
        (Kind::Uint64 | Kind::Fixed64, _) => integer(json).and_then(|n| n.try_into().ok()).map(Value::U64),
        (Kind::String | Kind::Bytes | Kind::Bool, _) => None,
    };
    value.ok_or_else(|| kind(expected(of), json))
}

fn expected(of: &Kind) -> &'static str {
    match of {
        Kind::Bool => "true or false",
        Kind::String => "a string (quote it if text is meant)",
        Kind::Bytes => "bytes as base64",
        Kind::Double | Kind::Float => "a number",
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "an integer of 32 bits",
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "an integer of 64 bits",
        Kind::Uint32 | Kind::Fixed32 => "an integer from 0 to 4294967295",
        Kind::Uint64 | Kind::Fixed64 => "an integer from 0 to 18446744073709551615",
        Kind::Message(_) => "an object",
        Kind::Enum(_) => "the name of an enum value",
    }
}

fn expanded_any(descriptor: &MessageDescriptor, json: &Json, depth: usize) -> Result<DynamicMessage, Error> {
    let Json::Object(fields) = json else { return Err(kind("an object with \"@type\"", json)) };
    let mut any = DynamicMessage::new(descriptor.clone());
    let type_url = match fields.get("@type") {
        Some(Json::String(type_url)) => type_url,
        Some(other) => return Err(kind("a type URL", other).at_key("@type")),
        None if fields.is_empty() => return Ok(any),
        None => return Err(Reason::NoType.into()),
    };
    let Some(content) = pool::find(type_url::message_name(type_url)) else {
        return Err(Error::from(Reason::UnknownType { type_url: type_url.clone() }).at_key("@type"));
    };
    let mut rest = fields.iter().filter(|(key, _)| *key != "@type");
    let message = if is_well_known(&content) {
        let value = fields.get("value").unwrap_or(&Json::Null);
        if let Some((key, _)) = rest.find(|(key, _)| *key != "value") {
            return Err(unknown_field(&content, key).at_key(key));
        }
        of_descriptor(&content, value, depth).map_err(|error| error.at_key("value"))?
    } else {
        of_fields(&content, rest, depth.checked_sub(1).ok_or(Reason::TooDeep)?)?
    };
    any.set_field_by_number(1, Value::String(type_url.clone()));
    any.set_field_by_number(2, Value::Bytes(encoded(&message).into()));
    Ok(any)
}

fn enum_number(descriptor: &EnumDescriptor, json: &Json) -> Result<i32, Error> {
    match json {
        Json::String(name) => match descriptor.get_value_by_name(name) {
            Some(value) => Ok(value.number()),
            None => Err(unknown_enum(descriptor, name)),
        },
        Json::Null if descriptor.full_name() == "google.protobuf.NullValue" => Ok(0),
        _ => integer(json).and_then(|n| n.try_into().ok()).ok_or_else(|| kind("the name of an enum value", json)),
    }
}

/// A whole number in any of the forms that protobuf's JSON has: `1`, `1.0`, `"1"`.
fn integer(json: &Json) -> Option<i128> {
    let exact = |value: f64| (value.fract() == 0.0 && value.abs() < 1e20).then(|| format!("{value:.0}").parse().ok()).flatten();
    match json {
        Json::Number(number) => {
            number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)).or_else(|| number.as_f64().and_then(exact))
        }
        Json::String(text) => text.parse().ok().or_else(|| text.parse().ok().and_then(exact)),
        _ => None,
    }
}

fn float(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => text.parse().ok().filter(|value: &f64| value.is_finite()),
        },
        _ => None,
    }
}

fn to_f32(value: f64) -> Option<f32> {
    #[allow(clippy::cast_possible_truncation)] // Rounding is what a float field means; overflow is refused.
    let narrow = value as f32;
    (narrow.is_finite() || !value.is_finite()).then_some(narrow)
}

/// Standard or URL-safe, with padding or without.
fn base64_any(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true);
    const STANDARD_LENIENT: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
    const URL_LENIENT: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);
    STANDARD_LENIENT.decode(text).or_else(|_| URL_LENIENT.decode(text)).ok()
}

fn kind(expected: &str, found: &Json) -> Error {
    let found = match found {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(value) => value.to_string(),
        Json::String(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    };
    Reason::Kind { expected: expected.to_owned(), found }.into()
}

fn unknown_field(descriptor: &MessageDescriptor, key: &str) -> Error {
    let fields: Vec<_> = descriptor.fields().collect();
    let suggestion = closest(key, fields.iter().map(FieldDescriptor::name));
    Reason::UnknownField { message: descriptor.full_name().to_owned(), suggestion }.into()
}

fn unknown_enum(descriptor: &EnumDescriptor, found: &str) -> Error {
    let names: Vec<_> = descriptor.values().map(|value| value.name().to_owned()).collect();
    let suggestion = closest(found, names.iter().map(String::as_str));
    let found = found.chars().take(60).collect();
    Reason::UnknownEnum { name: descriptor.full_name().to_owned(), found, suggestion }.into()
}

fn closest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<String> {
    let written = written.to_ascii_lowercase();
    names
        .map(|name| (strsim::osa_distance(&written, &name.to_ascii_lowercase()), name))
        .min()
        .filter(|(distance, name)| *distance <= 3 && *distance < name.len())
        .map(|(_, name)| name.to_owned())
}
