//! The mesh's wire types: what every other crate says to a peer, and the few things needed to read and print it.
//!
//! Envoy's xDS messages come from `envoy-types`, re-exported here so that no other crate names it.

pub mod any;
pub mod canonical;
pub mod id;
pub mod istio;
pub mod json;
pub mod mcp;
pub mod re2;
pub mod type_url;
pub mod typed_struct;
pub mod yaml;

pub use envoy_types::pb::{cel, envoy, google, opentelemetry, udpa, xds};
