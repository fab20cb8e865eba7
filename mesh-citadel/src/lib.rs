//! Citadel, the mesh's certificate authority: signs SPIFFE certificates over Istio's `CreateCertificate`.
//!
//! Invariants of this crate:
//!
//! * An identity comes from the caller's verified credential ([`authn`]), never from its request ([`csr`]).
//! * [`ca`] does no I/O and reads no clock.
//! * A mounted root is never replaced by a self-made one ([`root`]).
//! * It needs files only: no Kubernetes client, no other component.

pub mod authn;
pub mod ca;
pub mod cli;
mod config;
pub mod csr;
mod limit;
mod metrics;
mod own;
pub mod root;
mod serve;
mod service;

pub use config::{Config, Limits, Tokens, control_plane_dns_names};
pub use metrics::{Counter, Metrics};
pub use serve::{Bound, Error, bind};
