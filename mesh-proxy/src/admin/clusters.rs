//! `/clusters`: endpoints with their load and health.

use std::{fmt::Write as _, sync::atomic::Ordering};

use mesh_runtime::admin::{Reply, Request};
use serde_json::{Value, json};

use super::{Admin, address_json, wants_json};
use crate::snapshot::{Breakers, Cluster, Endpoint, Health, Locality};

pub(super) fn page(admin: &Admin, request: &Request) -> Reply {
    let snapshot = admin.plane.snapshot();
    let mut clusters: Vec<_> = snapshot.clusters.iter().flatten().collect();
    clusters.sort_by(|one, other| one.name.cmp(&other.name));
    if wants_json(request) {
        let statuses: Vec<Value> = clusters.iter().map(|cluster| status(admin, cluster)).collect();
        return Reply::json(&json!({ "cluster_statuses": statuses }));
    }
    let mut out = String::new();
    for cluster in clusters {
        text(admin, cluster, &mut out);
    }
    Reply::text(out)
}

fn text(admin: &Admin, cluster: &Cluster, out: &mut String) {
    let name = &cluster.name;
    let _ = writeln!(out, "{name}::observability_name::{}", cluster.stat_name);
    for (priority, breakers) in [("default", &cluster.breakers), ("high", &cluster.breakers_high)] {
        for (bound, value) in bounds(breakers) {
            let _ = writeln!(out, "{name}::{priority}_priority::{bound}::{value}");
        }
    }
    let _ = writeln!(out, "{name}::added_via_api::{}", admin.is_dynamic(name));
    for (priority, locality, endpoint) in endpoints(cluster) {
        let host = format!("{name}::{}", endpoint.address);
        for (stat, _, value) in stats(endpoint) {
            let _ = writeln!(out, "{host}::{stat}::{value}");
        }
        let hostname = endpoint.hostname.as_deref().unwrap_or_default();
        let flags = flags(endpoint).concat();
        let _ = writeln!(out, "{host}::hostname::{hostname}\n{host}::health_flags::{}", if flags.is_empty() { "healthy" } else { &flags });
        let _ = writeln!(out, "{host}::weight::{}\n{host}::region::{}", endpoint.weight, locality.region);
        let _ = writeln!(out, "{host}::zone::{}\n{host}::sub_zone::{}", locality.zone, locality.sub_zone);
        let _ = writeln!(out, "{host}::canary::false\n{host}::priority::{priority}");
        let _ = writeln!(out, "{host}::success_rate::-1\n{host}::local_origin_success_rate::-1");
    }
}

fn status(admin: &Admin, cluster: &Cluster) -> Value {
    let hosts: Vec<Value> = endpoints(cluster)
        .map(|(priority, locality, endpoint)| {
            let stats: Vec<Value> = stats(endpoint)
                .map(|(name, gauge, value)| {
                    let kind = if gauge { json!("GAUGE") } else { Value::Null };
                    let mut stat = json!({"name": name, "value": value.to_string(), "type": kind});
                    if let Some(stat) = stat.as_object_mut() {
                        stat.retain(|_, value| !value.is_null());
                    }
                    stat
                })
                .collect();
            json!({
                "address": address_json(&endpoint.address),
                "stats": stats,
                "health_status": health(endpoint),
                "weight": endpoint.weight,
                "hostname": endpoint.hostname,
                "priority": priority,
                "locality": {"region": &*locality.region, "zone": &*locality.zone, "sub_zone": &*locality.sub_zone},
            })
        })
        .collect();
    let thresholds: Vec<Value> = [("DEFAULT", &cluster.breakers), ("HIGH", &cluster.breakers_high)]
        .into_iter()
        .map(|(priority, breakers)| {
            json!({
                "priority": priority,
                "max_connections": breakers.max_connections,
                "max_pending_requests": breakers.max_pending,
                "max_requests": breakers.max_requests,
                "max_retries": breakers.max_retries,
            })
        })
        .collect();
    json!({
        "name": &*cluster.name,
        "added_via_api": admin.is_dynamic(&cluster.name),
        "host_statuses": hosts,
        "circuit_breakers": {"thresholds": thresholds},
        "observability_name": &*cluster.stat_name,
        "eds_service_name": match &cluster.discovery {
            crate::snapshot::Discovery::Eds(name) => Some(&**name),
            _ => None,
        },
    })
}

impl Admin {
    fn is_dynamic(&self, cluster: &str) -> bool {
        self.session.accepted(|accepted| accepted.entries(mesh_proto::type_url::CLUSTER).any(|(name, _)| **name == *cluster))
    }
}

fn endpoints(cluster: &Cluster) -> impl Iterator<Item = (usize, &Locality, &Endpoint)> {
    let priorities = cluster.endpoints.priorities.iter().enumerate();
    priorities.flat_map(|(priority, localities)| {
        localities.iter().flat_map(move |locality| locality.endpoints.iter().map(move |endpoint| (priority, locality, &**endpoint)))
    })
}

fn bounds(breakers: &Breakers) -> [(&'static str, u32); 4] {
    [
        ("max_connections", breakers.max_connections),
        ("max_pending_requests", breakers.max_pending),
        ("max_requests", breakers.max_requests),
        ("max_retries", breakers.max_retries),
    ]
}

/// Envoy's host stats: name, whether it is a gauge, value.
fn stats(endpoint: &Endpoint) -> impl Iterator<Item = (&'static str, bool, u64)> {
    let state = &endpoint.state;
    let (requests, errors) = (state.requests.load(Ordering::Relaxed), state.errors.load(Ordering::Relaxed));
    [
        ("cx_active", true, state.connections.load(Ordering::Relaxed).into()),
        ("cx_connect_fail", false, state.connect_fail.load(Ordering::Relaxed)),
        ("rq_active", true, state.active.load(Ordering::Relaxed).into()),
        ("rq_error", false, errors),
        ("rq_success", false, requests.saturating_sub(errors)),
        ("rq_total", false, requests),
    ]
    .into_iter()
}

fn is_ejected(endpoint: &Endpoint) -> bool {
    endpoint.state.ejected_until_ms.load(Ordering::Relaxed) > crate::clock::now_ms()
}

fn flags(endpoint: &Endpoint) -> Vec<&'static str> {
    let mut flags = Vec::new();
    if is_ejected(endpoint) {
        flags.push("/failed_outlier_check");
    }
    match endpoint.health {
        Health::Healthy => {}
        Health::Degraded => flags.push("/degraded_eds_health"),
        Health::Unhealthy => flags.push("/failed_eds_health"),
        Health::Draining => flags.push("/eds_status_draining"),
    }
    flags
}

fn health(endpoint: &Endpoint) -> Value {
    let eds = match endpoint.health {
        Health::Healthy => "HEALTHY",
        Health::Degraded => "DEGRADED",
        Health::Unhealthy => "UNHEALTHY",
        Health::Draining => "DRAINING",
    };
    if is_ejected(endpoint) { json!({"eds_health_status": eds, "failed_outlier_check": true}) } else { json!({"eds_health_status": eds}) }
}
