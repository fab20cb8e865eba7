//! A proxy as a process: started on a bootstrap, ready when its admin endpoint says so, stopped by its id.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use super::wire::Wire;

const READY: Duration = Duration::from_secs(15);
/// No more of a log line is shown: Envoy prints the whole bootstrap when it does not like it.
const LOG_LINE: usize = 600;
const STOP: Duration = Duration::from_secs(3);

/// Which proxy, and its binary.
#[derive(Debug, Clone)]
pub(super) enum Proxy {
    Envoy(PathBuf),
    MeshProxy(PathBuf),
}

/// A started proxy; dropping it kills it.
pub(super) struct Running {
    child: Child,
    log: PathBuf,
}

impl Proxy {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Envoy(_) => "envoy",
            Self::MeshProxy(_) => "mesh-proxy",
        }
    }

    /// Starts it in `folder` (where its log goes) and waits until it is ready.
    pub(super) async fn start(&self, bootstrap: &Path, folder: &Path, admin: u16) -> Result<Running> {
        let log = folder.join(format!("{}.log", self.name()));
        let file = File::create(&log)?;
        let mut command = match self {
            Self::Envoy(binary) => {
                let mut command = Command::new(binary);
                command.args(["--use-dynamic-base-id", "--disable-hot-restart", "--log-level", "warning"]);
                command
            }
            Self::MeshProxy(binary) => Command::new(binary),
        };
        command.arg("-c").arg(bootstrap).args(["--concurrency", "1"]);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true).current_dir(folder);
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let mut running = Running { child, log };
        running.ready(admin).await.with_context(|| format!("{} does not start", self.name()))?;
        Ok(running)
    }
}

impl Running {
    async fn ready(&mut self, admin: u16) -> Result<()> {
        let begun = Instant::now();
        while !live(admin).await {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended ({status}):\n{}", self.log_tail());
            }
            if begun.elapsed() > READY {
                bail!("it was not ready within {READY:?}:\n{}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Whether it still runs.
    pub(super) fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of its log.
    pub(super) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(|line| line.chars().take(LOG_LINE).collect()).collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Asks it to end, then ends it.
    pub(super) async fn stop(mut self) -> Result<()> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            // It may have ended by itself; waiting tells.
            let _asked = kill_process(id, Signal::TERM);
        }
        if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

async fn live(admin: u16) -> bool {
    let asked = async {
        let stream = TcpStream::connect(("127.0.0.1", admin)).await?;
        let mut wire = Wire::new(Box::new(stream));
        wire.write(b"GET /ready HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").await?;
        wire.head().await
    };
    matches!(tokio::time::timeout(Duration::from_secs(1), asked).await, Ok(Ok(Some(head))) if head.start.contains(" 200"))
}
