//! Answers that a route gives itself (redirect, direct response), and how it rewrites what it forwards.

use serde::{Deserialize, Serialize};

use crate::{
    resource::spec::{names, spec},
    schema::{base64, oneof},
};

/// Send the client elsewhere. What is absent stays as it was requested.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RedirectFields", into = "RedirectFields")]
pub struct Redirect {
    /// The new path.
    pub path: Option<RedirectPath>,
    /// The new host.
    pub authority: String,
    /// The new port.
    pub port: Option<RedirectPort>,
    /// The new scheme: http or https.
    pub scheme: String,
    /// 3xx; 301 if absent.
    pub redirect_code: Option<u32>,
}

/// The new path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectPath {
    /// The whole path.
    Full(String),
    /// Only the prefix that the route matched.
    Prefix(String),
}

/// The new port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectPort {
    /// This one.
    Number(u16),
    /// By a rule.
    Derived(DerivePort),
}

/// How the path is rewritten, and the host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RewriteFields", into = "RewriteFields")]
pub struct Rewrite {
    /// The path.
    pub path: Option<PathRewrite>,
    /// The host.
    pub authority: String,
}

/// The new path.
#[derive(Clone, Debug, PartialEq)]
pub enum PathRewrite {
    /// Replaces the part that was matched (the prefix, or the whole if matched exactly).
    Uri(String),
    /// Replaces what a regex matches.
    Regex(RegexRewrite),
}

spec! {
    /// Replace what `match` matches by `rewrite`; `\1` is the first group.
    pub struct RegexRewrite {
        r#match: String,
        rewrite: String,
    }

    /// A fixed answer.
    pub struct DirectResponse {
        /// 200 to 599.
        required status: u32,
        body: Option<HttpBody>,
    }

    /// The JSON form of `Redirect`.
    #[schemars(transform = oneof(&["port", "derivePort"]))]
    struct RedirectFields {
        uri: String,
        prefix_rewrite: String,
        authority: String,
        port: Option<u16>,
        derive_port: Option<DerivePort>,
        scheme: String,
        redirect_code: u32,
    }

    /// The JSON form of `Rewrite`.
    struct RewriteFields {
        uri: String,
        authority: String,
        uri_regex_rewrite: Option<RegexRewrite>,
    }
}

names! {
    /// Rules for a redirect's port.
    pub enum DerivePort {
        /// 80 for http, 443 for https.
        #[default]
        FromProtocolDefault = "FROM_PROTOCOL_DEFAULT",
        /// The port of the request.
        FromRequestPort = "FROM_REQUEST_PORT",
    }
}

/// The body of a direct response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HttpBody {
    /// UTF-8.
    String(String),
    /// Base64.
    #[serde(with = "base64_text")]
    #[schemars(schema_with = "base64")]
    Bytes(Vec<u8>),
}

impl HttpBody {
    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::String(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Fields that exclude each other.
#[derive(Debug, thiserror::Error)]
#[error("only one of {0} and {1} can be set: keep one")]
struct Exclusive(&'static str, &'static str);

impl TryFrom<RedirectFields> for Redirect {
    type Error = Exclusive;

    fn try_from(fields: RedirectFields) -> Result<Self, Exclusive> {
        let path = match (fields.uri.is_empty(), fields.prefix_rewrite.is_empty()) {
            (true, true) => None,
            (false, true) => Some(RedirectPath::Full(fields.uri)),
            (true, false) => Some(RedirectPath::Prefix(fields.prefix_rewrite)),
            (false, false) => return Err(Exclusive("uri", "prefixRewrite")),
        };
        let port = match (fields.port, fields.derive_port) {
            (None, None) => None,
            (Some(number), None) => Some(RedirectPort::Number(number)),
            (None, Some(rule)) => Some(RedirectPort::Derived(rule)),
            (Some(_), Some(_)) => return Err(Exclusive("port", "derivePort")),
        };
        let redirect_code = Some(fields.redirect_code).filter(|code| *code != 0);
        Ok(Self { path, authority: fields.authority, port, scheme: fields.scheme, redirect_code })
    }
}

impl From<Redirect> for RedirectFields {
    fn from(redirect: Redirect) -> Self {
        let mut fields = Self {
            authority: redirect.authority,
            scheme: redirect.scheme,
            redirect_code: redirect.redirect_code.unwrap_or_default(),
            ..Self::default()
        };
        match redirect.path {
            Some(RedirectPath::Full(uri)) => fields.uri = uri,
            Some(RedirectPath::Prefix(prefix)) => fields.prefix_rewrite = prefix,
            None => {}
        }
        match redirect.port {
            Some(RedirectPort::Number(number)) => fields.port = Some(number),
            Some(RedirectPort::Derived(rule)) => fields.derive_port = Some(rule),
            None => {}
        }
        fields
    }
}

impl TryFrom<RewriteFields> for Rewrite {
    type Error = Exclusive;

    fn try_from(fields: RewriteFields) -> Result<Self, Exclusive> {
        let path = match (fields.uri.is_empty(), fields.uri_regex_rewrite) {
            (true, None) => None,
            (false, None) => Some(PathRewrite::Uri(fields.uri)),
            (true, Some(regex)) => Some(PathRewrite::Regex(regex)),
            (false, Some(_)) => return Err(Exclusive("uri", "uriRegexRewrite")),
        };
        Ok(Self { path, authority: fields.authority })
    }
}

impl From<Rewrite> for RewriteFields {
    fn from(rewrite: Rewrite) -> Self {
        let mut fields = Self { authority: rewrite.authority, ..Self::default() };
        match rewrite.path {
            Some(PathRewrite::Uri(uri)) => fields.uri = uri,
            Some(PathRewrite::Regex(regex)) => fields.uri_regex_rewrite = Some(regex),
            None => {}
        }
        fields
    }
}

/// Protobuf JSON's form of bytes.
mod base64_text {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize as _, de::Error as _};

    pub(super) fn serialize<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(|error| D::Error::custom(format!("not base64: {error}")))
    }
}

crate::resource::spec::schema_of! {
    Redirect => RedirectFields;
    Rewrite => RewriteFields;
}
