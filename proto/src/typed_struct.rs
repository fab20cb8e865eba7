//! `TypedStruct`, a message written as JSON inside an `Any`: how EnvoyFilters and dynamic control planes configure extensions whose descriptors
//! they lack. envoy-types has neither of its two names. [`json::resolve_typed_struct`](crate::json::resolve_typed_struct) reads it.

/// The name of today: `xds.type.v3.TypedStruct`.
#[allow(clippy::all, missing_docs)]
pub mod xds {
    include!(concat!(env!("OUT_DIR"), "/xds.r#type.v3.rs"));
}

/// The older name, `udpa.type.v1.TypedStruct`, which Istio's `EnvoyFilter`s still use.
#[allow(clippy::all, missing_docs)]
pub mod udpa {
    include!(concat!(env!("OUT_DIR"), "/udpa.r#type.v1.rs"));
}
