//! Any JSON as an object of any kind, through every layer: types, schema, CEL, rules. The first byte chooses the kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_config::{resource::Kind, validate};
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let kind = Kind::ALL[usize::from(first) % Kind::ALL.len()];
    let Ok(spec) = serde_json::from_slice::<Value>(rest) else { return };
    let object = json!({ "apiVersion": kind.api_version(), "kind": kind.as_str(), "metadata": { "name": "fuzz" }, "spec": spec });
    let checked = validate::check(kind, &object);
    for finding in &checked.findings {
        assert!(!finding.path.is_empty() && !finding.rule.is_empty(), "{finding:?}");
    }
});
