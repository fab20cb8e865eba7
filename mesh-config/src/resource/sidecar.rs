//! `Sidecar` (`networking.istio.io`): what one sidecar listens to and what it may know.

mod validate;

use super::{
    destination_rule::ConnectionPool,
    gateway::ServerTls,
    port::SidecarPort,
    selector::WorkloadSelector,
    spec::{names, spec},
    virtual_service::Destination,
};

spec! {
    /// Listeners and visibility of the selected workloads' sidecars.
    pub struct Sidecar {
        /// Absent: every workload of the namespace (of the mesh, in the root namespace).
        workload_selector: Option<WorkloadSelector>,
        /// Inbound listeners; empty: derived from the services.
        ingress: Vec<IngressListener>,
        /// Outbound listeners; empty: everything the namespace can see.
        egress: Vec<EgressListener>,
        /// Pool limits towards the application.
        inbound_connection_pool: Option<ConnectionPool>,
        outbound_traffic_policy: Option<OutboundTrafficPolicy>,
    }

    /// An inbound listener and the application behind it.
    pub struct IngressListener {
        required port: SidecarPort,
        /// The address to listen on.
        bind: String,
        capture_mode: CaptureMode,
        /// `127.0.0.1:port`, `0.0.0.0:port` (the instance's address), `[::1]:port`, `[::]:port` or `unix:///path`.
        default_endpoint: String,
        /// Ends TLS of callers outside the mesh; needs PeerAuthentication DISABLE on the port.
        tls: Option<ServerTls>,
        connection_pool: Option<ConnectionPool>,
    }

    /// An outbound listener and the hosts behind it.
    pub struct EgressListener {
        /// Absent: every imported host's own port; such a listener is the last.
        port: Option<SidecarPort>,
        /// An address or `unix:///path`.
        bind: String,
        capture_mode: CaptureMode,
        /// `namespace/host`: `*`, `.` (own), `~` (none) for the namespace.
        required hosts: Vec<String>,
    }

    /// What happens to traffic for hosts that are not known.
    pub struct OutboundTrafficPolicy {
        #[schemars(extend("enum" = ["REGISTRY_ONLY", "ALLOW_ANY"]))]
        mode: OutboundMode,
        /// Send it here instead of to its original destination.
        egress_proxy: Option<Destination>,
    }
}

names! {
    /// How a listener's traffic gets to it.
    pub enum CaptureMode {
        /// As the proxy is set.
        #[default]
        Default = "DEFAULT",
        /// Redirected.
        Iptables = "IPTABLES",
        /// Addressed to it.
        None = "NONE",
    }

    /// The fallback.
    pub enum OutboundMode {
        /// Refuse.
        #[default]
        RegistryOnly = "REGISTRY_ONLY",
        /// Pass through.
        AllowAny = "ALLOW_ANY",
        /// Only valid mesh-wide; refused in a Sidecar.
        AllowAnyDynamicDns = "ALLOW_ANY_DYNAMIC_DNS",
    }
}
