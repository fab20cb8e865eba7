//! A JSON Web Key Set (RFC 7517), as far as it can be judged without using it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// Why a text is no key set. Says nothing of the keys themselves.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidJwks {
    /// Not JSON.
    #[error("it is not JSON")]
    NotJson,
    /// JSON of another form.
    #[error("it is neither a key set nor a key")]
    NotKeys,
    /// A key of a family that nobody knows.
    #[error("key {0} has no known `kty`")]
    UnknownFamily(usize),
    /// A parameter that the family needs.
    #[error("key {0} lacks `{1}`, or it is not base64url")]
    Parameter(usize, &'static str),
}

/// What each family of keys must have (RFC 7518 §6).
const FAMILIES: &[(&str, &[&str])] = &[("RSA", &["n", "e"]), ("EC", &["x", "y"]), ("OKP", &["x"]), ("oct", &["k"])];

/// Reads a key set, or a single key; gives the places of those that hold private material.
pub(super) fn private_keys(text: &str) -> Result<Vec<usize>, InvalidJwks> {
    let value: Value = serde_json::from_str(text).map_err(|_| InvalidJwks::NotJson)?;
    let Value::Object(set) = value else { return Err(InvalidJwks::NotKeys) };
    let keys = match set.get("keys") {
        Some(Value::Array(keys)) => keys.iter().map(|key| key.as_object().ok_or(InvalidJwks::NotKeys)).collect::<Result<Vec<_>, _>>()?,
        Some(_) => return Err(InvalidJwks::NotKeys),
        None if set.contains_key("kty") => vec![&set],
        None => return Err(InvalidJwks::NotKeys),
    };
    let mut private = Vec::new();
    for (index, key) in keys.into_iter().enumerate() {
        if is_private(index, key)? {
            private.push(index);
        }
    }
    Ok(private)
}

fn is_private(index: usize, key: &Map<String, Value>) -> Result<bool, InvalidJwks> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let family = text("kty").and_then(|kty| FAMILIES.iter().find(|(name, _)| *name == kty));
    let (family, parameters) = family.ok_or(InvalidJwks::UnknownFamily(index))?;
    for parameter in *parameters {
        let bytes = text(parameter).and_then(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok());
        if bytes.is_none_or(|bytes| bytes.is_empty()) {
            return Err(InvalidJwks::Parameter(index, parameter));
        }
    }
    if matches!(*family, "EC" | "OKP") && text("crv").is_none_or(str::is_empty) {
        return Err(InvalidJwks::Parameter(index, "crv"));
    }
    // A symmetric key verifies and signs alike.
    Ok(*family == "oct" || key.contains_key("d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_sets_are_judged_by_their_form() {
        let cases = [
            (r#"{"keys": []}"#, Ok(vec![])),
            (r#"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#, Ok(vec![])),
            (r#"{"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}"#, Ok(vec![])),
            (r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AQ"}, {"kty": "oct", "k": "AQ"}]}"#, Ok(vec![1])),
            (r#"{"keys": [{"kty": "RSA", "n": "AQ", "e": "AQ", "d": "AQ"}]}"#, Ok(vec![0])),
            ("foo", Err(InvalidJwks::NotJson)),
            ("{}", Err(InvalidJwks::NotKeys)),
            ("[]", Err(InvalidJwks::NotKeys)),
            (r#"{"keys": [1]}"#, Err(InvalidJwks::NotKeys)),
            (r#"{"keys": [{"kty": "rsa"}]}"#, Err(InvalidJwks::UnknownFamily(0))),
            (r#"{"keys": [{"kty": "RSA", "n": "AQ"}]}"#, Err(InvalidJwks::Parameter(0, "e"))),
            (r#"{"keys": [{"kty": "RSA", "n": "!", "e": "AQ"}]}"#, Err(InvalidJwks::Parameter(0, "n"))),
            (r#"{"keys": [{"kty": "EC", "x": "AQ", "y": "AQ"}]}"#, Err(InvalidJwks::Parameter(0, "crv"))),
        ];
        for (text, expected) in cases {
            assert_eq!(private_keys(text), expected, "{text}");
        }
    }
}
