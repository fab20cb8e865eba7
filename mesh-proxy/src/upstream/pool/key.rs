//! What makes two connections to one endpoint differ.

use std::{hash::Hasher as _, sync::Arc};

use http::Version;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    info::PeerTls,
    snapshot::{Cluster, Endpoint, UpstreamProtocol},
    tls::Offer,
};

/// What kind of connection a request wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want<'a> {
    /// What is spoken on it.
    pub(crate) protocol: Protocol,
    /// ALPN.
    pub(crate) offer: Offer,
    /// SNI in place of the configured one.
    pub(crate) server_name: Option<&'a str>,
    /// Routing priority HIGH: other breakers.
    pub(crate) high_priority: bool,
}

/// What is spoken to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/2 if ALPN says so, else HTTP/1.1.
    Auto,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Address of the endpoint's state, which the pool keeps from being reused.
    endpoint: usize,
    pool_hash: u64,
    transport: Option<usize>,
    protocol: Protocol,
    offer: Offer,
    server_name: u64,
}

impl Key {
    pub(super) fn new(cluster: &Cluster, endpoint: &Endpoint, want: &Want<'_>) -> Self {
        let server_name = want.server_name.map_or(0, |name| {
            let mut hasher = Xxh3::new();
            hasher.write(name.as_bytes());
            hasher.finish() | 1
        });
        Self {
            endpoint: Arc::as_ptr(&endpoint.state) as usize,
            pool_hash: cluster.pool_hash,
            transport: endpoint.transport_match,
            protocol: want.protocol,
            offer: want.offer,
            server_name,
        }
    }
}

impl Protocol {
    /// By the cluster's settings and the version the client speaks.
    pub(crate) fn of(setting: UpstreamProtocol, downstream: Version) -> Self {
        match setting {
            UpstreamProtocol::Http1 => Self::Http1,
            UpstreamProtocol::Http2 => Self::Http2,
            UpstreamProtocol::Auto => Self::Auto,
            UpstreamProtocol::Downstream if downstream == Version::HTTP_2 => Self::Http2,
            UpstreamProtocol::Downstream => Self::Http1,
        }
    }

    pub(super) fn may_be_http2(self) -> bool {
        self != Self::Http1
    }

    pub(super) fn is_http2(self, tls: Option<&PeerTls>) -> bool {
        match self {
            Self::Http1 => false,
            Self::Http2 => true,
            Self::Auto => {
                let alpn = tls.and_then(|tls| tls.alpn.as_deref());
                matches!(alpn, Some(b"h2" | b"istio-h2"))
            }
        }
    }
}
