//! Ports of Gateways that the gateway's Kubernetes Service does not have.

use std::collections::{BTreeSet, HashMap};

use crate::{
    analyze::{
        Analyzer, code,
        context::{Context, Item},
        selector,
    },
    resource::{
        Gateway, Kind, Labels, Pod, Service,
        selector::selects,
        service::{TargetPort, Transport},
    },
};

/// Ports that cannot be reached.
pub(in crate::analyze) static INGRESS_PORT: Analyzer = Analyzer {
    name: "gateway.IngressGatewayPortAnalyzer",
    about: "Checks that the ports of Gateways are on the Services of the gateways' workloads",
    codes: &[&code::REFERENCED_RESOURCE_NOT_FOUND, &code::GATEWAY_PORT_NOT_DEFINED_ON_SERVICE],
    reads: &[Kind::Gateway, Kind::Pod, Kind::Service],
    run: ports,
};

fn ports(cx: &mut Context<'_>) {
    let services = Services::of(cx);
    // Few selectors, many Gateways.
    let mut open: HashMap<&Labels, Option<BTreeSet<u16>>> = HashMap::new();
    for gateway in cx.all::<Gateway>() {
        let labels = &gateway.spec().selector;
        let text = selector::text(labels);
        let Some(open) = open.entry(labels).or_insert_with(|| services.ports(&cx.selected_anywhere::<Pod>(labels))) else {
            cx.report(&code::REFERENCED_RESOURCE_NOT_FOUND, gateway, "spec.selector", &[&"selector", &text]);
            continue;
        };
        let mut told = BTreeSet::new();
        for (index, server) in gateway.spec().servers.iter().enumerate() {
            let number = server.port.number;
            if !open.contains(&number) && told.insert(number) {
                let path = format_args!("spec.servers[{index}].port.number");
                cx.report(&code::GATEWAY_PORT_NOT_DEFINED_ON_SERVICE, gateway, path, &[&number, &text]);
            }
        }
    }
}

/// Services by namespace and the first label that they select by.
struct Services<'a> {
    by_label: HashMap<(&'a str, &'a str, &'a str), Vec<Item<'a, Service>>>,
}

impl<'a> Services<'a> {
    fn of(cx: &Context<'a>) -> Self {
        let mut by_label: HashMap<_, Vec<_>> = HashMap::new();
        for service in cx.all::<Service>() {
            // A Service without a selector selects no pods.
            if let Some((key, value)) = service.spec().selector.first_key_value() {
                by_label.entry((service.meta().namespace.as_str(), key.as_str(), value.as_str())).or_default().push(service);
            }
        }
        Self { by_label }
    }

    /// The ports on which the Services of these pods lead to them, under the Service's number and the pod's; none if there are no pods.
    fn ports(&self, pods: &[Item<'a, Pod>]) -> Option<BTreeSet<u16>> {
        let mut ports = BTreeSet::new();
        for pod in pods {
            let meta = pod.meta();
            let candidates = meta.labels.iter().filter_map(|(key, value)| self.by_label.get(&(meta.namespace.as_str(), key, value)));
            for service in candidates.flatten().filter(|service| selects(&service.spec().selector, &meta.labels)) {
                for port in service.spec().ports.iter().filter(|port| port.protocol == Transport::Tcp) {
                    ports.insert(port.port);
                    if let Some(TargetPort::Number(number)) = port.target_port {
                        ports.insert(number);
                    }
                }
            }
        }
        (!pods.is_empty()).then_some(ports)
    }
}
