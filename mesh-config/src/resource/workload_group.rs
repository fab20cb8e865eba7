//! `WorkloadGroup` (`networking.istio.io`): what workloads that register themselves have in common.

pub(super) mod validate;

use schemars::Schema;
use serde_json::Value;

use super::{selector::Labels, spec::spec, workload_entry::WorkloadEntry};
use crate::schema::{cel, oneof, port_number};

spec! {
    /// The template from which a WorkloadEntry is made for each workload that registers, and how its health is asked.
    pub struct WorkloadGroup {
        /// Put on every WorkloadEntry made from the template.
        metadata: Option<GroupMetadata>,
        /// The workloads' common settings; addresses are filled in when a workload registers.
        #[schemars(transform = address_comes_later)]
        required template: WorkloadEntry,
        /// How a workload is asked whether it takes traffic; absent: it always does.
        probe: Option<ReadinessProbe>,
    }

    /// Metadata of the entries made from a group.
    pub struct GroupMetadata {
        #[schemars(extend("maxProperties" = 256))]
        labels: Labels,
        #[schemars(extend("maxProperties" = 256))]
        annotations: Labels,
    }

    /// One way to ask a workload, and how often. Also MeshConfig's `readinessProbe`.
    #[schemars(transform = oneof(&["httpGet", "tcpSocket", "exec", "grpc"]))]
    pub struct ReadinessProbe {
        /// Seconds after the start before the first question.
        #[schemars(range(min = 0))]
        initial_delay_seconds: i32,
        /// Seconds an answer may take; 1 if absent or 0.
        #[schemars(range(min = 0))]
        timeout_seconds: i32,
        /// Seconds between questions; 10 if absent or 0.
        #[schemars(range(min = 0))]
        period_seconds: i32,
        /// Good answers in a row that make an unhealthy workload healthy; 1 if absent or 0.
        #[schemars(range(min = 0))]
        success_threshold: i32,
        /// Bad answers in a row that make a healthy workload unhealthy; 3 if absent or 0.
        #[schemars(range(min = 0))]
        failure_threshold: i32,
        /// Healthy if a GET answers 200 to 399.
        http_get: Option<HttpProbe>,
        /// Healthy if a connection can be opened.
        tcp_socket: Option<TcpProbe>,
        /// Healthy if the command exits with 0.
        exec: Option<ExecProbe>,
        /// Healthy if gRPC's health service says SERVING.
        grpc: Option<GrpcProbe>,
    }

    /// A GET request.
    pub struct HttpProbe {
        path: String,
        #[schemars(transform = port_number())]
        required port: u32,
        /// The workload's address if empty.
        host: String,
        /// `HTTP` (default) or `HTTPS`.
        #[schemars(transform = cel("self in [\"\", \"HTTP\", \"HTTPS\"]", "scheme must be one of [HTTP, HTTPS]"))]
        scheme: String,
        http_headers: Vec<ProbeHeader>,
    }

    /// A header of the request.
    pub struct ProbeHeader {
        #[schemars(regex(pattern = r"^[-_A-Za-z0-9]+$"))]
        name: String,
        value: String,
    }

    /// A TCP connection.
    pub struct TcpProbe {
        host: String,
        #[schemars(transform = port_number())]
        required port: u32,
    }

    /// A command on the workload's machine.
    pub struct ExecProbe {
        #[schemars(inner(length(min = 1)))]
        required command: Vec<String>,
    }

    /// gRPC's health protocol.
    pub struct GrpcProbe {
        #[schemars(transform = port_number())]
        port: u32,
        /// The service to ask about; empty: the server.
        service: String,
    }
}

/// A template is a WorkloadEntry that need not say where it is.
fn address_comes_later(schema: &mut Schema) {
    let rules = schema.get_mut("x-kubernetes-validations").and_then(Value::as_array_mut);
    if let Some(rules) = rules {
        rules.retain(|rule| rule.get("message").and_then(Value::as_str) != Some("Address is required"));
    }
}

#[cfg(test)]
mod tests;
