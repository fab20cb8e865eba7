//! The schema of every kind, made from its types: what the API server enforces and `deploy/crds` publishes.
//!
//! A rule lives in one place. What Istio's CRD says (types, bounds, patterns, required fields, CEL rules) is said by
//! annotations on the types, and from them come the CRD manifest and the offline verdict alike. What only Istio's
//! webhook says is in `impl Validate`.
//!
//! # How to annotate
//!
//! `use crate::schema::{cel, …};` and put schemars' attributes on the fields of `spec!`:
//!
//! ```text
//! #[schemars(length(min = 1, max = 253))]                           a text's or a list's length
//! #[schemars(inner(length(min = 1)))]                               the items of a list
//! #[schemars(range(min = 0, max = 100))]                            a number
//! #[schemars(regex(pattern = r"^[a-z]+$"))]                         a text
//! #[schemars(extend("maxProperties" = 4096))]                       any other keyword
//! #[schemars(transform = cel("self.size() == 0", "must be empty"))] a CEL rule on the field's value
//! #[schemars(transform = values(cel("self > 0", "…")))]             a CEL rule on the values of a map; `items(…)`: of a list
//! #[schemars(transform = nullable)]                                 `null` is taken (protobuf's BoolValue, UInt32Value, …)
//! #[schemars(transform = int_or_string)]                            a number or a text
//! #[schemars(transform = preserve_unknown_fields)]                  an object with any fields (on a `serde_json` type)
//! #[schemars(transform = list_map(&["name"]))]                      items differ in `name`; `list_set`: all differ
//! #[schemars(transform = positive_duration())]                      a duration of 1ms or more; `port_number()`: 1 to 65535
//! #[schemars(transform = alias("mirrorPercent", "mirror_percent"))] on the struct: a field's second name (serde's `alias`)
//! #[schemars(transform = optional("source"))]                       on the struct: a `required` field is not required by the CRD
//! #[schemars(schema_with = "base64")]                               bytes as base64
//! #[schemars(transform = property("host", cel("…", "…")))]          on a field of the field's own struct
//! #[schemars(extend("default" = "CLIENT"))]                         what the API server fills in
//! ```
//!
//! The same above a struct (inside `spec!`, beside its doc comment) is about the struct: a CEL rule over several
//! fields, or `#[schemars(transform = oneof(&["exact", "prefix", "regex"]))]` for a protobuf oneof, once per oneof. `cel`
//! takes `.remedy("…")` (how to mend it: every message should say), `.reason("FieldValueForbidden")`, `.field_path(".name")` and `.message_expression("…")` where upstream has
//! them. Several annotations may stand on one thing; they apply in order.
//!
//! `required` before a field makes it required; nothing else does. `Option` does not make a field nullable. Integer
//! bounds that come only from the Rust type are widened to what a CRD says: `u8` to `u32` are 0 to 4294967295, `u64`
//! is 0 and more, `i32` has `format: int32`; say `range` where upstream does. A type that is read through another names it
//! with `schema_of!`. Doc comments become descriptions (their first paragraph).
//!
//! # How to register a kind
//!
//! In its `impl Validate`, beside `fn validate`:
//!
//! ```text
//! const CRD: Option<Crd> = Some(Crd::of::<Self>().short_names(&["vs"]).columns(&[("Hosts", ".spec.hosts", "string")]));
//! ```
//!
//! That is all: its schema is then enforced wherever it is read. `cargo xtask gen crds` writes a manifest for the kinds
//! of Istio's groups; Gateway API's come from its own project. `.requires_spec()` where an object without `spec` is
//! refused, `.storage("v1alpha1")` where it is not the first version of the table that is stored. A kind without `CRD` has no schema.
//! `.variants(&[("v1alpha2", change)])` where a version has another schema than the type's, `.deprecated(&["v1alpha2"])` where the
//! API server warns of a version.

mod annotate;
mod cel;
mod crd;
mod defaults;
mod structural;
mod tree;
mod verdict;

use std::borrow::Cow;

use serde_json::Value;

use crate::{
    resource::{ApiVersion, Kind},
    validate::{Finding, Severity},
};

pub use crd::{AGE, Column, Crd, Variant, manifests};

pub(crate) use verdict::{Sort, Violation};

pub(crate) use annotate::{
    Cel, alias, base64, cel, items, list_map, max_length, nullable, oneof, optional, port_number, positive_duration, values,
};
#[allow(unused_imports, reason = "the vocabulary, whichever kinds use it")]
pub(crate) use annotate::{int_or_string, list_set, preserve_unknown_fields, property};

/// What the API server would say of an object that is to be created: every violation of its kind's schema, CEL rules
/// included. Nothing for a kind without a schema.
///
/// Unknown fields are refused, as with `kubectl`'s strict validation; `metadata` is not looked at.
pub fn check(kind: Kind, object: &Value) -> Vec<Finding> {
    judge(kind, Cow::Borrowed(object)).violations.into_iter().map(|violation| violation.finding).collect()
}

/// An object as the API server would store it.
pub(crate) struct Judged<'a> {
    /// With the schema's defaults.
    pub(crate) object: Cow<'a, Value>,
    /// Whether there were any to fill in.
    pub(crate) filled: bool,
    /// What keeps it from being stored.
    pub(crate) violations: Vec<Violation>,
}

/// The same as `check`, with the object as it would be stored.
pub(crate) fn judge(kind: Kind, object: Cow<'_, Value>) -> Judged<'_> {
    let Some(root) = tree::of(kind, version(&object)) else { return Judged { object, filled: false, violations: Vec::new() } };
    let (object, filled) = defaults::applied(root, object);
    let violations = verdict::violations(root, &object);
    Judged { object, filled, violations }
}

/// What the API server warns of: the object's version goes away.
pub(crate) fn deprecation(kind: Kind, object: &Value) -> Option<Finding> {
    let version = version(object);
    kind.crd().filter(|crd| crd.is_deprecated(version)).map(|_| Finding {
        severity: Severity::Warning,
        path: "apiVersion".to_owned(),
        value: Some(version.to_owned()),
        rule: format!("this version of {kind} is deprecated and will go away"),
        remedy: format!("write `apiVersion: {}`", kind.api_version()),
    })
}

/// The version that an object is written in.
fn version(object: &Value) -> &str {
    object.get("apiVersion").and_then(Value::as_str).map_or("", |text| ApiVersion::parse(text).version)
}

#[cfg(test)]
mod tests;
