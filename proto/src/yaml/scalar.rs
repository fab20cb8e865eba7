//! What a plain scalar means: the rules of YAML 1.1 as `sigs.k8s.io/yaml` applies them.

use super::Value;

/// Reads a plain scalar without a tag.
pub(super) fn resolve(text: &str) -> Value {
    if let Some(value) = word(text) {
        return value;
    }
    match text.bytes().next() {
        Some(b'.') => float(text),
        // Only what starts with a digit or a sign may carry underscores.
        Some(b'0'..=b'9' | b'+' | b'-') => number(&text.replace('_', "")),
        _ => None,
    }
    .unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Reads a scalar that `!!int`, `!!float`, `!!bool` or `!!null` claims to be of a type. `None` if it is not.
pub(super) fn resolve_as(tag: &str, text: &str) -> Option<Value> {
    match (tag, resolve(text)) {
        ("int", value @ (Value::Int(_) | Value::Uint(_)))
        | ("float", value @ Value::Float(_))
        | ("bool", value @ Value::Bool(_))
        | ("null", value @ Value::Null) => Some(value),
        ("float", Value::Int(_) | Value::Uint(_)) => Some(Value::Float(text.replace('_', "").parse().ok()?)),
        _ => None,
    }
}

/// A number as JSON prints it. JSON has one kind of number, so an integral float is an integer.
pub(crate) fn float_to_json(value: f64) -> serde_json::Value {
    /// Up to here a float holds every integer exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    if value.fract() == 0.0 && value.abs() <= EXACT {
        // Exact, so the text of the one is the text of the other.
        if let Ok(integer) = format!("{value:.0}").parse::<i64>() {
            return integer.into();
        }
    }
    value.into()
}

fn word(text: &str) -> Option<Value> {
    let value = match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        _ => return None,
    };
    Some(value)
}

fn number(text: &str) -> Option<Value> {
    integer(text).or_else(|| float(text))
}

/// An integer in any base that Go's `strconv.ParseInt(.., 0, 64)` reads.
fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // from_str_radix would take a second sign.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(magnitude).map(Value::Int);
    }
    Some(i64::try_from(magnitude).map_or(Value::Uint(magnitude), Value::Int))
}

/// `[-+]? ( . digits | digits ( . digits? )? ) ( [eE] [-+]? digits )?`, if it fits a float.
fn float(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if exponent.is_some_and(|exponent| exponent.is_empty() || !digits(exponent)) {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite()).map(Value::Float)
}
