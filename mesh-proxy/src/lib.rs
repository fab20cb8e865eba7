//! mesh-proxy: the data plane. An Envoy-v3 xDS client, sidecar and gateway in one binary.
//!
//! Invariants: the request path takes no lock and reads one immutable [`snapshot::Snapshot`]; the only matcher is `plan`;
//! what is asked for and not implemented is refused, never skipped; this crate knows no Istio resource, only what
//! arrives on the wire.

pub mod access_log;
mod admin;
pub mod app;
pub mod bootstrap;
pub mod clock;
mod error;
mod http;
pub mod info;
mod listener;
pub mod metrics;
pub mod observe;
pub mod peer;
pub mod plan;
pub mod sds;
pub mod secret;
pub mod server;
pub mod snapshot;
mod tcp;
pub mod telemetry;
mod tls;
pub mod trace;
mod transport;
pub mod upstream;
mod worker;
pub mod xds;
