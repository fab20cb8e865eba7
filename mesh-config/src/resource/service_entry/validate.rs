//! Rules of `ServiceEntry`.

use std::collections::BTreeSet;

use mesh_proto::id::Hostname;

use super::{Resolution, ServiceEntry};
use crate::{
    resource::{Object, Protocol, workload_entry},
    validate::{
        Checks, Validate,
        rules::{is_block, is_label, shown},
    },
};

impl Validate for ServiceEntry {
    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        hosts(spec, checks);
        addresses(spec, checks);
        ports(spec, checks);
        endpoints(spec, checks);
        if let Some(selector) = &spec.workload_selector {
            checks.selector("workloadSelector.labels", &selector.labels);
            checks.selects_nothing_special("workloadSelector", &selector.labels);
        }
        checks.export_to(&spec.export_to, &object.meta.namespace);
    }
}

fn hosts(spec: &ServiceEntry, checks: &mut Checks) {
    if spec.hosts.is_empty() || spec.hosts.len() > 256 {
        checks.field("hosts", |checks| {
            checks.error(shown(spec.hosts.len()), "service entry must have at least one host, and at most 256", "list the hosts");
        });
    }
    for (index, host) in spec.hosts.iter().enumerate() {
        if host == "*" {
            checks.field(&format!("hosts[{index}]"), |checks| {
                checks.error(shown(host), "hostname cannot be wildcard", "name a domain, such as `*.example.com`");
            });
        } else {
            checks.host(&format!("hosts[{index}]"), host, true);
        }
    }
}

fn addresses(spec: &ServiceEntry, checks: &mut Checks) {
    for (index, address) in spec.addresses.iter().enumerate() {
        checks.field(&format!("addresses[{index}]"), |checks| {
            if !is_block(address) {
                checks.error(shown(address), "not an IP address or CIDR block", "write 10.0.0.1 or 10.0.0.0/16");
            } else if address.contains('/') && !matches!(spec.resolution, Resolution::None | Resolution::Static) {
                let rule = "CIDR addresses are allowed only for NONE/STATIC resolution types";
                checks.error(shown(address), rule, "write single addresses, or change the resolution");
            }
        });
    }
}

fn ports(spec: &ServiceEntry, checks: &mut Checks) {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in spec.ports.iter().enumerate() {
        checks.field(&format!("ports[{index}]"), |checks| {
            checks.port("number", port.number);
            if let Some(target) = port.target_port {
                checks.port("targetPort", target);
            }
            if !is_label(&port.name) {
                let remedy = "use letters, digits and inner dashes, at most 63";
                checks.field("name", |checks| checks.error(shown(&port.name), "invalid port name", remedy));
            }
            checks.unique("name", &mut names, port.name.as_str(), "Duplicate value: port name already defined");
            checks.unique("number", &mut numbers, port.number, "port number cannot be duplicated");
            let bytes = port.protocol.is_none_or(Protocol::is_tcp);
            if bytes && spec.addresses.is_empty() && spec.resolution != Resolution::DynamicDns {
                let rule = "addresses are required for ports serving TCP (or unset) protocol";
                checks.warning(None, rule, "without one, the port catches traffic to every address");
            }
        });
    }
}

fn endpoints(spec: &ServiceEntry, checks: &mut Checks) {
    let count = spec.endpoints.len();
    let rule = |checks: &mut Checks, rule: &str, remedy: &str| {
        checks.field("endpoints", |checks| checks.error(shown(count), rule, remedy));
    };
    if count > 0 && spec.workload_selector.is_some() {
        rule(checks, "only one of WorkloadSelector or Endpoints can be set", "keep one");
    }
    if count > 4096 {
        rule(checks, "at most 4096 endpoints", "split the entry, or select workloads");
    }
    match spec.resolution {
        Resolution::None if count > 0 => rule(checks, "NONE mode cannot set endpoints", "set resolution: STATIC"),
        Resolution::DnsRoundRobin if count > 1 => {
            rule(checks, "DNS_ROUND_ROBIN mode cannot have multiple endpoints", "keep one, or set resolution: DNS");
        }
        Resolution::DynamicDns => dynamic_dns(spec, checks),
        Resolution::Dns | Resolution::DnsRoundRobin if count == 0 && spec.workload_selector.is_none() => {
            for (index, host) in spec.hosts.iter().enumerate() {
                if host.parse::<Hostname>().is_ok_and(|host| host.is_wildcard()) {
                    checks.field(&format!("hosts[{index}]"), |checks| {
                        let rule = format!("hosts must be FQDN if no endpoints are provided for resolution mode {}", spec.resolution);
                        checks.error(shown(host), rule, "add endpoints, or name hosts without wildcards");
                    });
                }
            }
        }
        Resolution::None | Resolution::Static | Resolution::Dns | Resolution::DnsRoundRobin => {}
    }
    let ports: BTreeSet<&str> = spec.ports.iter().map(|port| port.name.as_str()).collect();
    checks.each("endpoints", &spec.endpoints, |checks, endpoint| {
        workload_entry::validate::endpoint(endpoint, checks);
        if endpoint.address.starts_with("unix://") && spec.ports.len() != 1 {
            checks.error(shown(&endpoint.address), "exactly 1 service port required for unix endpoints", "keep one port");
        }
        if endpoint.address.starts_with("unix://") && matches!(spec.resolution, Resolution::Dns | Resolution::DnsRoundRobin) {
            checks.field("address", |checks| {
                let rule = "endpoint address is not a valid FQDN or an IP address, as resolution DNS needs";
                checks.error(shown(&endpoint.address), rule, "set resolution: STATIC");
            });
        }
        if spec.resolution == Resolution::Static
            && !endpoint.address.is_empty()
            && !endpoint.address.starts_with("unix://")
            && endpoint.address.parse::<std::net::IpAddr>().is_err()
        {
            checks.field("address", |checks| {
                let rule = "endpoint address is not a valid IP address, as resolution STATIC needs";
                checks.error(shown(&endpoint.address), rule, "write an IP address, or set resolution: DNS");
            });
        }
        for name in endpoint.ports.keys().filter(|name| !ports.contains(name.as_str())) {
            checks.field("ports", |checks| {
                let rule = format!("endpoint port {name} is not defined by the service entry");
                checks.error(shown(name), rule, "use the name of one of the entry's ports");
            });
        }
    });
}

fn dynamic_dns(spec: &ServiceEntry, checks: &mut Checks) {
    if !spec.endpoints.is_empty() || !spec.addresses.is_empty() {
        checks.field("resolution", |checks| {
            checks.error(shown(spec.resolution), "DYNAMIC_DNS mode cannot set addresses or endpoints", "remove them");
        });
    }
    for (index, host) in spec.hosts.iter().enumerate() {
        if !host.starts_with("*") {
            checks.field(&format!("hosts[{index}]"), |checks| {
                checks.error(shown(host), "DYNAMIC_DNS mode needs wildcard hosts", "write `*.domain`, or set resolution: DNS");
            });
        }
    }
    for (index, port) in spec.ports.iter().enumerate() {
        if !port.protocol.is_some_and(|protocol| protocol.is_http() || protocol.is_tls()) {
            checks.field(&format!("ports[{index}].protocol"), |checks| {
                checks.error(None, "DYNAMIC_DNS mode needs HTTP, HTTPS, HTTP2, GRPC or TLS", "declare the protocol");
            });
        }
    }
}
