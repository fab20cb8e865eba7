//! Typed extension configuration: an `Any`, whose type URL says what it is, or a `TypedStruct` in it, which says the same of JSON.

use std::borrow::Cow;

use mesh_proto::{
    google::protobuf::{Any, Struct, Value, value::Kind},
    type_url::message_name,
    typed_struct::xds::TypedStruct,
};
use prost::{Message, Name};

use super::context::{Context, Result};

/// Values nest so deep at most; `prost` bounds what comes over the wire to about the same.
const MAX_DEPTH: usize = 100;

/// An extension's configuration.
pub(crate) struct Typed<'a> {
    name: Cow<'a, str>,
    payload: Payload<'a>,
}

enum Payload<'a> {
    Bytes(&'a [u8]),
    Json(serde_json::Value),
}

impl<'a> Typed<'a> {
    /// Looks into the envelope.
    pub(crate) fn open(cx: &Context<'_>, any: &'a Any) -> Result<Self> {
        let name = message_name(&any.type_url);
        if !matches!(name, "udpa.type.v1.TypedStruct" | "xds.type.v3.TypedStruct") {
            return Ok(Self { name: Cow::Borrowed(name), payload: Payload::Bytes(&any.value) });
        }
        // Both names have the same fields.
        let TypedStruct { type_url, value } =
            TypedStruct::decode(any.value.as_slice()).map_err(|error| cx.refuse(format!("malformed {name}: {error}")))?;
        let value = value.map_or_else(|| Ok(serde_json::Value::Object(Default::default())), |value| struct_json(cx, &value, 0))?;
        Ok(Self { name: Cow::Owned(message_name(&type_url).to_owned()), payload: Payload::Json(value) })
    }

    /// Looks into an envelope that must be there.
    pub(crate) fn required(cx: &Context<'_>, any: Option<&'a Any>) -> Result<Self> {
        let any = any.ok_or_else(|| cx.refuse("is missing; say what is meant with its @type"))?;
        Self::open(cx, any)
    }

    /// The message's full name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The message.
    pub(crate) fn decode<M: Message + Name + Default>(&self, cx: &Context<'_>) -> Result<M> {
        debug_assert_eq!(self.name, M::full_name());
        match &self.payload {
            Payload::Bytes(bytes) => M::decode(*bytes).map_err(|error| cx.refuse(format!("malformed {}: {error}", self.name))),
            Payload::Json(value) => mesh_proto::json::decode(value.clone()).map_err(|error| cx.refuse(format!("{}: {error}", self.name))),
        }
    }
}

/// A `Struct` as JSON.
pub(crate) fn struct_json(cx: &Context<'_>, value: &Struct, depth: usize) -> Result<serde_json::Value> {
    let mut fields: Vec<_> = value.fields.iter().collect();
    fields.sort_unstable_by_key(|(key, _)| *key);
    let fields = fields.into_iter().map(|(key, value)| Ok((key.clone(), value_json(cx, value, depth + 1)?)));
    Ok(serde_json::Value::Object(fields.collect::<Result<_>>()?))
}

fn value_json(cx: &Context<'_>, value: &Value, depth: usize) -> Result<serde_json::Value> {
    if depth > MAX_DEPTH {
        return Err(cx.refuse("is nested too deep"));
    }
    Ok(match &value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => (*value).into(),
        Some(Kind::NumberValue(value)) => number_json(*value),
        Some(Kind::StringValue(value)) => value.clone().into(),
        Some(Kind::StructValue(value)) => struct_json(cx, value, depth)?,
        Some(Kind::ListValue(list)) => {
            serde_json::Value::Array(list.values.iter().map(|value| value_json(cx, value, depth + 1)).collect::<Result<_>>()?)
        }
    })
}

/// Whole numbers stay whole: protobuf JSON refuses `5.0` for an integer field in some readers.
#[expect(clippy::cast_possible_truncation, reason = "checked: within 2^53 and without a fraction")]
fn number_json(value: f64) -> serde_json::Value {
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 { (value as i64).into() } else { value.into() }
}
