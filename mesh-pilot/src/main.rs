//! `mesh-pilot`: discovery as a process. SIGINT or SIGTERM drains it.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use mesh_pilot::{Config, Debounce, MeshSettings, settings::LogEncoding};
use mesh_proto::id::{SpiffeId, TrustDomain};
use mesh_runtime::{
    connect::Target,
    enroll::Enrollment,
    process,
    svid::{Renewal, Token},
    telemetry,
    tls::Peers,
};

const DRAIN: Duration = Duration::from_secs(5);

/// Turns the configuration that Galley serves into what each proxy needs, and serves it over ADS.
#[derive(Parser)]
#[command(name = "mesh-pilot", version)]
struct Cli {
    /// Where ADS (and CreateCertificate, for Citadel) is served, over TLS
    #[arg(long, default_value = "0.0.0.0:15012")]
    listen: SocketAddr,
    /// Serve ADS in plaintext, too, without identities; loopback only
    #[arg(long)]
    plaintext: Option<SocketAddr>,
    /// Where /ready, /metrics and /debug/* are served, in plaintext
    #[arg(long, default_value = "127.0.0.1:15014")]
    monitoring: SocketAddr,
    /// Galley's MCP, host:port
    #[arg(long, default_value = "mesh-galley.mesh-system.svc:9901")]
    galley: String,
    /// Galley's SPIFFE id
    #[arg(long, default_value = "spiffe://cluster.local/ns/mesh-system/sa/mesh-galley")]
    galley_id: SpiffeId,
    /// Our SPIFFE id
    #[arg(long, default_value = "spiffe://cluster.local/ns/mesh-system/sa/mesh-pilot")]
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
    /// Further trust domains whose identities are this mesh's
    #[arg(long = "trust-domain-alias", value_name = "DOMAIN")]
    aliases: Vec<TrustDomain>,
    /// The namespace whose policies hold for the whole mesh
    #[arg(long, default_value = "istio-system")]
    root_namespace: String,
    /// Where proxies write access logs, such as /dev/stdout; none if not given
    #[arg(long, default_value = "")]
    access_log_file: String,
    /// Write access logs as JSON
    #[arg(long)]
    access_log_json: bool,
    /// Give Secrets also to proxies whose workload is not registered, by the labels they claim: every service account of a namespace then gets its gateways' keys
    #[arg(long)]
    trust_claimed_labels: bool,
    /// Push a change once nothing has changed for so many milliseconds
    #[arg(long, default_value_t = 100)]
    debounce_ms: u64,
    /// … or after so many milliseconds at the latest
    #[arg(long, default_value_t = 10_000)]
    debounce_max_ms: u64,
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
    telemetry::init(&telemetry::Config { format: cli.log_format, filter: cli.log_level.clone() })?;
    mesh_runtime::tls::install_provider();
    let bound = mesh_pilot::bind(config(cli)).await.context("pilot cannot start")?;
    process::serve(|drain| bound.run(drain), DRAIN).await.context("pilot stopped")
}

fn config(cli: Cli) -> Config {
    let mut mesh = MeshSettings::new(cli.id.trust_domain().clone());
    mesh.trust_domain_aliases = cli.aliases;
    mesh.root_namespace = cli.root_namespace;
    mesh.trust_claimed_labels = cli.trust_claimed_labels;
    mesh.access_log_file = cli.access_log_file;
    mesh.access_log_encoding = if cli.access_log_json { LogEncoding::Json } else { LogEncoding::Text };
    Config {
        listen: cli.listen,
        plaintext: cli.plaintext,
        monitoring: Some(cli.monitoring),
        galley: cli.galley,
        galley_id: cli.galley_id,
        enrollment: Enrollment {
            id: cli.id,
            citadel: cli.citadel,
            peers: Peers::id(cli.citadel_id),
            roots: cli.roots,
            token: Token::File(cli.token),
            renewal: Renewal::Certificate,
        },
        mesh,
        debounce: Debounce { quiet: Duration::from_millis(cli.debounce_ms), patience: Duration::from_millis(cli.debounce_max_ms) },
    }
}
