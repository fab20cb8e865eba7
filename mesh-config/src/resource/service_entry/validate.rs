//! Rules of `ServiceEntry`.

use std::{collections::BTreeSet, net::IpAddr};

use super::{Location, Resolution, ServiceEntry};
use crate::{
    resource::{Object, Protocol, workload_entry},
    schema::{AGE, Crd},
    validate::{
        Checks, Validate,
        rules::{domain_problem, is_block, is_label, shown},
    },
};

impl Validate for ServiceEntry {
    const CRD: Option<Crd> = Some(
        Crd::of::<Self>()
            .short_names(&["se"])
            .columns(&[
                ("Hosts", ".spec.hosts", "string"),
                ("Location", ".spec.location", "string"),
                ("Resolution", ".spec.resolution", "string"),
                AGE,
            ])
            .requires_spec(),
    );

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        hosts(spec, checks);
        addresses(spec, checks);
        ports(object, checks);
        resolution(object, checks);
        endpoints(spec, checks);
        if let Some(selector) = &spec.workload_selector {
            checks.selector("workloadSelector.labels", &selector.labels);
            checks.selects_nothing_special("workloadSelector", &selector.labels);
            if spec.resolution == Resolution::None && !selector.labels.contains_key("") {
                checks.field("workloadSelector", |checks| {
                    let rule = "workloadSelector should not be set when resolution mode is NONE";
                    checks.warning(None, rule, "set resolution: STATIC, or nobody is sent to the selected workloads");
                });
            }
        }
        checks.export_to(&spec.export_to, &object.meta.namespace, true);
    }
}

fn hosts(spec: &ServiceEntry, checks: &mut Checks) {
    for (index, host) in spec.hosts.iter().enumerate() {
        let field = format!("hosts[{index}]");
        checks.domain(&field, host, true);
        let partial = host.starts_with('*') && !host.starts_with("*.") && host != "*";
        if partial && spec.resolution != Resolution::DynamicDns {
            checks.field(&field, |checks| {
                checks.warning(shown(host), "partial wildcard not allowed", "write `*.domain`, or set resolution: DYNAMIC_DNS");
            });
        }
    }
    // Without a name in the request nothing tells the hosts apart; with NONE the address does.
    let nameless = |protocol: Option<Protocol>| !protocol.is_some_and(|protocol| protocol.is_http() || protocol.is_tls());
    if spec.hosts.len() > 1 && spec.resolution != Resolution::None && spec.ports.iter().any(|port| nameless(port.protocol)) {
        checks.field("hosts", |checks| {
            let rule = "multiple hosts provided with non-HTTP, non-TLS ports";
            checks.error(shown(spec.hosts.len()), rule, "make an entry for each host, or declare the ports' protocol");
        });
    }
}

fn addresses(spec: &ServiceEntry, checks: &mut Checks) {
    for (index, address) in spec.addresses.iter().enumerate() {
        checks.field(&format!("addresses[{index}]"), |checks| {
            if !is_block(address) {
                checks.error(shown(address), "not an IP address or CIDR block", "write 10.0.0.1 or 10.0.0.0/16");
            }
        });
    }
}

fn ports(object: &Object<ServiceEntry>, checks: &mut Checks) {
    let spec = &object.spec;
    for (index, port) in spec.ports.iter().enumerate() {
        checks.field(&format!("ports[{index}]"), |checks| {
            if !is_label(&port.name) {
                let remedy = "use letters, digits and inner dashes, at most 63";
                checks.field("name", |checks| checks.error(shown(&port.name), "invalid port name", remedy));
            }
            let bytes = port.protocol.is_none_or(|protocol| protocol == Protocol::Tcp);
            if bytes && spec.addresses.is_empty() && !allocates(object) {
                let rule = "addresses are required for ports serving TCP (or unset) protocol";
                checks.warning(None, rule, "without one, the port catches traffic to every address");
            }
        });
    }
}

/// Whether the service can be given an address of its own.
fn allocates(object: &Object<ServiceEntry>) -> bool {
    object.spec.resolution != Resolution::None
        && !object.meta.labels.get("networking.istio.io/enable-autoallocate-ip").is_some_and(|value| value.eq_ignore_ascii_case("false"))
}

fn endpoints(spec: &ServiceEntry, checks: &mut Checks) {
    let ports: BTreeSet<&str> = spec.ports.iter().map(|port| port.name.as_str()).collect();
    checks.each("endpoints", &spec.endpoints, |checks, endpoint| {
        workload_entry::validate::endpoint(endpoint, checks);
        address(&endpoint.address, spec, checks);
        for name in endpoint.ports.keys().filter(|name| !ports.contains(name.as_str())) {
            checks.field("ports", |checks| {
                let rule = format!("endpoint port {name} is not defined by the service entry");
                checks.error(shown(name), rule, "use the name of one of the entry's ports");
            });
        }
    });
}

/// What an endpoint's address may be depends on how it is resolved.
fn address(address: &str, spec: &ServiceEntry, checks: &mut Checks) {
    let unix = address.starts_with("unix://");
    let is_address = address.parse::<IpAddr>().is_ok();
    checks.field("address", |checks| match spec.resolution {
        Resolution::Static if unix && spec.ports.len() != 1 => {
            checks.error(shown(address), "exactly 1 service port required for unix endpoints", "keep one port");
        }
        Resolution::Static if !unix && !is_address && !address.is_empty() => {
            let rule = "endpoint address is not a valid IP address, as resolution STATIC needs";
            checks.error(shown(address), rule, "write an IP address, or set resolution: DNS");
        }
        Resolution::Dns | Resolution::DnsRoundRobin if !is_address && (unix || address.is_empty()) => {
            let rule = "endpoint address is not a valid FQDN or an IP address, as resolution DNS needs";
            checks.error(shown(address), rule, "name the endpoint, or set resolution: STATIC");
        }
        _ => {}
    });
}

fn resolution(object: &Object<ServiceEntry>, checks: &mut Checks) {
    let spec = &object.spec;
    if spec.resolution == Resolution::DynamicDns {
        dynamic_dns(object, checks);
    }
    if !matches!(spec.resolution, Resolution::Dns | Resolution::DnsRoundRobin) {
        return;
    }
    if let Some(index) = spec.hosts.iter().position(|host| spec.endpoints.is_empty() && domain_problem(host, false).is_some()) {
        checks.field(&format!("hosts[{index}]"), |checks| {
            let rule = format!("hosts must be FQDN if no endpoints are provided for resolution mode {}", spec.resolution);
            checks.error(shown(&spec.hosts[index]), rule, "add endpoints, or name hosts without wildcards");
        });
    }
    // Traffic to the address has no name that says which host is meant.
    let bytes = |protocol: Option<Protocol>| protocol.is_some_and(|protocol| protocol.is_tcp() || protocol.is_tls());
    if spec.hosts.len() > 1 && !spec.addresses.is_empty() && spec.ports.iter().any(|port| bytes(port.protocol)) {
        checks.field("hosts", |checks| {
            let rule = "service entry can not have more than one host specified simultaneously with address and tcp port";
            checks.warning(shown(spec.hosts.len()), rule, "make an entry for each host, with an address of its own");
        });
    }
}

fn dynamic_dns(object: &Object<ServiceEntry>, checks: &mut Checks) {
    let spec = &object.spec;
    for (field, empty) in [("endpoints", spec.endpoints.is_empty()), ("addresses", spec.addresses.is_empty())] {
        if !empty {
            checks.field(field, |checks| {
                checks.error(
                    None,
                    format!("{field} cannot be set for resolution type DYNAMIC_DNS"),
                    "remove them: the request names the host",
                );
            });
        }
    }
    for (index, host) in spec.hosts.iter().enumerate() {
        if !host.starts_with('*') {
            checks.field(&format!("hosts[{index}]"), |checks| {
                let rule = "host must be wildcarded for resolution mode DYNAMIC_DNS";
                checks.error(shown(host), rule, "write `*.domain`, or set resolution: DNS");
            });
        }
    }
    for (index, port) in spec.ports.iter().enumerate() {
        if !matches!(port.protocol, Some(Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::Tls)) {
            checks.field(&format!("ports[{index}].protocol"), |checks| {
                let rule = "only HTTP, TLS, GRPC, and HTTP2 protocols are supported for resolution type DYNAMIC_DNS";
                checks.error(port.protocol.and_then(shown), rule, "declare one of them");
            });
        }
    }
    let waypoint =
        object.meta.labels.get("istio.io/use-waypoint").is_some_and(|name| !name.is_empty() && !name.eq_ignore_ascii_case("none"));
    if spec.location == Location::MeshInternal && waypoint {
        checks.field("location", |checks| {
            let rule = "location MESH_INTERNAL with resolution type DYNAMIC_DNS is not supported when using waypoints";
            checks.error(shown(spec.location), rule, "set location: MESH_EXTERNAL");
        });
    }
}
