//! Rules of `VirtualService`.

mod headers;
mod http;
pub(crate) mod policy;

use std::net::IpAddr;

use mesh_proto::id::Hostname;

use super::{
    Destination, RouteDestination, TcpMatch, TlsMatch, VirtualService,
    reach::{self, Unreachable},
};
use crate::{
    resource::{Labels, Object},
    schema::{AGE, Crd},
    validate::{
        Checks, Validate,
        rules::{domain_length, domain_problem, is_block, is_label, overlap, shown},
    },
};

/// The name that stands for all sidecars.
const MESH: &str = "mesh";

impl Validate for VirtualService {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().short_names(&["vs"]).columns(&[
        ("Gateways", ".spec.gateways", "string"),
        ("Hosts", ".spec.hosts", "string"),
        AGE,
    ]));

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        if spec.http.is_empty() && spec.tls.is_empty() && spec.tcp.is_empty() {
            checks.error(None, "http, tcp or tls must be provided in virtual service", "add a route");
        }
        if spec.hosts.is_empty() {
            delegate(spec, checks);
        }
        hosts(spec, checks);
        gateways("gateways", &spec.gateways, checks);
        let is_delegate = spec.hosts.is_empty();
        checks.each("http", &spec.http, |checks, route| http::route(route, is_delegate, checks));
        shadowed(spec, checks);
        http::claims(spec, checks);
        checks.each("tls", &spec.tls, |checks, route| {
            if route.r#match.is_empty() {
                let rule = "TLS route must have at least one match condition";
                checks.field("match", |checks| checks.error(None, rule, "add a match with sniHosts"));
            }
            checks.each("match", &route.r#match, |checks, item| tls_match(item, spec, checks));
            destinations("TLS", &route.route, checks);
        });
        checks.each("tcp", &spec.tcp, |checks, route| {
            checks.each("match", &route.r#match, |checks, item| tcp_match(item, checks));
            destinations("TCP", &route.route, checks);
        });
        checks.export_to(&spec.export_to, &object.meta.namespace, false);
    }
}

/// A VirtualService without hosts is only ever reached through another.
fn delegate(spec: &VirtualService, checks: &mut Checks) {
    for (field, empty) in [("gateways", spec.gateways.is_empty()), ("tls", spec.tls.is_empty()), ("tcp", spec.tcp.is_empty())] {
        if !empty {
            checks.field(field, |checks| {
                let rule = format!("delegate virtual service must have no {field} specified");
                checks.error(None, rule, format!("remove {field}, or add hosts if this is no delegate"));
            });
        }
    }
}

/// Whether no sidecar reads it: gateways are named, and `mesh` is none of them.
fn only_gateways(spec: &VirtualService) -> bool {
    !spec.gateways.is_empty() && !spec.gateways.iter().any(|gateway| gateway == MESH)
}

fn hosts(spec: &VirtualService, checks: &mut Checks) {
    let at_gateways = only_gateways(spec);
    let by_sni = spec.tls.iter().flat_map(|route| &route.r#match).any(|item| !item.sni_hosts.is_empty());
    let mut valid = true;
    for (index, host) in spec.hosts.iter().enumerate() {
        let field = format!("hosts[{index}]");
        let problem = if host.parse::<IpAddr>().is_ok() { None } else { sni_problem(host, at_gateways && by_sni) };
        if let Some(problem) = problem {
            valid = false;
            checks.field(&field, |checks| {
                checks.error(shown(host), problem, "use a DNS name; a wildcard only as or at the start of the first label");
            });
        } else if host == "*" && !at_gateways {
            valid = false;
            checks.field(&field, |checks| {
                let rule = "wildcard host * is not allowed for virtual services bound to the mesh gateway";
                checks.error(shown(host), rule, "name the hosts, or bind it to a gateway only");
            });
        }
    }
    if !valid {
        return;
    }
    for (index, host) in spec.hosts.iter().enumerate() {
        if let Some(other) = spec.hosts[..index].iter().find(|other| overlap(other, host)) {
            checks.field(&format!("hosts[{index}]"), |checks| {
                let rule = format!("duplicate hosts in virtual service: {other} & {host}");
                checks.error(shown(host), rule, "remove the one that the other covers");
            });
        }
    }
}

/// What is wrong with a name to match, with or without a wildcard; with `generated`, it may be one that AUTO_PASSTHROUGH makes of a service:
/// `outbound_.port_.subset_.host`.
fn sni_problem(name: &str, generated: bool) -> Option<&'static str> {
    let Some(rest) = name.strip_prefix("outbound_").filter(|_| generated && domain_length(name)) else { return domain_problem(name, true) };
    let mut parts = rest.split('_').map(|part| part.trim_matches('.'));
    let (Some(port), Some(_subset), Some(host)) = (parts.next(), parts.next(), parts.next()) else {
        return Some("invalid domain name: it should follow outbound_.<PORT>_.<SUBSET>_.<HOSTNAME>");
    };
    let digit = port.contains(|c: char| c.is_ascii_digit());
    let letter = host.contains(|c: char| c.is_ascii_alphabetic());
    (!digit || !letter).then_some("invalid domain name: it should follow outbound_.<PORT>_.<SUBSET>_.<HOSTNAME>")
}

/// Reports what can never take a request.
fn shadowed(spec: &VirtualService, checks: &mut Checks) {
    for Unreachable { list, rule, matched, reason, .. } in reach::unreachable(spec) {
        let place = match matched {
            Some(matched) => format!("{list}[{rule}].match[{matched}]"),
            None => format!("{list}[{rule}]"),
        };
        checks.field(&place, |checks| {
            checks.warning(None, format!("never used: {reason}"), "move it up, remove it, or narrow what comes before");
        });
    }
}

/// `mesh`, `name` or `namespace/name`.
pub(super) fn gateways(field: &str, names: &[String], checks: &mut Checks) {
    checks.each(field, names, |checks, name| match name.split_once('/') {
        None => {
            if name.contains('.') {
                let rule = "using legacy gatewayName format";
                checks.warning(shown(name), rule, "write namespace/name");
            }
            checks.domain("", name, false);
        }
        Some((namespace, short)) if !is_label(namespace) || !is_label(short) => {
            let rule = "config namespace and gateway name cannot be empty, and must be DNS labels";
            checks.error(shown(name), rule, "write name, namespace/name or mesh");
        }
        Some(_) => {}
    });
}

/// A namespace to match, if one is given.
pub(super) fn source(labels: &Labels, namespace: &str, checks: &mut Checks) {
    checks.labels("sourceLabels", labels);
    if !namespace.is_empty() && !is_label(namespace) {
        checks.field("sourceNamespace", |checks| {
            checks.error(shown(namespace), "not a namespace", "write the name of one namespace");
        });
    }
}

fn subnets(blocks: &[String], checks: &mut Checks) {
    checks.each("destinationSubnets", blocks, |checks, block| {
        if !is_block(block) {
            checks.error(shown(block), "not an IP address or CIDR block", "write 10.0.0.1 or 10.0.0.0/16");
        }
    });
}

fn tls_match(item: &TlsMatch, spec: &VirtualService, checks: &mut Checks) {
    if item.sni_hosts.is_empty() {
        checks.field("sniHosts", |checks| {
            checks.error(None, "TLS match must have at least one SNI host", "list the hosts");
        });
    }
    checks.each("sniHosts", &item.sni_hosts, |checks, sni| {
        if sni.parse::<IpAddr>().is_ok() {
            let rule = "using an IP address goes against SNI spec and most clients do not support this";
            return checks.warning(shown(sni), rule, "use a DNS name");
        }
        // Here, Istio takes a VirtualService without gateways for one of a gateway.
        let at_gateways = !spec.gateways.iter().any(|gateway| gateway == MESH);
        if let Some(problem) = sni_problem(sni, at_gateways) {
            return checks.error(shown(sni), problem, "use a DNS name; a wildcard only as or at the start of the first label");
        }
        if !spec.hosts.iter().any(|host| covers(host, sni)) {
            let rule =
                format!("SNI host {sni:?} is not a compatible subset of any of the virtual service hosts: [{}]", spec.hosts.join(", "));
            checks.error(shown(sni), rule, "add it to hosts, or match a host of the list");
        }
    });
    subnets(&item.destination_subnets, checks);
    source(&item.source_labels, &item.source_namespace, checks);
    gateways("gateways", &item.gateways, checks);
}

fn covers(host: &str, sni: &str) -> bool {
    match (host.parse::<Hostname>(), sni.parse::<Hostname>()) {
        (Ok(host), Ok(sni)) => host == sni || host.covers(&sni),
        _ => {
            host.eq_ignore_ascii_case(sni) || host.strip_prefix('*').is_some_and(|suffix| sni.len() > suffix.len() && sni.ends_with(suffix))
        }
    }
}

fn tcp_match(item: &TcpMatch, checks: &mut Checks) {
    subnets(&item.destination_subnets, checks);
    if !item.source_subnet.is_empty() {
        checks.field("sourceSubnet", |checks| {
            checks.warning(shown(&item.source_subnet), "sourceSubnet has no effect", "match sourceLabels or sourceNamespace");
        });
    }
    source(&item.source_labels, &item.source_namespace, checks);
    gateways("gateways", &item.gateways, checks);
}

fn destinations(what: &str, route: &[RouteDestination], checks: &mut Checks) {
    if route.is_empty() {
        let rule = format!("{what} route is required");
        return checks.field("route", |checks| checks.error(None, rule, "add a destination"));
    }
    checks.each("route", route, |checks, item| destination("destination", &item.destination, checks));
    weights(route.iter().map(|item| item.weight), checks);
}

/// Shares: none negative, not all of several zero.
pub(super) fn weights(weights: impl ExactSizeIterator<Item = i32>, checks: &mut Checks) {
    let (count, mut total) = (weights.len(), 0_i64);
    for (index, weight) in weights.enumerate() {
        total += i64::from(weight);
        if weight < 0 {
            checks.field(&format!("route[{index}].weight"), |checks| {
                checks.error(shown(weight), format!("weight {weight} < 0"), "set 0 or more");
            });
        }
    }
    if count > 1 && total == 0 {
        checks.field("route", |checks| {
            checks.error(None, "total destination weight = 0", "give one of the destinations a weight");
        });
    }
}

/// A place that requests can be sent to.
pub(crate) fn destination(field: &str, destination: &Destination, checks: &mut Checks) {
    checks.field(field, |checks| {
        if destination.host == "*" {
            checks.field("host", |checks| {
                checks.error(shown("*"), "invalid destination host *", "name a service");
            });
        } else {
            checks.domain("host", &destination.host, true);
        }
        if !destination.subset.is_empty() && !is_label(&destination.subset) {
            checks.field("subset", |checks| {
                let remedy = "use letters, digits and inner dashes";
                checks.error(shown(&destination.subset), "subset name is invalid", remedy);
            });
        }
        if let Some(port) = &destination.port {
            checks.port("port.number", port.number);
        }
    });
}
