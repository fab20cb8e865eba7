//! The same message, the same bytes.
//!
//! Versions of resources are hashes of their bytes, and envoy-types keeps map fields in `HashMap`s, which every process, and every map, walks in
//! another order. A resource with two annotations would get a new version at each generation, and be pushed for nothing. So map entries are
//! put in order after encoding, on the wire format itself, led by a table of where maps are (made by `build/maps.rs`).

use prost::Name;
use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint, encode_varint};

/// Encodes a message with its maps in order. An `Any` inside it is left as it is: [`any::pack`](crate::any::pack) has put its content in order.
///
/// The order is that of the encoded entries, not of the keys: it is arbitrary, but always the same.
pub fn encode<M: prost::Message + Name>(message: &M) -> Vec<u8> {
    order(&M::full_name(), message.encode_to_vec())
}

/// Puts the maps of an encoded message in order.
pub(crate) fn order(full_name: &str, bytes: Vec<u8>) -> Vec<u8> {
    match MESSAGES.binary_search_by(|listed| listed.name.cmp(full_name)) {
        // What has just been encoded is well formed; were it not, it would go out as it is.
        Ok(found) => ordered(&bytes, &MESSAGES[found]).unwrap_or(bytes),
        Err(_) => bytes,
    }
}

/// A message from which a map can be reached.
struct Message {
    name: &'static str,
    fields: &'static [Field],
}

/// A field that is a map or leads to one.
struct Field {
    number: u32,
    map: bool,
    /// What its message is, or its entries are, as a place in [`MESSAGES`].
    message: Option<usize>,
}

static MESSAGES: &[Message] = include!(concat!(env!("OUT_DIR"), "/maps.rs"));

/// `None` if the bytes are not a message.
fn ordered(bytes: &[u8], message: &Message) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut entries = Entries::default();
    let mut rest = bytes;
    while rest.has_remaining() {
        let start = rest;
        let (number, wire_type) = decode_key(&mut rest).ok()?;
        let value = take_value(&mut rest, wire_type)?;
        let field = message.fields.iter().find(|field| field.number == number);
        if !field.is_some_and(|field| field.map && field.number == entries.number) {
            entries.flush(&mut out);
        }
        let Some(field) = field else {
            out.extend_from_slice(&start[..start.len() - rest.len()]);
            continue;
        };
        let inside = field.message.and_then(|at| MESSAGES.get(at));
        let value = inside.map_or_else(|| Some(value.to_vec()), |message| ordered(value, message))?;
        if field.map {
            entries.number = number;
            entries.values.push(value);
        } else {
            write_value(&mut out, number, &value);
        }
    }
    entries.flush(&mut out);
    Some(out)
}

/// The entries of one map, which prost writes one after the other.
#[derive(Default)]
struct Entries {
    number: u32,
    values: Vec<Vec<u8>>,
}

impl Entries {
    fn flush(&mut self, out: &mut Vec<u8>) {
        self.values.sort_unstable();
        for value in self.values.drain(..) {
            write_value(out, self.number, &value);
        }
        self.number = 0;
    }
}

fn write_value(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    prost::encoding::encode_key(number, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// The content of a field; for fixed sizes and varints its exact extent does not matter.
fn take_value<'b>(rest: &mut &'b [u8], wire_type: WireType) -> Option<&'b [u8]> {
    let len = match wire_type {
        WireType::Varint => {
            decode_varint(rest).ok()?;
            0
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(rest).ok()?).ok()?,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let (value, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::envoy::config::cluster::v3::Cluster;
    use crate::json;
    use proptest::prelude::*;
    use prost::Message as _;
    use serde_json::{Map, Value, json};

    fn cluster(keys: &[String]) -> Cluster {
        let fields: Map<String, Value> =
            keys.iter().map(|key| (key.clone(), json!({"nested": {"a": key, "b": [1, {"c": 2, "d": 3}], "e": null}}))).collect();
        let metadata: Map<String, Value> = keys.iter().map(|key| (key.clone(), Value::Object(fields.clone()))).collect();
        json::decode(json!({
            "name": "c", "connect_timeout": "1s", "lb_policy": "MAGLEV", "metadata": {"filter_metadata": metadata},
            "load_assignment": {"cluster_name": "c", "endpoints": [{"lb_endpoints": [{"metadata": {"filter_metadata": metadata}, "load_balancing_weight": 7}]}]},
        }))
        .unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn equal_messages_are_equal_bytes(keys in prop::collection::vec("[a-z]{1,6}", 0..8)) {
            let (one, other) = (cluster(&keys), cluster(&keys));
            prop_assert_eq!(encode(&one), encode(&other));
            prop_assert_eq!(Cluster::decode(encode(&one).as_slice()).unwrap(), one);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>(), at in 0..MESSAGES.len()) {
            let _ = ordered(&bytes, &MESSAGES[at]);
        }
    }

    #[test]
    fn the_table_is_sorted_and_closed() {
        assert!(MESSAGES.is_sorted_by(|a, b| a.name < b.name));
        assert!(MESSAGES.iter().flat_map(|message| message.fields).all(|field| field.message.is_none_or(|at| at < MESSAGES.len())));
        for name in ["google.protobuf.Struct", "envoy.config.route.v3.RouteConfiguration", "envoy.config.listener.v3.Listener"] {
            assert!(MESSAGES.iter().any(|message| message.name == name), "{name}");
        }
    }
}
