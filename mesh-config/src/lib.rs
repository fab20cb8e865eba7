//! The mesh's vocabulary: Istio's resources as typed Rust, their YAML and JSON, the rules they obey, and what they
//! mean together (services and workloads).
//!
//! Invariants: pure (no tokio, no I/O, no clock); one way from text or JSON to a type (`decode`), so that a file, an
//! API server and MCP are read alike; an error says where, what was expected and how to mend it.

pub mod analyze;
pub mod annotation;
pub mod decode;
pub mod diagnostic;
pub mod load;
pub mod registry;
pub mod resource;
pub mod schema;
pub mod snapshot;
pub mod validate;

mod canonical;
mod suggest;
