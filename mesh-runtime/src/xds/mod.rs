//! The one xDS engine, for every control-plane conversation of the mesh: Galley → Pilot (MCP), Pilot → proxies, and foreign servers and clients.
//!
//! The protocol (versions, nonces, ACK, NACK, subscriptions, resumption) lives in state machines without I/O, so that its properties can be tested under
//! loss and reordering; `client` and `server` are thin tonic shells round them. Source of the rules: "xDS REST and gRPC protocol" in Envoy's documentation;
//! of the push order and the repetition of endpoints after their cluster: Istio's discovery server.

pub mod client;
mod detail;
mod handler;
mod ledger;
mod provider;
mod resource;
pub mod server;
mod sink;
mod sotw;
mod state;

#[cfg(test)]
mod tests;

pub use crate::grpc::{Peer, Remote};
pub use handler::{Event, Handler, Observer, Subscription};
pub use resource::{Builder, Resource, Resources, Snapshot};
pub use sink::{Connection, Interest, Rejection, Sink, Update};
