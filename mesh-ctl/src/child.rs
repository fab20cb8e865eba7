//! The hidden verb: one process of a local mesh. Reads what it is to be from standard input, runs it, tells how it goes.

mod command;
mod credential;
mod envoy;
mod roles;

use std::{
    collections::BTreeMap,
    io::{BufRead, Read, Write},
    time::Duration,
};

use anyhow::{Context, Result};
use mesh_runtime::{
    drain::{self, DrainWatch},
    process, telemetry,
};
use tokio::sync::oneshot;

use crate::{
    mesh::role::{Event, Launch, Role},
    shop,
};

/// A launch document is a few KiB.
const MAX_LAUNCH: u64 = 1 << 20;
/// How long work in progress may go on after the launcher said stop.
const DRAIN: Duration = Duration::from_secs(5);

/// How a role tells what happens to it.
pub type Tell = Box<dyn Fn(Event) + Send>;

/// Runs the role that standard input names until standard input closes or a signal says stop.
///
/// # Errors
/// When the launch document cannot be read or the role fails.
pub async fn run() -> Result<()> {
    let (line, closed) = control_pipe();
    let line = line.await.context("reading the launch document")?;
    let launch: Launch =
        serde_json::from_str(&line).context("this verb is for meshctl itself: it expects a launch document on standard input")?;
    drop(line);
    telemetry::init(&telemetry::Config { filter: launch.log.clone(), ..telemetry::Config::default() }).context("logging")?;

    let (trigger, watch) = drain::channel();
    let role = run_role(launch.role, Box::new(tell), watch);
    tokio::pin!(role);
    let ended = tokio::select! {
        ended = &mut role => ended,
        () = stop_asked(closed) => {
            let (_, ended) = tokio::join!(trigger.drain(DRAIN), &mut role);
            ended
        }
    };
    if let Err(error) = &ended {
        tell(Event::Failed { error: format!("{error:#}") });
    }
    ended
}

/// Runs one role in this process.
///
/// # Errors
/// When it cannot start or fails.
pub async fn run_role(role: Role, tell: Tell, drain: DrainWatch) -> Result<()> {
    match role {
        Role::Citadel(config) => roles::citadel(config, tell, drain).await,
        Role::Galley(config) => roles::galley(config, tell, drain).await,
        Role::Pilot(config) => roles::pilot(config, tell, drain).await,
        Role::Proxy(config) => roles::proxy(*config, tell, drain).await,
        Role::Envoy(config) => envoy::run(*config, tell, drain).await,
        Role::Shop(config) => {
            let socket = config.socket.display().to_string();
            let ready = move || tell(Event::Ready { addresses: BTreeMap::from([("app".into(), socket)]) });
            shop::run(config, ready, drain).await.context("the shop's socket")
        }
        Role::Command(config) => command::run(config, tell, drain).await,
    }
}

/// Standard input, read on a thread of its own because its reads block: the first line, and then its end.
fn control_pipe() -> (oneshot::Receiver<String>, oneshot::Receiver<()>) {
    let (first, line) = oneshot::channel();
    let (ended, closed) = oneshot::channel();
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut text = String::new();
        if (&mut stdin).take(MAX_LAUNCH).read_line(&mut text).is_ok() {
            let _ = first.send(text);
        }
        // Further lines are new tokens.
        let mut token = String::new();
        while (&mut stdin).take(MAX_LAUNCH).read_line(&mut token).is_ok_and(|n| n > 0) {
            credential::renew(token.trim());
            token.clear();
        }
        let _ = ended.send(());
    });
    (line, closed)
}

/// The control pipe closed, or somebody sent a signal.
async fn stop_asked(closed: oneshot::Receiver<()>) {
    tokio::select! {
        _ = closed => {}
        () = process::end_asked() => {}
    }
}

fn tell(event: Event) {
    let Ok(line) = serde_json::to_string(&event) else { return };
    let mut out = std::io::stdout().lock();
    // The launcher may be gone: the control pipe tells us so.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
