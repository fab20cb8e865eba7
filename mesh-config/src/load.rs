//! A file of YAML (or JSON) to resources: every document by itself, so that a mistake in one hides nothing of the others.

mod identify;
pub(crate) mod split;

use std::{collections::HashMap, sync::Arc};

use mesh_proto::yaml::{self, Node, Span};

use crate::{
    decode::{self, Path, Segment, View, segments},
    diagnostic::{Diagnostic, File, Severity},
    resource::{DEFAULT_NAMESPACE, Key, Kind, Resource},
    validate::{Finding, layers},
};
use identify::Identity;

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// The resources that are in order, as they follow each other.
    pub objects: Vec<LoadedObject>,
    /// What is there and cannot be taken: the last good one of each stays in force.
    pub refused: Vec<(Kind, Key)>,
    /// Some part could not even be identified: whatever the file held before may still be meant to exist.
    pub unidentified: bool,
    /// Everything there is to say.
    pub diagnostics: Vec<Diagnostic>,
}

/// A resource and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedObject {
    /// The resource.
    pub resource: Resource,
    /// The line of its document, from 1.
    pub line: usize,
}

/// Reads a file. `path` is only its name in messages.
pub fn documents(path: &str, bytes: &[u8]) -> Loaded {
    let lossy = String::from_utf8_lossy(bytes);
    let file = File { name: Arc::from(path), text: &lossy };
    let mut loader = Loader { file, loaded: Loaded::default(), seen: HashMap::new() };
    match std::str::from_utf8(bytes).map(yaml::parse) {
        Ok(Ok(documents)) => documents.iter().for_each(|document| loader.document(&document.root)),
        // One bad document spoils the stream: read them one by one.
        Ok(Err(_)) => loader.documents_apart(),
        Err(_) => {
            if let Err(error) = yaml::parse_bytes(bytes) {
                loader.not_yaml(&error);
            }
        }
    }
    loader.loaded
}

impl Loaded {
    /// Whether anything was refused.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

struct Loader<'a> {
    file: File<'a>,
    loaded: Loaded,
    /// The line of each object so far.
    seen: HashMap<(Kind, Key), usize>,
}

impl Loader<'_> {
    fn documents_apart(&mut self) {
        for document in split::documents(self.file.text) {
            match yaml::parse(&document) {
                Ok(documents) => documents.iter().for_each(|document| self.document(&document.root)),
                Err(error) => self.not_yaml(&error),
            }
        }
    }

    fn not_yaml(&mut self, error: &yaml::Error) {
        self.loaded.unidentified = true;
        let mut diagnostic = self.file.diagnostic(Severity::Error, error.span, format!("not YAML: {}", error.kind));
        if diagnostic.snippet.text.contains("{{") {
            diagnostic.suggestion = Some("this is a template: render it first, as with `helm template … | meshctl analyze -`".to_owned());
        }
        self.report(diagnostic);
    }

    fn document(&mut self, root: &Node) {
        self.object(root, &Path::Root);
    }

    /// An object, or a list of objects.
    fn object(&mut self, root: &Node, path: &Path<'_>) {
        let view = View::Yaml(root);
        // `---` and nothing, or `null`: no document, as kubectl has it.
        if view.is_null() && matches!(path, Path::Root) {
            return;
        }
        if root.as_mapping().is_none() {
            let found = root.value.kind();
            let message = format!("found {found} where a Kubernetes object was expected");
            let mut diagnostic = self.file.diagnostic(Severity::Error, root.span, message);
            diagnostic.expected = Some("apiVersion, kind, metadata and spec".to_owned());
            self.loaded.unidentified = true;
            return self.report(diagnostic);
        }
        let identity = decode::type_of(view, path).and_then(|(version, kind)| identify::identify(version, kind, view, path));
        match identity {
            Ok(Identity::Ours(kind)) => self.resource(kind, root, path),
            Ok(Identity::List) => self.items(root, path),
            Ok(Identity::Foreign(message)) => {
                let span = root.get("kind").map_or(root.span, |kind| kind.span);
                self.report(self.file.diagnostic(Severity::Note, span, message));
            }
            Err(error) => {
                // What may be one of ours keeps its last good self.
                match (identify::meant(view), stated_key(root)) {
                    (Some(kind), Some(key)) => self.loaded.refused.push((kind, key)),
                    _ => self.loaded.unidentified = true,
                }
                self.report(self.file.unreadable(&error, root.span));
            }
        }
    }

    fn items(&mut self, root: &Node, path: &Path<'_>) {
        let path = path.field("items");
        let Some(items) = root.get("items") else { return };
        let Some(items) = items.as_sequence() else {
            self.loaded.unidentified = true;
            let error = decode::Error::expected(View::Yaml(items), "a list of objects").at(&path, Some(items.span));
            return self.report(self.file.unreadable(&error, root.span));
        };
        for (index, item) in items.iter().enumerate() {
            self.object(item, &path.index(index));
        }
    }

    fn resource(&mut self, kind: Kind, root: &Node, path: &Path<'_>) {
        let id = stated_key(root).map(|key| (kind, if kind.is_namespaced() { key } else { Key::new("", key.name) }));
        let layers = layers(kind, View::Yaml(root));
        if let Some(error) = layers.unreadable {
            let span = error.span().unwrap_or_else(|| locate(root, error.path()));
            let diagnostic = self.file.unreadable(&error, span);
            self.say(diagnostic, id.clone(), path);
        }
        let Some(resource) = layers.resource else {
            for finding in layers.findings {
                self.find(finding, id.clone(), root, path);
            }
            return self.refuse(id);
        };
        let id = (kind, resource.meta().key());
        if let Some(first) = self.seen.insert(id.clone(), root.span.line) {
            let message = format!("{kind} {} is defined twice, first on line {first}", id.1);
            let mut diagnostic = self.file.diagnostic(Severity::Error, root.span, message);
            diagnostic.suggestion = Some("remove one of them, or give it another name".to_owned());
            diagnostic.object = Some(id);
            // The first one stands.
            return self.report(diagnostic);
        }
        let mut in_order = true;
        for finding in layers.findings {
            in_order &= finding.severity != Severity::Error;
            self.find(finding, Some(id.clone()), root, path);
        }
        if in_order {
            self.loaded.objects.push(LoadedObject { resource, line: root.span.line });
        } else {
            self.loaded.refused.push(id);
        }
    }

    fn refuse(&mut self, id: Option<(Kind, Key)>) {
        match id {
            Some(id) => self.loaded.refused.push(id),
            None => self.loaded.unidentified = true,
        }
    }

    /// Reports a broken rule of the object at `path` in the document.
    fn find(&mut self, finding: Finding, object: Option<(Kind, Key)>, root: &Node, path: &Path<'_>) {
        let span = locate(root, &finding.path);
        let diagnostic = self.file.finding(finding, span);
        self.say(diagnostic, object, path);
    }

    fn say(&mut self, diagnostic: Diagnostic, object: Option<(Kind, Key)>, path: &Path<'_>) {
        let field_path = match path {
            Path::Root => diagnostic.field_path,
            path => format!("{path}.{}", diagnostic.field_path),
        };
        self.report(Diagnostic { object, field_path, ..diagnostic });
    }

    fn report(&mut self, mut diagnostic: Diagnostic) {
        // No line of a Secret is shown, nor one of a text that may be a Secret and cannot be read.
        let secret = match &diagnostic.object {
            Some((kind, _)) => *kind == Kind::Secret,
            None => diagnostic.is_error() && has_secret(self.file.text),
        };
        if secret {
            diagnostic.snippet = diagnostic.snippet.masked();
        }
        self.loaded.diagnostics.push(diagnostic);
    }
}

/// Whether a text seems to have a Secret in it, be it YAML or JSON.
pub(crate) fn has_secret(text: &str) -> bool {
    let before = |at: usize| text[..at].trim_end_matches([' ', '\t', '"', '\'', ':']);
    text.match_indices("Secret").any(|(at, _)| before(at).ends_with("kind"))
}

/// The key that an object's metadata states, however wrong the rest is.
fn stated_key(root: &Node) -> Option<Key> {
    let meta = root.get("metadata")?;
    let name = meta.get("name")?.as_str()?;
    let namespace = meta.get("namespace").and_then(Node::as_str).filter(|text| !text.is_empty());
    let key = Key::new(namespace.unwrap_or(DEFAULT_NAMESPACE), name);
    // What is longer is no name that Kubernetes takes, and no last good object has it.
    (key.name.len() <= MAX_NAME && key.namespace.len() <= MAX_NAME).then_some(key)
}

/// The longest name that Kubernetes takes: a DNS subdomain (RFC 1123).
const MAX_NAME: usize = 253;

/// The place of a field, or of the nearest thing above it that is there.
pub(crate) fn locate(root: &Node, path: &str) -> Span {
    let (mut node, mut span) = (root, root.span);
    for segment in segments(path) {
        let below = match &segment {
            Segment::Field(name) => node.get(name),
            Segment::Index(index) => node.as_sequence().and_then(|items| items.get(*index)),
        };
        match below {
            Some(below) => (node, span) = (below, below.span),
            None => break,
        }
    }
    span
}

#[cfg(test)]
mod tests;
