//! Kinds that the project tries out (`gateway.networking.x-k8s.io`): `XBackend`, a host outside the cluster, and
//! `XBackendTrafficPolicy`, retries and sessions towards a backend.

use super::{
    backend_tls::BackendValidation,
    duration::Duration,
    form,
    refs::{LocalObjectRef, SecretRef},
    session::SessionPersistence,
};
use crate::{
    resource::spec::{names, spec},
    schema::{cel, list_map},
};

spec! {
    /// A destination that is no Service.
    #[schemars(transform = cel(
        "self.type == 'ExternalHostname' ? has(self.externalHostname) : !has(self.externalHostname)",
        "externalHostname must be set when type is ExternalHostname and must be unset otherwise",
    ))]
    pub struct XBackend {
        required r#type: XBackendType,
        required port: XBackendPort,
        /// Absent: as the route's kind says.
        protocol: Option<XBackendProtocol>,
        /// For `ExternalHostname`.
        external_hostname: Option<ExternalHostname>,
        tls: Option<XBackendTls>,
    }

    /// A port of the destination.
    pub struct XBackendPort {
        #[schemars(
            length(max = 63),
            transform = cel("size(self) == 0 || format.dns1123Label().validate(self) == null", "Name must be a valid DNS label")
        )]
        name: Option<String>,
        #[schemars(with = "form::PortNumber")]
        required port: u16,
    }

    /// A name that DNS knows.
    pub struct ExternalHostname {
        #[schemars(
            with = "form::PreciseHostname",
            transform = cel("!self.endsWith('.cluster.local')", "hostname must not be an IP address or end with .cluster.local")
        )]
        required hostname: String,
    }

    /// TLS to the destination.
    #[schemars(transform = cel(
        "self.mode == 'ClientAndServer' ? has(self.clientCertificateRef) : !has(self.clientCertificateRef)",
        "clientCertificateRef must be set if and only if mode is ClientAndServer",
    ))]
    pub struct XBackendTls {
        required mode: XBackendTlsMode,
        /// What the destination must prove.
        validation: Option<BackendValidation>,
        /// What we prove.
        client_certificate_ref: Option<SecretRef>,
    }

    /// How backends are dealt with, whichever route leads to them.
    pub struct XBackendTrafficPolicy {
        #[schemars(length(min = 1, max = 16), transform = list_map(&["group", "kind", "name"]))]
        required target_refs: Vec<LocalObjectRef>,
        retry_constraint: Option<RetryConstraint>,
        session_persistence: Option<SessionPersistence>,
    }

    /// How many retries there may be.
    pub struct RetryConstraint {
        #[schemars(extend("default" = { "interval": "10s", "percent": 20 }))]
        budget: RetryBudget,
        /// Never fewer than these; absent: 10 in a second.
        #[schemars(extend("default" = { "count": 10, "interval": "1s" }))]
        min_retry_rate: Option<RequestRate>,
    }

    /// Retries as a share of all requests.
    pub struct RetryBudget {
        /// Default 20.
        #[schemars(with = "form::Count", range(min = 0, max = 100), extend("default" = 20))]
        percent: Option<u32>,
        /// Over which it is counted; default 10s.
        #[schemars(extend("default" = "10s"), transform = cel(
            "!(duration(self) < duration('1s') || duration(self) > duration('1h'))",
            "interval cannot be greater than one hour or less than one second",
        ))]
        interval: Option<Duration>,
    }

    /// Requests in a time.
    pub struct RequestRate {
        #[schemars(with = "form::Count", range(min = 1, max = 1_000_000))]
        count: Option<u32>,
        #[schemars(transform = cel(
            "!(duration(self) == duration('0s') || duration(self) > duration('1h'))",
            "interval cannot be greater than one hour",
        ))]
        interval: Option<Duration>,
    }
}

names! {
    /// What a destination is.
    pub enum XBackendType {
        /// A name that DNS knows.
        #[default]
        ExternalHostname = "ExternalHostname",
    }

    /// What is spoken to a destination.
    pub enum XBackendProtocol {
        /// Bytes.
        #[default]
        Tcp = "TCP",
        /// HTTP/1.1 or HTTP/2.
        Http = "HTTP",
        /// HTTP/2.
        Http2 = "HTTP2",
        /// HTTP/1.1.
        Http11 = "HTTP11",
        /// HTTP/2 in clear text.
        H2c = "H2C",
        /// The Model Context Protocol.
        Mcp = "MCP",
    }

    /// Who proves something to whom.
    pub enum XBackendTlsMode {
        /// No TLS.
        #[default]
        None = "None",
        /// The destination.
        ServerOnly = "ServerOnly",
        /// Both.
        ClientAndServer = "ClientAndServer",
    }
}

impl RetryBudget {
    /// The share of all requests, with its default filled in.
    pub fn percent(&self) -> u32 {
        self.percent.unwrap_or(20)
    }
}
