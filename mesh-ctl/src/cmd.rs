//! The verbs of `meshctl`, one file each. Only here and in `main` is `anyhow` used and are people spoken to.

pub mod analyze;
pub mod demo;
pub mod exit;
mod input;
pub mod up;
pub mod validate;

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

/// Says why and gives a failure's exit code.
pub fn fail(why: &str) -> ExitCode {
    say(&format!("meshctl: {why}"));
    ExitCode::FAILURE
}

/// Tells people something, on standard error: standard output is for results.
pub(crate) fn say(text: &str) {
    // A closed standard error is nothing to fail over.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Progress: one line that is written over on a terminal, a line each elsewhere.
pub(crate) struct Progress {
    terminal: bool,
    quiet: bool,
    begun: std::time::Instant,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { terminal: std::io::stderr().is_terminal(), quiet, begun: std::time::Instant::now() }
    }

    pub(crate) fn tell(&self, text: &str) {
        if self.quiet {
            return;
        }
        let mut out = std::io::stderr().lock();
        let seconds = self.begun.elapsed().as_secs_f64();
        let told = if self.terminal { write!(out, "\r\x1b[2K{seconds:5.1}s  {text}") } else { writeln!(out, "{seconds:5.1}s  {text}") };
        let _ = told.and_then(|()| out.flush());
    }

    pub(crate) fn done(&self) {
        if self.terminal && !self.quiet {
            let _ = writeln!(std::io::stderr());
        }
    }
}
