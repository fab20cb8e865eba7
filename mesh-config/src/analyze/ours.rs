//! Our own analyzers: what Istio's do not see, and what this mesh does not do yet.

pub(super) mod delegate;
pub(super) mod enforced;
pub(super) mod lockout;
pub(super) mod mtls;
pub(super) mod overlap;
pub(super) mod principal;
pub(super) mod reach;
pub(super) mod retry;
pub(super) mod server_first;
pub(super) mod subset;
pub(super) mod typed;
mod workloads;

use crate::resource::{Key, VirtualService, virtual_service::HttpMatch};

/// The gateway that stands for all sidecars.
const MESH: &str = "mesh";

/// A Gateway's key, as a resource of `namespace` names it; none for the sidecars.
fn gateway_key(name: &str, namespace: &str) -> Option<Key> {
    match name.split_once('/') {
        _ if name == MESH => None,
        Some((".", name)) => Some(Key::new(namespace, name)),
        Some((elsewhere, name)) => Some(Key::new(elsewhere, name)),
        None => Some(Key::new(namespace, name)),
    }
}

/// What a VirtualService is bound to, by name: `mesh` if it says nothing.
fn gateways(service: &VirtualService) -> Vec<&str> {
    if service.gateways.is_empty() { vec![MESH] } else { service.gateways.iter().map(String::as_str).collect() }
}

/// A rule, as messages name it.
fn rule_name(name: &str, index: usize) -> String {
    if name.is_empty() { format!("#{index}") } else { format!("{name:?}") }
}

/// Whether a match has no conditions.
fn matches_all(item: &HttpMatch) -> bool {
    *item
        == HttpMatch {
            name: item.name.clone(),
            stat_prefix: item.stat_prefix.clone(),
            ignore_uri_case: item.ignore_uri_case,
            ..HttpMatch::default()
        }
}
