//! Discovery: typed configuration to per-proxy xDS.
//!
//! `source` receives the configuration from Galley; `push` builds a [`world::World`] a revision and, for every connected proxy, turns World and
//! [`scope::ProxyScope`] into resources by `generate`; `serve` admits proxies and speaks ADS; `status` knows what each has acknowledged.
//!
//! Invariants: generators are pure (same World and scope, same bytes); a proxy gets nothing unless its certificate says it is who it claims to be; nothing
//! is served before the first full revision; the last good one stays in force.

pub mod config;
mod debug;
pub mod generate;
pub mod metrics;
pub mod push;
mod relay;
pub mod scope;
pub mod serve;
pub mod settings;
pub mod source;
pub mod status;
pub mod world;

#[cfg(test)]
mod testing;

pub use config::Config;
pub use generate::generate;
pub use push::Debounce;
pub use serve::{Bound, Error, bind};
pub use settings::MeshSettings;
