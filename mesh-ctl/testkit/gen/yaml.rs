//! JSON as YAML in block style, keys in order: what a person reads in a manifest.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The value as a YAML document.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(map, 0, &mut out),
        Value::Array(items) if !items.is_empty() => sequence(items, 0, &mut out),
        other => {
            out.push_str(&scalar(other));
            out.push('\n');
        }
    }
    out
}

fn mapping(map: &Map<String, Value>, indent: usize, out: &mut String) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push_str(&" ".repeat(indent));
        }
        let _ = write!(out, "{}:", string(key));
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                let _ = write!(out, "\n{}", " ".repeat(indent + 2));
                mapping(inner, indent + 2, out);
            }
            Value::Array(items) if !items.is_empty() => {
                let _ = write!(out, "\n{}", " ".repeat(indent));
                sequence(items, indent, out);
            }
            other => {
                let _ = writeln!(out, " {}", scalar(other));
            }
        }
    }
}

fn sequence(items: &[Value], indent: usize, out: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => mapping(inner, indent + 2, out),
            Value::Array(inner) if !inner.is_empty() => sequence(inner, indent + 2, out),
            other => {
                let _ = writeln!(out, "{}", scalar(other));
            }
        }
    }
}

/// Scalars, and collections with nothing in them.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        other => other.to_string(),
    }
}

/// A text, in quotes unless it plainly is one.
fn string(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_-./ ()`,;<>=+*'".contains(c);
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.' && text.len() > 1)
        && text.chars().all(safe)
        && !text.ends_with(' ')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n" | ".inf" | ".nan"
        )
        && text.parse::<f64>().is_err();
    // JSON's quotes are YAML's.
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let value = json!({
            "a": "true", "b": "1e3", "c": "x: y", "d": "it's", "e": "", "f": " lead", "g": "#no", "h": ".spec.host", "i": ".inf", "j": "nan",
            "list": [{ "deep": [[1, 2], []], "empty": {} }, "- x", null, true, 1.5, "a\nb", "µ\"\\"],
            "no": { "inner": { "leaf": "*" } },
        });
        let written = text(&value);
        assert_eq!(mesh_proto::yaml::parse_one(&written).unwrap().root.to_json(), value, "{written}");
    }
}
