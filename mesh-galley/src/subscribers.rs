//! Who is subscribed, and what each refuses: for logs, metrics and the status page.
//!
//! A refusal stands until the refused resource changes or is gone, or the subscriber leaves: the protocol offers it again only then.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mesh_proto::{id::SpiffeId, mcp};
use mesh_runtime::xds::{Event, Snapshot};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{metrics::Metrics, publish::Served};

/// More refusals of one subscriber are counted, not kept.
const MOST_REFUSALS: usize = 1000;
/// Bytes of a subscriber's words that are kept.
const LONGEST_REASON: usize = 2000;

/// All subscribers.
#[derive(Clone)]
pub(crate) struct Subscribers {
    table: Arc<Mutex<Table>>,
    served: watch::Receiver<Option<Served>>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Table {
    next: u64,
    rows: BTreeMap<u64, Row>,
}

struct Row {
    identity: SpiffeId,
    node: String,
    /// By type, the revision that it has.
    acked: BTreeMap<Arc<str>, Arc<str>>,
    /// By type and name.
    refused: BTreeMap<(Arc<str>, Arc<str>), Refusal>,
}

struct Refusal {
    /// Of the resource; `None`: it is gone.
    version: Option<Arc<str>>,
    /// Of the response.
    revision: Arc<str>,
    reason: String,
}

impl Subscribers {
    pub(crate) fn new(served: watch::Receiver<Option<Served>>, metrics: Arc<Metrics>) -> Self {
        Self { table: Arc::default(), served, metrics }
    }

    /// Somebody is there; what it does is to be told to [`Subscribers::observe`] under this number.
    pub(crate) fn arrived(&self, identity: SpiffeId, node: &str) -> u64 {
        tracing::info!(%identity, node, "MCP subscriber");
        let mut table = self.table();
        let id = table.next;
        table.next += 1;
        table.rows.insert(id, Row { identity, node: node.to_owned(), acked: BTreeMap::new(), refused: BTreeMap::new() });
        self.count(&table);
        id
    }

    pub(crate) fn observe(&self, id: u64, event: Event) {
        let served = self.served.borrow().as_ref().map(|served| served.trusted.clone());
        let mut table = self.table();
        let Some(row) = table.rows.get_mut(&id) else { return };
        match event {
            Event::Nack { type_url, revision, message, names } => {
                self.metrics.refused();
                let (identity, kind) = (&row.identity, mcp::kind(&type_url).unwrap_or(&type_url));
                tracing::error!(%identity, kind, ?names, message, "a subscriber refused configuration; it keeps its last good one");
                row.refuse(&type_url, &revision, &message, names, served.as_deref());
            }
            Event::Ack { type_url, revision } => row.accept(type_url, revision, served.as_deref()),
            Event::Closed => {
                tracing::info!(identity = %row.identity, "MCP subscriber gone");
                table.rows.remove(&id);
            }
            _ => {}
        }
        self.count(&table);
    }

    /// For the status page.
    pub(crate) fn to_json(&self) -> Value {
        let served = self.served.borrow().as_ref().map(|served| served.trusted.clone());
        let mut table = self.table();
        table.rows.values_mut().for_each(|row| row.forget(served.as_deref()));
        self.count(&table);
        table.rows.values().map(Row::to_json).collect()
    }

    /// Brings the metrics up to date: refusals may have been overtaken.
    pub(crate) fn tally(&self) {
        let served = self.served.borrow().as_ref().map(|served| served.trusted.clone());
        let mut table = self.table();
        table.rows.values_mut().for_each(|row| row.forget(served.as_deref()));
        self.count(&table);
    }

    fn count(&self, table: &Table) {
        self.metrics.subscribers(table.rows.len(), table.rows.values().map(|row| row.refused.len()).sum());
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
    fn refuse(&mut self, type_url: &Arc<str>, revision: &Arc<str>, message: &str, names: Vec<Arc<str>>, served: Option<&Snapshot>) {
        let reason: String = message.chars().take(LONGEST_REASON).collect();
        // Who does not name the culprits refuses the whole response.
        let names = if names.is_empty() { vec!["*".into()] } else { names };
        for name in names {
            if self.refused.len() >= MOST_REFUSALS {
                break;
            }
            let refusal = Refusal { version: version(served, type_url, &name), revision: revision.clone(), reason: reason.clone() };
            self.refused.insert((type_url.clone(), name), refusal);
        }
    }

    fn accept(&mut self, type_url: Arc<str>, revision: Arc<str>, served: Option<&Snapshot>) {
        // What was refused as a whole was in the later response, too.
        self.refused.retain(|(of, name), refusal| *of != type_url || **name != *"*" || refusal.revision == revision);
        self.acked.insert(type_url, revision);
        self.forget(served);
    }

    /// Lets go of refusals of what is not offered in that form any more.
    fn forget(&mut self, served: Option<&Snapshot>) {
        self.refused.retain(|(type_url, name), refusal| **name == *"*" || version(served, type_url, name) == refusal.version);
    }

    fn to_json(&self) -> Value {
        let kind = |type_url: &Arc<str>| mcp::kind(type_url).unwrap_or(type_url).to_owned();
        let has: BTreeMap<String, &str> = self.acked.iter().map(|(type_url, revision)| (kind(type_url), &**revision)).collect();
        let refused: Vec<Value> = self
            .refused
            .iter()
            .map(|((type_url, name), refusal)| json!({ "kind": kind(type_url), "name": name, "reason": refusal.reason }))
            .collect();
        json!({ "identity": self.identity.to_string(), "node": self.node, "revisions": has, "refused": refused })
    }
}

fn version(served: Option<&Snapshot>, type_url: &str, name: &str) -> Option<Arc<str>> {
    served?.resource(type_url, name).map(|resource| resource.version.clone())
}

#[cfg(test)]
mod tests;
