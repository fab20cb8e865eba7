//! `meshctl demo`.

use std::{io::Write, time::Duration};

use anyhow::{Context, Result};
use clap::{Args as ClapArgs, ValueEnum};
use mesh_runtime::{process::end_asked, telemetry};
use tokio::sync::mpsc;

use super::{Progress, say};
use crate::{
    demo::{
        HOST, Mutant, Sample,
        check::{self, Options, Report},
        entrance, spec,
        view::{self, Looker, Scraper},
    },
    load::Load,
    mesh::{Mesh, process::Mode, sidecar},
};

const CALLERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(10);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Arguments of `meshctl demo`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Run without a terminal, check everything the demo shows, and exit 1 unless all of it holds
    #[arg(long)]
    check: bool,
    /// With --check: kill this process (citadel, galley, pilot, ingressgateway, frontend-v1, frontend-v1-proxy, …) and check that the rest serves
    #[arg(long, value_name = "NAME", requires = "check")]
    kill: Option<String>,
    /// How --check reports
    #[arg(long, value_enum, default_value_t = Output::Text, requires = "check")]
    output: Output,
    /// Worker threads of each proxy
    #[arg(long, default_value_t = 1)]
    concurrency: usize,
    /// Keep running so long, then stop (0: until Ctrl-C)
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    seconds: u64,
    /// How long workload certificates live; they rotate at half of it
    #[arg(long, value_name = "SECONDS", default_value_t = 120, conflicts_with = "check")]
    certificate_lifetime: u64,
    /// Break the mesh on purpose, to see the check that should notice
    #[cfg(feature = "mutants")]
    #[arg(long = "break", value_enum)]
    mutant: Option<Mutant>,
}

impl Args {
    #[cfg(feature = "mutants")]
    fn mutant(&self) -> Option<Mutant> {
        self.mutant
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the feature's twin looks at it")]
    fn mutant(&self) -> Option<Mutant> {
        None
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line per check
    Text,
    /// One JSON object
    Json,
}

/// Runs it. False: a check does not hold.
///
/// # Errors
/// When the mesh does not start.
pub async fn run(args: Args) -> Result<bool> {
    telemetry::init(&telemetry::Config {
        filter: std::env::var("MESHCTL_LOG").unwrap_or_else(|_| "error".into()),
        ..telemetry::Config::default()
    })
    .context("logging")?;
    let mode = Mode::Processes { program: std::env::current_exe().context("finding this executable")? };
    if args.check { run_check(args, mode).await } else { run_live(&args, mode).await.map(|()| true) }
}

async fn run_check(args: Args, mode: Mode) -> Result<bool> {
    let progress = Progress::new(false);
    let options = Options { mode, mutant: args.mutant(), kill: args.kill, concurrency: args.concurrency };
    let mut tell = |text: &str| progress.tell(text);
    let report = tokio::select! {
        report = check::run(&options, &mut tell) => report,
        // What is dropped here ends its processes and removes its folder.
        () = end_asked() => Err(anyhow::anyhow!("interrupted")),
    };
    progress.done();
    let report = report?;
    match args.output {
        Output::Json => writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?,
        Output::Text => print(&report)?,
    }
    Ok(report.ok)
}

fn print(report: &Report) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for check in &report.checks {
        writeln!(out, "{} {:<20} {}", if check.ok { "ok  " } else { "FAIL" }, check.name, check.detail)?;
    }
    let held = report.checks.iter().filter(|check| check.ok).count();
    writeln!(
        out,
        "{held} of {} checks hold; ready after {:.1} s, {:.1} s in all",
        report.checks.len(),
        report.ready_seconds,
        report.seconds
    )
}

async fn run_live(args: &Args, mode: Mode) -> Result<()> {
    let mutant = args.mutant();
    let sample = if mutant.is_some() { Sample::copy() } else { Sample::to_edit() }.context("the shop's YAML")?;
    if let Some(mutant) = mutant {
        mutant.apply(&sample).context("breaking the sample")?;
    }
    let lifetime = Mutant::certificate_lifetime(mutant, Duration::from_secs(args.certificate_lifetime));
    let mut spec = spec(&sample, lifetime, args.concurrency);
    spec.watch = mutant != Some(Mutant::FrozenWeights);
    let progress = Progress::new(false);
    let mut tell = |text: &str| progress.tell(text);
    let mesh = Mesh::start_but(spec, mode, &[], &mut tell, end_asked()).await;
    progress.done();
    let mesh = mesh?;
    let address = entrance(&mesh).context("the mesh has no gateway")?;
    introduce(&mesh, &sample, address);

    let load = Load::start(address, HOST, CALLERS, PAUSE)?;
    let scraper = Scraper::start(&mesh);
    let (send, models) = mpsc::channel(1);
    let mut looker = Looker::new();
    let feed = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let model = looker.look(&mesh, load.tally().seen(), scraper.facts());
            load.tally().reset_latencies();
            if send.send(model).await.is_err() {
                break;
            }
        }
    };
    let folder = sample.folder().display().to_string();
    let end = async {
        if args.seconds == 0 {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    };
    let shown = tokio::select! {
        shown = view::run(models, &folder) => shown,
        () = feed => Ok(()),
        () = end => Ok(()),
    };
    say("draining …");
    let seen = load.stop().await;
    drop(scraper);
    mesh.stop().await;
    say(&format!("{} requests, {} failed. Nothing is left running.", seen.requests, seen.failures));
    shown.context("the terminal")
}

/// What people and audits need to look at the mesh from outside. `folder` comes last.
fn introduce(mesh: &Mesh, sample: &Sample, address: std::net::SocketAddr) {
    say(&format!("Try:  curl -H 'host: {HOST}' http://{address}/      and with -H 'x-user: tester'"));
    say(&format!("shop http://{address}/"));
    say(&format!("config {}", sample.folder().display()));
    for name in mesh.process_names() {
        let Some(process) = mesh.process(&name) else { continue };
        let mut facts = process.pid().map(|pid| format!(" pid={pid}")).unwrap_or_default();
        if let Some(place) = mesh.places().iter().find(|place| place.gateway && place.name == name || sidecar(&place.name) == name) {
            facts += &format!(" admin=http://{}", place.admin());
        }
        if let Some(place) = mesh.place(&name).filter(|place| !place.gateway) {
            for (port, app) in &place.endpoints {
                facts += &format!(" inbound={}:{port} app={app}", place.address);
            }
        }
        say(&format!("part {name}{facts}"));
    }
    say(&format!("folder {}", mesh.folder().path().display()));
}
