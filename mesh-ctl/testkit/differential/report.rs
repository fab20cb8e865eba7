//! What is told at the end. A difference with a written reason (`differences.yaml`) is still one: it is counted and printed, but only those without a reason, and
//! reasons without a difference, fail the run.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::compare::{Difference, matches};

/// A difference that is meant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    /// Scenario; a trailing `*` stands for anything, as in the other two.
    scenario: String,
    /// Request, as the report calls it; absent: any.
    request: Option<String>,
    field: String,
    reason: String,
}

/// The reasons written down.
pub(super) struct Reasons {
    all: Vec<(Known, bool)>,
}

/// What came of one scenario.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) name: String,
    pub(super) about: String,
    /// What Envoy did not do as the scenario expects: the scenario is wrong.
    pub(super) invalid: Vec<String>,
    /// With the reason, if one is written.
    pub(super) differences: Vec<(Difference, Option<String>)>,
    /// Whether mesh-proxy took part.
    pub(super) compared: bool,
}

impl Reasons {
    /// Reads `differences.yaml`; a missing file has none.
    pub(super) fn load(file: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self { all: Vec::new() }),
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        };
        let document = mesh_proto::yaml::parse_one(&text).with_context(|| file.display().to_string())?;
        let known: Option<Vec<Known>> = serde_json::from_value(document.root.to_json()).with_context(|| file.display().to_string())?;
        Ok(Self { all: known.unwrap_or_default().into_iter().map(|known| (known, false)).collect() })
    }

    /// The reason for that difference, if there is one.
    pub(super) fn of(&mut self, scenario: &str, difference: &Difference) -> Option<String> {
        let mut reason = None;
        for (known, used) in &mut self.all {
            let request = known.request.as_deref().is_none_or(|pattern| matches(pattern, &difference.request));
            if request && matches(&known.scenario, scenario) && matches(&known.field, &difference.field) {
                *used = true;
                reason.get_or_insert_with(|| known.reason.clone());
            }
        }
        reason
    }

    /// Reasons for differences that are no more.
    fn stale(&self) -> Vec<String> {
        self.all.iter().filter(|(_, used)| !used).map(|(known, _)| format!("{} / {}", known.scenario, known.field)).collect()
    }
}

impl Verdict {
    fn agrees(&self) -> bool {
        self.differences.is_empty() && self.invalid.is_empty()
    }

    fn fails(&self) -> bool {
        !self.invalid.is_empty() || self.differences.iter().any(|(_, reason)| reason.is_none())
    }

    /// A scenario's lines.
    pub(super) fn text(&self) -> String {
        let word = match self {
            _ if !self.invalid.is_empty() => "INVALID",
            _ if !self.compared => "valid",
            _ if self.differences.is_empty() => "agree",
            _ if self.fails() => "DIFFER",
            _ => "differ",
        };
        let mut lines = vec![format!("{word:<8}{}: {}", self.name, self.about)];
        lines.extend(self.invalid.iter().map(|what| format!("          in Envoy: {what}")));
        for (difference, reason) in &self.differences {
            let Difference { request, field, envoy, mesh_proxy } = difference;
            lines.push(format!("          {request} · {field}"));
            lines.push(format!("              envoy      {envoy:?}"));
            lines.push(format!("              mesh-proxy {mesh_proxy:?}"));
            lines.extend(reason.iter().map(|reason| format!("              because    {reason}")));
        }
        lines.join("\n")
    }

    fn json(&self) -> Value {
        let differences: Vec<Value> = self
            .differences
            .iter()
            .map(|(d, reason)| json!({"request": d.request, "field": d.field, "envoy": d.envoy, "mesh_proxy": d.mesh_proxy, "reason": reason}))
            .collect();
        json!({"name": self.name, "about": self.about, "agrees": self.agrees(), "invalid": self.invalid, "differences": differences})
    }
}

/// The sum of it: whether it passes, and in words or JSON. Reasons can only be stale when every scenario ran.
pub(super) fn summary(verdicts: &[Verdict], reasons: &Reasons, all_ran: bool) -> (bool, String, Value) {
    let agree = verdicts.iter().filter(|verdict| verdict.agrees()).count();
    let explained = verdicts.iter().filter(|verdict| !verdict.agrees() && !verdict.fails()).count();
    let failing: Vec<&str> = verdicts.iter().filter(|verdict| verdict.fails()).map(|verdict| verdict.name.as_str()).collect();
    let stale = if all_ran { reasons.stale() } else { Vec::new() };
    let ok = failing.is_empty() && stale.is_empty() && !verdicts.is_empty();
    let mut text = format!(
        "{} scenarios: {agree} agree, {} differ ({explained} of them for a written reason)",
        verdicts.len(),
        verdicts.len() - agree
    );
    if !failing.is_empty() {
        text.push_str(&format!("\nwithout a reason: {}", failing.join(", ")));
    }
    if !stale.is_empty() {
        text.push_str(&format!("\nreasons for differences that are no more: {}", stale.join(", ")));
    }
    let json = json!({
        "ok": ok,
        "scenarios": verdicts.len(),
        "agree": agree,
        "differ_with_reason": explained,
        "stale_reasons": stale,
        "results": verdicts.iter().map(Verdict::json).collect::<Vec<_>>(),
    });
    (ok, text, json)
}
