//! The control plane is away, the mesh serves; and what was edited meanwhile arrives when it is back.

use std::time::{Duration, Instant};

use super::{
    Found, LATE, Subject,
    traffic::{share, wait_for_share, window},
};
use crate::mesh::{GALLEY, PILOT, sidecar};

/// Kills Pilot and Galley, edits the weights, starts a new proxy, then Pilot first and Galley after it.
pub(super) async fn down(subject: &mut Subject) -> Found {
    let failed = subject.failures();
    let say = |error: crate::mesh::Error| error.to_string();
    subject.mesh.kill(PILOT).await.map_err(say)?;
    subject.mesh.kill(GALLEY).await.map_err(say)?;
    let before = share(&window(subject, 2_000).await?);
    subject.sample.set_weights(20, 80).map_err(|error| error.to_string())?;
    let late = sidecar(LATE);
    subject.mesh.launch(&late).await.map_err(say)?;

    // Pilot alone knows nothing: it must say nothing, rather than push an empty world.
    subject.mesh.launch(PILOT).await.map_err(say)?;
    let alone = Instant::now();
    while alone.elapsed() < Duration::from_secs(2) {
        window(subject, 100).await?;
    }
    unchanged(subject, failed, before).await?;
    if subject.mesh.is_ready(&late) || subject.mesh.is_ready(PILOT) {
        return Err("Pilot or the new proxy says that it is ready although Galley is away".into());
    }

    let back = Instant::now();
    subject.mesh.launch(GALLEY).await.map_err(say)?;
    let took = wait_for_share(subject, before, 80.0, back).await?;
    subject.mesh.wait_ready(PILOT).await.map_err(say)?;
    subject.mesh.wait_ready(&late).await.map_err(say)?;
    match subject.failures() - failed {
        0 => Ok(format!("0 failures; the edit arrived {took:.1?} after Galley was started, and the proxy started meanwhile is ready")),
        n => Err(format!("{n} requests failed: {:?}", subject.load.tally().examples())),
    }
}

async fn unchanged(subject: &Subject, failed: u64, before: f64) -> Result<(), String> {
    let now = share(&window(subject, 2_000).await?);
    if subject.failures() != failed {
        return Err(format!("requests failed while Pilot was alone: {:?}", subject.load.tally().examples()));
    }
    if (now - before).abs() > 10.0 {
        return Err(format!("the split moved from {before:.0} to {now:.0} % v2 while Galley was away"));
    }
    Ok(())
}
