//! mesh-galley: configuration becomes trustworthy here. Watches folders of YAML, parses and validates, keeps the last good of
//! everything, and hands it on typed over MCP.
//!
//! Invariants: a broken, half-written or unreadable file changes nothing that works, over restarts, too, and is reported with its place; nothing is served before the first
//! full read; a restart with the same content serves the same versions, so it reads as no change; only those on the
//! allow-list are served; of Secrets only TLS material that is referred to, to Pilot only.

mod config;
mod folders;
mod metrics;
mod publish;
mod remark;
mod secret;
mod serve;
pub mod source;
mod state;
pub mod store;
mod subscribers;
#[cfg(test)]
mod testing;

pub use config::Config;
pub use serve::{Bound, Error, bind};
