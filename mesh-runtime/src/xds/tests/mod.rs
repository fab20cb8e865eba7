//! The protocol under loss, duplication, reordering across types, refusals and restarts; without sockets (`simulation`) and over real ones (`loopback`).
#![allow(clippy::unwrap_used)]

mod convergence;
mod loopback;
mod rules;
mod simulation;
