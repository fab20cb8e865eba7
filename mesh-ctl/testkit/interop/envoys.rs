//! Every sidecar is an Envoy, and no mesh-proxy is there: what Pilot, Citadel and our SDS are worth to Envoy alone. Some ask
//! Pilot for deltas, some for the state of the world.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use http::StatusCode;
use mesh_ctl::{
    demo::{Sample, spec},
    mesh::{sidecar, spec::Ads},
};
use tokio::time::sleep;

use crate::{
    report::{Found, Report, found},
    stats::Stats,
    subject::{
        INBOUND, LIFETIME, Subject, after, called_over_tls, configured, envoys, processes, send, served_over_tls, unfailing, unrejected,
    },
};

const ALL: [&str; 5] = ["frontend-v1", "advertisement-v1", "advertisement-v2", "inventory-1", "inventory-2"];
const REQUESTS: u64 = 600;
const DENIED: u64 = 20;
/// The kernel may take so long to end a killed process.
const GONE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

/// Runs it.
pub(crate) async fn run(envoy: &Path, report: &mut Report) -> Result<()> {
    let sample = Sample::copy()?;
    let mut spec = spec(&sample, LIFETIME, 1);
    spec.gateways.clear();
    let (delta, sotw) = ALL.split_at(3);
    envoys(&mut spec, delta, envoy, Ads::Delta);
    envoys(&mut spec, sotw, envoy, Ads::Sotw);
    let mut subject = Subject::start(spec, sample, &[]).await?;
    for workload in ALL {
        report.add("configuration", configured(subject.admin(workload)?).await.map(|detail| format!("{workload}: {detail}")));
    }
    report.add("requests", requests(&subject).await);
    let stats = Stats::of(subject.admin("advertisement-v1")?).await.map_err(|error| anyhow!(error))?;
    report.add("mtls-in", served_over_tls(&stats));
    report.add("mtls-out", called_over_tls(&stats, "inventory", ""));
    report.add("authorization", denied(&subject).await);
    report.add("kill", killed(&mut subject).await);
    for workload in ALL {
        let stats = Stats::of(subject.admin(workload)?).await.map_err(|error| anyhow!(error))?;
        report.add("nothing-rejected", unrejected(&stats).map(|detail| format!("{workload}: {detail}")));
    }
    report.add("clean-up", subject.end().await);
    Ok(())
}

async fn requests(subject: &Subject) -> Found {
    let load = subject.load(Some(("frontend-v1", "frontend"))).map_err(|error| error.to_string())?;
    let reached = after(&load, REQUESTS).await;
    let seen = unfailing(&load);
    load.stop().await;
    reached.and(seen)
}

/// The frontend may not ask the inventory, whose Envoy knows it by its certificate.
async fn denied(subject: &Subject) -> Found {
    let mut caller = subject.app("frontend-v1", "inventory").map_err(|error| error.to_string())?;
    let seen = send(&mut caller, "/", &[], DENIED).await?;
    let mut counted = 0;
    for workload in ["inventory-1", "inventory-2"] {
        let admin = subject.admin(workload).map_err(|error| error.to_string())?;
        counted += Stats::of(admin).await?.sum(INBOUND, "rbac.denied");
    }
    found(
        seen.get(&StatusCode::FORBIDDEN) == Some(&DENIED) && counted == DENIED,
        format!("answers {seen:?}, rbac.denied {counted} at the inventory's Envoys"),
    )
}

/// A sidecar that is killed leaves no Envoy behind, and comes back.
async fn killed(subject: &mut Subject) -> Found {
    let failed = |error: mesh_ctl::mesh::Error| error.to_string();
    let name = sidecar("inventory-2");
    let bootstrap = subject.mesh.folder().bootstrap(&name);
    let before = processes(&bootstrap).len();
    subject.mesh.kill(&name).await.map_err(failed)?;
    // The launcher has waited for the agent; the kernel ends Envoy at the same time, not before.
    let since = Instant::now();
    while !processes(&bootstrap).is_empty() && since.elapsed() < GONE {
        sleep(POLL).await;
    }
    let left = processes(&bootstrap);
    subject.mesh.launch(&name).await.map_err(failed)?;
    subject.mesh.wait_ready(&name).await.map_err(failed)?;
    let served = requests(subject).await?;
    found(before == 1 && left.is_empty(), format!("{name}: {before} Envoy, after the kill {}; started again: {served}", left.len()))
}
