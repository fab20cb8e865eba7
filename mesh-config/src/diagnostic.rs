//! What a person is told about their configuration: the place, the text with a caret, the rule, the remedy.

use std::{fmt, sync::Arc};

use mesh_proto::yaml::Span;

pub use crate::validate::Severity;
use crate::{
    decode,
    resource::{Key, Kind},
    validate::Finding,
};

/// A message about one place of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was named to the loader.
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The object concerned, if that much could be read.
    pub object: Option<(Kind, Key)>,
    /// `spec.http[0].route[1].weight`; empty for a document as a whole.
    pub field_path: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub expected: Option<String>,
    /// What was probably meant, or how to mend it.
    pub suggestion: Option<String>,
    /// The line of the text.
    pub snippet: Snippet,
}

/// A line of the text and the part of it that is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snippet {
    /// The line, or the part of a long one around the place.
    pub text: String,
    /// Where the carets begin, in characters, from 0.
    pub start: usize,
    /// How many carets; at least 1.
    pub len: usize,
}

/// A file and its text: makes diagnostics of what is found there.
pub(crate) struct File<'a> {
    pub(crate) name: Arc<str>,
    pub(crate) text: &'a str,
}

/// Longer lines are cut.
const WIDTH: usize = 160;
/// Longer messages are cut, in bytes.
const MAX_TEXT: usize = 1000;

impl File<'_> {
    /// A message about a place.
    pub(crate) fn diagnostic(&self, severity: Severity, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity,
            file: Arc::clone(&self.name),
            line: span.line,
            column: span.column,
            object: None,
            field_path: String::new(),
            message: clip(message.into()),
            expected: None,
            suggestion: None,
            snippet: self.snippet(span),
        }
    }

    /// A message about a value that could not be read; `fallback` is the place of the object.
    pub(crate) fn unreadable(&self, error: &decode::Error, fallback: Span) -> Diagnostic {
        Diagnostic {
            field_path: clip(error.path().to_owned()),
            expected: error.expectation().map(|text| clip(text.to_owned())),
            suggestion: error.suggestion().map(|text| clip(self.as_written(text.to_owned(), error.span().unwrap_or(fallback)))),
            ..self.diagnostic(Severity::Error, error.span().unwrap_or(fallback), error.message())
        }
    }

    /// A message about a broken rule.
    pub(crate) fn finding(&self, finding: Finding, span: Span) -> Diagnostic {
        let message = match &finding.value {
            Some(value) => format!("{} (found `{value}`)", finding.rule),
            None => finding.rule,
        };
        Diagnostic {
            field_path: clip(finding.path),
            suggestion: Some(self.as_written(finding.remedy, span)).filter(|remedy| !remedy.is_empty()),
            ..self.diagnostic(finding.severity, span, message)
        }
    }

    /// `put it in quotes: "1.2"` for what is written as `1.20`: the text itself goes into the quotes, and not what was read from it.
    fn as_written(&self, suggestion: String, span: Span) -> String {
        const QUOTE: &str = "put it in quotes: ";
        let at = suggestion.find(QUOTE).map(|at| at + QUOTE.len());
        let written = self.text.lines().nth(span.line.saturating_sub(1)).and_then(|line| {
            let start = line.char_indices().nth(span.column.saturating_sub(1))?.0;
            line.get(start..start.checked_add(span.len)?)
        });
        match (at, written) {
            (Some(at), Some(written)) if !written.is_empty() && !written.contains('"') => format!("{}\"{written}\"", &suggestion[..at]),
            _ => suggestion,
        }
    }

    fn snippet(&self, span: Span) -> Snippet {
        let line = self.text.lines().nth(span.line.saturating_sub(1)).unwrap_or_default();
        let start = span.column.saturating_sub(1);
        let skipped = if line.chars().count() > WIDTH { start.saturating_sub(WIDTH / 2) } else { 0 };
        let text: String = line.chars().skip(skipped).take(WIDTH).collect();
        let start = (start - skipped).min(WIDTH);
        let (mut bytes, mut len) = (0, 0);
        for c in text.trim_end().chars().skip(start) {
            if bytes >= span.len {
                break;
            }
            bytes += c.len_utf8();
            len += 1;
        }
        Snippet { text, start, len: len.max(1) }
    }
}

impl Snippet {
    /// The line up to its first colon; what follows is not shown.
    pub(crate) fn masked(self) -> Self {
        let key = self.text.split_inclusive(':').next().filter(|key| key.ends_with(':')).unwrap_or_default();
        let text = format!("{key} …");
        Self { start: self.start.min(text.chars().count() - 1), len: 1, text }
    }
}

/// A text of a sensible length: a message may quote what somebody wrote.
fn clip(text: String) -> String {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let end = text.floor_char_boundary(MAX_TEXT);
    format!("{} … ({} bytes more)", &text[..end], text.len() - end)
}

impl Diagnostic {
    /// Whether it refuses the object.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl fmt::Display for Diagnostic {
    /// As compilers print: the message, `file:line:column`, the line with carets, then what helps.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let margin = " ".repeat(self.line.to_string().len());
        writeln!(f, "{}: {}", self.severity, self.message)?;
        writeln!(f, "{margin}--> {}:{}:{}", self.file, self.line, self.column)?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{} | {}", self.line, self.snippet.text)?;
        write!(f, "{margin} | {}{}", " ".repeat(self.snippet.start), "^".repeat(self.snippet.len))?;
        match (&self.object, self.field_path.as_str()) {
            (None, "") => {}
            (None, path) => write!(f, "\n{margin} = field: {path}")?,
            (Some((kind, key)), "") => write!(f, "\n{margin} = object: {kind} {key}")?,
            (Some((kind, key)), path) => write!(f, "\n{margin} = field: {path} of {kind} {key}")?,
        }
        if let Some(expected) = &self.expected {
            write!(f, "\n{margin} = expected: {expected}")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n{margin} = help: {suggestion}")?;
        }
        Ok(())
    }
}
