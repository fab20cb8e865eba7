//! VirtualServices and what they refer to: hosts, ports, subsets, gateways, claims of tokens.

mod claim;
mod conflict;
mod destination;
mod gateway;
mod subset;

pub(super) use claim::JWT_CLAIM_ROUTE;
pub(super) use conflict::CONFLICTING_MESH_GATEWAY_HOSTS;
pub(super) use destination::DESTINATION_HOST;
pub(super) use gateway::GATEWAY;
pub(super) use subset::DESTINATION_RULE;

use crate::resource::{
    VirtualService,
    virtual_service::{Destination, HttpAction},
};

/// The gateway that stands for all sidecars.
const MESH: &str = "mesh";

/// A destination of a VirtualService, and where it stands.
struct Target<'a> {
    destination: &'a Destination,
    /// `spec.http[0].route[1].destination`.
    path: String,
    /// It gets copies.
    mirror: bool,
}

/// Every destination: of TCP, TLS and HTTP routes, then mirrors.
fn targets(service: &VirtualService) -> Vec<Target<'_>> {
    let mut targets = Vec::new();
    let mut mirrors = Vec::new();
    let tcp = service.tcp.iter().enumerate().map(|(index, route)| (format!("spec.tcp[{index}]"), &route.route));
    let tls = service.tls.iter().enumerate().map(|(index, route)| (format!("spec.tls[{index}]"), &route.route));
    for (rule, routes) in tcp.chain(tls) {
        for (index, route) in routes.iter().enumerate() {
            targets.push(Target { destination: &route.destination, path: format!("{rule}.route[{index}].destination"), mirror: false });
        }
    }
    for (rule, http) in service.http.iter().enumerate() {
        if let HttpAction::Route(routes) = &http.action {
            for (index, route) in routes.iter().enumerate() {
                let path = format!("spec.http[{rule}].route[{index}].destination");
                targets.push(Target { destination: &route.destination, path, mirror: false });
            }
        }
        for (index, mirror) in http.mirrors.iter().enumerate() {
            // The old field for one mirror becomes the first of the list.
            let several = http.mirrors.len() > 1;
            let path =
                if several { format!("spec.http[{rule}].mirrors[{index}].destination") } else { format!("spec.http[{rule}].mirror") };
            mirrors.push(Target { destination: &mirror.destination, path, mirror: true });
        }
    }
    targets.append(&mut mirrors);
    targets
}

#[cfg(test)]
mod tests;
