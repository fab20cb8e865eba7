//! Which filter chain of a listener serves a connection.
//!
//! Envoy's order (`FilterChainMatch`): destination port, destination IP, server name, transport protocol, application
//! protocols, directly connected source IP, source type, source IP, source port. At each step only the chains with the most
//! specific criterion that holds go on, and there is no way back: if none of those is left at a later step, the default chain
//! is taken, even where a less specific chain would have matched.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use crate::snapshot::{ChainMatch, ConnectionFacts, FilterChain, Listener, SourceType};

/// The chain chosen, and what chose it.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// The chain.
    pub chain: &'a Arc<FilterChain>,
    /// What decided.
    pub by: SelectedBy,
}

/// What made a chain the one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectedBy {
    /// No chain's criteria held: `default_filter_chain`.
    Default,
    /// All of its criteria held; those of this set are more than "any".
    Criteria(Criteria),
}

/// A set of [`Criterion`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Criteria(u16);

/// The steps, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// `destination_port`.
    DestinationPort,
    /// `prefix_ranges`.
    DestinationIp,
    /// `server_names`.
    ServerName,
    /// `transport_protocol`.
    TransportProtocol,
    /// `application_protocols`.
    ApplicationProtocol,
    /// `direct_source_prefix_ranges`.
    DirectSourceIp,
    /// `source_type`.
    SourceType,
    /// `source_prefix_ranges`.
    SourceIp,
    /// `source_ports`.
    SourcePort,
}

const STEPS: [(Criterion, &str); 9] = [
    (Criterion::DestinationPort, "destination_port"),
    (Criterion::DestinationIp, "prefix_ranges"),
    (Criterion::ServerName, "server_names"),
    (Criterion::TransportProtocol, "transport_protocol"),
    (Criterion::ApplicationProtocol, "application_protocols"),
    (Criterion::DirectSourceIp, "direct_source_prefix_ranges"),
    (Criterion::SourceType, "source_type"),
    (Criterion::SourceIp, "source_prefix_ranges"),
    (Criterion::SourcePort, "source_ports"),
];

/// How well a criterion fits: `None` not at all, 0 because it is "any", else the higher the better.
type Fit = Option<u32>;

/// The chain for a connection, if there is one.
pub fn select_chain<'a>(listener: &'a Listener, facts: &ConnectionFacts) -> Option<Selection<'a>> {
    let mut chains: Vec<&Arc<FilterChain>> = listener.chains.iter().collect();
    let mut criteria = Criteria::default();
    for (step, _) in STEPS {
        let best = chains.iter().filter_map(|chain| fit(step, &chain.matcher, facts)).max();
        let Some(best) = best else {
            chains.clear();
            break;
        };
        chains.retain(|chain| fit(step, &chain.matcher, facts) == Some(best));
        if best > 0 {
            criteria.insert(step);
        }
    }
    match chains.first() {
        Some(chain) => Some(Selection { chain, by: SelectedBy::Criteria(criteria) }),
        None => listener.default_chain.as_ref().map(|chain| Selection { chain, by: SelectedBy::Default }),
    }
}

fn fit(step: Criterion, matcher: &ChainMatch, facts: &ConnectionFacts) -> Fit {
    match step {
        Criterion::DestinationPort => match matcher.destination_port {
            None => Some(0),
            Some(port) => (port == facts.destination.port()).then_some(1),
        },
        Criterion::DestinationIp => longest_prefix(&matcher.destination_ranges, facts.destination.ip()),
        Criterion::ServerName => server_name(&matcher.server_names, facts.server_name.as_deref()),
        Criterion::TransportProtocol => match matcher.transport_protocol.as_deref() {
            None | Some("") => Some(0),
            Some(wanted) => (wanted == if facts.tls { "tls" } else { "raw_buffer" }).then_some(1),
        },
        Criterion::ApplicationProtocol => application_protocol(&matcher.application_protocols, facts),
        Criterion::DirectSourceIp => longest_prefix(&matcher.direct_source_ranges, facts.direct_source),
        Criterion::SourceType => match matcher.source_type {
            SourceType::Any => Some(0),
            SourceType::SameIpOrLoopback => is_local(facts).then_some(1),
            SourceType::External => (!is_local(facts)).then_some(1),
        },
        Criterion::SourceIp => longest_prefix(&matcher.source_ranges, facts.source.ip()),
        Criterion::SourcePort if matcher.source_ports.is_empty() => Some(0),
        Criterion::SourcePort => matcher.source_ports.contains(&facts.source.port()).then_some(1),
    }
}

/// The longest prefix that holds the address. `0.0.0.0/0` is as good as no range, as in Envoy.
fn longest_prefix(ranges: &[IpNet], address: IpAddr) -> Fit {
    if ranges.is_empty() {
        return Some(0);
    }
    let address = address.to_canonical();
    ranges.iter().filter(|range| range.contains(&address)).map(|range| u32::from(range.prefix_len())).max()
}

/// Exact beats wildcards, the longest wildcard beats shorter ones.
fn server_name(names: &[Arc<str>], given: Option<&str>) -> Fit {
    if names.is_empty() {
        return Some(0);
    }
    let given = given?;
    names
        .iter()
        .filter_map(|name| {
            if **name == *given {
                return Some(u32::MAX);
            }
            let suffix = name.strip_prefix('*').filter(|suffix| suffix.starts_with('.'))?;
            let fits = given.len() > suffix.len() && given.ends_with(suffix);
            fits.then(|| u32::try_from(suffix.len()).unwrap_or(u32::MAX - 1))
        })
        .max()
}

/// The earliest protocol of the client's list that some chain has wins.
fn application_protocol(wanted: &[Arc<str>], facts: &ConnectionFacts) -> Fit {
    if wanted.is_empty() {
        return Some(0);
    }
    let first = facts.application_protocols.iter().position(|protocol| wanted.contains(protocol))?;
    Some(u32::MAX - u32::try_from(first).unwrap_or(u32::MAX - 1))
}

fn is_local(facts: &ConnectionFacts) -> bool {
    let source = facts.source.ip().to_canonical();
    source.is_loopback() || source == facts.destination.ip().to_canonical()
}

impl Criteria {
    fn insert(&mut self, criterion: Criterion) {
        self.0 |= 1 << criterion as u16;
    }

    /// Whether `criterion` is in the set.
    pub fn contains(self, criterion: Criterion) -> bool {
        self.0 & (1 << criterion as u16) != 0
    }
}

impl std::fmt::Display for Selection<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.by {
            SelectedBy::Default => write!(f, "default filter chain `{}`", self.chain.name),
            SelectedBy::Criteria(criteria) => {
                let names: Vec<&str> = STEPS.iter().filter(|(step, _)| criteria.contains(*step)).map(|(_, name)| *name).collect();
                let by = if names.is_empty() { "no criteria".to_owned() } else { names.join(", ") };
                write!(f, "filter chain `{}` by {by}", self.chain.name)
            }
        }
    }
}

#[cfg(test)]
mod tests;
