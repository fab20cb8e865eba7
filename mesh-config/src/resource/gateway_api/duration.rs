//! Durations of the Gateway API (GEP-2257): one to four numbers of at most five digits with `h`, `m`, `s` or `ms`.
//!
//! A subset of Go's notation that knows no fractions and no nanoseconds, so it has its own type: what is written back
//! must be in it too. The text is kept as it was written.

use std::{fmt, str::FromStr, time};

use serde::{Deserialize, Serialize};

/// A length of time, as it is written: `30s`, `1m30s`, `500ms`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "std::borrow::Cow<'_, str>", into = "String")]
pub struct Duration {
    text: Box<str>,
    milliseconds: u64,
}

/// A text that is no duration of the Gateway API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration: write up to four whole numbers, each with h, m, s or ms, such as `30s` or `1m500ms`")]
pub struct InvalidDuration(String);

impl Duration {
    /// The standard library's type.
    pub const fn get(&self) -> time::Duration {
        time::Duration::from_millis(self.milliseconds)
    }
}

impl FromStr for Duration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        milliseconds(text).map(|milliseconds| Self { text: text.into(), milliseconds }).ok_or_else(|| InvalidDuration(text.to_owned()))
    }
}

/// The sum of the parts, if each is one. At most 4 × 99 999 h, so that nothing overflows.
fn milliseconds(text: &str) -> Option<u64> {
    let (mut total, mut parts, mut rest) = (0, 0, text);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 5 || parts == 4 {
            return None;
        }
        let (number, tail) = rest.split_at(digits);
        let (unit, tail) = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)]
            .into_iter()
            .find_map(|(name, unit)| tail.strip_prefix(name).map(|tail| (unit, tail)))?;
        total += number.parse::<u64>().ok()? * unit;
        parts += 1;
        rest = tail;
    }
    (parts > 0).then_some(total)
}

impl TryFrom<std::borrow::Cow<'_, str>> for Duration {
    type Error = InvalidDuration;

    fn try_from(text: std::borrow::Cow<'_, str>) -> Result<Self, InvalidDuration> {
        text.parse()
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.text.into()
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl schemars::JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "gateway_api::Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$" })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_duration_is_one_to_four_whole_numbers_with_units() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("10s", 10_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1m1m1m1m", 240_000),
            ("99999h", 359_996_400_000),
            ("1s1ms", 1001),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.get().as_millis(), milliseconds, "{text}");
            assert_eq!(duration.to_string(), text);
        }
        for text in ["", "0", "1", "s", "1.5s", "100000s", "1m1m1m1m1m", "1d", "-1s", "+1s", "10us", " 1s", "1s "] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }
}
