//! `mesh-galley`: configuration as a process. SIGINT or SIGTERM drains it.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use mesh_galley::Config;
use mesh_proto::id::SpiffeId;
use mesh_runtime::{
    connect::Target,
    enroll::Enrollment,
    process,
    svid::{Renewal, Token},
    telemetry,
    tls::Peers,
};

const DRAIN: Duration = Duration::from_secs(5);

/// Watches folders of Istio YAML, validates it, and serves it over MCP to those who may have it.
#[derive(Parser)]
#[command(name = "mesh-galley", version)]
struct Cli {
    /// Folders of YAML; of two resources of one name the earlier folder's is in force
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// Where the last good configuration is kept, so that a restart knows it although a file is broken
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Where MCP is served, over mutual TLS
    #[arg(long, default_value = "0.0.0.0:9901")]
    listen: SocketAddr,
    /// Where /ready, /metrics and /debug/status are served, in plaintext
    #[arg(long, default_value = "127.0.0.1:15014")]
    monitoring: SocketAddr,
    /// Our SPIFFE id
    #[arg(long, default_value = "spiffe://cluster.local/ns/mesh-system/sa/mesh-galley")]
    id: SpiffeId,
    /// Citadel, host:port
    #[arg(long, default_value = "mesh-citadel.mesh-system.svc:15012")]
    citadel: Target,
    /// Citadel's SPIFFE id
    #[arg(long, default_value = "spiffe://cluster.local/ns/mesh-system/sa/mesh-citadel")]
    citadel_id: SpiffeId,
    /// Trust bundle to verify Citadel with, PEM
    #[arg(long, default_value = "/var/run/secrets/istio/root-cert.pem")]
    roots: PathBuf,
    /// Our service-account token
    #[arg(long, default_value = "/var/run/secrets/tokens/istio-token")]
    token: PathBuf,
    /// Who may read configuration
    #[arg(long = "allow", default_values = ["spiffe://cluster.local/ns/mesh-system/sa/mesh-pilot", "spiffe://cluster.local/ns/mesh-system/sa/mesh-mixer"])]
    allowed: Vec<SpiffeId>,
    /// Who of them may read Secrets
    #[arg(long = "allow-secrets", default_values = ["spiffe://cluster.local/ns/mesh-system/sa/mesh-pilot"])]
    trusted: Vec<SpiffeId>,
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
    let config = Config {
        listen: cli.listen,
        monitoring: Some(cli.monitoring),
        folders: cli.folders,
        state: cli.state,
        watch: true,
        quiet: Config::QUIET,
        patience: Config::PATIENCE,
        enrollment: Enrollment {
            id: cli.id,
            citadel: cli.citadel,
            peers: Peers::id(cli.citadel_id),
            roots: cli.roots,
            token: Token::File(cli.token),
            renewal: Renewal::Certificate,
        },
        allowed: cli.allowed,
        trusted: cli.trusted,
    };
    let bound = mesh_galley::bind(config).await.context("galley cannot start")?;
    process::serve(|drain| bound.run(drain), DRAIN).await.context("galley stopped")
}
