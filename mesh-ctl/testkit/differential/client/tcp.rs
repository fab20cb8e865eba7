//! Plain bytes.

use tokio::io::AsyncWriteExt as _;

use super::broken;
use crate::differential::{observe::Outcome, scenario::Tcp, wire::Wire};

/// Sends, half-closes if asked, and reads as far as asked.
pub(super) async fn exchange(mut wire: Wire, tcp: &Tcp, tls: bool) -> Outcome {
    if wire.write(tcp.send.as_bytes()).await.is_err() || (tcp.half_close && wire.io.shutdown().await.is_err()) {
        return broken(tls);
    }
    let mut data = Vec::new();
    let end = match tcp.read {
        Some(length) if wire.exactly(length, &mut data).await => "open",
        Some(_) => "closed early",
        None if wire.rest(&mut data).await => "closed",
        None => "reset",
    };
    if tls && data.is_empty() && end == "reset" { Outcome::TlsRefused } else { Outcome::Bytes { data, end } }
}
