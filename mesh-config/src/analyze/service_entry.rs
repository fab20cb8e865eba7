//! ServiceEntries: TCP services without an address, and entries that disagree about a port.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Analyzer, code,
    context::{Context, Item},
    scope::{EVERYWHERE, scopes},
};
use crate::resource::{Kind, Protocol, ServiceEntry};

/// TCP without an address.
pub(super) static ADDRESSES: Analyzer = Analyzer {
    name: "serviceentry.Analyzer",
    about: "Checks that ServiceEntries with TCP ports have addresses",
    codes: &[&code::SERVICE_ENTRY_ADDRESSES_REQUIRED],
    reads: &[Kind::ServiceEntry],
    run: addresses,
};

/// One host and port, two protocols.
pub(super) static CONFLICTING_PROTOCOL: Analyzer = Analyzer {
    name: "serviceentry.ConflictingServiceEntryProtocolAnalyzer",
    about: "Checks that ServiceEntries for the same host and port agree about its protocol",
    codes: &[&code::CONFLICTING_SERVICE_ENTRY_PROTOCOL],
    reads: &[Kind::ServiceEntry],
    run: conflicting_protocols,
};

fn addresses(cx: &mut Context<'_>) {
    if addresses_are_allocated(cx.mesh_config()) {
        return;
    }
    for entry in cx.all::<ServiceEntry>() {
        let allocated = entry.status().and_then(|status| status.get("addresses")?.as_array()).is_some_and(|list| !list.is_empty());
        if !entry.spec().addresses.is_empty() || allocated {
            continue;
        }
        for (index, port) in entry.spec().ports.iter().enumerate() {
            if port.protocol.is_none_or(|protocol| protocol == Protocol::Tcp) {
                cx.report(&code::SERVICE_ENTRY_ADDRESSES_REQUIRED, entry, format_args!("spec.ports[{index}].name"), &[]);
            }
        }
    }
}

/// Whether the proxies' DNS gives every entry an address of its own.
fn addresses_are_allocated(mesh_config: &Value) -> bool {
    let is_set = |name: &str| mesh_config.pointer("/defaultConfig/proxyMetadata").and_then(|set| set.get(name)?.as_str()) == Some("true");
    is_set("ISTIO_META_DNS_CAPTURE") && (is_set("ISTIO_META_DNS_AUTO_ALLOCATE") || is_set("PILOT_ENABLE_IP_AUTOALLOCATE"))
}

/// A host's port as it is seen from a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Endpoint<'a> {
    /// `*`: from everywhere.
    scope: &'a str,
    host: &'a str,
    port: u16,
}

/// Who says what about a port.
type Claims<'a> = Vec<(String, Item<'a, ServiceEntry>)>;

fn conflicting_protocols(cx: &mut Context<'_>) {
    let mut claims: BTreeMap<Endpoint<'_>, Claims<'_>> = BTreeMap::new();
    for entry in cx.all::<ServiceEntry>() {
        let spec = entry.spec();
        for scope in scopes(&spec.export_to, &entry.meta().namespace) {
            for (host, port) in spec.hosts.iter().flat_map(|host| spec.ports.iter().map(move |port| (host, port))) {
                let protocol = port.protocol.map(|protocol| protocol.as_str().to_uppercase()).unwrap_or_default();
                claims.entry(Endpoint { scope, host, port: port.number }).or_default().push((protocol, entry));
            }
        }
    }
    let mut told = BTreeSet::new();
    for (endpoint, own) in &claims {
        let public = claims.get(&Endpoint { scope: EVERYWHERE, ..*endpoint }).filter(|_| endpoint.scope != EVERYWHERE);
        let all = || own.iter().chain(public.into_iter().flatten());
        let protocols: BTreeSet<&str> = all().map(|(protocol, _)| protocol.as_str()).collect();
        if protocols.len() < 2 {
            continue;
        }
        let names: BTreeSet<String> = all().map(|(_, entry)| entry.key().to_string()).collect();
        let (names, protocols) = (Vec::from_iter(names).join(", "), Vec::from_iter(protocols).join(", "));
        for (_, entry) in all() {
            if told.insert(entry.id()) {
                let arguments: [&dyn std::fmt::Display; 4] = [&names, &endpoint.host, &endpoint.port, &protocols];
                cx.report(&code::CONFLICTING_SERVICE_ENTRY_PROTOCOL, entry, "metadata.name", &arguments);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    fn entry(name: &str, protocol: &str, more: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: {name}
  namespace: {name}
spec:
  hosts: [db.example.com]
  ports:
  - {{number: 5432, name: {protocol}, protocol: {protocol}}}
  resolution: DNS
  {more}
"
        )
    }

    #[test]
    fn tcp_needs_an_address() {
        check("serviceentry.Analyzer", &[&entry("a", "tcp", "")], &["IST0134 ServiceEntry a/a:9 spec.ports[0].name"]);
        check("serviceentry.Analyzer", &[&entry("a", "TLS", ""), &entry("b", "TCP", "addresses: [10.0.0.1]")], &[]);
        check("serviceentry.Analyzer", &[&(entry("a", "TCP", "") + "status: {addresses: [{value: 240.240.0.1}]}\n")], &[]);
    }

    #[test]
    fn the_proxies_dns_may_allocate_it() {
        use super::addresses_are_allocated;
        let config =
            |allocate: &str| serde_json::json!({"defaultConfig": {"proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true", allocate: "true"}}});
        assert!(addresses_are_allocated(&config("ISTIO_META_DNS_AUTO_ALLOCATE")));
        assert!(!addresses_are_allocated(&config("OTHER")));
    }

    #[test]
    fn entries_that_see_each_other_agree() {
        let name = "serviceentry.ConflictingServiceEntryProtocolAnalyzer";
        let expected = ["IST0177 ServiceEntry a/a:4 metadata.name", "IST0177 ServiceEntry b/b:4 metadata.name"];
        check(name, &[&entry("a", "TLS", ""), &entry("b", "HTTPS", "exportTo: [.]")], &expected);
        check(name, &[&entry("a", "TLS", "exportTo: [.]"), &entry("b", "HTTPS", "exportTo: [.]")], &[]);
        check(name, &[&entry("a", "TLS", ""), &entry("b", "TLS", "")], &[]);
    }
}
