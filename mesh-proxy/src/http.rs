//! HTTP: hyper speaks the protocols, `pipeline::handle` is the life of a request.

mod body;
mod filter;
mod flight;
mod forward;
mod headers;
mod heard;
mod mirror;
mod pipeline;
mod reply;
mod request;
mod serve;
mod upgrade;

pub use self::filter::PeerMetadataHeaders;
pub(crate) use self::{body::UpBody, request::to_http1, serve::serve};
