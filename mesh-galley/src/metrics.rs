//! Galley's metrics, under Istio's names where Istio has one.

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use crate::store::Report;

/// All of them.
pub(crate) struct Metrics {
    registry: Registry,
    reads: Counter,
    failed: Counter,
    resources: Gauge,
    kept: Gauge,
    errors: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let (reads, failed) = (Counter::default(), Counter::default());
        let (resources, kept, errors) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("galley_validation_passed", "Reads of the whole configuration without an error", reads.clone());
        registry.register("galley_validation_failed", "Reads of the whole configuration with errors", failed.clone());
        registry.register("galley_resources", "Resources in force", resources.clone());
        registry.register("galley_resources_kept", "Resources in force that are older than their broken file", kept.clone());
        registry.register("galley_errors", "Errors in the configuration now", errors.clone());
        Self { registry, reads, failed, resources, kept, errors }
    }

    pub(crate) fn report(&self, report: &Report) {
        let counter = if report.errors.is_empty() { &self.reads } else { &self.failed };
        counter.inc();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.resources.set(count(report.resources));
        self.kept.set(count(report.kept));
        self.errors.set(count(report.errors.len()));
    }

    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
