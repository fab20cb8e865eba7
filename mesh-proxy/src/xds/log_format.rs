//! Format strings of access logs and header values: text with `%OPERATOR(arguments):length%` in it (Envoy docs, "Access logging").

use std::sync::Arc;

use http::HeaderName;
use mesh_proto::{
    envoy::config::core::v3::{
        JsonFormatOptions, SubstitutionFormatString, TypedExtensionConfig, substitution_format_string::Format as WireFormat,
    },
    google::protobuf::Struct,
};
use serde_json::Value;

use super::{
    any::struct_json,
    context::{Context, Result, ignored},
    scalar,
};
use crate::snapshot::{Format, FormatPart, JsonFormat, LogFormat, LogHeader, Operator, SimpleOperator};

/// What Envoy logs when nothing else is said.
const DEFAULT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% \
%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \
\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

/// What becomes of an operator that Envoy may know and we do not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It prints `-` and is listed as ignored: a log loses a column.
    Dash,
    /// The resource is refused: a header would have another value.
    Refuse,
}

/// The format that Envoy uses by default.
pub(crate) fn default(cx: &mut Context<'_>) -> Result<LogFormat> {
    text(cx, DEFAULT, false, Unknown::Refuse).map(|format| LogFormat::Text(format.into()))
}

/// A `SubstitutionFormatString`.
pub(crate) fn substitution(cx: &mut Context<'_>, wire: &SubstitutionFormatString) -> Result<LogFormat> {
    let SubstitutionFormatString { omit_empty_values, content_type, formatters, json_format_options, format } = wire;
    ignored!(cx; content_type);
    if let Some(JsonFormatOptions { .. }) = json_format_options {
        cx.ignore("json_format_options");
    }
    cx.each("formatters", formatters, |cx, TypedExtensionConfig { name, typed_config }| {
        // The metadata formatter's operators are built in here; others' are reported where they occur.
        let known = typed_config.as_ref().is_some_and(|any| any.type_url.ends_with("/envoy.extensions.formatter.metadata.v3.Metadata"));
        if !known {
            cx.ignore(name);
        }
        Ok(())
    })?;
    match format {
        None => default(cx),
        #[expect(deprecated, reason = "the common form in configurations of all ages")]
        Some(WireFormat::TextFormat(format)) => {
            cx.field("text_format", |cx| text(cx, format, *omit_empty_values, Unknown::Dash)).map(|format| LogFormat::Text(format.into()))
        }
        Some(WireFormat::TextFormatSource(source)) => {
            let data = scalar::data(cx, "text_format_source", source)?;
            let format = String::from_utf8(data.bytes).map_err(|_| cx.refuse_field("text_format_source", "is not UTF-8"))?;
            cx.field("text_format_source", |cx| text(cx, &format, *omit_empty_values, Unknown::Dash))
                .map(|format| LogFormat::Text(format.into()))
        }
        Some(WireFormat::JsonFormat(format)) => cx.field("json_format", |cx| json(cx, format, *omit_empty_values)),
    }
}

/// A JSON log's shape.
pub(crate) fn json(cx: &mut Context<'_>, wire: &Struct, omit_empty: bool) -> Result<LogFormat> {
    let value = struct_json(cx, wire, 0)?;
    json_value(cx, value, omit_empty).map(LogFormat::Json)
}

fn json_value(cx: &mut Context<'_>, value: Value, omit_empty: bool) -> Result<JsonFormat> {
    Ok(match value {
        Value::String(format) => JsonFormat::Value(text(cx, &format, omit_empty, Unknown::Dash)?.into()),
        Value::Object(fields) => {
            let mut object = Vec::with_capacity(fields.len());
            for (key, value) in fields {
                let value = cx.field(&key, |cx| json_value(cx, value, omit_empty))?;
                object.push((Arc::from(key), value));
            }
            JsonFormat::Object(object)
        }
        Value::Array(values) => JsonFormat::List(values.into_iter().map(|value| json_value(cx, value, omit_empty)).collect::<Result<_>>()?),
        constant => JsonFormat::Constant(constant),
    })
}

/// A format string.
pub(crate) fn text(cx: &mut Context<'_>, format: &str, omit_empty: bool, unknown: Unknown) -> Result<Format> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let (command, after) = command(rest).ok_or_else(|| {
            let shown: String = rest.chars().take(40).collect();
            cx.refuse(format!("at \"%{shown}\": expected %OPERATOR(arguments):length%; a percent sign is written %%"))
        })?;
        rest = after;
        if !literal.is_empty() {
            parts.push(FormatPart::Text(std::mem::take(&mut literal).into()));
        }
        parts.push(FormatPart::Operator { operator: operator(cx, &command, unknown)?, max: command.max });
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(FormatPart::Text(literal.into()));
    }
    Ok(Format { parts, omit_empty })
}

struct Command<'a> {
    name: &'a str,
    arguments: Option<&'a str>,
    max: Option<usize>,
}

/// `NAME(arguments):max%` at the beginning of `text`, and what follows.
fn command(text: &str) -> Option<(Command<'_>, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))?;
    let (name, mut rest) = text.split_at(end);
    let mut arguments = None;
    if let Some(inside) = rest.strip_prefix('(') {
        let (inside, after) = inside.split_once(')')?;
        (arguments, rest) = (Some(inside), after);
    }
    let mut max = None;
    if let Some(digits) = rest.strip_prefix(':') {
        let (digits, _) = digits.split_once('%')?;
        max = Some(digits.parse().ok()?);
        rest = &rest[1 + digits.len()..];
    }
    let rest = rest.strip_prefix('%')?;
    (!name.is_empty()).then_some((Command { name, arguments, max }, rest))
}

fn operator(cx: &mut Context<'_>, command: &Command<'_>, unknown: Unknown) -> Result<Operator> {
    let Command { name, arguments, max: _ } = *command;
    let path = |text: &str| text.split(':').map(Arc::from).collect();
    Ok(match (name, arguments) {
        ("START_TIME", format) => Operator::StartTime(format.filter(|format| !format.is_empty()).map(Arc::from)),
        ("REQ" | "REQUEST_HEADER", Some(names)) => {
            let (first, second) = alternatives(cx, names)?;
            Operator::Request(first, second)
        }
        ("RESP" | "RESPONSE_HEADER", Some(names)) => {
            let (first, second) = alternatives(cx, names)?;
            Operator::Response(first, second)
        }
        ("TRAILER" | "RESPONSE_TRAILER", Some(names)) => {
            let (first, second) = alternatives(cx, names)?;
            Operator::Trailer(first, second)
        }
        ("DYNAMIC_METADATA", Some(key)) => Operator::Metadata(path(key)),
        ("METADATA", Some(key)) if key.starts_with("DYNAMIC:") => Operator::Metadata(path(&key["DYNAMIC:".len()..])),
        ("FILTER_STATE", Some(key)) => Operator::FilterState(key.split(':').next().unwrap_or(key).into()),
        ("ENVIRONMENT", Some(variable)) => Operator::Constant(std::env::var(variable).unwrap_or_else(|_| "-".to_owned()).into()),
        ("GRPC_STATUS", Some("NUMBER")) => Operator::Simple(SimpleOperator::GrpcStatusNumber),
        ("GRPC_STATUS", Some("CAMEL_STRING" | "")) => Operator::Simple(SimpleOperator::GrpcStatus),
        (_, None) if SimpleOperator::parse(name).is_some() => SimpleOperator::parse(name).map_or_else(dash, Operator::Simple),
        _ if unknown == Unknown::Refuse => {
            return Err(cx.refuse(format!("%{name}% is not an operator that is known here; the value would be another")));
        }
        _ => {
            cx.ignore(&format!("%{name}%"));
            dash()
        }
    })
}

fn dash() -> Operator {
    Operator::Constant("-".into())
}

/// `A` or `A?B`.
fn alternatives(cx: &mut Context<'_>, names: &str) -> Result<(LogHeader, Option<LogHeader>)> {
    match names.split_once('?') {
        None => Ok((header(cx, names)?, None)),
        Some((first, second)) => Ok((header(cx, first)?, Some(header(cx, second)?))),
    }
}

fn header(cx: &mut Context<'_>, name: &str) -> Result<LogHeader> {
    Ok(match name.to_ascii_lowercase().as_str() {
        ":method" => LogHeader::Method,
        ":path" => LogHeader::Path,
        ":authority" | "host" => LogHeader::Authority,
        ":scheme" => LogHeader::Scheme,
        ":status" => LogHeader::Status,
        lower => {
            LogHeader::Name(HeaderName::from_bytes(lower.as_bytes()).map_err(|_| cx.refuse(format!("{name:?} is not a header name")))?)
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::xds::{secret::Registry, slots::Slots};

    fn parse(format: &str) -> Result<Format> {
        let (mut slots, mut secrets) = (Slots::default(), Registry::default());
        let mut cx = Context::new(&mut slots, &mut secrets);
        text(&mut cx, format, false, Unknown::Refuse)
    }

    #[test]
    fn formats_are_split_into_parts() {
        let parts = parse("a%%%REQ(X-A?:PATH):10% %START_TIME(%Y-%m-%d)%%PROTOCOL%z").unwrap().parts;
        let header = LogHeader::Name(HeaderName::from_static("x-a"));
        assert_eq!(
            parts,
            [
                FormatPart::Text("a%".into()),
                FormatPart::Operator { operator: Operator::Request(header, Some(LogHeader::Path)), max: Some(10) },
                FormatPart::Text(" ".into()),
                FormatPart::Operator { operator: Operator::StartTime(Some("%Y-%m-%d".into())), max: None },
                FormatPart::Operator { operator: Operator::Simple(SimpleOperator::Protocol), max: None },
                FormatPart::Text("z".into()),
            ]
        );
    }

    #[test]
    fn broken_formats_are_refused() {
        for format in ["%", "%REQ(", "%REQ(a%", "%NOPE%", "%REQ(a b)%", "%PROTOCOL:x%", "100% sure"] {
            assert!(parse(format).is_err(), "{format}");
        }
    }

    #[test]
    fn the_default_format_is_known_in_full() {
        assert!(parse(DEFAULT).unwrap().parts.len() > 20);
    }
}
