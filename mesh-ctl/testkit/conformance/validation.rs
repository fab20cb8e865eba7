//! Semantic rules, function by function: upstream's table tests give a function's input and whether it is valid. Each function is mapped (`Row`) to the smallest
//! object that is otherwise in order and holds that input where the function looks at it; what counts is what mesh-config says about that place.

mod destination_rule;
mod envoy_filter;
mod extensions;
mod gateway;
mod input;
mod mesh;
mod security;
mod service_entry;
mod sidecar;
mod template;
mod virtual_service;

use std::path::Path;

use anyhow::Result;
use mesh_config::validate::Finding;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::input::Input;
use super::{
    case::{Case, Expected, Got, Text, Warning},
    judge::{self, Verdict},
};

#[derive(Deserialize)]
struct File {
    cases: Vec<Stated>,
}

#[derive(Deserialize)]
struct Stated {
    test: String,
    /// Some tables have no names.
    case: Option<String>,
    #[serde(default)]
    input: Map<String, Value>,
    /// The Go type of each input.
    #[serde(default)]
    types: Map<String, Value>,
    #[serde(default)]
    expect: Map<String, Value>,
}

/// Where the input of a function goes.
struct Row {
    /// The function's test.
    test: &'static str,
    /// Which of its cases; absent: all.
    when: Option<fn(&Input) -> bool>,
    /// Makes of the inputs what stands in the object; absent: they stand there as they are.
    prepare: Option<fn(&mut Input)>,
    /// Who judges the object; absent: `validate::check`.
    judge: Option<fn(&Value) -> Vec<Finding>>,
    /// The object: YAML with `$name` for an input, `$case` for the case's name, `$type:name` for an input's type.
    object: &'static str,
    /// The paths that the function is about; empty: where the inputs stand.
    about: &'static [&'static str],
}

impl Row {
    /// A row for all cases of a test.
    const fn new(test: &'static str, object: &'static str) -> Self {
        Self { test, when: None, prepare: None, judge: None, object, about: &[] }
    }

    const fn when(self, when: fn(&Input) -> bool) -> Self {
        Self { when: Some(when), ..self }
    }

    const fn prepare(self, prepare: fn(&mut Input)) -> Self {
        Self { prepare: Some(prepare), ..self }
    }

    const fn judge(self, judge: fn(&Value) -> Vec<Finding>) -> Self {
        Self { judge: Some(judge), ..self }
    }

    const fn about(self, about: &'static [&'static str]) -> Self {
        Self { about, ..self }
    }
}

/// Every function; of two rows that fit, the first.
const ROWS: &[&[Row]] = &[
    gateway::ROWS,
    virtual_service::ROWS,
    destination_rule::ROWS,
    service_entry::ROWS,
    sidecar::ROWS,
    security::ROWS,
    extensions::ROWS,
    envoy_filter::ROWS,
    mesh::ROWS,
];

/// Upstream's words for what ours call otherwise: one matter, no common word.
const SAME_MATTER: &[(&str, &str)] = &[
    // A spec of another type.
    ("cannot cast", "kind"),
    // What the API server refuses before the function would, in other words.
    ("unsupported scheme", "url schema"),
    ("sha256 field must be 64 characters long", "sha256 match"),
    ("Envoy filter: json: cannot unmarshal bool into Go value of type string", "value string"),
];

/// The cases of `validation.json`.
pub(super) fn cases(file: &Path) -> Result<Vec<Case>> {
    let File { cases } = super::read(file)?;
    Ok(cases.into_iter().map(answered).collect())
}

fn answered(stated: Stated) -> Case {
    let expected = expected(&stated);
    let case = stated.case.unwrap_or_default();
    let name = format!("{}/{case}", stated.test);
    let mut input = Input::of(case, stated.input, &stated.types);
    let row = ROWS.iter().copied().flatten().find(|row| row.test == stated.test && row.when.is_none_or(|when| when(&input)));
    let got = match row.map(|row| answer(row, &mut input)) {
        Some(Ok(verdict)) => Got::Verdict(verdict),
        Some(Err(reason)) => Got::Nothing(reason),
        None => Got::Nothing(format!("{} is not mapped to anything of ours", stated.test)),
    };
    Case { name, expected, got }
}

fn answer(row: &Row, input: &mut Input) -> Result<Verdict, String> {
    if let Some(prepare) = row.prepare {
        prepare(input);
    }
    let (object, places) = template::fill(row.object, input)?;
    let about: Vec<String> = if row.about.is_empty() { places } else { row.about.iter().map(|&path| path.to_owned()).collect() };
    match row.judge {
        Some(judge) => Ok(Verdict::of(judge(&object), &about)),
        None => judge::object(&object, &about),
    }
}

/// What the table says, under whatever name it says it.
fn expected(stated: &Stated) -> Expected {
    let said = |names: &[&str]| names.iter().find_map(|&name| stated.expect.get(name).or_else(|| stated.input.get(name)));
    let (refused, error) = match said(&["valid", "isValid", "ok"]) {
        Some(valid) => (valid.as_bool() == Some(false), None),
        None => match said(&["out", "err", "error", "wantErr", "expected"]) {
            Some(Value::Bool(refused)) => (*refused, None),
            Some(text) => match text_of(text) {
                Some(text) => (true, Some(Text::About(ours(text)))),
                None => (false, None),
            },
            None => (false, None),
        },
    };
    let warning = said(&["warning", "warn", "Warning", "wantWarn"]).map(|warning| match warning {
        Value::Bool(true) => Warning::Some,
        warning => text_of(warning).map_or(Warning::None, Warning::About),
    });
    Expected::Verdict { refused, error, warning }
}

/// A text that is not empty; of a Go expression, its first literal.
fn text_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Object(expression) => expression.get("$go")?.as_str()?.split('"').nth(1)?.split('%').next()?.to_owned(),
        _ => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

fn ours(text: String) -> String {
    SAME_MATTER.iter().find(|(theirs, _)| *theirs == text).map_or(text, |(_, ours)| (*ours).to_owned())
}
