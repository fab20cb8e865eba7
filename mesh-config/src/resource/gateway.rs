//! `Gateway` (`networking.istio.io`): the listeners of gateway proxies.

pub(super) mod validate;

use super::{
    port::Port,
    selector::Labels,
    spec::{names, spec},
};
use crate::schema::{cel, nullable};

spec! {
    /// Servers for the gateway workloads with the selected labels.
    pub struct Gateway {
        selector: Labels,
        servers: Vec<Server>,
    }

    /// One listener: a port, the hosts it serves and how TLS ends.
    pub struct Server {
        required port: Port,
        /// `[namespace/]host`: which VirtualServices may bind and for which hosts. `*`, `.` and leading wildcards.
        required hosts: Vec<String>,
        /// Unique among the servers.
        name: String,
        /// The address to listen on; `unix://` with port 0.
        bind: String,
        tls: Option<ServerTls>,
        /// Where traffic goes by default; not implemented by Istio.
        default_endpoint: String,
    }

    /// How TLS ends at a server. Also the `tls` of a Sidecar's ingress listener.
    #[schemars(transform = cel("(has(self.tlsCertificates) ? 1 : 0) + (has(self.credentialNames) ? 1 : 0) <= 1", "only one of credentialNames or tlsCertificates can be set").remedy("keep one of them"))]
    #[schemars(transform = cel("(has(self.credentialName) ? 1 : 0) + (has(self.credentialNames) ? 1 : 0) <= 1", "only one of credentialName or credentialNames can be set").remedy("keep one of them"))]
    #[schemars(transform = cel("(has(self.credentialNames) ? 1 : 0) + (has(self.tlsCertificates) ? 1 : 0) <= 1", "only one of credentialName or tlsCertificates can be set").remedy("keep one of them"))]
    pub struct ServerTls {
        /// Send a 301 to https; for HTTP servers.
        https_redirect: bool,
        mode: ServerTlsMode,
        /// File paths; or `credential_name`.
        server_certificate: String,
        private_key: String,
        ca_certificates: String,
        ca_crl: String,
        /// A Secret with key, certificate and (MUTUAL) CA.
        credential_name: String,
        /// One or two Secrets, for two key types.
        #[schemars(length(min = 1, max = 2))]
        credential_names: Vec<String>,
        /// A Secret or ConfigMap with only the CA.
        ca_cert_credential_name: String,
        /// One or two certificates by file path, for two key types.
        #[schemars(length(min = 1, max = 2))]
        tls_certificates: Vec<TlsCertificate>,
        /// Names that a client's certificate may carry.
        subject_alt_names: Vec<String>,
        /// Base64 SHA-256 of accepted clients' public keys.
        verify_certificate_spki: Vec<String>,
        /// Hex SHA-256 of accepted clients' certificates.
        verify_certificate_hash: Vec<String>,
        min_protocol_version: TlsVersion,
        max_protocol_version: TlsVersion,
        cipher_suites: Vec<String>,
        /// Do not verify clients' certificates.
        #[schemars(transform = nullable)]
        insecure_skip_verify: Option<bool>,
    }

    /// One certificate by file path.
    pub struct TlsCertificate {
        server_certificate: String,
        private_key: String,
        ca_certificates: String,
    }
}

names! {
    /// What a server does with TLS.
    pub enum ServerTlsMode {
        /// Forward by SNI, unopened; a VirtualService routes it.
        #[default]
        Passthrough = "PASSTHROUGH",
        /// End TLS.
        Simple = "SIMPLE",
        /// End TLS, client certificate required.
        Mutual = "MUTUAL",
        /// Forward by SNI without a VirtualService; the SNI encodes the service.
        AutoPassthrough = "AUTO_PASSTHROUGH",
        /// MUTUAL with the mesh's own certificates.
        IstioMutual = "ISTIO_MUTUAL",
        /// End TLS, client certificate verified if there is one.
        OptionalMutual = "OPTIONAL_MUTUAL",
    }

    /// A bound on the TLS version.
    pub enum TlsVersion {
        #[default]
        Auto = "TLS_AUTO",
        V1_0 = "TLSV1_0",
        V1_1 = "TLSV1_1",
        V1_2 = "TLSV1_2",
        V1_3 = "TLSV1_3",
    }
}
