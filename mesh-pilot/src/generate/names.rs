//! The names of resources, exactly as Istio writes them: tools, metrics and other proxies parse them.

use mesh_proto::id::Hostname;

/// Requests to nowhere.
pub(crate) const BLACK_HOLE: &str = "BlackHoleCluster";
/// Outbound traffic to its original destination.
pub(crate) const PASSTHROUGH: &str = "PassthroughCluster";
/// Inbound traffic to its original destination.
pub(crate) const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";
/// The route table of the HTTP proxy listener.
pub(crate) const HTTP_PROXY: &str = "http_proxy";
/// The workload's own certificate, by SDS from the proxy itself.
pub(crate) const SDS_DEFAULT: &str = "default";
/// The mesh's trust bundle, by SDS from the proxy itself.
pub(crate) const SDS_ROOT: &str = "ROOTCA";
/// The proxy's static cluster through which it gets those.
pub(crate) const SDS_CLUSTER: &str = "sds-grpc";

/// `outbound|80|v1|reviews.default.svc.cluster.local`.
pub(crate) fn outbound(port: u16, subset: &str, host: &Hostname) -> String {
    format!("outbound|{port}|{subset}|{host}")
}

/// `outbound_.80_.v1_.reviews.default.svc.cluster.local`: the SNI of mutual TLS.
pub(crate) fn sni(port: u16, subset: &str, host: &Hostname) -> String {
    format!("outbound_.{port}_.{subset}_.{host}")
}

/// `inbound|9080||`: cluster and route table of a workload's port.
pub(crate) fn inbound(port: u16) -> String {
    format!("inbound|{port}||")
}

/// `0.0.0.0_80`: a listener. A Unix socket is named by its path.
pub(crate) fn listener(bind: &str, port: u16) -> String {
    if port == 0 { bind.to_owned() } else { format!("{bind}_{port}") }
}

/// `host:port`, with brackets about IPv6.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
