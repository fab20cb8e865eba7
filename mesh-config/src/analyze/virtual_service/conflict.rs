//! VirtualServices for sidecars that claim the same host: which of them a sidecar obeys is left to chance.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::MESH;
use crate::{
    analyze::{
        Analyzer, code,
        context::{Context, Item},
        hosts::full_name,
        scope::{EVERYWHERE, scopes},
    },
    resource::{Kind, VirtualService},
};

/// One host, several VirtualServices.
pub(in crate::analyze) static CONFLICTING_MESH_GATEWAY_HOSTS: Analyzer = Analyzer {
    name: "virtualservice.ConflictingMeshGatewayHostsAnalyzer",
    about: "Checks that no two VirtualServices for sidecars are for the same host",
    codes: &[&code::CONFLICTING_MESH_GATEWAY_VIRTUAL_SERVICE_HOSTS],
    reads: &[Kind::VirtualService],
    run: conflicts,
};

fn conflicts(cx: &mut Context<'_>) {
    // By who sees them, and by host.
    let mut claims: BTreeMap<(&str, String), Vec<Item<'_, VirtualService>>> = BTreeMap::new();
    let mut public = HostIndex::default();
    for service in cx.all::<VirtualService>().filter(|service| is_for_sidecars(service.spec())) {
        let meta = service.meta();
        for scope in scopes(&service.spec().export_to, &meta.namespace) {
            for host in &service.spec().hosts {
                let host = full_name(host, &meta.namespace);
                if scope == EVERYWHERE {
                    public.insert(&host, service);
                }
                claims.entry((scope, host)).or_default().push(service);
            }
        }
    }
    let mut told = BTreeSet::new();
    for ((scope, host), own) in &claims {
        let everyones = if *scope == EVERYWHERE { Vec::new() } else { public.overlapping(host) };
        let all: BTreeMap<_, _> = own.iter().chain(everyones).map(|service| (service.key(), *service)).collect();
        if all.len() < 2 {
            continue;
        }
        let names = all.keys().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let host = format!("{scope}/{host}");
        for service in all.values().filter(|service| told.insert(service.id())) {
            cx.report(&code::CONFLICTING_MESH_GATEWAY_VIRTUAL_SERVICE_HOSTS, service, "metadata.name", &[&names, &host]);
        }
    }
}

fn is_for_sidecars(service: &VirtualService) -> bool {
    service.gateways.is_empty() || service.gateways.iter().any(|gateway| gateway == MESH)
}

/// Things by host, found by any host that overlaps with theirs.
#[derive(Debug)]
struct HostIndex<T> {
    exact: BTreeMap<Reversed, Vec<T>>,
    /// Without their `*`.
    wildcard: BTreeMap<Reversed, Vec<T>>,
}

/// A host from its end, so that what ends alike lies together.
type Reversed = Vec<u8>;

impl<T> Default for HostIndex<T> {
    fn default() -> Self {
        Self { exact: BTreeMap::new(), wildcard: BTreeMap::new() }
    }
}

impl<T> HostIndex<T> {
    fn insert(&mut self, host: &str, thing: T) {
        let (map, text) = host.strip_prefix('*').map_or((&mut self.exact, host), |suffix| (&mut self.wildcard, suffix));
        map.entry(reversed(text)).or_default().push(thing);
    }

    /// What is under hosts that overlap with `host`: the same one, wildcards that cover it, and what it covers if it is a wildcard itself.
    fn overlapping(&self, host: &str) -> Vec<&T> {
        let suffix = host.strip_prefix('*');
        let text = reversed(suffix.unwrap_or(host));
        let mut found: Vec<&T> = Vec::new();
        if !self.wildcard.is_empty() {
            found.extend((0..=text.len()).filter_map(|length| self.wildcard.get(text.get(..length)?)).flatten());
        }
        if suffix.is_none() {
            found.extend(self.exact.get(&text).into_iter().flatten());
        } else {
            found.extend(below(&self.exact, &text, Bound::Included(&text)));
            found.extend(below(&self.wildcard, &text, Bound::Excluded(&text)));
        }
        found
    }
}

/// What stands under texts that begin with `prefix`.
fn below<'m, 'p, T>(
    map: &'m BTreeMap<Reversed, Vec<T>>,
    prefix: &'p Reversed,
    from: Bound<&Reversed>,
) -> impl Iterator<Item = &'m T> + use<'m, 'p, T> {
    let texts = map.range::<Reversed, _>((from, Bound::Unbounded));
    texts.take_while(move |(text, _)| text.starts_with(prefix)).flat_map(|(_, things)| things)
}

fn reversed(text: &str) -> Reversed {
    text.bytes().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::{super::gateway::overlap, HostIndex};

    #[test]
    fn the_index_finds_what_overlaps() {
        let hosts = ["*", "*.a.com", "*.b.a.com", "x.a.com", "x.b.a.com", "a.com", "other.org", "*.org", "*-x.org"];
        let mut index = HostIndex::default();
        for host in hosts {
            index.insert(host, host);
        }
        for host in hosts.into_iter().chain(["y.b.a.com", "y-x.org", "com", "*com"]) {
            let mut found: Vec<_> = index.overlapping(host).into_iter().copied().collect();
            found.sort_unstable();
            let mut expected: Vec<_> = hosts.into_iter().filter(|other| overlap(host, other)).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{host}");
        }
    }
}
