//! Durations, shares, numbers in wrappers, and data sources: the small change of Envoy's configuration.

use std::{sync::Arc, time::Duration};

use mesh_proto::{
    envoy::{
        config::core::v3::{DataSource, RuntimeFractionalPercent, WatchedDirectory, data_source::Specifier},
        r#type::v3::{FractionalPercent, fractional_percent::DenominatorType},
    },
    google::protobuf::{self, BoolValue, UInt32Value},
};

use super::context::{Context, Result, ignored};
use crate::snapshot::Percent;

/// The longest duration that protobuf allows, in seconds: 10 000 years.
const MAX_SECONDS: u64 = 315_576_000_000;
/// The largest file that is read into a configuration.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// A duration that is not negative.
pub(crate) fn duration(cx: &mut Context<'_>, name: &str, wire: &protobuf::Duration) -> Result<Duration> {
    let protobuf::Duration { seconds, nanos } = *wire;
    let parts = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok());
    match parts {
        Some((seconds, nanos)) if seconds <= MAX_SECONDS && nanos < 1_000_000_000 => Ok(Duration::new(seconds, nanos)),
        _ => Err(cx.refuse_field(name, "must be a duration of zero or more, such as 2.5s")),
    }
}

/// A duration, if it is set.
pub(crate) fn optional(cx: &mut Context<'_>, name: &str, wire: Option<&protobuf::Duration>) -> Result<Option<Duration>> {
    wire.map(|wire| duration(cx, name, wire)).transpose()
}

/// A duration with a default, where zero turns it off.
pub(crate) fn zero_is_off(
    cx: &mut Context<'_>,
    name: &str,
    wire: Option<&protobuf::Duration>,
    default: Option<Duration>,
) -> Result<Option<Duration>> {
    Ok(match optional(cx, name, wire)? {
        None => default,
        Some(duration) if duration.is_zero() => None,
        Some(duration) => Some(duration),
    })
}

/// A duration with a default that must be more than zero.
pub(crate) fn positive(cx: &mut Context<'_>, name: &str, wire: Option<&protobuf::Duration>, default: Duration) -> Result<Duration> {
    match optional(cx, name, wire)? {
        Some(duration) if duration.is_zero() => Err(cx.refuse_field(name, "must be more than zero")),
        Some(duration) => Ok(duration),
        None => Ok(default),
    }
}

/// A `BoolValue` with a default.
pub(crate) fn flag(wire: Option<&BoolValue>, default: bool) -> bool {
    wire.map_or(default, |wire| wire.value)
}

/// A `UInt32Value` with a default.
pub(crate) fn number(wire: Option<&UInt32Value>, default: u32) -> u32 {
    wire.map_or(default, |wire| wire.value)
}

/// A percentage field of at most 100, with a default.
pub(crate) fn hundred(cx: &mut Context<'_>, name: &str, wire: Option<&UInt32Value>, default: u32) -> Result<u32> {
    match number(wire, default) {
        value @ 0..=100 => Ok(value),
        _ => Err(cx.refuse_field(name, "must be a percentage of 0 to 100")),
    }
}

/// A port.
pub(crate) fn port(cx: &mut Context<'_>, name: &str, wire: u32) -> Result<u16> {
    u16::try_from(wire).map_err(|_| cx.refuse_field(name, format!("{wire} is no port; it must be below 65536")))
}

/// A member of an enumeration.
pub(crate) fn known<E: TryFrom<i32>>(cx: &mut Context<'_>, name: &str, wire: i32) -> Result<E> {
    E::try_from(wire).map_err(|_| cx.refuse_field(name, format!("{wire} is not a value that is known here")))
}

/// A share.
pub(crate) fn fraction(cx: &mut Context<'_>, name: &str, wire: &FractionalPercent) -> Result<Percent> {
    let FractionalPercent { numerator, denominator } = *wire;
    let denominator = match known(cx, name, denominator)? {
        DenominatorType::Hundred => 100,
        DenominatorType::TenThousand => 10_000,
        DenominatorType::Million => 1_000_000,
    };
    Ok(Percent { numerator, denominator })
}

/// A share with a runtime key. There is no runtime here: the default holds, as it does in Envoy while the key is not set.
pub(crate) fn runtime_fraction(cx: &mut Context<'_>, name: &str, wire: &RuntimeFractionalPercent) -> Result<Percent> {
    let RuntimeFractionalPercent { default_value, runtime_key } = wire;
    cx.field(name, |cx| {
        ignored!(cx; runtime_key);
        match default_value {
            Some(value) => fraction(cx, "default_value", value),
            None => Ok(Percent::ALWAYS),
        }
    })
}

/// A percentage as parts of 10 000.
pub(crate) fn percent(cx: &mut Context<'_>, name: &str, value: f64) -> Result<Percent> {
    Ok(Percent { numerator: scaled(cx, name, value, 100.0)?, denominator: 10_000 })
}

/// A percentage rounded to a whole number.
pub(crate) fn whole_percent(cx: &mut Context<'_>, name: &str, value: f64) -> Result<u32> {
    scaled(cx, name, value, 1.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked: between 0 and 100 times the scale")]
fn scaled(cx: &mut Context<'_>, name: &str, value: f64, scale: f64) -> Result<u32> {
    if !(0.0..=100.0).contains(&value) {
        return Err(cx.refuse_field(name, "must be a percentage of 0 to 100"));
    }
    Ok((value * scale).round() as u32)
}

/// What a data source holds, and the file it came from.
pub(crate) struct Data {
    /// Content.
    pub(crate) bytes: Vec<u8>,
    /// The file, which may change later.
    pub(crate) file: Option<Arc<str>>,
}

/// Reads a data source: inline, a file or an environment variable.
pub(crate) fn data(cx: &mut Context<'_>, name: &str, wire: &DataSource) -> Result<Data> {
    let DataSource { watched_directory, specifier } = wire;
    cx.field(name, |cx| {
        if let Some(WatchedDirectory { path, watch_modify }) = watched_directory {
            ignored!(cx; path, watch_modify);
        }
        match specifier {
            None => Err(cx.refuse("is empty; give inline_string, inline_bytes, filename or environment_variable")),
            Some(Specifier::InlineBytes(bytes)) => Ok(Data { bytes: bytes.clone(), file: None }),
            Some(Specifier::InlineString(text)) => Ok(Data { bytes: text.clone().into_bytes(), file: None }),
            Some(Specifier::EnvironmentVariable(variable)) => match std::env::var(variable) {
                Ok(value) => Ok(Data { bytes: value.into_bytes(), file: None }),
                Err(_) => Err(cx.refuse_field("environment_variable", format!("{variable} is not set or not text"))),
            },
            Some(Specifier::Filename(path)) => {
                let bytes = read(path).map_err(|error| cx.refuse_field("filename", format!("cannot read {path}: {error}")))?;
                Ok(Data { bytes, file: Some(path.as_str().into()) })
            }
        }
    })
}

/// Reads a file of bounded size.
pub(crate) fn read(path: &str) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than 8 MiB"));
    }
    Ok(bytes)
}
