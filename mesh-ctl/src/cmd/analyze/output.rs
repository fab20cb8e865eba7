//! How an analysis is printed: for people, as istioctl's lines, as JSON or YAML.

use std::io::{self, Write};

use mesh_config::{
    analyze::{Level, Message, Places, Set},
    diagnostic::Diagnostic,
};
use serde::Serialize;
use serde_json::Value;

use super::{super::say, Output};

/// What was found, and what to show of it.
pub(super) struct Report<'a> {
    pub(super) set: &'a Set,
    pub(super) messages: &'a [&'a Message],
    pub(super) files: &'a [String],
    pub(super) color: bool,
}

/// A message in JSON: istioctl's fields, and ours after them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    code: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    cluster: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    documentation_url: Option<String>,
    level: Level,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "String::is_empty")]
    field_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Report<'_> {
    pub(super) fn print(&self, output: Output) -> io::Result<()> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        match output {
            Output::Text => self.text(&mut out)?,
            Output::Log => self.log(&mut out)?,
            Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&self.records())?)?,
            Output::Yaml => self.yaml(&mut out)?,
        }
        out.flush()?;
        if matches!(output, Output::Json | Output::Yaml) {
            self.set.unread().iter().for_each(|unread| say(&line(unread)));
        }
        if self.messages.is_empty() && matches!(output, Output::Text | Output::Log) {
            say(&self.praise());
        }
        Ok(())
    }

    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let mut places = Places::new(self.set);
        for unread in self.set.unread() {
            self.head(out, Level::Error, &format!(" {}", unread.message))?;
            writeln!(out, "{}\n", below(unread))?;
        }
        for message in self.messages {
            let subject = message.subject.as_ref().map(|subject| format!(" ({subject})")).unwrap_or_default();
            let cluster = message
                .subject
                .as_ref()
                .filter(|subject| !subject.cluster.is_empty())
                .map(|subject| format!(" [cluster-{}]", subject.cluster));
            self.head(out, message.level(), &format!(" [{}]{}{subject} {}", message.code.id, cluster.unwrap_or_default(), message.text))?;
            match places.diagnostic(message) {
                Some(diagnostic) => writeln!(out, "{}\n", below(&diagnostic))?,
                None => writeln!(out)?,
            }
        }
        if !self.messages.is_empty() || !self.set.unread().is_empty() {
            writeln!(out, "{}", self.summary())?;
        }
        Ok(())
    }

    fn log(&self, out: &mut impl Write) -> io::Result<()> {
        let mut places = Places::new(self.set);
        for unread in self.set.unread() {
            self.head(out, Level::Error, &format!(" ({}:{}) {}\n", unread.file, unread.line, unread.message))?;
        }
        for message in self.messages {
            let place =
                places.diagnostic(message).map(|diagnostic| format!(" {}:{}", diagnostic.file, diagnostic.line)).unwrap_or_default();
            let origin = message.subject.as_ref().map(|subject| format!(" ({subject}{place})")).unwrap_or_default();
            self.head(out, message.level(), &format!(" [{}]{origin} {}\n", message.code.id, message.text))?;
        }
        Ok(())
    }

    fn yaml(&self, out: &mut impl Write) -> io::Result<()> {
        let records = self.records();
        if records.is_empty() {
            return writeln!(out, "[]");
        }
        for record in &records {
            let Ok(Value::Object(fields)) = serde_json::to_value(record) else { continue };
            for (index, (name, value)) in fields.iter().enumerate() {
                // A JSON scalar is a YAML scalar.
                writeln!(out, "{} {name}: {value}", if index == 0 { "-" } else { " " })?;
            }
        }
        Ok(())
    }

    fn records(&self) -> Vec<Record> {
        let mut places = Places::new(self.set);
        self.messages
            .iter()
            .map(|message| {
                let place = places.diagnostic(message);
                Record {
                    code: message.code.id,
                    cluster: message.subject.as_ref().map(|subject| subject.cluster.to_string()).unwrap_or_default(),
                    documentation_url: message.code.documentation(),
                    level: message.level(),
                    message: message.text.clone(),
                    origin: message.subject.as_ref().map(ToString::to_string),
                    reference: place.as_ref().map(|place| format!("{}:{}", place.file, place.line)),
                    name: message.code.name,
                    line: place.as_ref().map(|place| place.line),
                    column: place.as_ref().map(|place| place.column),
                    field_path: message.field_path().to_owned(),
                    remedy: place
                        .and_then(|place| place.suggestion)
                        .or_else(|| Some(message.code.remedy.to_owned()).filter(|remedy| !remedy.is_empty())),
                }
            })
            .collect()
    }

    fn head(&self, out: &mut impl Write, level: Level, rest: &str) -> io::Result<()> {
        let (on, off) = match level {
            Level::Error if self.color => ("\x1b[1;31m", "\x1b[0m"),
            Level::Warning if self.color => ("\x1b[33m", "\x1b[0m"),
            _ => ("", ""),
        };
        write!(out, "{on}{level}{off}{rest}")?;
        if rest.ends_with('\n') { Ok(()) } else { writeln!(out) }
    }

    fn summary(&self) -> String {
        let unread = self.set.unread().len();
        let mut counts: Vec<String> = Level::ALL
            .iter()
            .rev()
            .map(|level| (self.messages.iter().filter(|message| message.level() == *level).count(), level.as_str().to_lowercase()))
            .filter(|(count, _)| *count > 0)
            .map(|(count, level)| plural(count, &level))
            .collect();
        if unread > 0 {
            counts.push(format!("{} that could not be parsed", plural(unread, "part")));
        }
        format!("{} in {} ({}).", counts.join(", "), plural(self.files.len(), "file"), plural(self.set.len(), "object"))
    }

    fn praise(&self) -> String {
        match (self.files, self.set.unread().len()) {
            ([], 0) => "No files to analyze.".to_owned(),
            ([file], 0) => format!("\u{2714} No validation issues found when analyzing {file}."),
            (files, 0) => format!("\u{2714} No validation issues found when analyzing:\n  - {}", files.join("\n  - ")),
            (_, unread) => format!("No validation issues found (but {} could not be parsed).", plural(unread, "part")),
        }
    }
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A diagnostic without its first line.
fn below(diagnostic: &Diagnostic) -> String {
    let text = diagnostic.to_string();
    let message_lines = diagnostic.message.lines().count().max(1);
    let rest: Vec<&str> = text.lines().skip(message_lines).filter(|line| !line.trim_start().starts_with("= object:")).collect();
    rest.join("\n")
}

fn line(diagnostic: &Diagnostic) -> String {
    format!("Error ({}:{}) {}", diagnostic.file, diagnostic.line, diagnostic.message)
}
