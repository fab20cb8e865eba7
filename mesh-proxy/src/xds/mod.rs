//! From the wire to the snapshot: conversion of Envoy's v3 messages, and the assembly of what was accepted.
//!
//! Invariants: generated types appear here and nowhere else in this crate; every wire field is named, so that a new one fails to compile until
//! somebody has decided what its loss means; a resource that cannot be taken leaves its last good version in force.

mod access_log;
mod action;
mod address;
mod any;
mod assemble;
mod balancer;
mod breaker;
pub(crate) mod cluster;
mod compile;
mod context;
mod endpoint;
mod fault;
mod filter;
mod hcm;
mod headers;
mod http_options;
mod listener;
mod log_format;
mod metadata;
mod network;
mod overrides;
mod protocol;
mod rbac;
mod regex;
mod retry;
mod route;
mod route_match;
mod scalar;
mod secret;
mod session;
mod slots;
mod source;
mod text;
mod tls;
mod tracing;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    access_log::logs as convert_logs,
    address::address as convert_address,
    context::{Context, IsSet, Result, ignored, refused},
    secret::Registry,
    session::{Accepted, Consumer, Discover, Entry, OWN_CERTIFICATE, OWN_ROOTS, Session},
    slots::Slots,
    source::{Api, api, source},
};
pub use self::{
    assemble::{Assembler, Ignored, Wanted},
    compile::compile,
    context::Refusal,
    source::{Source, Target},
};
