//! `meshctl demo`: the shop in a mesh of its own, in one command.

pub mod check;
pub mod mutant;
mod sample;
pub mod view;

use std::{net::SocketAddr, time::Duration};

pub use self::{mutant::Mutant, sample::Sample};
use crate::mesh::{
    Mesh,
    layout::SYSTEM_NAMESPACE,
    spec::{App, Gateway, Port, Sidecar, Spec, Workload},
};

/// The shop's host name, as its Gateway has it.
pub const HOST: &str = "shop.example.com";
/// Where its Gateway listens.
pub const GATEWAY_PORT: u16 = 8080;
/// The gateway's name.
pub const GATEWAY: &str = "ingressgateway";
/// A sidecar without an app that `--check` starts while the control plane is down.
pub const LATE: &str = "late";

const TARGET_PORT: u16 = 8080;

/// The shop's mesh. Istio YAML comes from `sample`.
pub fn spec(sample: &Sample, certificate_lifetime: Duration, concurrency: usize) -> Spec {
    let gateway = Gateway {
        name: GATEWAY.into(),
        namespace: SYSTEM_NAMESPACE.into(),
        labels: [("istio", GATEWAY), ("app", GATEWAY)].map(|(k, v)| (k.to_string(), v.to_string())).into(),
    };
    Spec {
        config: vec![sample.folder().to_owned()],
        watch: true,
        gateways: vec![gateway],
        workloads: vec![
            workload("frontend-v1", "frontend", "v1"),
            workload("advertisement-v1", "advertisement", "v1"),
            workload("advertisement-v2", "advertisement", "v2"),
            workload("inventory-1", "inventory", "v1"),
            workload("inventory-2", "inventory", "v1"),
        ],
        services: Vec::new(),
        certificate_lifetime,
        concurrency,
        access_log: true,
    }
}

/// Where the shop is called.
pub fn entrance(mesh: &Mesh) -> Option<SocketAddr> {
    mesh.place(GATEWAY).map(|place| SocketAddr::from((place.address, GATEWAY_PORT)))
}

/// A sidecar alone, for [`LATE`].
pub fn late_workload() -> Workload {
    Workload { app: App::None, ..workload(LATE, LATE, "v1") }
}

fn workload(name: &str, service: &str, version: &str) -> Workload {
    Workload {
        name: name.into(),
        namespace: "shop".into(),
        service_account: service.into(),
        labels: [("app", service), ("version", version)].map(|(k, v)| (k.to_string(), v.to_string())).into(),
        ports: vec![Port { name: "http".into(), target: TARGET_PORT }],
        app: App::Shop { service: service.into(), version: version.into() },
        sidecar: Sidecar::default(),
    }
}
