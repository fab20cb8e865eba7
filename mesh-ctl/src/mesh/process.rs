//! One process of the mesh as its launcher sees it: started, told what to be, watched, stopped.
//!
//! Two ways to run the same role: as a process of its own (the same executable, re-executed with a hidden verb) or as a task
//! of this one (tests). Both take a [`Launch`] and tell [`Event`]s.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_runtime::{drain, task::Tasks};
use rustix::process::{Pid, Signal};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin},
    sync::{broadcast, mpsc, watch},
};

use super::role::{Event, Launch};

/// A line of a child's log longer than this is cut.
const MAX_LINE: u64 = 16 * 1024;
/// How long a process may take to drain before it is killed.
pub const STOP_DEADLINE: Duration = Duration::from_secs(8);

/// How roles are run.
#[derive(Debug, Clone)]
pub enum Mode {
    /// As processes of this executable.
    Processes {
        /// The executable; its hidden verb is [`CHILD_VERB`].
        program: PathBuf,
    },
    /// As tasks of this process.
    InProcess,
}

/// The hidden verb of `meshctl` that runs one role.
pub const CHILD_VERB: &str = "__run";

/// What became of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not ready yet.
    Starting,
    /// It serves, at these addresses.
    Ready(BTreeMap<String, String>),
    /// It ended, and why.
    Ended(String),
}

/// A line of a process's log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// Whose.
    pub process: Arc<str>,
    /// The line.
    pub text: Arc<str>,
}

/// A process that was started.
#[derive(Debug)]
pub struct Process {
    name: Arc<str>,
    started: Instant,
    state: watch::Receiver<State>,
    stop: Option<Stop>,
    pid: Option<u32>,
}

#[derive(Debug)]
enum Stop {
    /// Dropping `control` closes standard input, which asks the child to drain; the other sender kills it.
    Child { control: mpsc::Sender<String>, kill: mpsc::Sender<()> },
    /// A task: its drain, and its owner for the kill.
    Task { drain: drain::DrainTrigger, tasks: Tasks, state: Arc<watch::Sender<State>> },
}

/// Where a process's log goes.
#[derive(Debug, Clone)]
pub struct Logs {
    /// Its file.
    pub file: PathBuf,
    /// Live lines for who listens.
    pub lines: broadcast::Sender<LogLine>,
}

impl Process {
    /// Starts `launch`.
    ///
    /// # Errors
    /// When the executable cannot be started or the log file not be written.
    pub async fn start(mode: &Mode, launch: Launch, logs: Logs, tasks: &Tasks) -> io::Result<Self> {
        match mode {
            Mode::Processes { program } => Self::start_child(program, launch, logs, tasks).await,
            Mode::InProcess => Ok(Self::start_task(launch)),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Its process id, if it is one.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// What is with it now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// With the reason when it ended instead.
    pub async fn ready(&self) -> Result<BTreeMap<String, String>, String> {
        let mut state = self.state.clone();
        let seen = state.wait_for(|state| !matches!(state, State::Starting)).await.map(|state| state.clone());
        match seen {
            Ok(State::Ready(addresses)) => Ok(addresses),
            Ok(State::Ended(why)) => Err(why),
            Ok(State::Starting) | Err(_) => Err("it was never heard of again".into()),
        }
    }

    /// Where its control pipe takes further lines, as long as it runs; `None` for a task of this process.
    pub(super) fn control(&self) -> Option<mpsc::WeakSender<String>> {
        match &self.stop {
            Some(Stop::Child { control, .. }) => Some(control.downgrade()),
            _ => None,
        }
    }

    /// Asks it to drain and waits until it has ended; kills it at the deadline.
    pub async fn stop(mut self) {
        let mut state = self.state.clone();
        match self.stop.take() {
            Some(Stop::Child { control, kill }) => {
                drop(control);
                if tokio::time::timeout(STOP_DEADLINE, ended(&mut state)).await.is_err() {
                    tracing::warn!(process = %self.name, "did not drain in time, killing it");
                    let _ = kill.send(()).await;
                    ended(&mut state).await;
                }
            }
            Some(Stop::Task { drain, tasks, .. }) => {
                drain.drain(STOP_DEADLINE).await;
                tasks.shutdown(STOP_DEADLINE).await;
            }
            None => {}
        }
    }

    /// Ends it at once, as a crash would.
    pub async fn kill(&mut self) {
        let mut state = self.state.clone();
        match self.stop.take() {
            Some(Stop::Child { control: _keep, kill }) => {
                let _ = kill.send(()).await;
                ended(&mut state).await;
            }
            Some(Stop::Task { drain: _keep, tasks, state: told }) => {
                tasks.shutdown(Duration::ZERO).await;
                told.send_replace(State::Ended("killed".into()));
            }
            None => {}
        }
    }

    async fn start_child(program: &PathBuf, launch: Launch, logs: Logs, tasks: &Tasks) -> io::Result<Self> {
        let name: Arc<str> = launch.name.as_str().into();
        let mut child = tokio::process::Command::new(program)
            .arg(CHILD_VERB)
            // For people who look at `ps`; the child ignores it.
            .arg(&*name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C is for the launcher, which then drains its children in order.
            .process_group(0)
            .spawn()?;
        let pid = child.id();
        let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other("no pipes to the child"));
        };
        let mut document = serde_json::to_vec(&launch)?;
        document.push(b'\n');
        stdin.write_all(&document).await?;
        stdin.flush().await?;

        let (state_in, state) = watch::channel(State::Starting);
        let (kill, killed) = mpsc::channel(1);
        let (control, lines) = mpsc::channel(1);
        let log = tokio::fs::File::options().create(true).append(true).open(&logs.file).await?;
        tasks.spawn(format!("log of {name}"), copy_log(stderr, log, name.clone(), logs.lines));
        tasks.spawn(format!("watch over {name}"), watch_child(child, stdout, killed, state_in));
        tasks.spawn(format!("control of {name}"), write_control(stdin, lines));
        Ok(Self { name, started: Instant::now(), state, stop: Some(Stop::Child { control, kill }), pid })
    }

    fn start_task(launch: Launch) -> Self {
        let name: Arc<str> = launch.name.as_str().into();
        let (state_in, state) = watch::channel(State::Starting);
        let state_in = Arc::new(state_in);
        let (drain, watch) = drain::channel();
        let killer = state_in.clone();
        let tasks = Tasks::new(name.clone());
        tasks.spawn("role", async move {
            let told = state_in.clone();
            let tell = move |event| {
                told.send_replace(match event {
                    Event::Ready { addresses } => State::Ready(addresses),
                    Event::Failed { error } => State::Ended(error),
                });
            };
            let ended = Box::pin(crate::child::run_role(launch.role, Box::new(tell), watch)).await;
            state_in.send_replace(State::Ended(ended.map_or_else(|error| format!("{error:#}"), |()| "drained".into())));
        });
        Self { name, started: Instant::now(), state, stop: Some(Stop::Task { drain, tasks, state: killer }), pid: None }
    }
}

/// Writes the lines; when no sender is left, the pipe closes.
async fn write_control(mut stdin: ChildStdin, mut lines: mpsc::Receiver<String>) {
    while let Some(line) = lines.recv().await {
        if stdin.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
}

async fn ended(state: &mut watch::Receiver<State>) {
    let _ = state.wait_for(|state| matches!(state, State::Ended(_))).await;
}

async fn watch_child(mut child: Child, stdout: impl AsyncRead + Unpin, mut killed: mpsc::Receiver<()>, state: watch::Sender<State>) {
    let group = Group::of(&child);
    let mut lines = BufReader::new(stdout.take(u64::MAX)).lines();
    let mut failure = None;
    let mut open = true;
    let status = loop {
        tokio::select! {
            line = lines.next_line(), if open => match line {
                Ok(Some(line)) => match serde_json::from_str(&line) {
                    Ok(Event::Ready { addresses }) => {
                        state.send_replace(State::Ready(addresses));
                    }
                    Ok(Event::Failed { error }) => failure = Some(error),
                    Err(_) => tracing::debug!(%line, "not an event"),
                },
                Ok(None) | Err(_) => open = false,
            },
            Some(()) = killed.recv() => group.kill(),
            status = child.wait() => break status,
        }
    };
    group.ended();
    // What it wrote last may still be in the pipe.
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(Event::Failed { error }) = serde_json::from_str(&line) {
            failure = Some(error);
        }
    }
    let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    state.send_replace(State::Ended(failure.unwrap_or(how)));
}

/// A process with what it started (a sidecar's agent with its Envoy), killed together unless it ended by itself.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn kill(&self) {
        let Some(leader) = self.0 else { return };
        if let Err(error) = rustix::process::kill_process_group(leader, Signal::KILL) {
            tracing::debug!(%error, "kill");
        }
    }

    /// It was waited for: its id may become somebody else's.
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn copy_log(from: impl AsyncRead + Unpin, mut file: tokio::fs::File, process: Arc<str>, lines: broadcast::Sender<LogLine>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut from).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        if let Err(error) = file.write_all(&line).await {
            tracing::debug!(%error, %process, "its log cannot be written");
        }
        let text = String::from_utf8_lossy(&line);
        // Nobody listens: fine.
        let _ = lines.send(LogLine { process: process.clone(), text: text.trim_end().into() });
    }
    if let Err(error) = file.flush().await {
        tracing::debug!(%error, %process, "its log cannot be written");
    }
}
