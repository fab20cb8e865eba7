//! A backend of plain bytes: says its greeting, echoes, and ends when the peer has ended.

use std::io;

use tokio::io::AsyncWriteExt as _;

use super::Server;
use crate::differential::{
    observe::Seen,
    wire::{Io, Wire},
};

/// Serves one connection.
pub(super) async fn serve(server: &Server, io: Box<dyn Io>, tls: Option<String>) -> io::Result<()> {
    server.record(Seen { backend: server.name.clone(), version: "tcp", tls, ..Seen::default() });
    let mut wire = Wire::new(io);
    wire.write(server.spec.greeting.as_bytes()).await?;
    loop {
        let bytes = wire.some().await?;
        if bytes.is_empty() {
            wire.write(b"(end)").await?;
            return wire.io.shutdown().await;
        }
        wire.write(&bytes).await?;
    }
}
