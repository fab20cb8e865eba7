//! Lookups that every analyzer would otherwise build for itself: objects by label, built when first asked for.

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use super::{
    hosts::Hosts,
    set::{Id, Set},
};
use crate::resource::{Kind, Labels};

/// The indexes of one analysis.
#[derive(Debug, Default)]
pub(super) struct Index<'a> {
    labels: RefCell<HashMap<Kind, Rc<ByLabel<'a>>>>,
    pub(super) hosts: OnceCell<Rc<Hosts<'a>>>,
}

/// The objects of one kind, by namespace and label.
#[derive(Debug, Default)]
struct ByLabel<'a> {
    namespaces: BTreeMap<&'a str, Postings<'a>>,
}

#[derive(Debug, Default)]
struct Postings<'a> {
    all: Vec<u32>,
    labels: HashMap<&'a str, HashMap<&'a str, Vec<u32>>>,
}

impl<'a> Index<'a> {
    /// The objects of a kind that have every label of `selector`, in a namespace or in all of them. An empty selector takes all.
    pub(super) fn selected(&self, set: &'a Set, kind: Kind, namespace: Option<&str>, selector: &Labels) -> Vec<Id> {
        let index = Rc::clone(self.labels.borrow_mut().entry(kind).or_insert_with(|| Rc::new(ByLabel::build(set, kind))));
        let entries = set.entries(kind);
        let has_all = |index: &&u32| {
            let labels = entries.get(**index as usize).map(|entry| &entry.resource.meta().labels);
            labels.is_some_and(|labels| crate::resource::selector::selects(selector, labels))
        };
        let postings = |namespace: &str| index.namespaces.get(namespace);
        let of = |postings: &Postings<'_>| -> Vec<Id> {
            let candidates = postings.candidates(selector);
            candidates.iter().filter(has_all).map(|index| Id { kind, index: *index }).collect()
        };
        match namespace {
            Some(namespace) => postings(namespace).map(of).unwrap_or_default(),
            None => index.namespaces.values().flat_map(of).collect(),
        }
    }
}

impl<'a> ByLabel<'a> {
    fn build(set: &'a Set, kind: Kind) -> Self {
        let mut index = Self::default();
        for (number, entry) in (0_u32..).zip(set.entries(kind)) {
            let meta = entry.resource.meta();
            let postings = index.namespaces.entry(&meta.namespace).or_default();
            postings.all.push(number);
            for (key, value) in &meta.labels {
                postings.labels.entry(key).or_default().entry(value).or_default().push(number);
            }
        }
        index
    }
}

impl Postings<'_> {
    /// The shortest list that holds everything the selector can select.
    fn candidates(&self, selector: &Labels) -> &[u32] {
        let lists = selector.iter().map(|(key, value)| {
            let values = self.labels.get(key.as_str());
            values.and_then(|values| values.get(value.as_str())).map_or(&[][..], Vec::as_slice)
        });
        lists.min_by_key(|list| list.len()).unwrap_or(&self.all)
    }
}
