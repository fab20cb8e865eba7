//! An Envoy as a workload's sidecar, and the agent beside it: what istio-agent is to Istio's proxy.
//!
//! The agent gets the workload's certificate from Citadel and serves it by SDS on a Unix socket; Envoy itself is an ADS client of Pilot. Nothing of the
//! mesh is between an application and its Envoy, so any Envoy fits that speaks xDS v3.

mod admin;
mod bootstrap;

use std::{
    collections::BTreeMap,
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use mesh_proxy::sds::Sds;
use mesh_runtime::{
    connect::Connector,
    drain::{self, DrainWatch},
    task::Tasks,
};
use rustix::process::{Pid, Signal};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use self::admin::Admin;
use super::{
    Tell,
    roles::{control_plane, enrollment},
};
use crate::mesh::role::{Envoy, Event};

/// How long Citadel may take to answer at the start.
const ENROLL_PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);
/// Callers are told to go away for at least so long before listeners close: connections kept alive are used meanwhile.
const DRAIN: Duration = Duration::from_secs(1);
/// Requests in flight may take so long to end.
const DRAIN_PATIENCE: Duration = Duration::from_secs(3);
/// How long Envoy may take to end by itself.
const QUIT_PATIENCE: Duration = Duration::from_secs(1);

/// Runs Envoy until drained; fails when it ends by itself.
pub(super) async fn run(role: Envoy, tell: Tell, drain: DrainWatch) -> Result<()> {
    // Keeps the drain waiting until Envoy has ended.
    let _guard = drain.guard();
    let renewal = Tasks::new("envoy certificate");
    let (enrollment, connector) = (enrollment(role.proxy.identity.clone())?, Connector::new());
    let certificates = tokio::select! {
        source = enrollment.start(&connector, &renewal, ENROLL_PATIENCE) => source.context("the sidecar's certificate")?,
        () = drain.draining() => return Ok(()),
    };
    // Its own drain: secrets are served for as long as Envoy is there.
    let secrets = Tasks::new("envoy secrets");
    let (stop_sds, sds_watch) = drain::channel();
    let sds = Sds::bind(&role.sds, certificates).with_context(|| format!("serving secrets on {}", role.sds.display()))?;
    secrets.spawn("sds", sds.serve(sds_watch));

    let pilot = control_plane("mesh-pilot")?.to_string();
    let document = serde_json::to_vec_pretty(&bootstrap::document(&role, &pilot))?;
    std::fs::write(&role.bootstrap, document).with_context(|| format!("writing {}", role.bootstrap.display()))?;
    let ended = supervise(&role, tell, &drain, &secrets).await;

    drop((stop_sds, renewal));
    secrets.shutdown(QUIT_PATIENCE).await;
    match std::fs::remove_file(&role.bootstrap) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => tracing::warn!(%error, path = %role.bootstrap.display(), "stays behind"),
        _ => {}
    }
    ended
}

async fn supervise(role: &Envoy, tell: Tell, drain: &DrainWatch, secrets: &Tasks) -> Result<()> {
    let mut envoy = start(role)?;
    let admin = Admin::new(role.proxy.admin);
    let ready = async {
        while !admin.get("/ready").await.is_ok_and(|(status, _)| status.is_success()) {
            sleep(POLL).await;
        }
    };
    tokio::select! {
        status = envoy.wait() => return ended(status),
        failure = secrets.failure() => bail!("secrets are not served any more: {failure}"),
        () = drain.draining() => return end(envoy, &admin, drain).await,
        () = ready => tell(Event::Ready { addresses: BTreeMap::from([("admin".into(), role.proxy.admin.to_string())]) }),
    }
    tokio::select! {
        status = envoy.wait() => ended(status),
        failure = secrets.failure() => bail!("secrets are not served any more: {failure}"),
        () = drain.draining() => end(envoy, &admin, drain).await,
    }
}

/// In this process's own group, so that whoever kills the group leaves no Envoy behind.
fn start(role: &Envoy) -> Result<Child> {
    Command::new(&role.program)
        .arg("--config-path")
        .arg(&role.bootstrap)
        .args(["--concurrency", &role.proxy.concurrency.to_string()])
        // No shared memory and no fixed socket name: any number of them run side by side.
        .arg("--disable-hot-restart")
        .args(["--drain-strategy", "immediate", "--drain-time-s", &DRAIN.as_secs().to_string()])
        .args(["--log-level", "warning"])
        .stdin(Stdio::null())
        // Standard output is the agent's event channel.
        .stdout(io::stderr())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}: is it an Envoy for this machine?", role.program.display()))
}

fn ended(status: io::Result<ExitStatus>) -> Result<()> {
    bail!("Envoy ended by itself: {}", status.context("waiting for Envoy")?)
}

/// Callers are asked to go, requests in flight end, then Envoy quits; whatever is left of it after that is killed.
async fn end(mut envoy: Child, admin: &Admin, drain: &DrainWatch) -> Result<()> {
    tokio::select! {
        () = emptied(admin) => {}
        () = drain.forced() => {}
        // It is gone: nothing to wait for.
        _ = envoy.wait() => return Ok(()),
    }
    if let Err(error) = admin.post("/quitquitquit").await {
        tracing::debug!(%error, "Envoy was not asked to quit");
    }
    for signal in [Signal::TERM, Signal::KILL] {
        if timeout(QUIT_PATIENCE, envoy.wait()).await.is_ok() {
            return Ok(());
        }
        if let Some(pid) = envoy.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
            && let Err(error) = rustix::process::kill_process(pid, signal)
        {
            tracing::debug!(%error, "signal to Envoy");
        }
    }
    envoy.wait().await.context("waiting for Envoy").map(drop)
}

/// Until no request is in flight, and at least for as long as callers are being told.
async fn emptied(admin: &Admin) {
    let begun = Instant::now();
    if let Err(error) = admin.post("/drain_listeners?graceful").await {
        tracing::debug!(%error, "Envoy was not asked to drain");
        return;
    }
    while begun.elapsed() < DRAIN_PATIENCE {
        let active = admin.get("/stats?filter=downstream_rq_active").await.map_or(0, |(_, text)| in_flight(&text));
        if active == 0 && begun.elapsed() >= DRAIN {
            return;
        }
        sleep(POLL).await;
    }
}

/// Requests in flight by `name: value` lines, without those of the admin interface itself.
fn in_flight(text: &str) -> u64 {
    let lines = text.lines().filter(|line| !line.starts_with("http.admin."));
    lines.filter_map(|line| line.rsplit_once(": ")?.1.trim().parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_interface_is_not_waited_for() {
        assert_eq!(in_flight("http.admin.downstream_rq_active: 1\nhttp.inbound_0.0.0.0_8080.downstream_rq_active: 2\n"), 2);
        assert_eq!(in_flight("No such stat"), 0);
    }
}
