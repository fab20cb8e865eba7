//! Objects that Istio's CRDs accept or refuse, with a text that the API server's error has.

use std::path::Path;

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::{
    case::{Case, Expected, Got, Text},
    judge,
};

#[derive(Deserialize)]
struct File {
    cases: Vec<Stated>,
}

#[derive(Deserialize)]
struct Stated {
    #[serde(default)]
    file: String,
    #[serde(default)]
    name: String,
    /// Part of the error; absent: accepted.
    err: Option<String>,
    object: Value,
}

/// The cases of `crd.json`.
pub(super) fn cases(file: &Path) -> Result<Vec<Case>> {
    let File { cases } = super::read(file)?;
    Ok(cases.into_iter().map(answered).collect())
}

fn answered(stated: Stated) -> Case {
    let file = stated.file.rsplit('/').next().unwrap_or_default();
    Case {
        name: format!("{file}/{}", stated.name),
        expected: Expected::Verdict { refused: stated.err.is_some(), error: stated.err.map(Text::Literal), warning: None },
        got: match judge::object(&stated.object, &[]) {
            Ok(verdict) => Got::Verdict(verdict),
            Err(reason) => Got::Nothing(reason),
        },
    }
}
