//! Envoy beside the frontend: it is called by a mesh-proxy gateway, and decides what becomes of the frontend's calls to mesh-proxies.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use http::StatusCode;
use mesh_ctl::{
    demo::{Sample, spec},
    load::Load,
    mesh::{
        PILOT, sidecar,
        spec::{Ads, App},
    },
};

use crate::{
    report::{Found, Report, found},
    stats::{Stats, wait_for},
    subject::{
        LIFETIME, OUTBOUND, Subject, after, called_over_tls, cluster, configured, envoys, percent, rotated, send, serial, served_over_tls,
        unfailing, unrejected,
    },
};

const WORKLOAD: &str = "frontend-v1";
/// A replica of v1 that Pilot tells of and that nobody serves: half of v1's first tries end there.
const ABSENT: &str = "advertisement-absent";
const SPLIT: u64 = 3_000;
/// Fewer while Pilot is away and after it came back.
const RESPLIT: u64 = 1_500;
/// Standard deviations that chance may be off by: 3 points of 20 % over those.
const DEVIATIONS: f64 = 4.2;
const FAULTED: u64 = 800;
/// Four standard deviations of 20 % over those.
const FAULT_TOLERANCE: f64 = 5.7;
const DENIED: u64 = 20;
const TESTERS: u64 = 100;
/// Whether Envoy's stream to Pilot is up.
const CONNECTED: &str = "control_plane.connected_state";
/// How long an edit may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs it.
pub(crate) async fn run(envoy: &Path, ads: Ads, report: &mut Report) -> Result<()> {
    let sample = Sample::copy()?;
    // In turn: by least requests, the replica that answers nothing would be the first choice of every retry.
    sample.edit("traffic.yaml", |text| {
        let rule = "  host: advertisement\n";
        text.contains(rule).then(|| text.replace(rule, &format!("{rule}  trafficPolicy:\n    loadBalancer: {{simple: ROUND_ROBIN}}\n")))
    })?;
    let mut spec = spec(&sample, LIFETIME, 1);
    envoys(&mut spec, &[WORKLOAD], envoy, ads);
    if let Some(v1) = spec.workloads.iter().find(|workload| workload.name == "advertisement-v1").cloned() {
        spec.workloads.push(mesh_ctl::mesh::spec::Workload { name: ABSENT.into(), app: App::None, ..v1 });
    }
    let mut subject = Subject::start(spec, sample, &[&sidecar(ABSENT)]).await?;
    let admin = subject.admin(WORKLOAD)?;
    report.add("configuration", configured(admin).await);

    let first = serial(admin).await.map_err(|error| anyhow!(error))?;
    let load = subject.load(None)?;
    report.add("split", split(admin, &load, 20.0, SPLIT).await);
    let stats = Stats::of(admin).await.map_err(|error| anyhow!(error))?;
    report.add("mtls-in", served_over_tls(&stats));
    for version in ["v1", "v2"] {
        report.add("mtls-out", called_over_tls(&stats, "advertisement", version));
    }
    report.add("retry", retried(&stats));
    report.add("pilot-restart", restarted(&mut subject, admin, &load).await);
    report.add("rotation", rotated(admin, &first).await);
    report.add("requests", unfailing(&load));
    load.stop().await;
    // Alone, so that counters tell exactly.
    report.add("ab", testers(&subject, admin).await);
    report.add("fault", faulted(&subject, admin).await);
    report.add("authorization", denied(&subject, admin).await);
    let stats = Stats::of(admin).await.map_err(|error| anyhow!(error))?;
    report.add("nothing-rejected", unrejected(&stats));
    report.add("clean-up", subject.end().await);
    Ok(())
}

/// Requests that ended, by version; a retry is no request of its own.
fn completed(stats: &Stats, version: &str) -> u64 {
    stats.one(&format!("{}upstream_rq_completed", cluster("advertisement", version)))
}

/// The share of v2 among the next `requests`, by Envoy's counters.
async fn split(admin: SocketAddr, load: &Load, want: f64, requests: u64) -> Found {
    let before = Stats::of(admin).await?;
    after(load, requests).await?;
    let stats = Stats::of(admin).await?;
    let [v1, v2] = ["v1", "v2"].map(|version| completed(&stats, version) - completed(&before, version));
    let share = percent(v2, v1 + v2);
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let tolerance = DEVIATIONS * (want * (100.0 - want) / (v1 + v2).max(1) as f64).sqrt();
    found(
        (share - want).abs() <= tolerance,
        format!("upstream_rq_completed v1 {v1}, v2 {v2}: {share:.1} % v2, wanted {want:.0} ± {tolerance:.1}"),
    )
}

/// Calls that met the absent replica were tried again.
fn retried(stats: &Stats) -> Found {
    let of = |name: &str| stats.one(&format!("{}{name}", cluster("advertisement", "v1")));
    let (retries, healed, unconnected) = (of("upstream_rq_retry"), of("upstream_rq_retry_success"), of("upstream_cx_connect_fail"));
    found(
        retries > 0 && healed > 0 && unconnected > 0,
        format!("upstream_cx_connect_fail {unconnected}, upstream_rq_retry {retries}, upstream_rq_retry_success {healed}"),
    )
}

/// Pilot dies, the weights are edited, Pilot comes back: Envoy serves throughout and takes the edit.
async fn restarted(subject: &mut Subject, admin: SocketAddr, load: &Load) -> Found {
    let failed = |error: mesh_ctl::mesh::Error| error.to_string();
    subject.mesh.kill(PILOT).await.map_err(failed)?;
    wait_for(admin, "Envoy notices that Pilot is gone", |stats| stats.one(CONNECTED) == 0).await?;
    subject.sample.set_weights(50, 50).map_err(|error| error.to_string())?;
    split(admin, load, 20.0, RESPLIT).await.map_err(|detail| format!("without Pilot: {detail}"))?;
    subject.mesh.launch(PILOT).await.map_err(failed)?;
    subject.mesh.wait_ready(PILOT).await.map_err(failed)?;
    wait_for(admin, "Envoy is connected again", |stats| stats.one(CONNECTED) == 1).await?;
    let begun = Instant::now();
    while split(admin, load, 50.0, 200).await.is_err() {
        if begun.elapsed() > PATIENCE {
            return Err(format!("the edit did not arrive within {PATIENCE:?}"));
        }
    }
    let split = split(admin, load, 50.0, RESPLIT).await?;
    let modified = Stats::of(admin).await?.one("listener_manager.listener_modified");
    // What was not edited is the same as before, byte for byte.
    found(modified == 0, format!("served without Pilot; {CONNECTED} 1 again, listener_modified {modified}; edited meanwhile: {split}"))
}

/// Testers get v2 and nothing else.
async fn testers(subject: &Subject, admin: SocketAddr) -> Found {
    let before = Stats::of(admin).await?;
    let mut visitor = subject.visitor().map_err(|error| error.to_string())?;
    let seen = send(&mut visitor, "/", &[("x-user", "tester")], TESTERS).await?;
    let stats = Stats::of(admin).await?;
    let [v1, v2] = ["v1", "v2"].map(|version| completed(&stats, version) - completed(&before, version));
    found(
        v1 == 0 && v2 == TESTERS && seen.get(&StatusCode::OK) == Some(&TESTERS),
        format!("upstream_rq_completed v1 {v1}, v2 {v2} of {TESTERS} testers"),
    )
}

/// One call in five is aborted.
async fn faulted(subject: &Subject, admin: SocketAddr) -> Found {
    let aborts = |stats: &Stats| stats.sum(OUTBOUND, "fault.aborts_injected");
    let before = aborts(&Stats::of(admin).await?);
    let mut visitor = subject.visitor().map_err(|error| error.to_string())?;
    let seen = send(&mut visitor, "/flaky", &[], FAULTED).await?;
    let counted = aborts(&Stats::of(admin).await?) - before;
    let share = percent(counted, FAULTED);
    let same = seen.get(&StatusCode::SERVICE_UNAVAILABLE).copied().unwrap_or(0) == counted;
    found(
        same && (share - 20.0).abs() <= FAULT_TOLERANCE,
        format!("fault.aborts_injected {counted} of {FAULTED} ({share:.1} %); answers {seen:?}"),
    )
}

/// The frontend may not ask the inventory: its mesh-proxies refuse the identity that Envoy proves.
async fn denied(subject: &Subject, admin: SocketAddr) -> Found {
    let refused = format!("{}upstream_rq_403", cluster("inventory", ""));
    let before = Stats::of(admin).await?.one(&refused);
    let mut visitor = subject.visitor().map_err(|error| error.to_string())?;
    let seen = send(&mut visitor, "/direct", &[], DENIED).await?;
    let counted = Stats::of(admin).await?.one(&refused) - before;
    found(
        counted == DENIED && seen.get(&StatusCode::FORBIDDEN) == Some(&DENIED),
        format!("upstream_rq_403 {counted} of {DENIED}; answers {seen:?}"),
    )
}
