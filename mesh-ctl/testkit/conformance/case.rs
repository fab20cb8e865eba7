//! A case: its name, the answer that is expected, the answer that we give, and whether the two agree.

use std::{collections::HashMap, fmt};

use super::judge::{Said, Verdict};

/// A case, answered.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) expected: Expected,
    pub(super) got: Got,
}

/// What the data expects.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expected {
    /// An object is taken or refused.
    Verdict {
        refused: bool,
        /// What an error must say, if it is refused.
        error: Option<Text>,
        /// Absent: no matter.
        warning: Option<Warning>,
    },
    /// Exactly these messages, in any order.
    Messages(Vec<Message>),
}

/// What a finding must say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Text {
    /// This text, as the API server words it.
    Literal(String),
    /// Something about the same matter: the wording is ours.
    About(String),
}

/// What warnings there must be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Warning {
    None,
    Some,
    About(String),
}

/// What we answer.
#[derive(Clone, Debug)]
pub(super) enum Got {
    Verdict(Verdict),
    Messages(Vec<Message>),
    /// There is nothing of ours to ask, and why.
    Nothing(String),
}

/// A message of an analysis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Message {
    pub(super) code: String,
    pub(super) level: String,
    /// `Kind ns/name`; empty: none.
    pub(super) resource: String,
}

/// Gives cases of the same name a number, so that each can be told apart.
pub(super) fn name_apart(mut cases: Vec<Case>) -> Vec<Case> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for case in &mut cases {
        let count = seen.entry(case.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            case.name = format!("{} #{count}", case.name);
        }
    }
    cases
}

impl Expected {
    /// Whether an answer is the expected one.
    pub(super) fn agrees(&self, got: &Got) -> bool {
        match (self, got) {
            (Self::Verdict { refused, error, warning }, Got::Verdict(verdict)) => {
                let errors = match (refused, error) {
                    (false, _) => !verdict.refused(),
                    (true, None) => verdict.to_the_point(),
                    (true, Some(text)) => verdict.to_the_point() && verdict.errors.iter().any(|said| text.is_in(said)),
                };
                let warnings = match warning {
                    None => true,
                    Some(Warning::None) => verdict.warnings.is_empty(),
                    Some(Warning::Some) => !verdict.warnings.is_empty(),
                    Some(Warning::About(text)) => verdict.warnings.iter().any(|said| said.is_about(text)),
                };
                errors && warnings
            }
            (Self::Messages(expected), Got::Messages(got)) => sorted(expected) == sorted(got),
            _ => false,
        }
    }
}

impl Text {
    fn is_in(&self, said: &Said) -> bool {
        match self {
            Self::Literal(text) => said.contains(text),
            Self::About(text) => said.is_about(text),
        }
    }
}

fn sorted(messages: &[Message]) -> Vec<&Message> {
    let mut sorted: Vec<_> = messages.iter().collect();
    sorted.sort();
    sorted
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict { refused, error, warning } => {
                f.write_str(if *refused { "refused" } else { "accepted" })?;
                match error {
                    Some(Text::Literal(text)) => write!(f, " with {text:?}")?,
                    Some(Text::About(text)) => write!(f, " about {text:?}")?,
                    None => {}
                }
                match warning {
                    Some(Warning::Some) => f.write_str(", warned"),
                    Some(Warning::None) => f.write_str(", no warning"),
                    Some(Warning::About(text)) => write!(f, ", warned about {text:?}"),
                    None => Ok(()),
                }
            }
            Self::Messages(messages) => list(f, messages),
        }
    }
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict(verdict) => verdict.fmt(f),
            Self::Messages(messages) => list(f, messages),
            Self::Nothing(reason) => write!(f, "no answer: {reason}"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, messages: &[Message]) -> fmt::Result {
    if messages.is_empty() {
        return f.write_str("nothing");
    }
    for (index, Message { code, level, resource }) in sorted(messages).into_iter().enumerate() {
        write!(f, "{}{code} {level} {resource}", if index == 0 { "" } else { "; " })?;
    }
    Ok(())
}
