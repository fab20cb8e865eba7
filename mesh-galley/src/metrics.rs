//! Galley's metrics, under Istio's names where Istio has one. Istio's counters have no `_total` at the end, which the encoder gives every counter: so they
//! are kept as gauges that only rise.

use prometheus_client::{encoding::text::encode, metrics::gauge::Gauge, registry::Registry};

use crate::store::Report;

/// All of them.
pub(crate) struct Metrics {
    registry: Registry,
    passed: Gauge,
    failed: Gauge,
    resources: Gauge,
    kept: Gauge,
    going: Gauge,
    errors: Gauge,
    subscribers: Gauge,
    refusals: Gauge,
    refused: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let (passed, failed) = (Gauge::default(), Gauge::default());
        let (resources, kept, going, errors) = (Gauge::default(), Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("galley_validation_passed", "Reads of the whole configuration without an error", passed.clone());
        registry.register("galley_validation_failed", "Reads of the whole configuration with errors", failed.clone());
        registry.register("galley_resources", "Resources in force", resources.clone());
        registry.register("galley_resources_kept", "Resources in force that are older than their broken file", kept.clone());
        registry.register("galley_resources_going", "Resources in force that are gone from their file since a moment only", going.clone());
        registry.register("galley_errors", "Errors in the configuration now", errors.clone());
        let (subscribers, refusals, refused) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("galley_mcp_subscribers", "Connected subscribers", subscribers.clone());
        registry.register("galley_mcp_rejections", "Responses that subscribers refused", refusals.clone());
        registry.register("galley_mcp_refused_resources", "Resources that connected subscribers refuse now", refused.clone());
        Self { registry, passed, failed, resources, kept, going, errors, subscribers, refusals, refused }
    }

    pub(crate) fn report(&self, report: &Report) {
        let counter = if report.errors.is_empty() { &self.passed } else { &self.failed };
        counter.inc();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.resources.set(count(report.resources));
        self.kept.set(count(report.kept));
        self.going.set(count(report.going));
        self.errors.set(count(report.errors.len()));
    }

    pub(crate) fn refused(&self) {
        self.refusals.inc();
    }

    pub(crate) fn subscribers(&self, all: usize, refused: usize) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.subscribers.set(count(all));
        self.refused.set(count(refused));
    }

    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_istios() {
        let metrics = Metrics::new();
        metrics.report(&Report::default());
        metrics.report(&Report { errors: vec!["broken".into()], ..Report::default() });
        let text = metrics.encode();
        for line in ["galley_validation_passed 1", "galley_validation_failed 1", "galley_errors 1"] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
        assert!(!text.contains("_total"), "{text}");
    }
}
