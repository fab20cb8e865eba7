//! Functions over EnvoyFilters.

use serde_json::Value;

use super::{Row, input::Input};

pub(super) const ROWS: &[Row] =
    &[Row::new("TestValidateEnvoyFilter", "{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, spec: $in}")
        .prepare(patch_values)];

/// The data has the `Struct` of a patch's value without the field that holds it.
fn patch_values(input: &mut Input) {
    let mut spec = input.field("in").clone();
    for patch in spec.get_mut("configPatches").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(patch) = patch.get_mut("patch").and_then(Value::as_object_mut)
            && let Some(fields) = patch.remove("fields")
        {
            patch.insert("value".to_owned(), fields);
        }
    }
    input.put("in", spec);
}
