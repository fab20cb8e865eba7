//! `meshctl validate`: each object by itself, as the API server and the webhook would judge it.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use clap::Args as ClapArgs;
use mesh_config::{
    diagnostic::{Diagnostic, Severity},
    load,
};

use super::{exit, input};

/// Arguments of `meshctl validate`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Exit codes: 0 all valid (there may be warnings); 1 an object is refused; 64 usage; 65 something could not be parsed."
)]
pub struct Args {
    /// Files (.json, .yaml, .yml), folders, or - for standard input
    #[arg(short, long = "filename", value_name = "FILE", required = true, value_delimiter = ',')]
    filename: Vec<PathBuf>,
    /// Folders are always read with all below them; kept for scripts
    #[arg(short = 'R', long, hide = true)]
    recursive: bool,
    /// For scripts: references are checked by `meshctl analyze`
    #[arg(short = 'x', long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    referential: Option<bool>,
    /// For scripts: namespaces do not matter here
    #[arg(short, long, hide = true)]
    namespace: Option<String>,
}

/// Validates, prints, and says how it went.
///
/// # Errors
/// When a file cannot be read or the output not be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut files = Vec::new();
    input::read(&args.filename, |name, bytes| files.push((name.to_owned(), load::documents(name, bytes))))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (mut refused, mut unread) = (false, false);
    for (name, loaded) in &files {
        let told: Vec<&Diagnostic> = loaded.diagnostics.iter().filter(|diagnostic| diagnostic.severity != Severity::Note).collect();
        for diagnostic in &told {
            unread |= diagnostic.is_error() && diagnostic.object.is_none();
            refused |= diagnostic.is_error() && diagnostic.object.is_some();
            writeln!(out, "{}\n", painted(diagnostic, color))?;
        }
        match (told.is_empty(), loaded.has_errors()) {
            (true, _) => writeln!(out, "{name:?} is valid")?,
            (false, false) => writeln!(out, "{name:?} has warnings")?,
            (false, true) => writeln!(out, "{name:?} is not valid")?,
        }
    }
    out.flush()?;
    Ok(match (refused, unread) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => exit::DATA.into(),
        (false, false) => ExitCode::SUCCESS,
    })
}

fn painted(diagnostic: &Diagnostic, color: bool) -> String {
    let text = diagnostic.to_string();
    let paint = match diagnostic.severity {
        Severity::Error => "\x1b[1;31m",
        _ => "\x1b[33m",
    };
    match text.split_once(':') {
        Some((level, rest)) if color => format!("{paint}{level}\x1b[0m:{rest}"),
        _ => text,
    }
}
