//! Rules of a Kubernetes `Service`: those of the API server that decide where traffic goes.

use std::collections::BTreeSet;

use super::{Service, ServiceType};
use crate::{
    resource::Object,
    validate::{
        Checks, Validate,
        rules::{is_label, shown},
    },
};

impl Validate for Service {
    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        if spec.kind == ServiceType::ExternalName {
            checks.host("externalName", &spec.external_name, false);
        } else if spec.ports.is_empty() && spec.cluster_ip != "None" {
            checks.field("ports", |checks| {
                checks.error(None, "Required value: a service has at least one port", "list its ports");
            });
        }
        for (index, ip) in spec.cluster_ips.iter().chain([&spec.cluster_ip]).enumerate() {
            if !ip.is_empty() && ip != "None" && ip.parse::<std::net::IpAddr>().is_err() {
                let field = if index < spec.cluster_ips.len() { format!("clusterIPs[{index}]") } else { "clusterIP".to_owned() };
                checks.field(&field, |checks| {
                    checks.error(shown(ip), "not an IP address", "leave it out, or write `None` for a headless service");
                });
            }
        }
        ports(spec, checks);
        checks.labels("selector", &spec.selector);
    }
}

fn ports(spec: &Service, checks: &mut Checks) {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in spec.ports.iter().enumerate() {
        checks.field(&format!("ports[{index}]"), |checks| {
            checks.port("port", port.port);
            if port.name.is_empty() {
                if spec.ports.len() > 1 {
                    let rule = "Required value: every port of several has a name";
                    checks.field("name", |checks| checks.error(None, rule, "name it, such as `http-web`"));
                }
            } else if !is_label(&port.name) || port.name.bytes().any(|b| b.is_ascii_uppercase()) {
                let remedy = "use lower-case letters, digits and inner dashes";
                checks.field("name", |checks| checks.error(shown(&port.name), "invalid port name", remedy));
            } else {
                checks.unique("name", &mut names, port.name.as_str(), "Duplicate value: port name");
            }
            if !numbers.insert((port.port, port.protocol)) {
                checks.field("port", |checks| {
                    checks.error(shown(port.port), "Duplicate value: port and protocol", "give each its own");
                });
            }
        });
    }
}
