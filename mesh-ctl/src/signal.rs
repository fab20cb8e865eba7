//! The signals that ask a process to end.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves at SIGINT or SIGTERM; pends for ever if they cannot be waited for.
pub async fn end_asked() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        tracing::warn!("signals cannot be waited for");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
