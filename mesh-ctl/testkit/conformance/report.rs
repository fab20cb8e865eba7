//! What is told at the end: for each area how many agree, and every case that does not.

use std::fmt;

use serde::Serialize;

use super::{case::Case, differences::Differences};

/// All areas.
#[derive(Serialize)]
pub(super) struct Report {
    areas: Vec<AreaReport>,
}

#[derive(Serialize)]
struct AreaReport {
    area: &'static str,
    agree: usize,
    total: usize,
    disagree: Vec<Disagreement>,
}

#[derive(Serialize)]
struct Disagreement {
    case: String,
    expected: String,
    got: String,
    /// Why it is meant to be so; null: it is not.
    reason: Option<String>,
}

impl Report {
    pub(super) fn of(answered: &[(&'static str, Vec<Case>)], differences: &Differences) -> Self {
        Self { areas: answered.iter().map(|(area, cases)| AreaReport::of(area, cases, differences)).collect() }
    }

    /// Whether every disagreement has a reason.
    pub(super) fn passed(&self) -> bool {
        self.areas.iter().flat_map(|area| &area.disagree).all(|disagreement| disagreement.reason.is_some())
    }
}

impl AreaReport {
    fn of(area: &'static str, cases: &[Case], differences: &Differences) -> Self {
        let disagree: Vec<_> = cases
            .iter()
            .filter(|case| !case.expected.agrees(&case.got))
            .map(|case| Disagreement {
                case: case.name.clone(),
                expected: case.expected.to_string(),
                got: case.got.to_string(),
                reason: differences.reason(area, &case.name).map(str::to_owned),
            })
            .collect();
        Self { area, agree: cases.len() - disagree.len(), total: cases.len(), disagree }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for AreaReport { area, agree, total, disagree } in &self.areas {
            let meant = disagree.iter().filter(|disagreement| disagreement.reason.is_some()).count();
            write!(f, "{area}: {agree}/{total} agree")?;
            match (disagree.len(), meant) {
                (0, _) => writeln!(f)?,
                (all, meant) => writeln!(f, ", {all} disagree ({meant} with a reason)")?,
            }
            for Disagreement { case, expected, got, reason } in disagree {
                writeln!(f, "  {case}\n    expected: {expected}\n    got:      {got}")?;
                if let Some(reason) = reason {
                    writeln!(f, "    reason:   {reason}")?;
                }
            }
        }
        f.write_str(if self.passed() { "every disagreement has a reason" } else { "there are disagreements without a reason" })
    }
}
