//! The provider's side of the server: who may open a stream, and which snapshots it is fed.

use std::fmt;
use std::sync::Arc;

use mesh_proto::envoy::config::core::v3::Node;
use tokio::sync::watch;
use tonic::Status;

use super::{Interest, Snapshot};
use crate::grpc::Peer;

/// Decides about streams. One call a stream, after its first request.
pub trait Handler: Send + Sync + 'static {
    /// Admits the client, or refuses it with a status. The node is what the client says of itself: check it against `peer.identity`, which is authenticated.
    fn open(&self, peer: Peer, node: Arc<Node>) -> impl Future<Output = Result<Subscription, Status>> + Send;
}

/// What an admitted stream is fed.
pub struct Subscription {
    /// The newest snapshot for this client; intermediate ones may be skipped. `None`: not ready yet, so nothing is answered (never "empty").
    /// When the sender is dropped, the stream ends with `UNAVAILABLE` and the client comes back.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Hears what the client does, in the stream's own task; must not block.
    pub observer: Option<Observer>,
    /// Answer every subscribed type at each new revision, with an empty response where nothing changed, and begin a new revision only when all types have
    /// acknowledged the one before: so the client can tell when all types have reached one revision (MCP).
    pub announce_revisions: bool,
}

/// A callback for [`Event`]s.
pub type Observer = Box<dyn FnMut(Event) + Send>;

/// What happened on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The client asked for a type for the first time, or changed what it wants of it.
    Subscribed {
        /// The type.
        type_url: Arc<str>,
        /// All it wants now.
        interest: Interest,
    },
    /// A response was handed to the transport.
    Sent {
        /// The type.
        type_url: Arc<str>,
        /// Revision of the snapshot it was made from.
        revision: Arc<str>,
        /// Resources in it.
        resources: usize,
        /// Names in it that are gone.
        removed: usize,
    },
    /// The client accepted a response.
    Ack {
        /// The type.
        type_url: Arc<str>,
        /// Revision of the snapshot that the response was made from.
        revision: Arc<str>,
    },
    /// The client refused a response, or parts of it.
    Nack {
        /// The type.
        type_url: Arc<str>,
        /// Revision of the snapshot that the response was made from.
        revision: Arc<str>,
        /// The client's words.
        message: String,
        /// The refused resources, when the client names them (ours does; Envoy only writes the message).
        names: Vec<Arc<str>>,
    },
    /// There is nothing to send of a type at this revision: the client has all that can be told it. So whoever waits for an acknowledgement of the revision
    /// need not: state of the world cannot say that a route table or endpoints are gone, and what a client refused is not offered again.
    Current {
        /// The type.
        type_url: Arc<str>,
        /// Revision of the snapshot.
        revision: Arc<str>,
    },
    /// The stream ended. Always the last event; it also comes when the stream's task is aborted.
    Closed,
}

impl Subscription {
    /// Feeds these snapshots, unobserved.
    #[must_use]
    pub fn new(snapshots: watch::Receiver<Option<Arc<Snapshot>>>) -> Self {
        Self { snapshots, observer: None, announce_revisions: false }
    }

    /// Calls `observer` with every event of the stream.
    #[must_use]
    pub fn observe(mut self, observer: impl FnMut(Event) + Send + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Sets [`Subscription::announce_revisions`].
    #[must_use]
    pub fn announce_revisions(mut self) -> Self {
        self.announce_revisions = true;
        self
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("announce_revisions", &self.announce_revisions).finish_non_exhaustive()
    }
}
