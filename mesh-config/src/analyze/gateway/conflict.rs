//! Gateways that claim the same host on the same port of the same workloads.

use std::collections::{BTreeSet, HashMap};

use crate::{
    analyze::{
        Analyzer, code,
        context::{Context, Item},
        selector,
    },
    resource::{Gateway, Kind, Labels, Pod, gateway::Server, selector::selects},
};

/// One host, several Gateways.
pub(in crate::analyze) static CONFLICTING: Analyzer = Analyzer {
    name: "gateway.ConflictingGatewayAnalyzer",
    about: "Checks that no two Gateways claim a host on a port of the same workloads",
    codes: &[&code::CONFLICTING_GATEWAYS, &code::REFERENCED_RESOURCE_NOT_FOUND],
    reads: &[Kind::Gateway, Kind::Pod],
    run: conflicts,
};

/// What a server claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Claim<'a> {
    port: u16,
    bind: &'a str,
    host: &'a str,
}

fn conflicts(cx: &mut Context<'_>) {
    let gateways: Vec<Item<'_, Gateway>> = cx.all::<Gateway>().collect();
    let mut claims: HashMap<Claim<'_>, BTreeSet<usize>> = HashMap::new();
    for (index, gateway) in gateways.iter().enumerate() {
        for claim in gateway.spec().servers.iter().flat_map(of_server) {
            claims.entry(claim).or_default().insert(index);
        }
    }
    let listening: BTreeSet<&Labels> =
        gateways.iter().filter(|gateway| !gateway.spec().servers.is_empty()).map(|gateway| &gateway.spec().selector).collect();
    let mut workloads = Workloads::default();
    for (index, gateway) in gateways.iter().enumerate() {
        let own = &gateway.spec().selector;
        if gateway.spec().servers.is_empty() && !own.is_empty() && !listening.iter().any(|other| workloads.shared(cx, own, other)) {
            cx.report(&code::REFERENCED_RESOURCE_NOT_FOUND, gateway, "spec.selector", &[&"selector", &selector::text(own)]);
        }
        for (number, server) in gateway.spec().servers.iter().enumerate() {
            let claimants: BTreeSet<usize> = of_server(server).filter_map(|claim| claims.get(&claim)).flatten().copied().collect();
            let others = claimants.into_iter().filter(|other| *other != index).filter_map(|other| gateways.get(other));
            let mut names: Vec<String> =
                others.filter(|other| workloads.shared(cx, own, &other.spec().selector)).map(|other| other.key().to_string()).collect();
            if names.is_empty() {
                continue;
            }
            names.sort_unstable();
            let arguments: [&dyn std::fmt::Display; 4] =
                [&names.join(","), &selector::text(own), &server.port.number, &server.hosts.join(",")];
            cx.report(&code::CONFLICTING_GATEWAYS, gateway, format_args!("spec.servers[{number}]"), &arguments);
        }
    }
}

fn of_server(server: &Server) -> impl Iterator<Item = Claim<'_>> {
    server.hosts.iter().map(|host| Claim { port: server.port.number, bind: &server.bind, host })
}

/// Which selectors select a pod.
#[derive(Default)]
struct Workloads<'a> {
    has_pods: HashMap<&'a Labels, bool>,
}

impl<'a> Workloads<'a> {
    /// Whether two selectors are for the same workloads: they are equal, or the narrower one selects a pod, which the wider one then selects too.
    fn shared(&mut self, cx: &Context<'a>, one: &'a Labels, other: &'a Labels) -> bool {
        let narrower = match (selects(one, other), selects(other, one)) {
            (true, true) => return true,
            (true, false) => other,
            (false, true) => one,
            (false, false) => return false,
        };
        *self.has_pods.entry(narrower).or_insert_with(|| !cx.selected_anywhere::<Pod>(narrower).is_empty())
    }
}
