//! JSON lines: an operator alone keeps its type, a mixture is a string, what is missing is null.

use serde_json::{Map, Value as Json};

use super::{floor, text, value};
use crate::{
    info::RequestInfo,
    snapshot::{Format, FormatPart, JsonFormat},
};

/// The document of one request.
pub(super) fn value(format: &JsonFormat, info: &RequestInfo) -> Json {
    member(format, info).unwrap_or(Json::Null)
}

/// `None`: to be left out (`omit_empty_values`).
fn member(format: &JsonFormat, info: &RequestInfo) -> Option<Json> {
    match format {
        JsonFormat::Constant(constant) => Some(constant.clone()),
        JsonFormat::List(members) => Some(members.iter().map(|member| value(member, info)).collect()),
        JsonFormat::Object(members) => {
            let members = members.iter().filter_map(|(key, format)| Some((key.to_string(), member(format, info)?)));
            Some(Json::Object(members.collect::<Map<_, _>>()))
        }
        JsonFormat::Value(format) => single(format, info),
    }
}

fn single(format: &Format, info: &RequestInfo) -> Option<Json> {
    let [FormatPart::Operator { operator, max }] = &*format.parts else { return Some(text(format, info).into()) };
    match value::of(operator, info) {
        Some(value::Value::Number(number)) => Some(number.into()),
        Some(value::Value::Text(text)) => Some(text[..max.map_or(text.len(), |max| floor(&text, max))].into()),
        None if format.omit_empty => None,
        None => Some(Json::Null),
    }
}
