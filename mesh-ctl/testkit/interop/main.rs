//! `mesh-interop`: a real Envoy as a sidecar of the shop, judged by its own `/stats`. `cargo xtask interop` spawns it.
//!
//! Links the local mesh (`mesh_ctl::mesh`) to run one; what it asserts it reads from Envoy's admin interface, from callers and from the kernel, never from
//! a log or a counter of ours.
#![allow(clippy::print_stdout)]

mod callee;
mod caller;
mod envoys;
mod report;
mod stats;
mod subject;
mod vocabulary;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use mesh_ctl::{
    child,
    mesh::{process::CHILD_VERB, spec::Ads},
};
use mesh_runtime::telemetry;
use tokio::signal::unix::{SignalKind, signal};

use self::report::Report;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "mesh-interop", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    peer: Peer,
}

#[derive(Subcommand)]
enum Peer {
    /// Envoy as a sidecar, as an ADS client of Pilot, with certificates by SDS
    Envoy(Args),
}

#[derive(clap::Args)]
struct Args {
    /// Envoy's executable
    #[arg(long)]
    envoy: PathBuf,
    /// Pilot's golden cases, for the scenario `vocabulary`
    #[arg(long)]
    cases: Option<PathBuf>,
    /// Only these scenarios
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// How to report
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// A mesh with an Envoy in it, and what is asserted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Everything that Pilot can say, in its golden cases
    Vocabulary,
    /// Every sidecar is an Envoy
    Envoys,
    /// Envoy beside the advertisement: called by mesh-proxy, calls mesh-proxy
    Callee,
    /// Envoy beside the frontend: splits, injects faults, retries
    Caller,
    /// The same over state-of-the-world ADS
    CallerSotw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line per assertion
    Text,
    /// One JSON object
    Json,
}

fn main() -> ExitCode {
    mesh_runtime::tls::install_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    // The mesh's processes are this executable with a hidden verb, as with meshctl.
    let done = if std::env::args().nth(1).as_deref() == Some(CHILD_VERB) {
        runtime.block_on(child::run()).map(|()| true)
    } else {
        let Peer::Envoy(args) = Cli::parse().peer;
        runtime.block_on(async {
            tokio::select! {
                done = run(args) => done,
                // Dropped, a mesh ends its processes and removes its folder.
                stopped = interrupted() => stopped,
            }
        })
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

async fn interrupted() -> Result<bool> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    anyhow::bail!("interrupted")
}

fn fail(error: &anyhow::Error) -> ExitCode {
    println!("mesh-interop: {error:#}");
    ExitCode::FAILURE
}

/// False: an assertion does not hold.
async fn run(args: Args) -> Result<bool> {
    telemetry::init(&telemetry::Config {
        filter: std::env::var("MESHCTL_LOG").unwrap_or_else(|_| "error".into()),
        ..telemetry::Config::default()
    })
    .context("logging")?;
    let envoy = std::fs::canonicalize(&args.envoy).with_context(|| args.envoy.display().to_string())?;
    let mut report = Report::new(args.output == Output::Text);
    for scenario in Scenario::value_variants().iter().filter(|one| args.only.is_empty() || args.only.contains(one)) {
        let name = scenario.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        report.begin(&name);
        let ran = match scenario {
            Scenario::Vocabulary => match &args.cases {
                Some(folder) => Box::pin(vocabulary::run(&envoy, folder, &mut report)).await,
                None => Err(anyhow::anyhow!("--cases is needed: the folder of Pilot's golden cases")),
            },
            Scenario::Envoys => Box::pin(envoys::run(&envoy, &mut report)).await,
            Scenario::Callee => Box::pin(callee::run(&envoy, &mut report)).await,
            Scenario::Caller => Box::pin(caller::run(&envoy, Ads::Delta, &mut report)).await,
            Scenario::CallerSotw => Box::pin(caller::run(&envoy, Ads::Sotw, &mut report)).await,
        };
        if let Err(error) = ran {
            report.add("runs", Err(format!("{error:#}")));
        }
    }
    if args.output == Output::Json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(report.ok)
}
