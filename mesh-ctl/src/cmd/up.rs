//! `meshctl up`: the user's own commands in a mesh on this machine.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::Args as ClapArgs;
use mesh_runtime::{process::end_asked, telemetry};
use tokio::sync::broadcast::error::RecvError;

use super::{Progress, say};
use crate::{
    mesh::{Mesh, process::Mode},
    up,
};

const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(3600);

/// Arguments of `meshctl up`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// What to run
    #[arg(short, long, default_value = "mesh.yaml")]
    file: PathBuf,
    /// Worker threads of each proxy
    #[arg(long, default_value_t = 1)]
    concurrency: usize,
    /// Show the logs of proxies and the control plane too
    #[arg(long)]
    all_logs: bool,
}

/// Runs it until Ctrl-C.
///
/// # Errors
/// When the file is not right or the mesh does not start.
pub async fn run(args: Args) -> Result<bool> {
    telemetry::init(&telemetry::Config {
        filter: std::env::var("MESHCTL_LOG").unwrap_or_else(|_| "error".into()),
        ..telemetry::Config::default()
    })
    .context("logging")?;
    let file = up::read(&args.file)?;
    let spec = file.spec(CERTIFICATE_LIFETIME, args.concurrency);
    let apps: Vec<String> = spec.workloads.iter().map(|workload| workload.name.clone()).collect();
    let mode = Mode::Processes { program: std::env::current_exe().context("finding this executable")? };
    let progress = Progress::new(false);
    let mut tell = |text: &str| progress.tell(text);
    let mesh = Mesh::start_but(spec, mode, &[], &mut tell, end_asked()).await;
    progress.done();
    let mesh = mesh?;
    for place in mesh.places() {
        say(&format!("{:<20} {}  admin http://{}  HTTP_PROXY http://{}", place.name, place.address, place.admin(), place.http_proxy()));
    }
    let mut logs = mesh.logs();
    loop {
        tokio::select! {
            line = logs.recv() => match line {
                Ok(line) if args.all_logs || apps.iter().any(|app| **app == *line.process) => say(&format!("{} | {}", line.process, line.text)),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => say(&format!("({missed} log lines came too fast; they are in {})", mesh.folder().path().display())),
                Err(RecvError::Closed) => break,
            },
            () = end_asked() => break,
        }
    }
    say("draining …");
    mesh.stop().await;
    Ok(true)
}
