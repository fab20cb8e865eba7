//! From a field path to a line: texts are parsed again, and only those that something is said about.

use std::{collections::HashMap, sync::Arc};

use mesh_proto::yaml::{self, Node, Span};

use super::{
    code::Level,
    message::{Message, Place},
    set::Set,
};
use crate::{
    diagnostic::{Diagnostic, File, Severity},
    load::{self, has_secret, split},
    resource::Kind,
};

/// Finds the places of messages; keeps what it parsed.
#[derive(Debug)]
pub struct Places<'a> {
    set: &'a Set,
    parsed: HashMap<Arc<str>, Vec<yaml::Document>>,
}

impl<'a> Places<'a> {
    /// For the messages about a set.
    pub fn new(set: &'a Set) -> Self {
        Self { set, parsed: HashMap::new() }
    }

    /// The message as a compiler prints one: line, column, the text with a caret, and what helps.
    pub fn diagnostic(&mut self, message: &Message) -> Option<Diagnostic> {
        let mut diagnostic = match &message.place {
            Place::Nowhere => return None,
            Place::Known(diagnostic) => (**diagnostic).clone(),
            Place::Field { origin, path } => {
                let text = self.set.text(&origin.file)?;
                let documents = self.parsed.entry(Arc::clone(&origin.file)).or_insert_with(|| documents(text));
                let roots: Vec<&Node> = documents.iter().map(|document| &document.root).collect();
                let start = Span { line: origin.line, column: 1, ..Span::START };
                let span = object_at(&roots, origin.line).map_or(start, |object| locate(object, path));
                let file = File { name: Arc::clone(&origin.file), text };
                let object = message.subject.as_ref().map(|subject| (subject.kind, subject.key.clone()));
                let mut found = Diagnostic { object, field_path: path.clone(), ..file.diagnostic(Severity::Error, span, "") };
                // No line with a Secret's data is shown.
                let secret = message.subject.as_ref().is_some_and(|subject| subject.kind == Kind::Secret);
                if secret || has_secret(text.lines().nth(span.line.saturating_sub(1)).unwrap_or_default()) {
                    found.snippet = found.snippet.masked();
                }
                found
            }
        };
        diagnostic.severity = match message.level() {
            Level::Error => Severity::Error,
            Level::Warning => Severity::Warning,
            Level::Info => Severity::Note,
        };
        diagnostic.message = format!("{} [{}]", message.text, message.code.id);
        if diagnostic.suggestion.is_none() && !message.code.remedy.is_empty() {
            diagnostic.suggestion = Some(message.code.remedy.to_owned());
        }
        Some(diagnostic)
    }
}

/// The documents of a text that are YAML, whatever the others are.
pub(super) fn documents(text: &str) -> Vec<yaml::Document> {
    yaml::parse(text)
        .unwrap_or_else(|_| split::documents(text).iter().filter_map(|document| yaml::parse(document).ok()).flatten().collect())
}

/// Calls `visit` with every object: documents, and the items of lists.
pub(super) fn each_object<'n>(roots: &[&'n Node], visit: &mut dyn FnMut(&'n Node)) {
    for root in roots {
        let is_list = root.get("kind").and_then(Node::as_str).is_some_and(|kind| kind.ends_with("List"));
        match root.get("items").and_then(Node::as_sequence).filter(|_| is_list) {
            Some(items) => each_object(&items.iter().collect::<Vec<_>>(), visit),
            None => visit(root),
        }
    }
}

/// The object that begins on a line.
fn object_at<'n>(roots: &[&'n Node], line: usize) -> Option<&'n Node> {
    let mut found = None;
    each_object(roots, &mut |object| {
        if object.span.line == line && found.is_none() {
            found = Some(object);
        }
    });
    found
}

/// The place of a field, or of the nearest thing above it that is there; of the name, for the object as a whole.
fn locate(root: &Node, path: &str) -> Span {
    match root.get("metadata").and_then(|meta| meta.get("name")) {
        Some(name) if path.is_empty() => name.span,
        _ => load::locate(root, path),
    }
}
