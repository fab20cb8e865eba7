//! What was asserted and what was seen, told as it happens or as JSON at the end.

use std::time::Instant;

use serde::Serialize;

/// Holds, or does not; with what was seen.
pub(crate) type Found = Result<String, String>;

/// All assertions of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// All hold.
    pub(crate) ok: bool,
    checks: Vec<Check>,
    seconds: f64,
    #[serde(skip)]
    begun: Instant,
    #[serde(skip)]
    scenario: String,
    #[serde(skip)]
    aloud: bool,
}

/// One of them.
#[derive(Debug, Serialize)]
struct Check {
    scenario: String,
    name: &'static str,
    ok: bool,
    detail: String,
}

impl Report {
    /// `aloud`: every assertion is printed when it is made.
    pub(crate) fn new(aloud: bool) -> Self {
        Self { ok: true, checks: Vec::new(), seconds: 0.0, begun: Instant::now(), scenario: String::new(), aloud }
    }

    /// What follows is of this scenario.
    pub(crate) fn begin(&mut self, scenario: &str) {
        scenario.clone_into(&mut self.scenario);
        if self.aloud {
            println!("== {scenario}");
        }
    }

    /// Adds an assertion.
    pub(crate) fn add(&mut self, name: &'static str, found: Found) {
        let ok = found.is_ok();
        let (Ok(detail) | Err(detail)) = found;
        if self.aloud {
            println!("{} {name:<16} {detail}", if ok { "ok  " } else { "FAIL" });
        }
        self.ok &= ok;
        self.seconds = self.begun.elapsed().as_secs_f64();
        self.checks.push(Check { scenario: self.scenario.clone(), name, ok, detail });
    }
}

/// Holds if `holds`.
pub(crate) fn found(holds: bool, detail: String) -> Found {
    if holds { Ok(detail) } else { Err(detail) }
}
