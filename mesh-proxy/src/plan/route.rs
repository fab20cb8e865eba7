//! Which route of a table takes a request, and which cluster of it.
//!
//! Envoy's rules ("HTTP routing", `VirtualHost.domains`, `RouteMatch`): the virtual host by exact domain, then the longest
//! suffix wildcard, then the longest prefix wildcard, then `*`; in it the first route all of whose conditions hold. A host with a
//! port is looked up as it is, unless the table ignores ports. One random number serves the runtime fraction and the choice
//! among weighted clusters, as in Envoy.

use std::{borrow::Cow, fmt, sync::Arc};

use http::Method;

use super::facts::{Repeated, RequestFacts, Values, header_matches, query_matches};
use crate::snapshot::{
    Action, ClusterSlot, Forward, HostIndex, PathMatch, Redirect, Route, RouteMatch, RouteTable, Snapshot, StripPort, Target, TcpProxy,
    VirtualHost, WeightedCluster,
};

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum RouteDecision {
    /// No virtual host has the authority: 404, `NR`.
    NoVirtualHost,
    /// No route of the virtual host matches: 404, `NR`.
    NoRoute {
        /// The virtual host.
        virtual_host: Arc<VirtualHost>,
    },
    /// The virtual host wants TLS and the request came without: 301 to the same URL with `https`.
    RequireTls {
        /// The virtual host.
        virtual_host: Arc<VirtualHost>,
    },
    /// A route matches.
    Matched(Matched),
}

/// The route that takes a request.
#[derive(Debug, Clone)]
pub struct Matched {
    /// Its virtual host.
    pub virtual_host: Arc<VirtualHost>,
    /// The route.
    pub route: Arc<Route>,
    /// Its index among the virtual host's routes.
    pub index: usize,
    /// Where it leads.
    pub chosen: Chosen,
}

/// Where a route leads for this request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// To this cluster.
    Cluster(ClusterSlot),
    /// To the cluster of this index among the route's weighted clusters.
    Part(usize, ClusterSlot),
    /// To the cluster that a request header names; empty if the header is absent.
    Named(Box<str>),
    /// A redirect: see [`Matched::redirect`].
    Redirect,
    /// An answer of the route's own.
    Direct,
    /// 500: the action is not implemented.
    Refuse,
}

/// Where in the configuration a decision comes from, for people.
#[derive(Debug, Clone, Copy)]
pub struct Provenance<'a> {
    table: &'a RouteTable,
    decision: &'a RouteDecision,
}

/// Routes a request. `draw` is a uniform random number.
pub fn route(table: &RouteTable, request: &RequestFacts<'_>, draw: u64) -> RouteDecision {
    let Some(virtual_host) = virtual_host(table, request.authority) else {
        return RouteDecision::NoVirtualHost;
    };
    let virtual_host = virtual_host.clone();
    if virtual_host.require_tls && !request.scheme.eq_ignore_ascii_case("https") {
        return RouteDecision::RequireTls { virtual_host };
    }
    let found = virtual_host.routes.iter().enumerate().find(|(_, route)| matches(&route.matcher, request, draw));
    match found {
        None => RouteDecision::NoRoute { virtual_host },
        Some((index, route)) => {
            let (route, chosen) = (route.clone(), choose(&route.action, request, draw));
            RouteDecision::Matched(Matched { virtual_host, route, index, chosen })
        }
    }
}

/// The cluster of a TCP proxy that takes a connection. `draw` is a uniform random number.
pub fn tcp_cluster(proxy: &TcpProxy, draw: u64) -> Option<ClusterSlot> {
    let total: u64 = proxy.clusters.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut left = draw.checked_rem(total)?;
    proxy.clusters.iter().find_map(|(cluster, weight)| match left.checked_sub(u64::from(*weight)) {
        Some(rest) => {
            left = rest;
            None
        }
        None => Some(*cluster),
    })
}

/// The virtual host that `authority` belongs to.
pub fn virtual_host<'a>(table: &'a RouteTable, authority: &str) -> Option<&'a Arc<VirtualHost>> {
    let authority = if table.ignore_port { without_port(authority) } else { authority };
    table.virtual_hosts.get(look_up(&table.hosts, authority)?)
}

/// Whether all of a route's conditions hold.
pub fn matches(matcher: &RouteMatch, request: &RequestFacts<'_>, draw: u64) -> bool {
    let tls = |wanted: Option<bool>, is: bool| wanted.is_none_or(|wanted| wanted == is);
    path_matches(matcher, request)
        && matcher.headers.iter().all(|header| header_matches(header, &request.values(&header.name), Repeated::AnyStrict))
        && matcher.query.iter().all(|query| query_matches(query, request.path))
        && (!matcher.grpc || request.is_grpc())
        && matcher.fraction.is_none_or(|fraction| fraction.hits(draw))
        && tls(matcher.client_cert_presented, request.tls.is_some_and(|tls| tls.peer_certificate.is_some()))
        && tls(matcher.client_cert_validated, request.tls.is_some_and(|tls| tls.verified))
}

/// `authority` with its port taken off as the connection manager asks. `local_port` is the port the connection came in on.
pub fn strip_port(authority: &str, mode: StripPort, local_port: u16) -> &str {
    let stripped = without_port(authority);
    match mode {
        StripPort::No => authority,
        StripPort::Any => stripped,
        StripPort::Matching => {
            let port = authority[stripped.len()..].strip_prefix(':').and_then(|port| port.parse::<u16>().ok());
            if port == Some(local_port) { stripped } else { authority }
        }
    }
}

/// A host without its port; the colons of an IPv6 address in brackets are none.
pub(super) fn without_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if authority.rfind(']').is_none_or(|bracket| bracket < colon) => &authority[..colon],
        _ => authority,
    }
}

fn look_up(index: &HostIndex, authority: &str) -> Option<usize> {
    if index.exact.is_empty() && index.suffix.is_empty() && index.prefix.is_empty() {
        return index.any;
    }
    if authority.is_empty() {
        return None;
    }
    let host = lower(authority);
    if let Some(at) = index.exact.get(&*host) {
        return Some(*at);
    }
    // A wildcard stands for at least one character.
    let suffix = index.suffix.iter().find(|(suffix, _)| suffix.len() < host.len() && host.ends_with(&**suffix));
    let prefix = || index.prefix.iter().find(|(prefix, _)| prefix.len() < host.len() && host.starts_with(&**prefix));
    suffix.or_else(prefix).map(|(_, at)| *at).or(index.any)
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) { Cow::Owned(text.to_ascii_lowercase()) } else { Cow::Borrowed(text) }
}

fn path_matches(matcher: &RouteMatch, request: &RequestFacts<'_>) -> bool {
    if matches!(matcher.path, PathMatch::Connect) {
        return request.method == Method::CONNECT;
    }
    if request.path.is_empty() {
        return false;
    }
    let path = request.path_only();
    let folded = if matcher.case_sensitive { Cow::Borrowed(path) } else { lower(path) };
    match &matcher.path {
        PathMatch::Prefix(prefix) => folded.starts_with(&**prefix),
        PathMatch::SegmentPrefix(prefix) => folded.strip_prefix(&**prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        PathMatch::Exact(exact) => *folded == **exact,
        PathMatch::Regex(regex) => regex.is_match(path),
        PathMatch::Connect => false,
    }
}

fn choose(action: &Action, request: &RequestFacts<'_>, draw: u64) -> Chosen {
    let forward = match action {
        Action::Forward(forward) => forward,
        Action::Redirect(_) => return Chosen::Redirect,
        Action::Direct { .. } => return Chosen::Direct,
        Action::Refuse { .. } => return Chosen::Refuse,
    };
    match &forward.target {
        Target::Cluster(slot) => Chosen::Cluster(*slot),
        Target::Header(name) => {
            let value = match Values::of(request.headers, name) {
                Values::Absent => Cow::Borrowed(""),
                Values::One(value) => value,
                Values::Many(mut values) => values.swap_remove(0),
            };
            Chosen::Named(value.into())
        }
        Target::Weighted { clusters, total, draw: header } => {
            let given = header.as_ref().and_then(|name| match Values::of(request.headers, name) {
                Values::One(value) => value.parse::<u64>().ok(),
                _ => None,
            });
            weighted(clusters, *total, given.unwrap_or(draw))
        }
    }
}

fn weighted(clusters: &[WeightedCluster], total: u32, draw: u64) -> Chosen {
    let point = draw % u64::from(total.max(1));
    let mut end = 0;
    for (index, part) in clusters.iter().enumerate() {
        end += u64::from(part.weight);
        if point < end {
            return Chosen::Part(index, part.cluster);
        }
    }
    Chosen::Named("".into())
}

impl RouteDecision {
    /// The route, if one matched.
    pub fn matched(&self) -> Option<&Matched> {
        match self {
            Self::Matched(matched) => Some(matched),
            _ => None,
        }
    }

    /// Where in `table` this decision comes from; prints as `route table T > virtual host X > route #3 `name``.
    pub fn provenance<'a>(&'a self, table: &'a RouteTable) -> Provenance<'a> {
        Provenance { table, decision: self }
    }
}

impl Matched {
    /// How it forwards, if it does.
    pub fn forward(&self) -> Option<&Forward> {
        match &self.route.action {
            Action::Forward(forward) => Some(forward),
            _ => None,
        }
    }

    /// How it redirects, if it does.
    pub fn redirect(&self) -> Option<&Redirect> {
        match &self.route.action {
            Action::Redirect(redirect) => Some(redirect),
            _ => None,
        }
    }

    /// The weighted cluster chosen, if the target is weighted.
    pub fn part(&self) -> Option<&WeightedCluster> {
        match (&self.chosen, &self.forward()?.target) {
            (Chosen::Part(index, _), Target::Weighted { clusters, .. }) => clusters.get(*index),
            _ => None,
        }
    }

    /// The cluster chosen; `None` if it forwards nowhere or a header names a cluster that `snapshot` does not have.
    pub fn cluster(&self, snapshot: &Snapshot) -> Option<ClusterSlot> {
        match &self.chosen {
            Chosen::Cluster(slot) | Chosen::Part(_, slot) => Some(*slot),
            Chosen::Named(name) => snapshot.cluster_names.get(&**name).copied(),
            Chosen::Redirect | Chosen::Direct | Chosen::Refuse => None,
        }
    }
}

impl fmt::Display for Provenance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route table {}", self.table.name)?;
        match self.decision {
            RouteDecision::NoVirtualHost => write!(f, " > no virtual host has this authority"),
            RouteDecision::NoRoute { virtual_host } => {
                write!(f, " > virtual host {} > none of its {} routes matches", virtual_host.name, virtual_host.routes.len())
            }
            RouteDecision::RequireTls { virtual_host } => write!(f, " > virtual host {} > require_tls", virtual_host.name),
            RouteDecision::Matched(matched) => {
                write!(f, " > virtual host {} > route #{}", matched.virtual_host.name, matched.index)?;
                if !matched.route.name.is_empty() {
                    write!(f, " `{}`", matched.route.name)?;
                }
                if let Some(provenance) = &matched.route.provenance {
                    write!(f, " (from {provenance})")?;
                }
                match &matched.chosen {
                    Chosen::Part(index, _) => write!(f, " > weighted cluster #{index}"),
                    Chosen::Named(name) => write!(f, " > cluster `{name}` by header"),
                    _ => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
