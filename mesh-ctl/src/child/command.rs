//! A user's command, supervised: started again as told, and ended with everything it started when the mesh ends.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use mesh_runtime::{
    backoff::{Backoff, Jitter, Policy},
    drain::DrainWatch,
};
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command as Process};

use super::Tell;
use crate::mesh::{
    role::Event,
    spec::{Command, Restart},
};

/// How long a command may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(4);
/// A command that ran so long starts its back-off anew.
const STEADY: Duration = Duration::from_secs(10);

/// Runs `command` until drained, or until it ends and is not to be started again.
pub(super) async fn run(command: Command, tell: Tell, drain: DrainWatch) -> Result<()> {
    let argv: Vec<String> = command.argv.iter().map(|word| expand(word, &command.env)).collect();
    let Some((program, arguments)) = argv.split_first() else { bail!("the command is empty: give a program in `command`") };
    let mut backoff = Backoff::new(Policy { initial: Duration::from_millis(200), max: Duration::from_secs(10), jitter: Jitter::Full });
    loop {
        let begun = tokio::time::Instant::now();
        let mut child = Process::new(program)
            .args(arguments)
            .envs(&command.env)
            .current_dir(&command.folder)
            .stdin(Stdio::null())
            // Standard output is the event channel of this process: what the app prints goes to the log.
            .stdout(std::io::stderr())
            // In this process's own group: whoever kills the group leaves nothing of it behind.
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start `{program}` in {}: is it installed and on PATH?", command.folder.display()))?;
        tell(Event::Ready { addresses: BTreeMap::new() });
        let status = tokio::select! {
            status = child.wait() => status.context("waiting for the command")?,
            () = drain.draining() => {
                end(&mut child).await;
                return Ok(());
            }
        };
        let again = match command.restart {
            Restart::Always => true,
            Restart::OnFailure => !status.success(),
            Restart::Never => false,
        };
        let how = status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}"));
        if !again {
            if status.success() {
                tracing::info!("the command has ended");
                return Ok(());
            }
            bail!("the command ended: {how}");
        }
        if begun.elapsed() > STEADY {
            backoff.reset();
        }
        let wait = backoff.next_delay();
        tracing::warn!(%how, ?wait, "the command ended, starting it again");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = drain.draining() => return Ok(()),
        }
    }
}

/// SIGTERM to the command and all it started, then SIGKILL to the command.
async fn end(child: &mut Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let Some(pid) = pid else { return };
    let group = rustix::process::getpgrp();
    // As leader of our own group we hear it too, and are ending anyway. In a test the group is somebody else's.
    let asked = if group == rustix::process::getpid() {
        rustix::process::kill_process_group(group, Signal::TERM)
    } else {
        rustix::process::kill_process(pid, Signal::TERM)
    };
    if let Err(error) = asked {
        tracing::debug!(%error, "SIGTERM to the command");
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err()
        && let Err(error) = child.kill().await
    {
        tracing::debug!(%error, "SIGKILL to the command");
    }
}

/// `$NAME` and `${NAME}` from `env`, then from this process's environment; `$$` is a dollar sign. Unknown names become nothing.
fn expand(word: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (name, after) = match rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            Some(split) => split,
            None => rest.split_at(rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())),
        };
        if name.is_empty() {
            out.push('$');
        } else if let Some(value) = env.get(name) {
            out.push_str(value);
        } else if let Ok(value) = std::env::var(name) {
            out.push_str(&value);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced() {
        let env = BTreeMap::from([("PORT".to_string(), "8080".to_string())]);
        assert_eq!(expand("$PORT", &env), "8080");
        assert_eq!(expand("--port=${PORT}/x", &env), "--port=8080/x");
        assert_eq!(expand("costs $$5 $", &env), "costs $5 $");
        assert_eq!(expand("$MESH_NO_SUCH_NAME.", &env), ".");
    }
}
