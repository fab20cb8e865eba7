//! What any component of the mesh needs to live on a network: owned tasks, two-step drain, readiness, back-off, telemetry, connections, and the one xDS
//! engine. It knows no Istio kind and no component; something belongs here only when a second component needs it.

pub mod admin;
pub mod backoff;
pub mod connect;
pub mod drain;
pub mod enroll;
pub mod grpc;
pub mod listen;
pub mod process;
pub mod ready;
pub mod svid;
pub mod task;
pub mod telemetry;
pub mod tls;
pub mod xds;
