//! Upstream: what is kept for clusters and endpoints beside the snapshot, and how requests get to them.

pub mod balance;
pub mod breaker;
pub(crate) mod connect;
pub mod dns;
pub mod edf;
pub mod hash;
pub(crate) mod original;
pub mod outlier;
pub(crate) mod pool;
pub mod retry;
pub mod state;
