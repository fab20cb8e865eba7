//! `meshctl demo --check`: the demo without a terminal, judged from outside.
//!
//! Every check looks at what a caller or a stranger sees (answers, certificates, refused connections), or at what an app
//! itself counted; none reads the mesh's own counters.

mod control_plane;
mod kill;
mod security;
mod traffic;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use self::security::SerialWatch;
use super::{HOST, LATE, Mutant, Sample, entrance, late_workload, spec};
use crate::{
    load::{Caller, Load, Seen},
    mesh::{
        Mesh,
        process::Mode,
        sidecar,
        spec::{App, Spec},
    },
};

/// Certificates of a checked mesh live so long: at half of it they rotate, so that three rotations fit into the check.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(16);
const CALLERS: usize = 8;
const PAUSE: Duration = Duration::from_millis(2);

/// What `--check` found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Every check holds.
    pub ok: bool,
    /// In the order they ran.
    pub checks: Vec<Check>,
    /// Requests of the background load.
    pub requests: u64,
    /// Of which failed.
    pub failures: u64,
    /// The first failures, in words.
    pub examples: Vec<String>,
    /// From the first process to the last check.
    pub seconds: f64,
    /// From the first process to everything ready.
    pub ready_seconds: f64,
}

/// One of them.
#[derive(Debug, Serialize)]
pub struct Check {
    /// Name.
    pub name: &'static str,
    /// It holds.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
}

/// What to check.
#[derive(Debug, Clone)]
pub struct Options {
    /// How roles run.
    pub mode: Mode,
    /// Kill this process and check that the rest serves, instead of the other checks.
    pub kill: Option<String>,
    /// Break the mesh first.
    pub mutant: Option<Mutant>,
    /// Workers of each proxy.
    pub concurrency: usize,
}

/// What a check found: holds or not, and what was seen.
pub(super) type Found = Result<String, String>;

/// Everything a check may use.
pub(super) struct Subject {
    pub(super) mesh: Mesh,
    pub(super) sample: Sample,
    pub(super) load: Load,
}

/// Runs the demo and its checks. `progress` hears what goes on.
///
/// # Errors
/// When the mesh does not start; a check that does not hold is in the report.
pub async fn run(options: &Options, progress: &mut (dyn FnMut(&str) + Send)) -> Result<Report> {
    let begun = Instant::now();
    let sample = Sample::copy().context("copying the sample")?;
    if let Some(mutant) = options.mutant {
        mutant.apply(&sample).context("breaking the sample")?;
    }
    let spec = checked_spec(&sample, options);
    let mesh = Mesh::start_but(spec, options.mode.clone(), &[&sidecar(LATE)], progress, std::future::pending()).await?;
    let ready_seconds = begun.elapsed().as_secs_f64();
    let address = entrance(&mesh).context("the mesh has no gateway")?;
    let serials = SerialWatch::start(&mesh);
    let load = Load::start(address, HOST, CALLERS, PAUSE)?;
    let mut subject = Subject { mesh, sample, load };

    let mut checks = match &options.kill {
        Some(name) => kill::run(&mut subject, name, progress).await,
        None => all(&mut subject, &serials, progress).await,
    };
    let examples = subject.load.tally().examples();
    let seen = subject.load.stop().await;
    if options.kill.is_none() {
        checks.insert(0, named("requests", requests(&seen, &examples)));
    }
    progress("stopping");
    let folder = subject.mesh.folder().path().to_owned();
    let pids = subject.mesh.pids();
    serials.stop().await;
    subject.mesh.stop().await;
    checks.push(named("clean-up", traces(&folder, &pids)));
    Ok(Report {
        ok: checks.iter().all(|check| check.ok),
        checks,
        requests: seen.requests,
        failures: seen.failures,
        examples,
        seconds: begun.elapsed().as_secs_f64(),
        ready_seconds,
    })
}

fn checked_spec(sample: &Sample, options: &Options) -> Spec {
    let lifetime = Mutant::certificate_lifetime(options.mutant, CERTIFICATE_LIFETIME);
    let mut spec = spec(sample, lifetime, options.concurrency);
    spec.watch = options.mutant != Some(Mutant::FrozenWeights);
    spec.workloads.push(late_workload());
    debug_assert!(matches!(spec.workloads.last().map(|w| &w.app), Some(App::None)));
    spec
}

async fn all(subject: &mut Subject, serials: &SerialWatch, progress: &mut (dyn FnMut(&str) + Send)) -> Vec<Check> {
    let mut checks = Vec::new();
    macro_rules! check {
        ($name:literal, $found:expr) => {{
            progress(concat!("checking ", $name));
            checks.push(named($name, $found.await));
        }};
    }
    check!("split", traffic::split(subject));
    check!("edit", traffic::edit(subject));
    check!("ab", traffic::tester(subject));
    check!("fault", traffic::fault(subject));
    check!("retry", traffic::retry(subject));
    check!("no-certificate", security::strangers(subject));
    check!("authorization", security::denied(subject));
    check!("outlier", traffic::outlier(subject));
    check!("control-plane-down", control_plane::down(subject));
    check!("rotation", security::rotation(serials));
    checks
}

fn named(name: &'static str, found: Found) -> Check {
    let (ok, detail) = match found {
        Ok(detail) => (true, detail),
        Err(detail) => (false, detail),
    };
    Check { name, ok, detail }
}

fn requests(seen: &Seen, examples: &[String]) -> Found {
    let detail = format!("{} requests, {} failed, p50 {:.2?}, p99 {:.2?}", seen.requests, seen.failures, seen.p50, seen.p99);
    if seen.failures > 0 {
        return Err(format!("{detail}; the first: {}", examples.first().map_or("", String::as_str)));
    }
    if seen.requests < 5_000 { Err(format!("{detail}; at least 5000 are needed to say anything")) } else { Ok(detail) }
}

/// Nothing is left: no process, no folder (and so no socket).
fn traces(folder: &std::path::Path, pids: &[u32]) -> Found {
    let mut left: Vec<String> =
        pids.iter().filter(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists()).map(|pid| format!("process {pid}")).collect();
    if folder.exists() {
        left.push(folder.display().to_string());
    }
    if left.is_empty() {
        Ok(format!("{} processes ended, nothing is left", pids.len()))
    } else {
        Err(format!("left behind: {}", left.join(", ")))
    }
}

impl Subject {
    /// A caller at the gateway.
    pub(super) fn caller(&self) -> Result<Caller, String> {
        let address = entrance(&self.mesh).ok_or("the mesh has no gateway")?;
        Caller::new(address, HOST).map_err(|error| error.to_string())
    }

    /// The load's failures so far.
    pub(super) fn failures(&self) -> u64 {
        self.load.tally().seen().failures
    }
}

/// A share in percent, for messages and comparisons.
pub(super) fn percent(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let share = part as f64 * 100.0 / whole.max(1) as f64;
    share
}
