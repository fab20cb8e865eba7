//! The binary: Envoy's command line for the flags that operators use, one control thread, and as many workers as asked for.

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use mesh_proxy::{
    app::{self, Bootstrap, Config, ConfigSource},
    bootstrap,
};
use mesh_runtime::{drain, telemetry, tls};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An Envoy-compatible proxy: takes an Envoy bootstrap and any xDS server.
#[derive(Debug, Parser)]
#[command(name = "mesh-proxy", version)]
struct Flags {
    /// Envoy bootstrap, YAML or JSON.
    #[arg(short, long)]
    config_path: PathBuf,
    /// Serve, or only say what is wrong with the bootstrap and what of it has no effect.
    #[arg(long, value_enum, default_value_t = Mode::Serve)]
    mode: Mode,
    /// Worker threads; 0 or nothing is one per core.
    #[arg(long, default_value_t = 0)]
    concurrency: usize,
    /// In place of the bootstrap's node.id.
    #[arg(long)]
    service_node: Option<String>,
    /// In place of the bootstrap's node.cluster.
    #[arg(long)]
    service_cluster: Option<String>,
    /// Seconds that connections of removed listeners, and all connections at the end, may go on.
    #[arg(long, default_value_t = 600)]
    drain_time_s: u64,
    /// Seconds that connections may go on at the end; at most the drain time.
    #[arg(long, default_value_t = 5)]
    termination_drain_s: u64,
    /// trace, debug, info, warning, error, critical or off; or target=level, separated by commas.
    #[arg(short, long, default_value = "info")]
    log_level: String,
    /// text or json.
    #[arg(long, default_value = "text")]
    log_as: telemetry::Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Serve,
    Validate,
}

fn main() -> ExitCode {
    match run(Flags::parse()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "mesh-proxy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    tls::install_provider();
    let path = &flags.config_path;
    let text = std::fs::read_to_string(path).with_context(|| format!("the bootstrap {}", path.display()))?;
    if flags.mode == Mode::Validate {
        let loaded = bootstrap::from_yaml(&text).with_context(|| format!("the bootstrap {}", path.display()))?;
        say(&loaded.report.to_string());
        return Ok(if loaded.report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let logging = telemetry::init(&telemetry::Config { format: flags.log_as, filter: flags.log_level.clone() })?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let drain_time = Duration::from_secs(flags.drain_time_s);
    let source = Bootstrap { text, node_id: flags.service_node, node_cluster: flags.service_cluster };
    let config = Config {
        concurrency: if flags.concurrency == 0 { cores } else { flags.concurrency },
        drain_time,
        termination_drain: drain_time.min(Duration::from_secs(flags.termination_drain_s)),
        logging: Some(logging),
        ..Config::new(ConfigSource::Bootstrap(Box::new(source)))
    };
    // Nothing heavy happens here: the workers have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(config))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let deadline = config.termination_drain + Duration::from_secs(5);
    let (trigger, watch) = drain::channel();
    let bound = app::bind(config).await?;
    for listener in bound.listeners() {
        tracing::info!(name = %listener.name, address = %listener.local, "listening");
    }
    if let Some(address) = bound.addrs.admin {
        tracing::info!(%address, "admin");
    }
    let logs = bound.access_logs();
    let running = bound.run(watch);
    tokio::pin!(running);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut reopen = signal(SignalKind::user_defined1())?;
    loop {
        tokio::select! {
            ended = &mut running => return Ok(ended?),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = reopen.recv() => logs.reopen(),
        }
    }
    let (ended, _) = tokio::join!(running, trigger.drain(deadline));
    Ok(ended?)
}

/// To standard output: the answer of a command, not a log.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
