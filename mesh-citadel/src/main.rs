//! `mesh-citadel`: the certificate authority as a process. SIGINT or SIGTERM drains it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use mesh_citadel::cli::Arguments;
use mesh_runtime::{process, telemetry};

/// How long requests in progress may take once a signal came.
const DRAIN: Duration = Duration::from_secs(5);

/// Signs SPIFFE certificates for the workloads of a mesh, over Istio's CreateCertificate.
#[derive(Parser)]
#[command(name = "mesh-citadel", version)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
    /// Log format: text or json
    #[arg(long, default_value = "text")]
    log_format: telemetry::Format,
    /// Log filter: a level, or target=level, separated by commas
    #[arg(long, default_value = "info")]
    log_level: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    telemetry::init(&telemetry::Config { format: cli.log_format, filter: cli.log_level })?;
    mesh_runtime::tls::install_provider();
    let bound = mesh_citadel::bind(cli.arguments.config()?).await.context("citadel cannot start")?;
    process::serve(|drain| bound.run(drain), DRAIN).await.context("citadel stopped")
}
