//! The choices of MeshConfig, of its proxies and of its providers.

use crate::resource::spec::names;

names! {
    /// Which Ingresses are served.
    pub enum IngressControllerMode {
        /// STRICT.
        #[default]
        Unspecified = "UNSPECIFIED",
        /// None.
        Off = "OFF",
        /// Those of the class, and those without a class.
        Default = "DEFAULT",
        /// Those of the class.
        Strict = "STRICT",
    }

    /// The form of access log lines.
    pub enum AccessLogEncoding {
        #[default]
        Text = "TEXT",
        Json = "JSON",
    }

    /// What becomes of outbound traffic to unknown hosts.
    pub enum OutboundTrafficMode {
        /// It is refused.
        #[default]
        RegistryOnly = "REGISTRY_ONLY",
        /// It passes, as it is. What holds where no policy is written.
        AllowAny = "ALLOW_ANY",
        /// It passes to the host that it names, found by DNS.
        AllowAnyDynamicDns = "ALLOW_ANY_DYNAMIC_DNS",
    }

    /// What becomes of inbound traffic to unknown ports.
    pub enum InboundTrafficMode {
        /// It goes to the address it was sent to.
        #[default]
        Passthrough = "PASSTHROUGH",
        /// It goes to the loopback address.
        Localhost = "LOCALHOST",
    }

    /// What a configuration source is asked for.
    pub enum SubscribedResource {
        #[default]
        ServiceRegistry = "SERVICE_REGISTRY",
    }

    /// Whether HTTP/1.1 becomes HTTP/2 between sidecars.
    pub enum MeshH2UpgradePolicy {
        #[default]
        DoNotUpgrade = "DO_NOT_UPGRADE",
        Upgrade = "UPGRADE",
    }

    /// How far a service is seen.
    pub enum ServiceScope {
        #[default]
        Local = "LOCAL",
        Global = "GLOBAL",
    }

    /// What proxies do to a path before they match it.
    pub enum NormalizationType {
        /// BASE.
        #[default]
        Default = "DEFAULT",
        None = "NONE",
        /// RFC 3986: dot segments, percent-encoding; `\` becomes `/`.
        Base = "BASE",
        /// BASE, and `//` becomes `/`.
        MergeSlashes = "MERGE_SLASHES",
        /// `%2F` and `%5C` are decoded before MERGE_SLASHES.
        DecodeAndMergeSlashes = "DECODE_AND_MERGE_SLASHES",
    }

    /// A version of TLS.
    pub enum TlsProtocol {
        /// 1.2.
        #[default]
        Auto = "TLS_AUTO",
        V1_2 = "TLSV1_2",
        V1_3 = "TLSV1_3",
    }

    /// Who sees a ServiceEntry.
    pub enum EntryVisibility {
        /// PUBLIC.
        #[default]
        Unspecified = "VISIBILITY_UNSPECIFIED",
        None = "NONE",
        Namespace = "NAMESPACE",
        Public = "PUBLIC",
    }
    /// The name of the proxy in traces.
    pub enum TracingServiceName {
        #[default]
        AppLabelAndNamespace = "APP_LABEL_AND_NAMESPACE",
        CanonicalNameOnly = "CANONICAL_NAME_ONLY",
        CanonicalNameAndNamespace = "CANONICAL_NAME_AND_NAMESPACE",
    }

    /// How the control plane is spoken to.
    pub enum AuthenticationPolicy {
        None = "NONE",
        #[default]
        MutualTls = "MUTUAL_TLS",
        /// Not for proxies.
        Inherit = "INHERIT",
    }

    /// How traffic comes to a sidecar.
    pub enum InterceptionMode {
        /// iptables REDIRECT: the client's address is lost.
        #[default]
        Redirect = "REDIRECT",
        /// iptables TPROXY.
        Tproxy = "TPROXY",
        /// The application is told where to connect.
        None = "NONE",
    }

    /// What becomes of `x-forwarded-client-cert`.
    pub enum ForwardClientCertDetails {
        /// As the gateway's or sidecar's default is.
        #[default]
        Undefined = "UNDEFINED",
        Sanitize = "SANITIZE",
        ForwardOnly = "FORWARD_ONLY",
        AppendForward = "APPEND_FORWARD",
        SanitizeSet = "SANITIZE_SET",
        AlwaysForwardOnly = "ALWAYS_FORWARD_ONLY",
    }

    /// Whom `x-envoy-peer-metadata` is sent to.
    pub enum MetadataExchangeMode {
        /// Everybody.
        #[default]
        Undefined = "UNDEFINED",
        InMesh = "IN_MESH",
    }

    /// A set of defaults.
    pub enum ConnectionProfile {
        #[default]
        Sidecar = "SIDECAR",
        /// For proxies that face the internet.
        Edge = "EDGE",
    }

    /// What becomes of headers with `_` in their names.
    pub enum HeadersWithUnderscoresAction {
        #[default]
        Unspecified = "HEADERS_WITH_UNDERSCORES_UNSPECIFIED",
        Allow = "HEADERS_WITH_UNDERSCORES_ALLOW",
        RejectRequest = "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST",
        DropHeader = "HEADERS_WITH_UNDERSCORES_DROP_HEADER",
    }

    /// What becomes of paths with `%2F` or `%5C`.
    pub enum PathWithEscapedSlashesAction {
        #[default]
        Unspecified = "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED",
        KeepUnchanged = "KEEP_UNCHANGED",
        RejectRequest = "REJECT_REQUEST",
        UnescapeAndRedirect = "UNESCAPE_AND_REDIRECT",
        UnescapeAndForward = "UNESCAPE_AND_FORWARD",
    }
    /// Which headers Zipkin's tracer passes on.
    pub enum TraceContextOption {
        #[default]
        UseB3 = "USE_B3",
        UseB3WithW3cPropagation = "USE_B3_WITH_W3C_PROPAGATION",
    }

    /// A form of trace headers.
    pub enum TraceContext {
        #[default]
        Unspecified = "UNSPECIFIED",
        W3cTraceContext = "W3C_TRACE_CONTEXT",
        GrpcBin = "GRPC_BIN",
        CloudTraceContext = "CLOUD_TRACE_CONTEXT",
        B3 = "B3",
    }

    /// How a service names itself in spans.
    pub enum ServiceAttributeEnrichment {
        #[default]
        IstioCanonical = "ISTIO_CANONICAL",
        OtelSemanticConventions = "OTEL_SEMANTIC_CONVENTIONS",
    }
}
