//! A mesh with Envoys in it: started, called, looked at, ended; and the assertions that hold of any of them.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use http::StatusCode;
use mesh_ctl::{
    demo::{HOST, Sample, entrance},
    load::{Caller, Load, Seen},
    mesh::{
        Mesh,
        process::Mode,
        spec::{Ads, Envoy, Sidecar, Spec},
    },
};
use tokio::time::sleep;

use crate::{
    report::{Found, found},
    stats::{Stats, wait_for, wait_for_another},
};

pub(crate) use crate::stats::serial;

const CALLERS: usize = 4;
const POLL: Duration = Duration::from_millis(20);
/// How long a number of requests may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Certificates live so long; they rotate at half of it, and so some times within a scenario.
pub(crate) const LIFETIME: Duration = Duration::from_secs(16);
/// The stat prefix of the shop's inbound connection managers.
pub(crate) const INBOUND: &str = "http.inbound_0.0.0.0_8080.";
/// The stat prefix of the outbound HTTP proxy.
pub(crate) const OUTBOUND: &str = "http.outbound_http_proxy.";

/// A running mesh.
pub(crate) struct Subject {
    pub(crate) mesh: Mesh,
    pub(crate) sample: Sample,
}

/// A cluster's stat prefix: `cluster.outbound|80|v1|advertisement.shop.svc.cluster.local.`
pub(crate) fn cluster(service: &str, subset: &str) -> String {
    format!("cluster.outbound|80|{subset}|{service}.shop.svc.cluster.local.")
}

/// Makes the sidecars of `workloads` Envoys.
pub(crate) fn envoys(spec: &mut Spec, workloads: &[&str], program: &Path, ads: Ads) {
    for workload in spec.workloads.iter_mut().filter(|workload| workloads.contains(&workload.name.as_str())) {
        workload.sidecar = Sidecar::Envoy(Envoy { program: program.to_owned(), ads });
    }
}

impl Subject {
    /// Starts a mesh but for some of its processes.
    pub(crate) async fn start(spec: Spec, sample: Sample, not: &[&str]) -> Result<Self> {
        let mode = Mode::Processes { program: std::env::current_exe().context("finding this executable")? };
        Ok(Self { mesh: Mesh::start_but(spec, mode, not, &mut |_| {}, std::future::pending()).await?, sample })
    }

    /// The admin interface of a workload's sidecar.
    pub(crate) fn admin(&self, workload: &str) -> Result<SocketAddr> {
        Ok(self.mesh.place(workload).with_context(|| format!("there is no workload {workload}"))?.admin())
    }

    /// Where a workload's sidecar takes connections for it.
    pub(crate) fn inbound(&self, workload: &str) -> Result<SocketAddr> {
        let place = self.mesh.place(workload).with_context(|| format!("there is no workload {workload}"))?;
        Ok((place.address, 8080).into())
    }

    /// A caller at the ingress gateway.
    pub(crate) fn visitor(&self) -> Result<Caller> {
        Ok(Caller::new(entrance(&self.mesh).context("there is no gateway")?, HOST)?)
    }

    /// A caller that is the application of `workload`: it goes out through that sidecar, with that identity.
    pub(crate) fn app(&self, workload: &str, host: &str) -> Result<Caller> {
        Ok(Caller::new(self.mesh.place(workload).with_context(|| format!("there is no workload {workload}"))?.http_proxy(), host)?)
    }

    /// Load from the gateway, or from `workload`'s application.
    pub(crate) fn load(&self, from: Option<(&str, &str)>) -> Result<Load> {
        let (address, host) = match from {
            Some((workload, host)) => (self.mesh.place(workload).context("there is no such workload")?.http_proxy(), host),
            None => (entrance(&self.mesh).context("there is no gateway")?, HOST),
        };
        Ok(Load::start(address, host, CALLERS, Duration::from_millis(1))?)
    }

    /// Ends everything and looks for what is left.
    pub(crate) async fn end(self) -> Found {
        let folder = self.mesh.folder().path().to_owned();
        let before = processes(&folder).len();
        self.mesh.stop().await;
        let mut left = processes(&folder);
        if folder.exists() {
            left.push(folder.display().to_string());
        }
        found(
            left.is_empty() && before > 0,
            if left.is_empty() {
                format!("{before} Envoys ended, no process, socket or folder is left")
            } else {
                format!("left behind: {}", left.join(", "))
            },
        )
    }
}

/// Processes that were started with a file of this mesh: Envoys, by their bootstrap.
pub(crate) fn processes(folder: &Path) -> Vec<String> {
    let needle = folder.display().to_string();
    let running = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let ours = running.filter(|path| fs::read(path.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&needle)));
    ours.map(|path: PathBuf| format!("process {}", path.display())).collect()
}

/// Waits until `requests` more have ended; gives what was seen of all.
pub(crate) async fn after(load: &Load, requests: u64) -> Result<Seen, String> {
    let from = load.tally().seen().requests;
    let begun = std::time::Instant::now();
    loop {
        let seen = load.tally().seen();
        if seen.requests - from >= requests {
            return Ok(seen);
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("only {} of {requests} requests in {PATIENCE:?}", seen.requests - from));
        }
        sleep(POLL).await;
    }
}

/// What callers saw: nothing failed.
pub(crate) fn unfailing(load: &Load) -> Found {
    let seen = load.tally().seen();
    let examples = load.tally().examples();
    let detail = format!("{} requests, {} failed {}", seen.requests, seen.failures, examples.first().map_or("", String::as_str));
    found(seen.failures == 0 && seen.requests > 0, detail)
}

/// Sends requests one after the other; gives answers by status.
pub(crate) async fn send(
    caller: &mut Caller,
    path: &str,
    headers: &[(&'static str, &'static str)],
    requests: u64,
) -> Result<BTreeMap<StatusCode, u64>, String> {
    let mut seen = BTreeMap::new();
    for n in 1..=requests {
        let answer = caller.get(path, headers).await.map_err(|error| format!("request {n} of {path}: {error}"))?;
        *seen.entry(answer.status).or_default() += 1;
    }
    Ok(seen)
}

/// Envoy has listeners, routes, clusters and endpoints from Pilot, and refused none.
pub(crate) async fn configured(admin: SocketAddr) -> Found {
    let stats = wait_for(admin, "Envoy has its configuration", |stats| {
        let served = |begin: &str, end: &str| stats.sum(begin, end) > 0;
        served("listener_manager.lds.", "update_success")
            && served("cluster_manager.cds.", "update_success")
            && served("cluster.outbound", ".update_success")
            && served(OUTBOUND, ".update_success")
    })
    .await?;
    unrejected(&stats)
}

/// Nothing that Pilot or our SDS ever sent was refused.
pub(crate) fn unrejected(stats: &Stats) -> Found {
    let refused = stats.rejected();
    let accepted = |what: &str, begin: &str, end: &str| format!("{what} {}", stats.sum(begin, end));
    let detail = format!(
        "update_rejected {}; update_success: {}, {}, {}, {}",
        if refused.is_empty() { "0".to_owned() } else { refused.join(", ") },
        accepted("LDS", "listener_manager.lds.", "update_success"),
        accepted("RDS", OUTBOUND, ".update_success"),
        accepted("CDS", "cluster_manager.cds.", "update_success"),
        accepted("EDS", "cluster.outbound", ".update_success"),
    );
    found(refused.is_empty() && stats.matching("", ".update_rejected").count() > 4, detail)
}

/// Mutual TLS with callers, by the listener's own counters.
pub(crate) fn served_over_tls(stats: &Stats) -> Found {
    let handshakes = stats.sum("listener.127.", "_8080.ssl.handshake");
    let requests = stats.sum(INBOUND, "downstream_rq_completed");
    let anonymous = stats.sum("listener.127.", "_8080.ssl.no_certificate");
    found(
        handshakes > 0 && requests > 0 && anonymous == 0,
        format!("listener ssl.handshake {handshakes}, ssl.no_certificate {anonymous}, {requests} requests inside"),
    )
}

/// Mutual TLS with a service, by the cluster's own counters.
pub(crate) fn called_over_tls(stats: &Stats, service: &str, subset: &str) -> Found {
    let prefix = cluster(service, subset);
    let of = |name: &str| stats.one(&format!("{prefix}{name}"));
    let (handshakes, connections, requests) = (of("ssl.handshake"), of("upstream_cx_total"), of("upstream_rq_200"));
    let unverified = of("ssl.fail_verify_san") + of("ssl.fail_verify_error");
    found(
        handshakes > 0 && requests > 0 && unverified == 0,
        format!(
            "{service} {subset}: ssl.handshake {handshakes} on {connections} connections, failed verifications {unverified}, upstream_rq_200 {requests}"
        ),
    )
}

/// Certificates came anew from our SDS, at least twice since Envoy presented the one of serial number `first`.
pub(crate) async fn rotated(admin: SocketAddr, first: &str) -> Found {
    let second = wait_for_another(admin, first).await?;
    let third = wait_for_another(admin, &second).await?;
    let updates = Stats::of(admin).await?.sum("listener.127.", "_8080.server_ssl_socket_factory.ssl_context_update_by_sds");
    found(
        updates > 2,
        format!(
            "ssl_context_update_by_sds {updates}, serial numbers {}",
            [first, &second, &third].map(|serial| &serial[..serial.len().min(8)]).join(", ")
        ),
    )
}

/// A share in percent.
pub(crate) fn percent(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let share = part as f64 * 100.0 / whole.max(1) as f64;
    share
}
