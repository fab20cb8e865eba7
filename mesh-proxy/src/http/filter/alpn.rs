//! `istio.alpn`: inside the mesh, ALPN tells the other sidecar that this is HTTP from a sidecar.

use crate::{
    snapshot::{UpstreamProtocol, UpstreamTransport},
    tls::Offer,
    upstream::pool::Protocol,
};

/// What to offer an endpoint. Istio's names go only to transports that are the mesh's own: those that offer `istio`.
pub(crate) fn offer(istio_alpn: bool, setting: UpstreamProtocol, protocol: Protocol, transport: &UpstreamTransport) -> Offer {
    let of_mesh = match transport {
        UpstreamTransport::Tls(tls) => tls.alpn.iter().any(|name| name == b"istio" || name == b"istio-peer-exchange"),
        UpstreamTransport::Plain => false,
    };
    match (istio_alpn && of_mesh, protocol) {
        (true, Protocol::Http1) => Offer::IstioHttp1,
        (true, Protocol::Http2) => Offer::IstioHttp2,
        _ if setting == UpstreamProtocol::Auto => Offer::Auto,
        (_, Protocol::Http1) => Offer::Http1,
        (_, Protocol::Http2) => Offer::Http2,
        (_, Protocol::Auto) => Offer::Configured,
    }
}
