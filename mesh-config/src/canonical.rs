//! One text for one meaning: JSON with sorted keys, and the hash of it that versions are made of.

use std::fmt::Write as _;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

/// The content hash of a JSON value: the same on every machine and after every restart.
pub(crate) fn hash(value: &Value) -> u128 {
    let mut text = String::with_capacity(256);
    write(value, &mut text);
    xxh3_128(text.as_bytes())
}

/// Objects by sorted key, no white space; everything else as serde_json prints it.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                separate(index, out);
                // Writing to a String cannot fail.
                let _ = write!(out, "{}:", Value::from(key.as_str()));
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(index, out);
                write(item, out);
            }
            out.push(']');
        }
        scalar => {
            let _ = write!(out, "{scalar}");
        }
    }
}

fn separate(index: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let mut text = String::new();
        write(&json!({"b": [{"d": 1, "c": "x\"y"}], "a": null}), &mut text);
        assert_eq!(text, r#"{"a":null,"b":[{"c":"x\"y","d":1}]}"#);
    }
}
