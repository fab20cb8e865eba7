//! Secrets from SDS and the bootstrap. They go to where TLS settings look for them; no snapshot changes, unless something waited for one.

use std::sync::Arc;

use mesh_proto::envoy::extensions::transport_sockets::tls::v3::Secret as WireSecret;
use mesh_runtime::xds::Rejection;

use super::{Assembler, Kind, named, rejection};
use crate::xds::{context::Context, secret};

impl Assembler {
    /// Takes secrets. One that is gone at the server stays in force; one that the server says it does not have is not waited for, and TLS that
    /// needs it fails.
    pub fn secrets(&mut self, upserts: Vec<WireSecret>, removed: &[Arc<str>]) -> Vec<Rejection> {
        self.absent(Kind::Secret, removed);
        let mut rejections = Vec::new();
        for wire in upserts {
            let name: Arc<str> = wire.name.as_str().into();
            let mut cx = Context::new(&mut self.slots, &mut self.secrets);
            match named(&name, &cx).and_then(|()| secret::resource(&mut cx, &wire)) {
                Ok(secret) => {
                    self.given_up.remove(&(Kind::Secret, name.clone()));
                    self.secrets.named(&name).store(secret);
                }
                Err(refusal) => rejections.push(rejection(&name, &refusal)),
            }
        }
        rejections
    }
}
