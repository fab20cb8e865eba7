//! Who runs, as far as the set says: pods, the pods that Deployments and their like would make, WorkloadEntries; by label.

use std::{borrow::Cow, collections::HashMap};

use super::super::context::Context;
use crate::resource::{Kind, Labels, WorkloadEntry, kubernetes::PodView, selector::selects};

/// The kinds that are pods or make them.
const MAKERS: [Kind; 8] = [
    Kind::Pod,
    Kind::Deployment,
    Kind::ReplicaSet,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::ReplicationController,
    Kind::Job,
    Kind::CronJob,
];

/// A workload.
#[derive(Debug)]
pub(super) struct Workload<'a> {
    pub(super) labels: Cow<'a, Labels>,
    pub(super) account: &'a str,
    /// It is a pod, which Istio's own analyzers look at.
    pub(super) pod: bool,
}

/// Workloads by namespace and label.
#[derive(Debug, Default)]
pub(super) struct Workloads<'a> {
    all: Vec<Workload<'a>>,
    by_label: HashMap<&'a str, HashMap<(String, String), Vec<usize>>>,
}

impl<'a> Workloads<'a> {
    pub(super) fn of(cx: &Context<'a>) -> Self {
        let mut workloads = Self::default();
        for object in MAKERS.into_iter().flat_map(|kind| cx.any(kind)) {
            let Some(view) = PodView::of(object.resource()) else { continue };
            let workload =
                Workload { labels: Cow::Borrowed(view.labels()), account: view.service_account(), pod: object.kind() == Kind::Pod };
            workloads.push(&object.meta().namespace, workload);
        }
        for entry in cx.all::<WorkloadEntry>() {
            let mut labels = entry.meta().labels.clone();
            labels.extend(entry.spec().labels.clone());
            let account = entry.spec().service_account.as_str();
            workloads.push(&entry.meta().namespace, Workload { labels: Cow::Owned(labels), account, pod: false });
        }
        workloads
    }

    /// Those of a namespace that have every label of a selector; none for an empty one.
    pub(super) fn selected(&self, namespace: &str, selector: &Labels) -> Vec<&Workload<'a>> {
        let Some(index) = self.by_label.get(namespace) else { return Vec::new() };
        let lists = selector.iter().map(|(key, value)| index.get(&(key.clone(), value.clone())).map_or(&[][..], Vec::as_slice));
        let shortest = lists.min_by_key(|list| list.len()).unwrap_or_default();
        shortest.iter().filter_map(|index| self.all.get(*index)).filter(|workload| selects(selector, &workload.labels)).collect()
    }

    fn push(&mut self, namespace: &'a str, workload: Workload<'a>) {
        let index = self.by_label.entry(namespace).or_default();
        for (key, value) in workload.labels.iter() {
            index.entry((key.clone(), value.clone())).or_default().push(self.all.len());
        }
        self.all.push(workload);
    }
}
