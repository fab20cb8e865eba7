//! mesh-galley: configuration becomes trustworthy here. Watches folders of YAML, parses and validates, keeps the last good of
//! everything, and hands it on typed over MCP.
//!
//! Invariants: a broken file changes nothing that works and is reported with its place; nothing is served before the first
//! full read; a restart with the same content serves the same versions, so it reads as no change; only those on the
//! allow-list are served.

mod config;
mod metrics;
mod serve;
pub mod source;
pub mod store;

pub use config::{Config, Identity};
pub use serve::{Bound, Error, bind};
