//! Which messages are known. Two pools, each parsed on first use: the types that a mesh meets every day, small; and every type of
//! Envoy's v3 API, loaded only when a name is not among the first.
//!
//! A message of one pool never meets a message of the other: what an `Any` holds is bytes.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

/// The message with this full name.
pub(super) fn find(name: &str) -> Option<MessageDescriptor> {
    USUAL.get_message_by_name(name).or_else(|| EVERY.get_message_by_name(name))
}

/// Cut out of envoy-types' set by `build/`, together with our own messages.
static USUAL: LazyLock<DescriptorPool> = LazyLock::new(|| load(include_bytes!(concat!(env!("OUT_DIR"), "/accepted.bin"))));

/// Every v3 message of envoy-types' set.
static EVERY: LazyLock<DescriptorPool> = LazyLock::new(|| load(include_bytes!(concat!(env!("OUT_DIR"), "/every.bin"))));

fn load(descriptors: &[u8]) -> DescriptorPool {
    #[allow(clippy::expect_used)]
    DescriptorPool::decode(descriptors).expect("the embedded descriptor set is a valid one: the tests load it")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_rest_is_found_in_the_larger_pool_alone() {
        let rare = "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy";
        assert!(USUAL.get_message_by_name(rare).is_none());
        assert!(find(rare).is_some());
        assert!(find("envoy.config.bootstrap.v3.Bootstrap").unwrap().parent_pool() == &*USUAL);
        assert!(find("acme.Thing").is_none());
    }
}
