//! Ports as Istio's resources declare them, and the protocols they speak.

use std::{fmt, str::FromStr};

use super::spec::spec;
use crate::schema::port_number;

spec! {
    /// A port of a Gateway server.
    pub struct Port {
        /// 1 to 65535; 0 only beside a Unix socket.
        required number: u16,
        /// Unique within the Gateway.
        required name: String,
        required protocol: Protocol,
        /// Has no effect; refused.
        target_port: Option<u16>,
    }

    /// A port of a ServiceEntry.
    pub struct ServicePort {
        #[schemars(transform = port_number())]
        required number: u16,
        #[schemars(length(max = 256))]
        required name: String,
        /// Absent: found out from the first bytes.
        #[serde(deserialize_with = "if_named")]
        #[schemars(length(max = 256))]
        protocol: Option<Protocol>,
        /// The endpoints' port, if it is another.
        #[schemars(transform = port_number())]
        target_port: Option<u16>,
    }

    /// A port of a Sidecar listener.
    pub struct SidecarPort {
        number: u16,
        name: String,
        #[serde(deserialize_with = "if_named")]
        protocol: Option<Protocol>,
        /// Has no effect; refused.
        target_port: Option<u16>,
    }
}

/// What is spoken on a port. Names are read without regard to case, as Istio does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.1 (and h2c by upgrade).
    Http,
    /// HTTP inside TLS that this port does not end.
    Https,
    /// HTTP/2 in clear text.
    Http2,
    /// gRPC.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
    /// Bytes.
    #[default]
    Tcp,
    /// TLS that is passed through or ended by SNI.
    Tls,
    /// Datagrams: not carried by the mesh.
    Udp,
    /// MongoDB, carried as TCP.
    Mongo,
    /// Redis, carried as TCP.
    Redis,
    /// MySQL, carried as TCP; the server speaks first.
    Mysql,
    /// HTTP CONNECT tunnel of ambient mode.
    Hbone,
    /// An authentication proxy, carried as HTTP.
    HttpProxy,
    /// DoubleHBONE.
    DoubleHbone,
}

/// Each protocol's name as Istio prints it.
const NAMES: [(&str, Protocol); 14] = [
    ("HTTP", Protocol::Http),
    ("HTTPS", Protocol::Https),
    ("HTTP2", Protocol::Http2),
    ("GRPC", Protocol::Grpc),
    ("GRPC-Web", Protocol::GrpcWeb),
    ("TCP", Protocol::Tcp),
    ("TLS", Protocol::Tls),
    ("UDP", Protocol::Udp),
    ("Mongo", Protocol::Mongo),
    ("Redis", Protocol::Redis),
    ("MySQL", Protocol::Mysql),
    ("HBONE", Protocol::Hbone),
    ("HTTP_PROXY", Protocol::HttpProxy),
    ("DoubleHBONE", Protocol::DoubleHbone),
];

/// A protocol that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid protocol `{given}`{}, supported protocols are HTTP, HTTPS, HTTP2, GRPC, GRPC-Web, TCP, TLS, UDP, Mongo, Redis, MySQL",
    suggestion(given)
)]
pub struct InvalidProtocol {
    given: String,
}

impl Protocol {
    /// The protocol's name as Istio prints it.
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(_, protocol)| *protocol == self).map_or("TCP", |(name, _)| name)
    }

    /// HTTP that the proxy can read: HTTP, HTTP/2, gRPC, gRPC-Web.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc | Self::GrpcWeb | Self::HttpProxy)
    }

    /// HTTP/2 from the first byte.
    pub const fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc | Self::GrpcWeb)
    }

    /// TLS from the first byte: HTTPS and TLS.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }

    /// Carried as bytes, not read as HTTP and not chosen by SNI.
    pub const fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp | Self::Mongo | Self::Redis | Self::Mysql)
    }
}

impl FromStr for Protocol {
    type Err = InvalidProtocol;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map(|(_, protocol)| *protocol)
            .ok_or_else(|| InvalidProtocol { given: text.to_owned() })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Protocol {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Protocol {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl serde::de::Visitor<'_> for Name {
            type Value = Protocol;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a protocol such as HTTP, HTTPS, GRPC, HTTP2, TCP or TLS")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Protocol, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Name)
    }
}

/// A protocol; the empty text, which the CRD allows, names none.
fn if_named<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Protocol>, D::Error> {
    let name = <std::borrow::Cow<'_, str> as serde::Deserialize>::deserialize(deserializer)?;
    if name.is_empty() { Ok(None) } else { name.parse().map(Some).map_err(serde::de::Error::custom) }
}

/// ` (did you mean …?)` if one is close.
fn suggestion(given: &str) -> String {
    crate::suggest::nearest(given, NAMES.iter().map(|(name, _)| *name)).map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

crate::resource::spec::schema_of! {
    Protocol => String;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_empty_protocol_is_none_and_a_slip_is_corrected() {
        let port =
            |protocol: &str| serde_json::from_value::<ServicePort>(serde_json::json!({"number": 80, "name": "a", "protocol": protocol}));
        assert_eq!(port("").unwrap().protocol, None);
        assert_eq!(port("grpc-web").unwrap().protocol, Some(Protocol::GrpcWeb));
        assert!(port("HTPS").unwrap_err().to_string().contains("did you mean `HTTPS`?"));
    }
}
