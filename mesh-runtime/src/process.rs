//! The life of a process: it serves until a signal asks it to end, then drains.

use std::{pin::pin, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

use crate::drain::{self, DrainWatch};

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

/// Runs a component until it ends by itself or a signal comes; then lets work in progress go on for at most `deadline`.
///
/// # Errors
/// The component's.
pub async fn serve<E, F>(run: impl FnOnce(DrainWatch) -> F, deadline: Duration) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    let (trigger, watch) = drain::channel();
    let mut serving = pin!(run(watch));
    tokio::select! {
        served = &mut serving => return served,
        () = end_asked() => {}
    }
    tracing::info!("draining");
    let (served, _) = tokio::join!(serving, trigger.drain(deadline));
    served
}
