//! Istio's own messages, generated from `protos/istio/`: the certificate service, the name table, and the configuration of
//! Istio's Envoy extensions. Field numbers are Istio's; the files are ours.

/// The certificate service of Istio's agents, client and server: `CreateCertificate`.
pub mod auth {
    pub use generated::istio_certificate_service_client::IstioCertificateServiceClient;
    pub use generated::istio_certificate_service_server::{IstioCertificateService, IstioCertificateServiceServer};
    pub use generated::{IstioCertificateRequest, IstioCertificateResponse};

    /// The generated modules, for generic parameters that the re-exports above do not name.
    #[allow(clippy::all, missing_docs, unreachable_pub)]
    pub mod generated {
        include!(concat!(env!("OUT_DIR"), "/istio.v1.auth.rs"));
    }
}

/// NDS: the name table of a proxy's DNS server.
#[allow(clippy::all, missing_docs)]
pub mod nds {
    include!(concat!(env!("OUT_DIR"), "/istio.networking.nds.v1.rs"));
}

/// Messages of Istio's Envoy extensions, a module for each extension.
#[allow(clippy::all, missing_docs)]
pub mod ext {
    /// HTTP filter `istio.alpn`.
    pub mod alpn {
        include!(concat!(env!("OUT_DIR"), "/istio.envoy.config.filter.http.alpn.v2alpha1.rs"));
    }
    /// HTTP filter `istio.connect_authority`.
    pub mod connect_authority {
        include!(concat!(env!("OUT_DIR"), "/io.istio.http.connect_authority.rs"));
    }
    /// Network filter `istio.metadata_exchange`.
    pub mod metadata_exchange {
        include!(concat!(env!("OUT_DIR"), "/envoy.tcp.metadataexchange.config.rs"));
    }
    /// Network filter `istio.authn`.
    pub mod network_authn {
        include!(concat!(env!("OUT_DIR"), "/io.istio.network.authn.rs"));
    }
    /// Network filters that carry peer metadata through internal listeners.
    pub mod network_peer_metadata {
        include!(concat!(env!("OUT_DIR"), "/envoy.extensions.network_filters.peer_metadata.rs"));
    }
    /// HTTP filter `istio.peer_metadata`.
    pub mod peer_metadata {
        include!(concat!(env!("OUT_DIR"), "/io.istio.http.peer_metadata.rs"));
    }
    /// Listener filter `istio.set_internal_dst_address`.
    pub mod set_internal_dst_address {
        include!(concat!(env!("OUT_DIR"), "/istio.set_internal_dst_address.v1.rs"));
    }
    /// HTTP and network filter `istio.stats`.
    pub mod stats {
        include!(concat!(env!("OUT_DIR"), "/stats.rs"));
    }
}
