//! Pilot's metrics, under Istio's names. Istio's counters have no `_total` at the end, which the encoder gives every counter: so they are kept as gauges
//! that only rise.

use std::time::Duration;

use mesh_proto::type_url;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::generate::Work;

/// `type` of a push, or of a trigger.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Type {
    r#type: &'static str,
}

/// The build's version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    version: &'static str,
}

/// All of them.
pub struct Metrics {
    registry: Registry,
    pushes: Family<Type, Gauge>,
    triggers: Family<Type, Gauge>,
    rejects: Family<Type, Gauge>,
    generations: Family<Type, Gauge>,
    pub(crate) rejected_configs: Gauge,
    connected: Family<Version, Gauge>,
    pub(crate) services: Gauge,
    pub(crate) virtual_services: Gauge,
    pub(crate) conflicts: Gauge,
    pub(crate) secrets_withheld: Gauge,
    convergence: Histogram,
    push_time: Histogram,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let seconds = || Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 30.0]);
        let metrics = Self {
            pushes: Family::default(),
            triggers: Family::default(),
            rejects: Family::default(),
            generations: Family::default(),
            rejected_configs: Gauge::default(),
            connected: Family::default(),
            services: Gauge::default(),
            virtual_services: Gauge::default(),
            conflicts: Gauge::default(),
            secrets_withheld: Gauge::default(),
            convergence: seconds(),
            push_time: seconds(),
            registry: Registry::default(),
        };
        registry.register("pilot_xds_pushes", "Responses sent, by type", metrics.pushes.clone());
        registry.register("pilot_push_triggers", "Pushes to all proxies, by cause", metrics.triggers.clone());
        registry.register("pilot_total_xds_rejects", "Responses that a proxy refused, by type", metrics.rejects.clone());
        let help = "Configurations of proxies of one sort after a change: made anew, only the endpoints that changed, or nothing at all";
        registry.register("pilot_xds_generations", help, metrics.generations.clone());
        registry.register("pilot_total_rejected_configs", "Configuration that could not be understood", metrics.rejected_configs.clone());
        registry.register("pilot_xds", "Connected proxies", metrics.connected.clone());
        registry.register("pilot_services", "Services known", metrics.services.clone());
        registry.register("pilot_virt_services", "VirtualServices known", metrics.virtual_services.clone());
        let help =
            "Server names of listeners that several resources ask for, of which the first has them, over all proxies' configurations";
        registry.register("pilot_conflict_listener_server_names", help, metrics.conflicts.clone());
        let help = "Secrets that proxies' configurations name and that are not served, over all of them";
        registry.register("pilot_sds_secrets_withheld", help, metrics.secrets_withheld.clone());
        let help = "Seconds from a change's arrival to a proxy's acknowledgement of all of it";
        registry.register("pilot_proxy_convergence_time", help, metrics.convergence.clone());
        registry.register("pilot_xds_push_time", "Seconds to generate a proxy's configuration", metrics.push_time.clone());
        let info: Family<Version, Gauge> = Family::default();
        info.get_or_create(&Version { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("pilot_info", "Version", info);
        Self { registry, ..metrics }
    }

    pub(crate) fn pushed(&self, type_url: &str) {
        self.pushes.get_or_create(&Type { r#type: short(type_url) }).inc();
    }

    pub(crate) fn rejected(&self, type_url: &str) {
        self.rejects.get_or_create(&Type { r#type: short(type_url) }).inc();
    }

    pub(crate) fn triggered(&self, cause: &'static str) {
        self.triggers.get_or_create(&Type { r#type: cause }).inc();
    }

    pub(crate) fn converged(&self, took: Duration) {
        self.convergence.observe(took.as_secs_f64());
    }

    pub(crate) fn generated(&self, took: Duration, work: Work) {
        self.push_time.observe(took.as_secs_f64());
        let what = match work {
            Work::All => "full",
            Work::Endpoints(_) => "endpoints",
            Work::None => "avoided",
        };
        self.generations.get_or_create(&Type { r#type: what }).inc();
    }

    /// How often what was made: `full`, `endpoints`, `avoided`.
    pub(crate) fn generations(&self) -> [(&'static str, i64); 3] {
        ["full", "endpoints", "avoided"].map(|what| (what, self.generations.get_or_create(&Type { r#type: what }).get()))
    }

    pub(crate) fn set_connected(&self, proxies: usize) {
        let gauge = self.connected.get_or_create(&Version { version: env!("CARGO_PKG_VERSION") });
        gauge.set(i64::try_from(proxies).unwrap_or(i64::MAX));
    }

    /// Prometheus' text form.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// `cds`, `eds`, … as Istio labels them.
pub(crate) fn short(type_url: &str) -> &'static str {
    match type_url {
        type_url::CLUSTER => "cds",
        type_url::ENDPOINT => "eds",
        type_url::LISTENER => "lds",
        type_url::ROUTE => "rds",
        type_url::SECRET => "sds",
        type_url::NAME_TABLE => "nds",
        type_url::EXTENSION_CONFIG => "ecds",
        _ => "other",
    }
}
