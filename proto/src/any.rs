//! Packing and unpacking of `google.protobuf.Any`, the envelope of every xDS resource and extension.

use prost::{DecodeError, Message, Name};

use crate::google::protobuf::Any;
use crate::{canonical, type_url};

/// Wraps a message with its type URL. Equal messages give equal bytes, whatever maps they hold: versions are hashes of them.
pub fn pack<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: canonical::encode(message) }
}

/// Whether `any` says that it holds an `M`. Only the message name counts, not the authority before it.
pub fn is<M: Name>(any: &Any) -> bool {
    type_url::message_name(&any.type_url) == M::full_name()
}

/// Reads the message out of its envelope.
///
/// # Errors
/// [`UnpackError::Type`] when it holds another type, [`UnpackError::Malformed`] when the bytes are not an `M`.
pub fn unpack<M: Message + Name + Default>(any: &Any) -> Result<M, UnpackError> {
    if !is::<M>(any) {
        return Err(UnpackError::Type { expected: M::type_url(), found: any.type_url.clone() });
    }
    M::decode(any.value.as_slice()).map_err(|source| UnpackError::Malformed {
        expected: M::type_url(),
        found: any.type_url.clone(),
        source,
    })
}

/// Why an `Any` could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// The envelope names another message.
    #[error("expected a {expected}, found a {}", or_none(found))]
    Type {
        /// The type URL of the message that was asked for.
        expected: String,
        /// The type URL in the envelope.
        found: String,
    },
    /// The envelope names the right message, but its bytes do not decode.
    #[error("malformed {expected} (in an Any of type {found}): {source}")]
    Malformed {
        /// The type URL of the message that was asked for.
        expected: String,
        /// The type URL in the envelope.
        found: String,
        /// What the decoder stumbled over.
        source: DecodeError,
    },
}

fn or_none(type_url: &str) -> &str {
    if type_url.is_empty() { "message without a type URL" } else { type_url }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::envoy::config::{cluster::v3::Cluster, listener::v3::Listener};

    #[test]
    fn what_is_packed_unpacks() {
        let cluster = Cluster { name: "outbound|80||a.b".into(), ..Default::default() };
        let any = pack(&cluster);
        assert_eq!(any.type_url, type_url::CLUSTER);
        assert_eq!(unpack::<Cluster>(&any).unwrap(), cluster);
    }

    #[test]
    fn another_authority_is_the_same_type() {
        let mut any = pack(&Cluster::default());
        any.type_url = "type.envoyproxy.io/envoy.config.cluster.v3.Cluster".into();
        assert!(unpack::<Cluster>(&any).is_ok());
    }

    #[test]
    fn errors_name_both_types() {
        let error = unpack::<Listener>(&pack(&Cluster::default())).unwrap_err().to_string();
        assert!(error.contains(type_url::LISTENER) && error.contains(type_url::CLUSTER), "{error}");

        let broken = Any { type_url: type_url::CLUSTER.into(), value: vec![0xff] };
        let error = unpack::<Cluster>(&broken).unwrap_err();
        assert!(matches!(error, UnpackError::Malformed { .. }), "{error}");
    }
}
