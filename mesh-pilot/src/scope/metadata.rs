//! Typed access to `node.metadata`, a JSON object in which every value may have any type.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use mesh_config::resource::Labels;
use mesh_proto::{
    envoy::config::core::v3::Node,
    google::protobuf::{Struct, value::Kind},
};

use super::{AppEndpoint, Interception, InvalidNode};

/// More labels or endpoints than this are refused: a bound on what a peer makes us keep.
const MOST_ENTRIES: usize = 256;
/// Bytes of a label's key: Kubernetes' prefix, slash and name.
const LONGEST_KEY: usize = 253 + 1 + 63;
/// Bytes of a label's value, as in Kubernetes.
const LONGEST_LABEL: usize = 63;
/// Bytes of an endpoint: the path of a Unix socket is shorter.
const LONGEST_ENDPOINT: usize = 256;
/// Bytes of a name: of a cluster, a network, a region.
pub(super) const LONGEST_NAME: usize = 253;

/// A node's metadata.
pub(super) struct Metadata<'n>(Option<&'n Struct>);

impl<'n> Metadata<'n> {
    pub(super) fn of(node: &'n Node) -> Self {
        Self(node.metadata.as_ref())
    }

    /// A text that is not empty.
    pub(super) fn text(&self, field: &str) -> Option<&'n str> {
        match self.kind(field)? {
            Kind::StringValue(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// A name that the scope keeps; empty if there is none.
    pub(super) fn name(&self, field: &'static str) -> Result<String, InvalidNode> {
        let text = self.text(field).unwrap_or_default();
        bounded(field, text, LONGEST_NAME)?;
        Ok(text.to_owned())
    }

    /// A text that parses.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&self, field: &'static str) -> Result<Option<T>, InvalidNode> {
        self.text(field).map(|text| text.parse().map_err(|error| wrong(field, format!("{error}")))).transpose()
    }

    /// A port as text or number.
    pub(super) fn port(&self, field: &'static str) -> Result<Option<u16>, InvalidNode> {
        let text = match self.kind(field) {
            None | Some(Kind::NullValue(_)) => return Ok(None),
            Some(Kind::StringValue(text)) if text.is_empty() => return Ok(None),
            Some(Kind::StringValue(text)) => text.clone(),
            Some(Kind::NumberValue(number)) => number.to_string(),
            Some(_) => return Err(wrong(field, "not a port number")),
        };
        match text.parse() {
            Ok(port) if port != 0 => Ok(Some(port)),
            _ => Err(wrong(field, format!("{text:?} is not a port from 1 to 65535"))),
        }
    }

    pub(super) fn labels(&self) -> Result<Labels, InvalidNode> {
        self.texts("LABELS", LONGEST_LABEL)
    }

    pub(super) fn interception(&self) -> Result<Interception, InvalidNode> {
        match self.text("INTERCEPTION_MODE") {
            None | Some("REDIRECT") => Ok(Interception::Redirect),
            Some("TPROXY") => Ok(Interception::Tproxy),
            Some("NONE") => Ok(Interception::None),
            Some(other) => Err(wrong("INTERCEPTION_MODE", format!("{other:?} is none of REDIRECT, TPROXY, NONE"))),
        }
    }

    pub(super) fn app_endpoints(&self) -> Result<BTreeMap<u16, AppEndpoint>, InvalidNode> {
        const FIELD: &str = "APP_ENDPOINTS";
        let mut endpoints = BTreeMap::new();
        for (port, endpoint) in self.texts(FIELD, LONGEST_ENDPOINT)? {
            let number = port.parse().map_err(|_| wrong(FIELD, format!("{port:?} is not a port")))?;
            let endpoint = parse_app_endpoint(&endpoint)
                .ok_or_else(|| wrong(FIELD, format!("{endpoint:?} is neither `unix:///absolute/path` nor a loopback `address:port`")))?;
            endpoints.insert(number, endpoint);
        }
        Ok(endpoints)
    }

    /// An object whose values are texts of at most `longest` bytes.
    fn texts(&self, field: &'static str, longest: usize) -> Result<Labels, InvalidNode> {
        let entries = match self.kind(field) {
            None | Some(Kind::NullValue(_)) => return Ok(Labels::new()),
            Some(Kind::StructValue(entries)) => entries,
            Some(_) => return Err(wrong(field, "not an object of texts")),
        };
        if entries.fields.len() > MOST_ENTRIES {
            return Err(wrong(field, format!("more than {MOST_ENTRIES} entries")));
        }
        let texts = entries.fields.iter().map(|(key, value)| match &value.kind {
            Some(Kind::StringValue(text)) => {
                bounded(field, key, LONGEST_KEY)?;
                bounded(field, text, longest)?;
                Ok((key.clone(), text.clone()))
            }
            _ => Err(wrong(field, format!("the value of {key:?} is not a text"))),
        });
        texts.collect()
    }

    fn kind(&self, field: &str) -> Option<&'n Kind> {
        self.0?.fields.get(field)?.kind.as_ref()
    }
}

/// `unix:///path`, or an address on loopback: a proxy must not be told to forward elsewhere.
pub(crate) fn parse_app_endpoint(text: &str) -> Option<AppEndpoint> {
    if let Some(path) = text.strip_prefix("unix://") {
        let path = PathBuf::from(path);
        return (path.is_absolute() || path.to_string_lossy().starts_with('@')).then_some(AppEndpoint::Unix(path));
    }
    text.parse().ok().filter(|address: &std::net::SocketAddr| address.ip().is_loopback()).map(AppEndpoint::Socket)
}

/// A scope is kept, and is a key: a peer must not make it large.
pub(super) fn bounded(field: &'static str, text: &str, longest: usize) -> Result<(), InvalidNode> {
    if text.len() <= longest {
        return Ok(());
    }
    let begin: String = text.chars().take(32).collect();
    Err(wrong(field, format!("{begin:?}… has {} bytes, more than {longest}: shorten it", text.len())))
}

fn wrong(field: &'static str, reason: impl Into<String>) -> InvalidNode {
    InvalidNode::Metadata { field, reason: reason.into() }
}
