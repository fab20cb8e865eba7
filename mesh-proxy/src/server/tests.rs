//! The data plane over real sockets on loopback, with snapshots built by hand.

#![allow(clippy::unwrap_used)]

mod balance;
mod fixture;
mod http;
mod keepalive;
mod lifecycle;
mod pool;
mod resilience;
mod tcp;
mod tls;
mod upgrade;
