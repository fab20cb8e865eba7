//! Gateways: whether there is a workload behind each, what of it can be reached, and whether several get into each other's way.

mod certificate;
mod conflict;
mod port;
mod secret;

pub(super) use certificate::CERTIFICATE;
pub(super) use conflict::CONFLICTING;
pub(super) use port::INGRESS_PORT;
pub(super) use secret::SECRET;

#[cfg(test)]
mod tests;
