//! What is analysed: objects of every kind, where each is written, and what was wrong with them when they were read.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use mesh_proto::yaml::Node;
use serde_json::Value;

use super::{
    code, mend,
    message::{Message, Origin, Place, Subject},
    place::{documents, each_object},
};
use crate::{
    decode::{self, Path, View},
    diagnostic::{Diagnostic, Severity},
    load::{self, Loaded},
    resource::{DEFAULT_NAMESPACE, Key, Kind, Resource},
};

/// Everything that is analysed together.
#[derive(Debug, Default)]
pub struct Set {
    kinds: BTreeMap<Kind, Collection>,
    files: BTreeMap<Arc<str>, Arc<str>>,
    /// What reading found: schema and semantic rules.
    pub(super) findings: Vec<Message>,
    unread: Vec<Diagnostic>,
    skipped: Vec<Diagnostic>,
    cluster: Arc<str>,
    default_namespace: Option<String>,
    mesh_config: Value,
    mesh_networks: Value,
}

/// The objects of one kind.
#[derive(Debug, Default)]
pub(super) struct Collection {
    pub(super) entries: Vec<Entry>,
    by_key: HashMap<Key, Vec<u32>>,
}

/// An object and what is known about it beyond its type.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) resource: Resource,
    pub(super) origin: Option<Origin>,
    pub(super) cluster: Arc<str>,
    /// `status`, if it has conditions.
    pub(super) status: Option<Box<Value>>,
    /// Nobody wrote it: it is there for others to refer to, and nothing is reported about it.
    pub(super) assumed: bool,
    /// It could not be read as it is written; what was wrong with it is not in it.
    pub(super) mended: bool,
}

/// An object of a set: cheap to keep, good for [`super::Context::report`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    pub(super) kind: Kind,
    pub(super) index: u32,
}

/// The parts of a status that something is read from.
const STATUS: [&str; 3] = ["conditions", "parents", "addresses"];

impl Set {
    /// A set whose objects without a namespace are in `namespace`, and not in `default`.
    pub fn with_default_namespace(namespace: &str) -> Self {
        let default_namespace = (namespace != DEFAULT_NAMESPACE).then(|| namespace.to_owned());
        Self { default_namespace, ..Self::default() }
    }

    /// What is read from now on belongs to this cluster.
    pub fn in_cluster(&mut self, cluster: &str) -> &mut Self {
        self.cluster = Arc::from(cluster);
        self
    }

    /// The mesh's settings, as the `mesh` key of Istio's ConfigMap has them.
    pub fn set_mesh_config(&mut self, config: Value) {
        self.mesh_config = config;
    }

    /// The mesh's networks, as the `meshNetworks` key of Istio's ConfigMap has them.
    pub fn set_mesh_networks(&mut self, networks: Value) {
        self.mesh_networks = networks;
    }

    /// Reads a file; `name` is its name in messages. What it says wrong becomes messages; what cannot be told apart is [`Set::unread`].
    pub fn read(&mut self, name: &str, bytes: &[u8]) {
        let text: Arc<str> = String::from_utf8_lossy(bytes).into();
        let name: Arc<str> = name.into();
        let loaded = load::documents(&name, bytes);
        // Only these need a look at the text itself.
        if !loaded.refused.is_empty()
            || self.default_namespace.is_some()
            || text.contains("conditions")
            || (text.contains("status") && text.contains("addresses"))
        {
            self.read_closely(&name, &text, &loaded);
        } else {
            for object in &loaded.objects {
                let origin = Origin { file: Arc::clone(&name), line: object.line };
                self.insert(object.resource.clone(), Some(origin), None);
            }
        }
        let strangers = strangers(&text, &loaded);
        for diagnostic in loaded.diagnostics {
            if diagnostic.object.is_none() && strangers.contains(&diagnostic.line) {
                let message = "neither apiVersion nor kind: no Kubernetes object".to_owned();
                self.skipped.push(Diagnostic { severity: Severity::Note, message, ..diagnostic });
            } else if !super::virtual_service_rules::is_theirs(&diagnostic) {
                self.judge(diagnostic);
            }
        }
        self.files.insert(name, text);
    }

    /// Takes an object that was not read from a file, and judges it.
    pub fn add(&mut self, resource: impl Into<Resource>) -> &mut Self {
        let resource = resource.into();
        let subject = Subject { kind: resource.kind(), key: resource.meta().key(), cluster: Arc::clone(&self.cluster) };
        for finding in resource.validate() {
            let code = if finding.severity == Severity::Error { &code::SCHEMA_VALIDATION_ERROR } else { &code::SCHEMA_WARNING };
            let text = code.text(&[&format!("{}: {}", finding.path, finding.rule)]);
            self.findings.push(Message { code, text, subject: Some(subject.clone()), place: Place::Nowhere, analyzer: super::SCHEMA });
        }
        self.insert(resource, None, None);
        self
    }

    /// Adds the ingress gateway that Istio installs, unless the mesh config turns ingress off or the set has one: without it, every Gateway
    /// that selects it would be reported in an analysis of files only.
    pub fn add_default_resources(&mut self, root_namespace: &str) {
        if self.mesh_config.get("ingressControllerMode").and_then(Value::as_str) == Some("OFF") {
            return;
        }
        for object in super::defaults::ingress_gateway(root_namespace, self.mesh_config.get("ingressService").and_then(Value::as_str)) {
            self.assume(&object);
        }
    }

    /// Adds an object that is there without being written in what is analysed, unless the set has it: others may refer to it, and nothing is reported
    /// about it. What is no object of the mesh is left out.
    pub fn assume(&mut self, object: &Value) {
        let Ok((version, kind)) = decode::type_of(View::Json(object), &Path::Root) else { return };
        let resource = Kind::find(version.group, kind).and_then(|kind| Resource::from_json(kind, object).ok());
        let resource = resource.filter(|resource| self.find(resource.kind(), &resource.meta().key()).is_none());
        if let Some(entry) = resource.and_then(|resource| self.insert(resource, None, None)) {
            entry.assumed = true;
        }
    }

    /// What could not be read so far that it has a name: no YAML, no kind.
    pub fn unread(&self) -> &[Diagnostic] {
        &self.unread
    }

    /// Documents that are none of the mesh's.
    pub fn skipped(&self) -> &[Diagnostic] {
        &self.skipped
    }

    /// A file that was read.
    pub fn text(&self, file: &str) -> Option<&Arc<str>> {
        self.files.get(file)
    }

    /// How many objects there are, without those that are only assumed.
    pub fn len(&self) -> usize {
        self.kinds.values().flat_map(|collection| &collection.entries).filter(|entry| !entry.assumed).count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn mesh_config(&self) -> &Value {
        &self.mesh_config
    }

    pub(super) fn mesh_networks(&self) -> &Value {
        &self.mesh_networks
    }

    pub(super) fn entries(&self, kind: Kind) -> &[Entry] {
        self.kinds.get(&kind).map_or(&[], |collection| &collection.entries)
    }

    pub(super) fn entry(&self, id: Id) -> Option<&Entry> {
        self.entries(id.kind).get(usize::try_from(id.index).ok()?)
    }

    /// The first object with this key.
    pub(super) fn find(&self, kind: Kind, key: &Key) -> Option<Id> {
        let index = *self.kinds.get(&kind)?.by_key.get(key)?.first()?;
        Some(Id { kind, index })
    }

    pub(super) fn subject(&self, id: Id) -> Option<Subject> {
        let entry = self.entry(id)?;
        Some(Subject { kind: id.kind, key: entry.resource.meta().key(), cluster: Arc::clone(&entry.cluster) })
    }

    /// Objects with their status and namespace as written, and those that were refused, as far as they can be read: they are still there
    /// for others to refer to.
    fn read_closely(&mut self, name: &Arc<str>, text: &str, loaded: &Loaded) {
        let documents = documents(text);
        let roots: Vec<&Node> = documents.iter().map(|document| &document.root).collect();
        let mut lines: HashMap<usize, &Node> = HashMap::new();
        each_object(&roots, &mut |node| {
            lines.entry(node.span.line).or_insert(node);
        });
        for object in &loaded.objects {
            let origin = Origin { file: Arc::clone(name), line: object.line };
            self.insert_from(object.resource.clone(), lines.get(&object.line).copied(), origin);
        }
        if loaded.refused.is_empty() {
            return;
        }
        let taken: HashSet<(Kind, Key)> =
            loaded.objects.iter().map(|object| (object.resource.kind(), object.resource.meta().key())).collect();
        let refused: HashSet<&(Kind, Key)> = loaded.refused.iter().filter(|id| !taken.contains(id)).collect();
        each_object(&roots, &mut |node| {
            let Ok((version, kind)) = decode::type_of(View::Yaml(node), &Path::Root) else { return };
            let Some(kind) = Kind::find(version.group, kind) else { return };
            let read = decode::resource(kind, View::Yaml(node), &Path::Root).ok();
            let mended = read.is_none();
            let Some(resource) = read.or_else(|| mend::resource(kind, node.to_json())) else { return };
            if refused.contains(&(kind, resource.meta().key()))
                && let Some(entry) = self.insert_from(resource, Some(node), Origin { file: Arc::clone(name), line: node.span.line })
            {
                entry.mended = mended;
            }
        });
    }

    fn insert_from(&mut self, resource: Resource, node: Option<&Node>, origin: Origin) -> Option<&mut Entry> {
        let stated = node.and_then(|node| node.get("metadata")?.get("namespace")?.as_str()).is_some_and(|name| !name.is_empty());
        let resource = match &self.default_namespace {
            Some(namespace) if !stated && resource.kind().is_namespaced() => in_namespace(&resource, namespace),
            _ => resource,
        };
        let status = node.and_then(|node| node.get("status")).filter(|status| STATUS.iter().any(|field| status.get(field).is_some()));
        self.insert(resource, Some(origin), status.map(|status| Box::new(status.to_json())))
    }

    fn insert(&mut self, resource: Resource, origin: Option<Origin>, status: Option<Box<Value>>) -> Option<&mut Entry> {
        let key = resource.meta().key();
        let kind = resource.kind();
        let collection = self.kinds.entry(kind).or_default();
        let known = collection.by_key.entry(key.clone()).or_default();
        let twin = known.iter().find_map(|index| collection.entries.get(*index as usize).filter(|entry| entry.cluster == self.cluster));
        if let Some(twin) = twin {
            let other = twin.origin.as_ref().map_or_else(|| "another place".to_owned(), Origin::to_string);
            let text = code::DUPLICATE_OBJECT.text(&[&format!("{kind} {key}"), &other]);
            let subject = Subject { kind, key, cluster: Arc::clone(&self.cluster) };
            let place = origin.map_or(Place::Nowhere, |origin| Place::Field { origin, path: String::new() });
            self.findings.push(Message { code: &code::DUPLICATE_OBJECT, text, subject: Some(subject), place, analyzer: super::SCHEMA });
            return None;
        }
        // More than 2^32 objects do not fit in memory.
        known.push(u32::try_from(collection.entries.len()).unwrap_or(u32::MAX));
        collection.entries.push(Entry { resource, origin, cluster: Arc::clone(&self.cluster), status, assumed: false, mended: false });
        collection.entries.last_mut()
    }

    fn judge(&mut self, diagnostic: Diagnostic) {
        let Some((kind, key)) = diagnostic.object.clone() else {
            let list = if diagnostic.severity == Severity::Note { &mut self.skipped } else { &mut self.unread };
            return list.push(diagnostic);
        };
        let key = match &self.default_namespace {
            Some(namespace) if key.namespace == DEFAULT_NAMESPACE => Key::new(namespace, key.name),
            _ => key,
        };
        let code = if diagnostic.is_error() { &code::SCHEMA_VALIDATION_ERROR } else { &code::SCHEMA_WARNING };
        let at = if diagnostic.field_path.is_empty() { String::new() } else { format!("{}: ", diagnostic.field_path) };
        let text = code.text(&[&format!("{at}{}", diagnostic.message)]);
        let diagnostic = Diagnostic { object: Some((kind, key.clone())), ..diagnostic };
        let subject = Some(Subject { kind, key, cluster: Arc::clone(&self.cluster) });
        self.findings.push(Message { code, text, subject, place: Place::Known(Box::new(diagnostic)), analyzer: super::SCHEMA });
    }
}

/// The lines of documents that do not even look like Kubernetes objects: a values file, somebody else's settings.
fn strangers(text: &str, loaded: &Loaded) -> Vec<usize> {
    if !loaded.unidentified {
        return Vec::new();
    }
    let is_stranger = |root: &Node| {
        root.as_mapping().is_some() && ["apiVersion", "kind", "metadata", "spec"].iter().all(|field| root.get(field).is_none())
    };
    documents(text).iter().map(|document| &document.root).filter(|root| is_stranger(root)).map(|root| root.span.line).collect()
}

/// The same resource in another namespace.
fn in_namespace(resource: &Resource, namespace: &str) -> Resource {
    let mut json = resource.to_json();
    if let Some(meta) = json.get_mut("metadata") {
        meta["namespace"] = Value::from(namespace);
    }
    // What was written from a resource reads as one.
    Resource::from_json(resource.kind(), &json).unwrap_or_else(|_| resource.clone())
}
