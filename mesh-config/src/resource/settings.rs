//! Settings of the mesh that are no Kubernetes objects: documents of their own, or the text under a key of a ConfigMap.

use std::sync::Arc;

use mesh_proto::yaml::{self, Node};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    decode::{self, Path, View},
    diagnostic::{Diagnostic, File, Severity},
    load,
    validate::{self, Checks, Finding},
};

/// A kind of settings.
pub(super) trait Settings: DeserializeOwned + Default {
    /// The key of the ConfigMap `istio` that holds them.
    const KEY: &'static str;

    /// Reports every broken rule.
    fn rules(&self, checks: &mut Checks);
}

/// Settings that can be taken, and what there is to say about them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read<T> {
    /// The settings.
    pub value: T,
    /// Doubtful settings.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a YAML or JSON text: the settings, or a ConfigMap with them. `file` is only its name in messages. An empty text
/// is settings without any.
pub(super) fn parse<T: Settings>(file: &str, text: &str) -> Result<Read<T>, Vec<Diagnostic>> {
    if text.trim().is_empty() {
        return Ok(Read { value: T::default(), warnings: Vec::new() });
    }
    let source = File { name: Arc::from(file), text };
    let root = match yaml::parse_one(text) {
        Ok(document) => document.root,
        Err(error) => return Err(vec![source.diagnostic(Severity::Error, error.span, format!("not YAML: {}", error.kind))]),
    };
    if root.get("kind").and_then(Node::as_str) == Some("ConfigMap") {
        return config_map(file, &source, &root);
    }
    if root.is_null() {
        return Ok(Read { value: T::default(), warnings: Vec::new() });
    }
    let value = decode::value::<T>(View::Yaml(&root), &Path::Root).map_err(|error| vec![source.unreadable(&error, root.span)])?;
    let findings = validate::document(|checks| value.rules(checks));
    let diagnostics: Vec<Diagnostic> = findings
        .into_iter()
        .map(|finding| {
            let span = load::locate(&root, &finding.path);
            source.finding(finding, span)
        })
        .collect();
    if diagnostics.iter().any(Diagnostic::is_error) { Err(diagnostics) } else { Ok(Read { value, warnings: diagnostics }) }
}

/// The text under the key; places in messages count from its beginning.
fn config_map<T: Settings>(file: &str, source: &File<'_>, root: &Node) -> Result<Read<T>, Vec<Diagnostic>> {
    let data = root.get("data").and_then(|data| data.get(T::KEY));
    match data.and_then(Node::as_str) {
        // A ConfigMap within a ConfigMap is not looked into: it has unknown fields.
        Some(text) if !text.trim_start().starts_with("apiVersion") => parse(&format!("{file} (data.{})", T::KEY), text),
        _ => {
            let span = data.map_or(root.span, |data| data.span);
            let message = format!("the ConfigMap has no text under `data.{}`", T::KEY);
            Err(vec![source.diagnostic(Severity::Error, span, message)])
        }
    }
}

/// Reads JSON. Nothing is given if it does not have the form; with errors among the findings, it must not be used.
pub(super) fn check<T: Settings>(json: &Value) -> (Option<T>, Vec<Finding>) {
    match decode::value::<T>(View::Json(json), &Path::Root) {
        Ok(value) => {
            let findings = validate::document(|checks| value.rules(checks));
            (Some(value), findings)
        }
        Err(error) => {
            let remedy = error.suggestion().or(error.expectation()).unwrap_or_default().to_owned();
            let (path, rule) = (error.path().to_owned(), error.message().to_owned());
            (None, vec![Finding { severity: Severity::Error, path, value: None, rule, remedy }])
        }
    }
}
