//! Running commands, and saying clearly what failed.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// Runs a command with its output shown, killed at `budget`.
pub(crate) fn run(command: &mut Command, budget: Duration) -> Result<Duration> {
    let text = describe(command);
    let begun = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start `{text}`"))?;
    loop {
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                bail!("`{text}`: {status}");
            }
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > budget {
            child.kill()?;
            child.wait()?;
            bail!("`{text}` took longer than its budget of {budget:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a command and gives its output; a failure is an error with it.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let text = describe(command);
    let output = capture(command)?;
    if !output.status.success() {
        bail!("`{text}`: {}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command and gives whatever came of it.
pub(crate) fn capture(command: &mut Command) -> Result<Output> {
    let text = describe(command);
    command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{text}`: is it installed?"))
}

/// Whether a program is on PATH.
pub(crate) fn exists(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// `cargo` in the workspace's root.
pub(crate) fn cargo(root: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(args);
    command
}

/// Waits until `condition` gives something, or fails with `what` at the deadline.
pub(crate) fn wait_for<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = condition()? {
            return Ok(found);
        }
        if begun.elapsed() > deadline {
            bail!("{what}: not within {deadline:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn describe(command: &Command) -> String {
    std::iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
