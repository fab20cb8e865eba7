//! What a rule, or a backend, of an `HTTPRoute` does to a request or its answer.

use schemars::{Schema, transform::Transform as _};

use crate::{
    resource::{
        gateway_api::{
            filter::{ExtensionRef, HeaderFilter, MirrorFilter, choices, not_repeated, one_of},
            form,
            refs::BackendObjectRef,
        },
        spec::{names, spec},
    },
    schema::{cel, list_set},
};

spec! {
    /// One filter: a type and that type's own field.
    #[schemars(transform = typed)]
    pub struct HttpFilter {
        required r#type: HttpFilterType,
        request_header_modifier: Option<HeaderFilter>,
        response_header_modifier: Option<HeaderFilter>,
        request_mirror: Option<MirrorFilter>,
        request_redirect: Option<RedirectFilter>,
        url_rewrite: Option<RewriteFilter>,
        cors: Option<CorsFilter>,
        /// Experimental.
        external_auth: Option<ExternalAuthFilter>,
        extension_ref: Option<ExtensionRef>,
    }

    /// Answers with a redirect. What is absent stays as it was asked for.
    pub struct RedirectFilter {
        scheme: Option<Scheme>,
        #[schemars(with = "form::PreciseHostname")]
        hostname: Option<String>,
        path: Option<PathModifier>,
        /// Absent: the scheme's own if there is a scheme, else the listener's.
        #[schemars(with = "form::PortNumber")]
        port: Option<u16>,
        /// Default 302.
        #[schemars(with = "form::RedirectStatus", extend("default" = 302))]
        status_code: Option<u16>,
    }

    /// Rewrites a request's host and path.
    pub struct RewriteFilter {
        #[schemars(with = "form::PreciseHostname")]
        hostname: Option<String>,
        path: Option<PathModifier>,
    }

    /// A change of the path.
    #[schemars(
        transform = cel(
            "self.type == 'ReplaceFullPath' ? has(self.replaceFullPath) : true",
            "replaceFullPath must be specified when type is set to 'ReplaceFullPath'",
        ),
        transform = cel(
            "has(self.replaceFullPath) ? self.type == 'ReplaceFullPath' : true",
            "type must be 'ReplaceFullPath' when replaceFullPath is set",
        ),
        transform = cel(
            "self.type == 'ReplacePrefixMatch' ? has(self.replacePrefixMatch) : true",
            "replacePrefixMatch must be specified when type is set to 'ReplacePrefixMatch'",
        ),
        transform = cel(
            "has(self.replacePrefixMatch) ? self.type == 'ReplacePrefixMatch' : true",
            "type must be 'ReplacePrefixMatch' when replacePrefixMatch is set",
        )
    )]
    pub struct PathModifier {
        required r#type: PathModifierType,
        /// The new path.
        #[schemars(with = "form::Text")]
        replace_full_path: Option<String>,
        /// What stands in the place of the prefix that was matched.
        #[schemars(with = "form::Text")]
        replace_prefix_match: Option<String>,
    }

    /// Cross-origin requests.
    pub struct CorsFilter {
        /// `*`, or origins with a wildcard at most as the host's start.
        #[schemars(with = "Vec<form::Origin>", length(max = 64), transform = list_set)]
        #[schemars(transform = cel("!('*' in self && self.size() > 1)", "AllowOrigins cannot contain '*' alongside other origins"))]
        allow_origins: Vec<String>,
        allow_credentials: Option<bool>,
        #[schemars(length(max = 9), transform = list_set)]
        #[schemars(transform = cel("!('*' in self && self.size() > 1)", "AllowMethods cannot contain '*' alongside other methods"))]
        allow_methods: Vec<CorsMethod>,
        /// `*`, or names.
        #[schemars(with = "Vec<form::HeaderName>", length(max = 64), transform = list_set)]
        #[schemars(transform = cel("!('*' in self && self.size() > 1)", "AllowHeaders cannot contain '*' alongside other methods"))]
        allow_headers: Vec<String>,
        /// `*`, or names.
        #[schemars(with = "Vec<form::HeaderName>", length(max = 64), transform = list_set)]
        expose_headers: Vec<String>,
        /// Seconds; default 5.
        #[schemars(with = "i32", range(min = 1), extend("default" = 5))]
        max_age: Option<u32>,
    }

    /// Asks a service whether a request may pass.
    #[schemars(
        transform = cel("self.protocol == 'GRPC' ? has(self.grpc) : true", "grpc must be specified when protocol is set to 'GRPC'"),
        transform = cel("has(self.grpc) ? self.protocol == 'GRPC' : true", "protocol must be 'GRPC' when grpc is set"),
        transform = cel("self.protocol == 'HTTP' ? has(self.http) : true", "http must be specified when protocol is set to 'HTTP'"),
        transform = cel("has(self.http) ? self.protocol == 'HTTP' : true", "protocol must be 'HTTP' when http is set")
    )]
    pub struct ExternalAuthFilter {
        required protocol: ExternalAuthProtocol,
        required backend_ref: BackendObjectRef,
        grpc: Option<GrpcAuth>,
        http: Option<HttpAuth>,
        /// Absent: the body is not sent along.
        forward_body: Option<ForwardBody>,
    }

    /// A service that speaks Envoy's `ext_authz` over gRPC.
    pub struct GrpcAuth {
        /// Headers sent along; empty: all.
        #[schemars(length(max = 64), transform = list_set)]
        allowed_headers: Vec<String>,
    }

    /// A service that answers 200 over HTTP.
    pub struct HttpAuth {
        /// Put before the request's own path.
        #[schemars(with = "form::Path")]
        path: Option<String>,
        /// Headers sent along beside the necessary ones.
        #[schemars(length(max = 64), transform = list_set)]
        allowed_headers: Vec<String>,
        /// Headers of the answer that go into the request; empty: all.
        #[schemars(length(max = 64), transform = list_set)]
        allowed_response_headers: Vec<String>,
    }

    /// How much of the body is sent along.
    pub struct ForwardBody {
        /// Bytes; what is longer is cut. 0: nothing.
        #[schemars(with = "i32", range(min = 0))]
        max_size: Option<u32>,
    }
}

names! {
    /// What a filter does.
    pub enum HttpFilterType {
        /// Edits the request's headers.
        #[default]
        RequestHeaderModifier = "RequestHeaderModifier",
        /// Edits the answer's headers.
        ResponseHeaderModifier = "ResponseHeaderModifier",
        /// Copies the request.
        RequestMirror = "RequestMirror",
        /// Redirects.
        RequestRedirect = "RequestRedirect",
        /// Rewrites host and path.
        UrlRewrite = "URLRewrite",
        /// An implementation's own.
        ExtensionRef = "ExtensionRef",
        /// Cross-origin requests.
        Cors = "CORS",
        /// Asks a service.
        ExternalAuth = "ExternalAuth",
    }

    /// A scheme.
    pub enum Scheme {
        /// http
        #[default]
        Http = "http",
        /// https
        Https = "https",
    }

    /// Which part of a path changes.
    pub enum PathModifierType {
        /// All of it.
        #[default]
        ReplaceFullPath = "ReplaceFullPath",
        /// The prefix that was matched.
        ReplacePrefixMatch = "ReplacePrefixMatch",
    }

    /// A method, or all of them.
    pub enum CorsMethod {
        /// GET
        #[default]
        Get = "GET",
        /// HEAD
        Head = "HEAD",
        /// POST
        Post = "POST",
        /// PUT
        Put = "PUT",
        /// DELETE
        Delete = "DELETE",
        /// CONNECT
        Connect = "CONNECT",
        /// OPTIONS
        Options = "OPTIONS",
        /// TRACE
        Trace = "TRACE",
        /// PATCH
        Patch = "PATCH",
        /// All of them.
        Any = "*",
    }

    /// What an authorization service speaks.
    pub enum ExternalAuthProtocol {
        /// HTTP
        #[default]
        Http = "HTTP",
        /// gRPC
        Grpc = "GRPC",
    }
}

impl RedirectFilter {
    /// The status, with its default filled in.
    pub fn status_code(&self) -> u16 {
        self.status_code.unwrap_or(302)
    }
}

impl CorsFilter {
    /// Seconds that a browser may keep the answer to a preflight request.
    pub fn max_age(&self) -> u32 {
        self.max_age.unwrap_or(5)
    }
}

/// On a list of filters: which of them come once, and which exclude each other.
pub(super) fn filters(schema: &mut Schema) {
    cel(
        "!(self.exists(f, f.type == 'RequestRedirect') && self.exists(f, f.type == 'URLRewrite'))",
        "May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, but not both",
    )
    .transform(schema);
    not_repeated!(schema, "CORS", "RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite");
}

fn typed(schema: &mut Schema) {
    one_of(
        schema,
        choices! {
            "cors": "CORS",
            "requestHeaderModifier": "RequestHeaderModifier",
            "responseHeaderModifier": "ResponseHeaderModifier",
            "requestMirror": "RequestMirror",
            "requestRedirect": "RequestRedirect",
            "urlRewrite": "URLRewrite",
            "extensionRef": "ExtensionRef",
            "externalAuth": "ExternalAuth",
        },
    );
}
