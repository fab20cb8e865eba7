//! A running `meshctl demo`, known only by what it prints.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How long the demo may take to be ready.
const START: Duration = Duration::from_secs(60);
/// How long it may take to stop after SIGINT.
const STOP: Duration = Duration::from_secs(30);

/// The demo and its printed addresses.
pub(crate) struct Demo {
    child: Child,
    /// `http://…` of the shop.
    pub(crate) shop: String,
    /// The folder of YAML to edit.
    pub(crate) config: PathBuf,
    /// Process name to what it says of it: `inbound`, `admin`, `app`, `pid`.
    pub(crate) parts: BTreeMap<String, BTreeMap<String, String>>,
    /// The demo's private folder.
    pub(crate) folder: PathBuf,
    // Read on, so that the demo never blocks on a full pipe.
    _printed: mpsc::Receiver<String>,
}

impl Demo {
    /// Starts it in a folder without the sample, so that it works on a copy.
    pub(crate) fn start(meshctl: &Path, folder: &Path, arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(meshctl)
            .arg("demo")
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", meshctl.display()))?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (send, printed) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // Nobody may listen any more: then it only has to be read.
                let _ = send.send(line);
            }
        });
        let mut demo = Self {
            child,
            shop: String::new(),
            config: PathBuf::new(),
            parts: BTreeMap::new(),
            folder: PathBuf::new(),
            _printed: mpsc::channel().1,
        };
        let begun = Instant::now();
        let mut all = String::new();
        while demo.folder.as_os_str().is_empty() {
            match printed.recv_timeout(Duration::from_millis(200)) {
                Ok(line) => {
                    demo.read(&line);
                    all += &line;
                    all.push('\n');
                }
                Err(mpsc::RecvTimeoutError::Timeout) if begun.elapsed() < START => {}
                Err(_) => bail!("the demo did not start; it printed:\n{all}"),
            }
        }
        if demo.shop.is_empty() || demo.config.as_os_str().is_empty() {
            bail!("the demo does not say where its shop or its configuration is; it printed:\n{all}");
        }
        demo._printed = printed;
        Ok(demo)
    }

    fn read(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("shop") => self.shop = words.next().unwrap_or_default().into(),
            Some("config") => self.config = words.next().unwrap_or_default().into(),
            // The last line: everything is told.
            Some("folder") => self.folder = words.next().unwrap_or_default().into(),
            Some("part") => {
                let Some(name) = words.next() else { return };
                let facts = words.filter_map(|word| word.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned()));
                self.parts.insert(name.to_owned(), facts.collect());
            }
            _ => {}
        }
    }

    /// What the demo said of a part.
    pub(crate) fn fact(&self, part: &str, fact: &str) -> Result<&str> {
        let found = self.parts.get(part).and_then(|facts| facts.get(fact));
        found.map(String::as_str).with_context(|| format!("the demo did not print `{fact}` of {part}"))
    }

    /// Ctrl-C; gives what is left behind.
    pub(crate) fn interrupt(mut self) -> Result<Vec<String>> {
        let pid = self.child.id().to_string();
        super::process::output(Command::new("kill").args(["-INT", &pid]))?;
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if begun.elapsed() > STOP {
                self.child.kill()?;
                self.child.wait()?;
                return Ok(vec![format!("the demo itself: still there {STOP:?} after SIGINT")]);
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let mut left = Vec::new();
        if !status.success() {
            left.push(format!("exit status {status}"));
        }
        for (name, facts) in &self.parts {
            if let Some(pid) = facts.get("pid")
                && Path::new("/proc").join(pid).exists()
            {
                left.push(format!("process {pid} ({name})"));
            }
        }
        if self.folder.exists() {
            left.push(self.folder.display().to_string());
        }
        Ok(left)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // After an error: end it as a terminal that closes would.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
            let _ = self.child.wait();
        }
    }
}
