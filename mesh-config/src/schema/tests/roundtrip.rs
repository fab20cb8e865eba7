//! Whatever the schema takes and the type can read comes back as it was: nothing is lost or invented on the way
//! YAML → type → JSON.

use proptest::prelude::*;
use serde_json::Value;

use super::arbitrary::{Choices, object};
use crate::{
    decode::{self, Path, View},
    resource::{Kind, Resource},
    schema,
};

/// Fields that have two spellings in the API; one is written.
const RESPELLED: &[&str] = &["mirror", "mirror_percent", "mirrorPercent", "mirrorPercentage", "jwks_uri"];

/// Reads an object; checks that what it becomes says the same. Returns whether it could be read.
fn comes_back(kind: Kind, object: &Value) -> Result<bool, TestCaseError> {
    let Ok(resource) = Resource::from_json(kind, object) else { return Ok(false) };
    let document = mesh_proto::yaml::parse_one(&object.to_string()).expect("JSON is YAML");
    let from_yaml = decode::resource(kind, View::Yaml(&document.root), &Path::Root);
    prop_assert_eq!(from_yaml.as_ref().ok(), Some(&resource), "YAML and JSON are read alike");
    let written = resource.to_json();
    prop_assert_eq!(&Resource::from_json(kind, &written).expect("what is written can be read"), &resource);
    let violations: Vec<_> = schema::check(kind, &written);
    prop_assert!(violations.is_empty(), "{violations:?} in {written}");
    // What the API server would fill in need not be written.
    let filled = |object: &Value| schema::judge(kind, std::borrow::Cow::Borrowed(object)).object.into_owned();
    lost(&filled(object)["spec"], &filled(&written)["spec"], "spec")
        .map_or(Ok(true), |path| Err(TestCaseError::fail(format!("{path} is lost: {object} became {written}"))))
}

/// The first value of `before` that says something and is not in `after`.
fn lost(before: &Value, after: &Value, path: &str) -> Option<String> {
    match (before, after) {
        (Value::Object(before), after) => before.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match after.get(name) {
                Some(after) => lost(value, after, &path),
                None => (says_something(value) && !RESPELLED.contains(&name.as_str())).then_some(path),
            }
        }),
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            before.iter().zip(after).enumerate().find_map(|(index, (before, after))| lost(before, after, &format!("{path}[{index}]")))
        }
        (Value::Number(before), Value::Number(after)) => (before.as_f64() != after.as_f64()).then(|| path.to_owned()),
        // Names of enums and protocols are read without regard to case; durations are written in seconds.
        (Value::String(before), Value::String(after)) => {
            let same = before.eq_ignore_ascii_case(after) || before.parse::<crate::resource::Duration>().ok() == after.parse().ok();
            (!same).then(|| path.to_owned())
        }
        (before, after) => (before != after).then(|| path.to_owned()),
    }
}

/// What is there and is not the default of its type. The first name of an enum may be its default.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty() && !text.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => fields.values().any(says_something),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_valid_comes_back(seed in any::<u64>()) {
        for kind in Kind::ALL.iter().copied() {
            let Some(object) = object(kind, &mut Choices::new(seed)) else { continue };
            if schema::check(kind, &object).is_empty() {
                comes_back(kind, &object)?;
            }
        }
    }

    /// Judged twice, an object is judged alike, whatever it is.
    #[test]
    fn whatever_it_is_it_is_judged(seed in any::<u64>(), cut in any::<u64>()) {
        for kind in Kind::ALL.iter().copied() {
            let Some(mut object) = object(kind, &mut Choices::new(seed)) else { continue };
            spoil(&mut object["spec"], &mut Choices::new(cut));
            prop_assert_eq!(crate::validate::check(kind, &object), crate::validate::check(kind, &object));
        }
    }
}

/// Replaces something in a value by something of another kind.
fn spoil(value: &mut Value, choices: &mut Choices) {
    let inside = choices.below(4) > 0;
    match value {
        Value::Object(fields) if inside && !fields.is_empty() => {
            let index = usize::try_from(choices.below(fields.len() as u64)).unwrap_or_default();
            fields.values_mut().nth(index).into_iter().for_each(|value| spoil(value, choices));
        }
        Value::Array(items) if inside && !items.is_empty() => {
            let index = usize::try_from(choices.below(items.len() as u64)).unwrap_or_default();
            spoil(&mut items[index], choices);
        }
        value => {
            *value = [Value::Null, Value::from(-1), Value::from("é*"), serde_json::json!([]), serde_json::json!({"x": [1e300]})]
                [usize::try_from(choices.below(5)).unwrap_or_default()]
            .clone()
        }
    }
}

/// The generator is no use if nothing that it makes is taken.
#[test]
fn of_every_kind_some_are_valid() {
    let mut barren = Vec::new();
    for kind in Kind::ALL.iter().copied().filter(|kind| kind.crd().is_some()) {
        let valid = |seed: &u64| {
            let object = object(kind, &mut Choices::new(*seed)).expect("a schema");
            schema::check(kind, &object).is_empty() && Resource::from_json(kind, &object).is_ok()
        };
        if !(0..400).any(|seed| valid(&seed)) {
            barren.push(kind);
        }
    }
    assert!(barren.is_empty(), "{barren:?}");
}
