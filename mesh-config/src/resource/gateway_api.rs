//! The kinds of the Gateway API (`gateway.networking.k8s.io`, and those of `gateway.networking.x-k8s.io` that Istio reads),
//! in all served versions.
//!
//! The types have every field of the experimental channel, which holds the standard one's. Where the channels' rules
//! differ, the experimental ones stand: they know ports of parents, names of rules and more filters, and bound header
//! values. Bounds, patterns, defaults and CEL rules are word for word those of the project's CRDs (`config/crd` of
//! kubernetes-sigs/gateway-api), so that the verdict is the API server's. What a field's absence means is a method of
//! the field's name, or `target()` for references.

pub mod backend_tls;
pub mod class;
pub mod duration;
pub mod experimental;
pub mod filter;
pub mod gateway;
pub mod grpc;
pub mod http;
pub mod listener;
pub mod listener_set;
pub mod reference_grant;
pub mod refs;
pub mod session;
pub mod stream;

mod form;
mod validate;

pub use backend_tls::BackendTlsPolicy;
pub use class::GatewayClass;
pub use experimental::{XBackend, XBackendTrafficPolicy};
pub use gateway::K8sGateway;
pub use grpc::GrpcRoute;
pub use http::HttpRoute;
pub use listener_set::ListenerSet;
pub use reference_grant::ReferenceGrant;
pub use refs::GROUP;
pub use stream::{TcpRoute, TlsRoute, UdpRoute};
