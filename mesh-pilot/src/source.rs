//! Where configuration comes from: an MCP subscription to every kind, kept as one snapshot.
//!
//! The server announces a revision over all kinds; a snapshot is handed on only when every kind has reached the same one, so no half of a change is ever
//! served. What was handed on stays in force over disconnects and restarts of the server.

use std::{collections::BTreeMap, sync::Arc};

use mesh_config::{
    resource::{Key, Kind, Resource as Configuration},
    snapshot::{Builder, ConfigSnapshot},
};
use mesh_proto::{id::Revision, mcp};
use mesh_runtime::xds::{Connection, Interest, Rejection, Resource, Sink, Update, client::Handle};
use tokio::{sync::watch, time::Instant};

use crate::metrics::Metrics;

/// A configuration and when its first part arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The configuration.
    pub snapshot: Arc<ConfigSnapshot>,
    /// When the change began to arrive.
    pub at: Instant,
}

/// Collects what the MCP server sends.
pub struct Source {
    builder: Builder,
    /// The revision that each kind has reached.
    reached: BTreeMap<Kind, Option<Revision>>,
    handed_on: Option<Revision>,
    arriving: Option<Instant>,
    out: watch::Sender<Option<Received>>,
    metrics: Arc<Metrics>,
}

impl Source {
    /// A sink that hands complete revisions on to the receiver.
    pub fn new(metrics: Arc<Metrics>) -> (Self, watch::Receiver<Option<Received>>) {
        let (out, receiver) = watch::channel(None);
        let reached = Kind::ALL.iter().map(|kind| (*kind, None)).collect();
        (Self { builder: Builder::default(), reached, handed_on: None, arriving: None, out, metrics }, receiver)
    }

    /// Asks for every kind.
    pub fn subscribe(handle: &Handle) {
        for kind in Kind::ALL {
            handle.subscribe(mcp::type_url(kind.as_str()), Interest::All);
        }
    }

    fn take(&mut self, kind: Kind, resource: &Resource) -> Result<(), Rejection> {
        let refuse = |reason: String| Rejection { name: resource.name.clone(), reason };
        let object = mcp::unpack(&resource.body).map_err(|error| refuse(error.to_string()))?;
        let json = serde_json::from_slice(&object.json).map_err(|error| refuse(format!("json: {error}")))?;
        let configuration = Configuration::from_json(kind, &json).map_err(|error| refuse(error.to_string()))?;
        enforceable(&configuration).map_err(|reason| refuse(reason.to_owned()))?;
        if configuration.meta().key().to_string() != *resource.name {
            return Err(refuse(format!("the resource inside is {}: name and content must agree", configuration.meta().key())));
        }
        self.builder.insert(configuration);
        Ok(())
    }

    /// Hands a snapshot on if all kinds are at one revision.
    fn settle(&mut self) {
        let mut revisions = self.reached.values();
        let Some(Some(revision)) = revisions.next() else { return };
        if revisions.any(|other| other.as_ref() != Some(revision)) || self.handed_on.as_ref() == Some(revision) {
            return;
        }
        self.handed_on = Some(revision.clone());
        let at = self.arriving.take().unwrap_or_else(Instant::now);
        let snapshot = self.builder.build();
        tracing::info!(%revision, resources = snapshot.len(), "configuration received");
        self.out.send_replace(Some(Received { snapshot, at }));
    }
}

/// What would be in force in name only is refused, whatever the server's own validation let through: a policy that nobody enforces is worse than none.
fn enforceable(configuration: &Configuration) -> Result<(), &'static str> {
    match configuration {
        Configuration::AuthorizationPolicy(policy) if policy.spec.target_ref.is_some() || !policy.spec.target_refs.is_empty() => {
            Err("spec.targetRefs: targetRefs are not supported by this mesh yet: use selector")
        }
        _ => Ok(()),
    }
}

impl Sink for Source {
    fn apply(&mut self, update: Update) -> Vec<Rejection> {
        let Some(kind) = mcp::kind(&update.type_url).and_then(|name| Kind::ALL.iter().copied().find(|kind| kind.as_str() == name)) else {
            return Vec::new();
        };
        if !update.upserts.is_empty() || !update.removed.is_empty() {
            self.arriving.get_or_insert_with(Instant::now);
        }
        let mut rejections = Vec::new();
        for resource in &update.upserts {
            if let Err(rejection) = self.take(kind, resource) {
                tracing::error!(%kind, name = %rejection.name, reason = rejection.reason, "configuration refused; the last good one stays in force");
                rejections.push(rejection);
            }
        }
        for name in &update.removed {
            if let Ok(key) = name.parse::<Key>() {
                self.builder.remove(kind, &key);
            }
        }
        self.metrics.rejected_configs.inc_by(i64::try_from(rejections.len()).unwrap_or(i64::MAX));
        if let Some(revision) = update.revision {
            self.reached.insert(kind, Some(revision));
        }
        self.settle();
        rejections
    }

    fn connection(&mut self, state: Connection) {
        match state {
            Connection::Connected => tracing::info!("connected to the configuration server"),
            Connection::Disconnected { reason } => tracing::warn!(reason, "configuration server gone; what is held stays in force"),
        }
    }
}

#[cfg(test)]
mod tests;
