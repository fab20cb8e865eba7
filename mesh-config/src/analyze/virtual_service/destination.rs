//! Destinations: hosts that nobody serves, ports that are not there or not said, subsets that a gateway does not choose.

use std::collections::{BTreeSet, HashMap};

use super::{Target, targets};
use crate::{
    analyze::{
        Analyzer, code,
        context::{Context, Item},
        hosts::Host,
    },
    resource::{Kind, VirtualService, virtual_service::HttpAction},
};

/// Destinations that lead nowhere.
pub(in crate::analyze) static DESTINATION_HOST: Analyzer = Analyzer {
    name: "virtualservice.DestinationHostAnalyzer",
    about: "Checks that the hosts and ports that VirtualServices route to exist",
    codes: &[
        &code::REFERENCED_RESOURCE_NOT_FOUND,
        &code::VIRTUAL_SERVICE_DESTINATION_PORT_SELECTOR_REQUIRED,
        &code::INGRESS_ROUTE_RULES_NOT_AFFECTED,
    ],
    reads: &[Kind::ServiceEntry, Kind::VirtualService, Kind::Service],
    run: destinations,
};

fn destinations(cx: &mut Context<'_>) {
    let hosts = cx.hosts();
    let subsets = subsets(cx);
    for service in cx.all::<VirtualService>() {
        for target in targets(service.spec()) {
            match hosts.find(&service.meta().namespace, &service.spec().export_to, &target.destination.host) {
                Some(host) => port(cx, &service, &target, host),
                None => {
                    let what = if target.mirror { "mirror host" } else { "host" };
                    let path = format_args!("{}.host", target.path);
                    cx.report(&code::REFERENCED_RESOURCE_NOT_FOUND, service, path, &[&what, &target.destination.host]);
                }
            }
        }
        if !service.spec().gateways.is_empty() {
            unaffected(cx, &service, &subsets);
        }
    }
}

/// Whether a destination says which of the host's ports it means.
fn port<'a>(cx: &mut Context<'a>, service: &Item<'a, VirtualService>, target: &Target<'_>, host: Host<'_>) {
    let ports = host.ports();
    let name = &target.destination.host;
    match &target.destination.port {
        None if ports.len() > 1 => {
            let path = format_args!("{}.host", target.path);
            cx.report(&code::VIRTUAL_SERVICE_DESTINATION_PORT_SELECTOR_REQUIRED, service, path, &[name, &code::List(&ports)]);
        }
        Some(port) if !ports.contains(&port.number) => {
            let missing = format!("{name}:{}", port.number);
            let path = format_args!("{}.port.number", target.path);
            cx.report(&code::REFERENCED_RESOURCE_NOT_FOUND, service, path, &[&"host:port", &missing]);
        }
        None | Some(_) => {}
    }
}

/// VirtualServices by the hosts that they are for and route to a subset of.
type Subsets<'a> = HashMap<&'a str, Vec<Item<'a, VirtualService>>>;

fn subsets<'a>(cx: &Context<'a>) -> Subsets<'a> {
    let mut subsets: Subsets<'_> = HashMap::new();
    for service in cx.all::<VirtualService>() {
        let own: BTreeSet<&str> = service.spec().hosts.iter().map(String::as_str).collect();
        let chosen = routes(&service).filter(|(_, host, subset)| !subset.is_empty() && own.contains(host)).map(|(_, host, _)| host);
        for host in chosen.collect::<BTreeSet<_>>() {
            subsets.entry(host).or_default().push(service);
        }
    }
    subsets
}

/// A gateway routes to a host as a whole, while another VirtualService, which the gateway does not ask, chooses a subset of it.
fn unaffected<'a>(cx: &mut Context<'a>, service: &Item<'a, VirtualService>, subsets: &Subsets<'a>) {
    let mut told = BTreeSet::new();
    for (path, host, _) in routes(service).filter(|(_, _, subset)| subset.is_empty()) {
        for other in subsets.get(host).into_iter().flatten().filter(|other| told.insert(other.id())) {
            cx.report(&code::INGRESS_ROUTE_RULES_NOT_AFFECTED, service, path.as_str(), &[&other.key(), &service.key()]);
        }
    }
}

/// Destinations of HTTP routes: path, host and subset.
fn routes<'a>(service: &Item<'a, VirtualService>) -> impl Iterator<Item = (String, &'a str, &'a str)> + use<'a> {
    service.spec().http.iter().enumerate().flat_map(|(rule, http)| {
        let routes = if let HttpAction::Route(routes) = &http.action { routes.as_slice() } else { &[] };
        routes.iter().enumerate().map(move |(index, route)| {
            let destination = &route.destination;
            (format!("spec.http[{rule}].route[{index}].destination.host"), destination.host.as_str(), destination.subset.as_str())
        })
    })
}
