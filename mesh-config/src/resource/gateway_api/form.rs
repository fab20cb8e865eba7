//! The forms that texts and numbers of the Gateway API take: what its CRDs say about a hostname, a section's name, a
//! port, … said once, and put on a field with `#[schemars(with = "form::Hostname")]`.
//!
//! Source: the CRDs of kubernetes-sigs/gateway-api, `config/crd/experimental`; the channel `standard` has the same forms but
//! for header values, which it does not bound.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A name of RFC 1123 with dots; the CRDs' most common pattern.
const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// The same, with `*` as its first label if so wanted.
const WILDCARD: &str = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// A header's name: a token of RFC 7230.
const TOKEN: &str = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$";

/// A path of RFC 3986.
const PATH: &str = r"^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$";

/// A type that exists for its schema.
macro_rules! forms {
    ($($(#[$meta:meta])* $name:ident = $schema:tt;)*) => {
        $(
            $(#[$meta])*
            pub(super) enum $name {}

            impl JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> std::borrow::Cow<'static, str> {
                    concat!("gateway_api::", stringify!($name)).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($schema)
                }
            }
        )*
    };
}

forms! {
    /// An API group; empty for the core group.
    Group = {
        "type": "string",
        "maxLength": 253,
        "pattern": r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
    };
    /// A kind's name.
    KindName = { "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$" };
    /// An object's name.
    ObjectName = { "type": "string", "minLength": 1, "maxLength": 253 };
    /// A namespace's name.
    Namespace = { "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" };
    /// A listener's, a port's or a rule's name.
    SectionName = { "type": "string", "minLength": 1, "maxLength": 253, "pattern": SUBDOMAIN };
    /// A DNS name, perhaps with `*.` before it.
    Hostname = { "type": "string", "minLength": 1, "maxLength": 253, "pattern": WILDCARD };
    /// A DNS name without a wildcard.
    PreciseHostname = { "type": "string", "minLength": 1, "maxLength": 253, "pattern": SUBDOMAIN };
    /// A TCP or UDP port.
    PortNumber = { "type": "integer", "format": "int32", "minimum": 1, "maximum": 65535 };
    /// A whole number whose size the CRD does not say.
    Count = { "type": "integer" };
    /// `domain/path`: who serves a class.
    ControllerName = {
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$"
    };
    /// A listener's protocol: one of the API's, or `domain/name`.
    ProtocolName = {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "pattern": r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$"
    };
    /// `IPAddress`, `Hostname`, `NamedAddress` or `domain/name`.
    AddressType = {
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": r"^Hostname|IPAddress|NamedAddress|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$"
    };
    /// A label's value.
    LabelValue = { "type": "string", "minLength": 0, "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$" };
    /// An annotation's value, or an option's.
    AnnotationValue = { "type": "string", "minLength": 0, "maxLength": 4096 };
    /// The name of a header, a cookie or a query parameter.
    HeaderName = { "type": "string", "minLength": 1, "maxLength": 256, "pattern": TOKEN };
    /// A header's value that we may have to write: visible characters with single blanks between them.
    HeaderValue = { "type": "string", "minLength": 1, "maxLength": 4096, "pattern": r"^[!-~]+([\t ]?[!-~]+)*$" };
    /// A path.
    Path = { "type": "string", "maxLength": 1024, "pattern": PATH };
    /// A text of at most 1024 characters: paths to compare with, methods, services.
    Text = { "type": "string", "maxLength": 1024 };
    /// A status of a redirect.
    RedirectStatus = { "type": "integer", "enum": [301, 302, 303, 307, 308] };
    /// An origin: `*`, or a scheme, a host that may start with `*.`, perhaps a port.
    Origin = {
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": r"(^\*$)|(^(http(s)?):\/\/(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)"
    };
    /// A URI with scheme and authority.
    AbsoluteUri = {
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": r"^(([^:/?#]+):)(//([^/?#]*))([^?#]*)(\?([^#]*))?(#(.*))?"
    };
    /// `System`, or an implementation's own set of CAs.
    WellKnownCas = {
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": r"^(System|([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]))$"
    };
}

/// Gives a schema the form `T`, such as the schema of a map's values or of a list's items.
pub(super) fn put<T: JsonSchema>(schema: &mut Schema) {
    *schema = T::json_schema(&mut SchemaGenerator::default());
}
