//! What an analyzer sees: typed objects, lookups, and the pen to report with.

use std::{fmt::Display, ops::Deref, rc::Rc, sync::Arc};

use serde_json::Value;

use super::{
    code::Code,
    hosts::Hosts,
    index::Index,
    message::{Message, Origin, Place},
    options::Options,
    set::{Entry, Id, Set},
};
use crate::resource::{Key, Kind, Labels, Meta, Object, Resource, Spec};

/// An analyzer's view of the set, and its messages.
#[derive(Debug)]
pub struct Context<'a> {
    world: &'a World<'a>,
    analyzer: &'static str,
    messages: Vec<Message>,
}

/// What all analyzers of one analysis share.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) set: &'a Set,
    pub(super) options: &'a Options,
    pub(super) index: Index<'a>,
}

/// An object of kind `T`: dereferences to it, and is what a message is about. Cheap to copy.
#[derive(Debug)]
pub struct Item<'a, T> {
    object: &'a Object<T>,
    entry: &'a Entry,
    id: Id,
}

/// An object of any kind.
#[derive(Clone, Copy, Debug)]
pub struct Any<'a> {
    entry: &'a Entry,
    id: Id,
}

impl<'a> Context<'a> {
    pub(super) fn new(world: &'a World<'a>, analyzer: &'static str) -> Self {
        Self { world, analyzer, messages: Vec::new() }
    }

    pub(super) fn into_messages(self) -> Vec<Message> {
        self.messages
    }

    /// Every object of kind `T`, in the order of reading, of all clusters.
    pub fn all<T: Spec>(&self) -> impl Iterator<Item = Item<'a, T>> + use<'a, T> {
        (0_u32..).zip(self.world.set.entries(T::KIND)).filter_map(|(index, entry)| Item::of(Id { kind: T::KIND, index }, entry))
    }

    /// Every object of a kind, untyped.
    pub fn any(&self, kind: Kind) -> impl Iterator<Item = Any<'a>> + use<'a> {
        (0_u32..).zip(self.world.set.entries(kind)).map(move |(index, entry)| Any { entry, id: Id { kind, index } })
    }

    /// The object of kind `T` with this name. Kinds that live in no namespace have the namespace "".
    pub fn find<T: Spec>(&self, namespace: &str, name: &str) -> Option<Item<'a, T>> {
        self.item(self.world.set.find(T::KIND, &Key::new(namespace, name))?)
    }

    /// The objects of kind `T` in a namespace that have every label of `selector`; all of the namespace if it is empty.
    pub fn selected<T: Spec>(&self, namespace: &str, selector: &Labels) -> Vec<Item<'a, T>> {
        self.items(self.world.index.selected(self.world.set, T::KIND, Some(namespace), selector))
    }

    /// As [`Context::selected`], in every namespace.
    pub fn selected_anywhere<T: Spec>(&self, selector: &Labels) -> Vec<Item<'a, T>> {
        self.items(self.world.index.selected(self.world.set, T::KIND, None, selector))
    }

    /// The hosts that destinations can name: Services, and what ServiceEntries declare.
    pub fn hosts(&self) -> Rc<Hosts<'a>> {
        Rc::clone(self.world.index.hosts.get_or_init(|| Rc::new(Hosts::build(self))))
    }

    /// The labels of a namespace, if the set has the namespace itself.
    pub fn namespace_labels(&self, name: &str) -> Option<&'a Labels> {
        let kind = Kind::find("", "Namespace")?;
        let id = self.world.set.find(kind, &Key::new("", name))?;
        self.world.set.entry(id).map(|entry| &entry.resource.meta().labels)
    }

    /// The mesh's settings as JSON (camelCase names; what is not set is not there); `null` if there are none.
    pub fn mesh_config(&self) -> &'a Value {
        self.world.set.mesh_config()
    }

    /// The mesh's networks as JSON; `null` if there are none.
    pub fn mesh_networks(&self) -> &'a Value {
        self.world.set.mesh_networks()
    }

    /// Where mesh-wide policies lie: `rootNamespace` of the mesh config, or else the control plane's namespace.
    pub fn root_namespace(&self) -> &'a str {
        self.mesh_config()
            .get("rootNamespace")
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
            .unwrap_or(&self.world.options.root_namespace)
    }

    /// Options of the analysis: the clock, the control plane's namespace and revision.
    pub fn options(&self) -> &'a Options {
        self.world.options
    }

    /// Reports about a field of an object. `path` may go deeper than what is written: the nearest thing above is shown. Two reports with the
    /// same code, object, path and text are told once.
    pub fn report(&mut self, code: &'static Code, about: impl Into<Id>, path: impl Display, arguments: &[&dyn Display]) {
        let id = about.into();
        let origin = self.world.set.entry(id).and_then(|entry| entry.origin.clone());
        let place = origin.map_or(Place::Nowhere, |origin| Place::Field { origin, path: path.to_string() });
        let subject = self.world.set.subject(id);
        self.messages.push(Message { code, text: code.text(arguments), subject, place, analyzer: self.analyzer });
    }

    /// Reports about the mesh as a whole.
    pub fn report_mesh(&mut self, code: &'static Code, arguments: &[&dyn Display]) {
        self.messages.push(Message { code, text: code.text(arguments), subject: None, place: Place::Nowhere, analyzer: self.analyzer });
    }

    fn items<T: Spec>(&self, ids: Vec<Id>) -> Vec<Item<'a, T>> {
        ids.into_iter().filter_map(|id| self.item(id)).collect()
    }

    fn item<T: Spec>(&self, id: Id) -> Option<Item<'a, T>> {
        Item::of(id, self.world.set.entry(id)?)
    }
}

impl<'a, T: Spec> Item<'a, T> {
    fn of(id: Id, entry: &'a Entry) -> Option<Self> {
        T::of(&entry.resource).map(|object| Self { object: &**object, entry, id })
    }
}

impl<'a, T> Item<'a, T> {
    /// The object, for as long as the set lives.
    pub fn object(&self) -> &'a Object<T> {
        self.object
    }

    /// The object's own fields, for as long as the set lives.
    pub fn spec(&self) -> &'a T {
        &self.object.spec
    }

    /// Name, namespace, labels, …, for as long as the set lives.
    pub fn meta(&self) -> &'a Meta {
        &self.object.meta
    }

    /// `namespace/name`.
    pub fn key(&self) -> Key {
        self.object.meta.key()
    }

    /// What to report about.
    pub fn id(&self) -> Id {
        self.id
    }

    /// The cluster it is in; empty where there is only one.
    pub fn cluster(&self) -> &'a Arc<str> {
        &self.entry.cluster
    }

    /// Its `status` as JSON, if it came from a file and has conditions.
    pub fn status(&self) -> Option<&'a Value> {
        self.entry.status.as_deref()
    }

    /// Where it is written.
    pub fn origin(&self) -> Option<&'a Origin> {
        self.entry.origin.as_ref()
    }
}

impl<'a> Any<'a> {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.id.kind
    }

    /// The object.
    pub fn resource(&self) -> &'a Resource {
        &self.entry.resource
    }

    /// Name, namespace, labels, annotations.
    pub fn meta(&self) -> &'a Meta {
        self.entry.resource.meta()
    }

    /// The cluster it is in; empty where there is only one.
    pub fn cluster(&self) -> &'a Arc<str> {
        &self.entry.cluster
    }

    /// Its `status` as JSON, if it came from a file and has conditions.
    pub fn status(&self) -> Option<&'a Value> {
        self.entry.status.as_deref()
    }

    /// Where it is written.
    pub fn origin(&self) -> Option<&'a Origin> {
        self.entry.origin.as_ref()
    }
}

impl<T> Deref for Item<'_, T> {
    type Target = Object<T>;

    fn deref(&self) -> &Object<T> {
        self.object
    }
}

impl<T> Clone for Item<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Item<'_, T> {}

impl<T> From<Item<'_, T>> for Id {
    fn from(item: Item<'_, T>) -> Self {
        item.id
    }
}

impl<T> From<&Item<'_, T>> for Id {
    fn from(item: &Item<'_, T>) -> Self {
        item.id
    }
}

impl From<Any<'_>> for Id {
    fn from(any: Any<'_>) -> Self {
        any.id
    }
}
