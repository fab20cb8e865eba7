//! Endpoints: load assignments, from EDS or inside a cluster.

use std::sync::Arc;

use mesh_proto::envoy::config::{
    core::v3::{HealthStatus, Locality as WireLocality},
    endpoint::v3::{
        ClusterLoadAssignment, Endpoint as WireEndpoint, LbEndpoint, LocalityLbEndpoints,
        cluster_load_assignment::{Policy, policy::DropOverload},
        lb_endpoint::HostIdentifier,
    },
};

use super::{
    address::{self, Place},
    context::{Context, Result, ignored, refused},
    metadata, scalar, text,
};
use crate::{
    snapshot::{Endpoint, EndpointSet, Health, Locality, TransportMatch},
    upstream::state::States,
};

/// Priorities that Envoy allows.
const MAX_PRIORITY: u32 = 128;
/// `overprovisioning_factor`, if nothing else is said.
const OVERPROVISIONING: u32 = 140;

/// The cluster whose endpoints they are.
pub(crate) struct Of<'a> {
    pub(crate) cluster: &'a Arc<str>,
    pub(crate) transport_matches: &'a [TransportMatch],
    /// Localities are weighted.
    pub(crate) weighted: bool,
    /// Names are resolved.
    pub(crate) dns: bool,
}

/// The endpoints of a cluster that has none.
pub(crate) fn none() -> EndpointSet {
    EndpointSet { priorities: Vec::new(), overprovisioning: OVERPROVISIONING, drop: Vec::new(), names: Vec::new() }
}

/// A load assignment.
pub(crate) fn set(cx: &mut Context<'_>, states: &mut States, of: &Of<'_>, wire: &ClusterLoadAssignment) -> Result<EndpointSet> {
    let ClusterLoadAssignment { cluster_name: _, endpoints, named_endpoints, policy: wire_policy } = wire;
    refused!(cx; "endpoints would be missing"; named_endpoints);
    let mut set = none();
    cx.each("endpoints", endpoints, |cx, wire| {
        let (priority, locality) = locality(cx, states, of, wire, &mut set.names)?;
        if set.priorities.len() <= priority {
            set.priorities.resize_with(priority + 1, Vec::new);
        }
        set.priorities[priority].push(locality);
        Ok(())
    })?;
    if let Some(wire) = wire_policy {
        cx.field("policy", |cx| policy(cx, wire, &mut set))?;
    }
    Ok(set)
}

fn policy(cx: &mut Context<'_>, wire: &Policy, set: &mut EndpointSet) -> Result<()> {
    let Policy { drop_overloads, overprovisioning_factor, endpoint_stale_after, weighted_priority_health } = wire;
    ignored!(cx; endpoint_stale_after, weighted_priority_health);
    set.overprovisioning = match scalar::number(overprovisioning_factor.as_ref(), OVERPROVISIONING) {
        0 => return Err(cx.refuse_field("overprovisioning_factor", "must be more than zero")),
        factor => factor,
    };
    set.drop = cx.each("drop_overloads", drop_overloads, |cx, DropOverload { category, drop_percentage }| {
        let share = drop_percentage.as_ref().ok_or_else(|| cx.refuse_field("drop_percentage", "is missing"))?;
        Ok((Arc::from(category.as_str()), scalar::fraction(cx, "drop_percentage", share)?))
    })?;
    Ok(())
}

fn locality(
    cx: &mut Context<'_>,
    states: &mut States,
    of: &Of<'_>,
    wire: &LocalityLbEndpoints,
    names: &mut Vec<(Arc<str>, u16)>,
) -> Result<(usize, Locality)> {
    let LocalityLbEndpoints { locality, metadata, lb_endpoints, load_balancing_weight, priority, proximity, lb_config } = wire;
    ignored!(cx; metadata, proximity);
    refused!(cx; "endpoints would be missing; give lb_endpoints"; lb_config);
    if *priority > MAX_PRIORITY {
        return Err(cx.refuse_field("priority", "must be 0 to 128"));
    }
    let none = WireLocality::default();
    let WireLocality { region, zone, sub_zone } = locality.as_ref().unwrap_or(&none);
    let endpoints = cx.each("lb_endpoints", lb_endpoints, |cx, wire| endpoint(cx, states, of, wire, names))?;
    let locality = Locality {
        region: region.as_str().into(),
        zone: zone.as_str().into(),
        sub_zone: sub_zone.as_str().into(),
        // Where weights count, a locality without one gets nothing, as in Envoy.
        weight: of.weighted.then(|| scalar::number(load_balancing_weight.as_ref(), 0)),
        endpoints: endpoints.into_iter().flatten().map(Arc::new).collect(),
    };
    Ok((*priority as usize, locality))
}

/// An endpoint; `None`: its name is now among `names`.
fn endpoint(
    cx: &mut Context<'_>,
    states: &mut States,
    of: &Of<'_>,
    wire: &LbEndpoint,
    names: &mut Vec<(Arc<str>, u16)>,
) -> Result<Option<Endpoint>> {
    let LbEndpoint { health_status, metadata: wire_metadata, load_balancing_weight, host_identifier } = wire;
    let Some(HostIdentifier::Endpoint(wire)) = host_identifier else {
        return Err(cx.refuse_field("endpoint", "is missing; endpoint_name is not implemented"));
    };
    let WireEndpoint { address: wire_address, health_check_config, hostname, additional_addresses, observability_name } = wire;
    let place = cx.field("endpoint", |cx| {
        ignored!(cx; health_check_config, additional_addresses, observability_name);
        cx.field("address", |cx| {
            if of.dns { address::place(cx, wire_address.as_ref()) } else { address::address(cx, wire_address.as_ref()).map(Place::Address) }
        })
    })?;
    let weight = scalar::number(load_balancing_weight.as_ref(), 1);
    if weight == 0 {
        return Err(cx.refuse_field("load_balancing_weight", "must be at least 1"));
    }
    let health = match scalar::known(cx, "health_status", *health_status)? {
        HealthStatus::Unknown | HealthStatus::Healthy => Health::Healthy,
        HealthStatus::Unhealthy | HealthStatus::Timeout => Health::Unhealthy,
        HealthStatus::Draining => Health::Draining,
        HealthStatus::Degraded => Health::Degraded,
    };
    let address = match place {
        Place::Address(address) => address,
        Place::Name(name, port) => {
            names.push((name, port));
            return Ok(None);
        }
    };
    let transport_metadata = metadata::pairs(wire_metadata.as_ref(), "envoy.transport_socket_match");
    let meets = |criteria: &TransportMatch| criteria.criteria.iter().all(|pair| transport_metadata.contains(pair));
    Ok(Some(Endpoint {
        state: states.endpoint(of.cluster, &address),
        transport_match: of.transport_matches.iter().position(meets),
        address,
        hostname: text::optional(hostname),
        weight,
        health,
        transport_metadata,
        subset_metadata: metadata::pairs(wire_metadata.as_ref(), "envoy.lb"),
        workload: metadata::workload(wire_metadata.as_ref()),
    }))
}
