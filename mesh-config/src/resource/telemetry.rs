//! `Telemetry` (`telemetry.istio.io`): tracing, metrics and access logs of the selected workloads.
//!
//! The one in the root namespace is the mesh's, one without a selector its namespace's; each overrides the wider one,
//! field by field.

mod validate;

use std::collections::BTreeMap;

use super::{
    duration::Duration,
    selector::{LabelSelector, TargetRef},
    spec::{names, spec},
};
use crate::schema::{cel, nullable, oneof, positive_duration, values};

spec! {
    /// What is observed, how much of it, and where it goes.
    #[schemars(transform = cel(
        "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
        "only one of targetRefs or selector can be set"
    ))]
    pub struct Telemetry {
        selector: Option<LabelSelector>,
        /// Deprecated in favour of `target_refs`.
        target_ref: Option<TargetRef>,
        #[schemars(length(max = 16))]
        target_refs: Vec<TargetRef>,
        /// Only the first one counts.
        tracing: Vec<Tracing>,
        metrics: Vec<Metrics>,
        access_logging: Vec<AccessLogging>,
    }

    /// Spans.
    pub struct Tracing {
        r#match: Option<TracingSelector>,
        /// Only the first one counts; none: as the wider Telemetry says, or MeshConfig.
        providers: Vec<ProviderRef>,
        /// Of the requests that carry no decision, 0 to 100; absent: as the wider one, 1 at the top.
        #[schemars(range(min = 0, max = 100), transform = nullable)]
        random_sampling_percentage: Option<f64>,
        /// Report no spans; headers are still passed on.
        #[schemars(transform = nullable)]
        disable_span_reporting: Option<bool>,
        /// By the tag's name.
        custom_tags: BTreeMap<String, CustomTag>,
        /// `x-request-id` decides; true if absent.
        #[schemars(transform = nullable)]
        use_request_id_for_trace_sampling: Option<bool>,
        /// Istio's own tags (`istio.mesh_id` …); true if absent.
        #[schemars(transform = nullable)]
        enable_istio_tags: Option<bool>,
        /// Neither read nor send trace headers.
        #[schemars(transform = nullable)]
        disable_context_propagation: Option<bool>,
    }

    /// Which side of a request.
    pub struct TracingSelector {
        mode: WorkloadMode,
    }

    /// A provider by the name that MeshConfig gives it.
    pub struct ProviderRef {
        #[schemars(length(min = 1))]
        required name: String,
    }

    /// Where a tag's value comes from.
    #[schemars(transform = oneof(&["literal", "environment", "header", "formatter"]))]
    pub struct CustomTag {
        literal: Option<Literal>,
        environment: Option<NamedValue>,
        header: Option<NamedValue>,
        formatter: Option<Literal>,
    }

    /// A fixed text, or a format of Envoy's access log.
    pub struct Literal {
        #[schemars(length(min = 1))]
        required value: String,
    }

    /// The value of a variable of the proxy's environment, or of a request header.
    pub struct NamedValue {
        #[schemars(length(min = 1))]
        required name: String,
        /// Where there is none; empty: the tag is left out.
        default_value: String,
    }

    /// Istio's metrics.
    pub struct Metrics {
        providers: Vec<ProviderRef>,
        /// In order; a later one overrides an earlier one.
        overrides: Vec<MetricsOverride>,
        /// How often TCP metrics are reported; absent: 5 s.
        #[schemars(transform = positive_duration())]
        reporting_interval: Option<Duration>,
    }

    /// A change to the metrics that match.
    pub struct MetricsOverride {
        /// Absent: every metric, on both sides.
        r#match: Option<MetricSelector>,
        #[schemars(transform = nullable)]
        disabled: Option<bool>,
        /// By the tag's name.
        #[schemars(transform = values(cel(
            "((has(self.operation) ? self.operation : \"\") == \"UPSERT\") ? (self.value != \"\") : true",
            "value must be set when operation is UPSERT"
        )))]
        #[schemars(transform = values(cel(
            "((has(self.operation) ? self.operation : \"\") == \"REMOVE\") ? !has(self.value) : true",
            "value must not be set when operation is REMOVE"
        )))]
        tag_overrides: BTreeMap<String, TagOverride>,
    }

    /// Which metric, on which side.
    #[schemars(transform = oneof(&["metric", "customMetric"]))]
    pub struct MetricSelector {
        /// Absent (and no `custom_metric`): all.
        metric: Option<Metric>,
        /// A metric by its name.
        #[schemars(length(min = 1))]
        custom_metric: String,
        mode: WorkloadMode,
    }

    /// A change to a tag.
    pub struct TagOverride {
        operation: TagOperation,
        /// A CEL expression over the request's attributes; for UPSERT only.
        value: String,
    }

    /// Access logs.
    pub struct AccessLogging {
        r#match: Option<AccessLogSelector>,
        providers: Vec<ProviderRef>,
        /// Of the providers named, or of all.
        #[schemars(transform = nullable)]
        disabled: Option<bool>,
        filter: Option<AccessLogFilter>,
    }

    /// Which side of a request.
    pub struct AccessLogSelector {
        mode: WorkloadMode,
    }

    /// Which requests are logged.
    pub struct AccessLogFilter {
        /// A CEL expression over the request's attributes.
        expression: String,
    }
}

names! {
    /// The side of a request that a setting is about.
    pub enum WorkloadMode {
        #[default]
        ClientAndServer = "CLIENT_AND_SERVER",
        Client = "CLIENT",
        Server = "SERVER",
    }

    /// Istio's metrics.
    pub enum Metric {
        #[default]
        AllMetrics = "ALL_METRICS",
        RequestCount = "REQUEST_COUNT",
        RequestDuration = "REQUEST_DURATION",
        RequestSize = "REQUEST_SIZE",
        ResponseSize = "RESPONSE_SIZE",
        TcpOpenedConnections = "TCP_OPENED_CONNECTIONS",
        TcpClosedConnections = "TCP_CLOSED_CONNECTIONS",
        TcpSentBytes = "TCP_SENT_BYTES",
        TcpReceivedBytes = "TCP_RECEIVED_BYTES",
        GrpcRequestMessages = "GRPC_REQUEST_MESSAGES",
        GrpcResponseMessages = "GRPC_RESPONSE_MESSAGES",
    }

    /// What happens to a tag.
    pub enum TagOperation {
        /// Added, or given another value.
        #[default]
        Upsert = "UPSERT",
        Remove = "REMOVE",
    }
}

#[cfg(test)]
mod tests;
