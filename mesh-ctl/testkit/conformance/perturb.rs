//! The judge judged: every expected answer is changed, one thing at a time, and each change must turn the case into a disagreement. A comparison that looks
//! away would let them pass.

use std::fmt;

use serde::Serialize;

use super::case::{Case, Expected, Message, Text, Warning};

/// So many of a hundred changes must be noticed.
const ENOUGH: f64 = 95.0;

/// A text that no finding has.
const UNRELATED: &str = "seventeen purple elephants juggling";

/// What came of it.
#[derive(Serialize)]
pub(super) struct Trial {
    areas: Vec<AreaTrial>,
}

#[derive(Serialize)]
struct AreaTrial {
    area: &'static str,
    changes: usize,
    noticed: usize,
    /// In percent.
    share: f64,
    missed: Vec<Missed>,
}

/// A change that still agreed.
#[derive(Serialize)]
struct Missed {
    case: String,
    changed: String,
    got: String,
}

impl Trial {
    pub(super) fn of(answered: &[(&'static str, Vec<Case>)]) -> Self {
        Self { areas: answered.iter().map(|(area, cases)| AreaTrial::of(area, cases)).collect() }
    }

    /// Whether enough was noticed in every area.
    pub(super) fn passed(&self) -> bool {
        self.areas.iter().all(|area| area.share >= ENOUGH)
    }
}

impl AreaTrial {
    fn of(area: &'static str, cases: &[Case]) -> Self {
        let (mut changes, mut missed) = (0_u32, Vec::new());
        for case in cases {
            for changed in case.expected.perturbed() {
                changes += 1;
                if changed.agrees(&case.got) {
                    missed.push(Missed { case: case.name.clone(), changed: changed.to_string(), got: case.got.to_string() });
                }
            }
        }
        let noticed = changes as usize - missed.len();
        let share = if changes == 0 {
            100.0
        } else {
            100.0 * (f64::from(changes) - f64::from(u32::try_from(missed.len()).unwrap_or(u32::MAX))) / f64::from(changes)
        };
        Self { area, changes: changes as usize, noticed, share, missed }
    }
}

impl Expected {
    /// Every other answer that is one change away.
    fn perturbed(&self) -> Vec<Self> {
        match self {
            Self::Verdict { refused, error, warning } => verdicts(*refused, error.as_ref(), warning.as_ref()),
            Self::Messages(messages) => lists(messages).into_iter().map(Self::Messages).collect(),
        }
    }
}

fn verdicts(refused: bool, error: Option<&Text>, warning: Option<&Warning>) -> Vec<Expected> {
    let verdict = |refused, error: Option<Text>, warning: Option<Warning>| Expected::Verdict { refused, error, warning };
    let mut changed = vec![verdict(!refused, None, warning.cloned())];
    match error {
        Some(Text::Literal(_)) => changed.push(verdict(refused, Some(Text::Literal(UNRELATED.to_owned())), warning.cloned())),
        Some(Text::About(_)) => changed.push(verdict(refused, Some(Text::About(UNRELATED.to_owned())), warning.cloned())),
        None => {}
    }
    match warning {
        Some(Warning::None) => changed.push(verdict(refused, error.cloned(), Some(Warning::Some))),
        Some(Warning::Some) => changed.push(verdict(refused, error.cloned(), Some(Warning::None))),
        Some(Warning::About(_)) => {
            changed.push(verdict(refused, error.cloned(), Some(Warning::None)));
            changed.push(verdict(refused, error.cloned(), Some(Warning::About(UNRELATED.to_owned()))));
        }
        None => {}
    }
    changed
}

fn lists(messages: &[Message]) -> Vec<Vec<Message>> {
    let with = |index: usize, message: Message| {
        let mut list = messages.to_vec();
        list[index] = message;
        list
    };
    let mut changed = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let mut shorter = messages.to_vec();
        shorter.remove(index);
        changed.push(shorter);
        changed.push(with(index, Message { code: format!("{}9", message.code), ..message.clone() }));
        changed.push(with(index, Message { level: other_level(&message.level), ..message.clone() }));
        changed.push(with(index, Message { resource: format!("{}-other", message.resource), ..message.clone() }));
    }
    let extra = messages.first().cloned().unwrap_or_else(|| Message {
        code: "IST0101".to_owned(),
        level: "Error".to_owned(),
        resource: "VirtualService default/extra".to_owned(),
    });
    changed.push(messages.iter().cloned().chain([extra]).collect());
    changed
}

fn other_level(level: &str) -> String {
    if level == "Error" { "Warning" } else { "Error" }.to_owned()
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for AreaTrial { area, changes, noticed, share, missed } in &self.areas {
            writeln!(f, "{area}: {noticed} of {changes} changed answers noticed ({share:.1} %)")?;
            for Missed { case, changed, got } in missed {
                writeln!(f, "  {case}\n    changed to: {changed}\n    got:        {got}")?;
            }
        }
        f.write_str(if self.passed() { "self-test passed" } else { "self-test failed: the comparison looks away" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_another_answer() {
        let message = Message { code: "IST0101".into(), level: "Error".into(), resource: "VirtualService a/b".into() };
        for expected in [
            Expected::Messages(Vec::new()),
            Expected::Messages(vec![message]),
            Expected::Verdict { refused: true, error: Some(Text::About("port".into())), warning: Some(Warning::None) },
            Expected::Verdict { refused: false, error: None, warning: Some(Warning::About("tls".into())) },
        ] {
            let changed = expected.perturbed();
            assert!(!changed.is_empty() && changed.iter().all(|changed| *changed != expected));
        }
    }
}
