//! From a listening socket to a filter chain: accept, inspect, choose, hand over.

pub(crate) mod accept;
pub(crate) mod balance;
mod chain;
mod original_dst;
mod proxy_protocol;
mod sniff;

pub(crate) use self::{chain::Opened, sniff::H2_PREFACE};

#[cfg(test)]
mod tests;
