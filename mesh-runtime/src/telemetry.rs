//! Logs: one subscriber a process, text or JSON on standard error, with a filter that can be changed while it runs (`/logging`).
//!
//! Levels are read as people of either world write them: `info,mesh_pilot=debug` (RUST_LOG), `default:info,ads:debug` (Istio's `--log_output_level`),
//! `warning` (Envoy's `/logging?level=`).

use std::fmt;
use std::io::IsTerminal as _;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What [`init`] needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// How lines look.
    pub format: Format,
    /// The first filter.
    pub filter: String,
}

impl Default for Config {
    /// Text, `info`.
    fn default() -> Self {
        Self { format: Format::Text, filter: "info".into() }
    }
}

/// Why logging could not be set up, or the filter not be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The filter does not read.
    #[error(
        "log filter {filter:?}: {reason}; expected a level (trace, debug, info, warning, error, off), or target=level, or scope:level, separated by commas"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not a [`Format`].
    #[error("log format {0:?}: expected text or json")]
    Format(String),
    /// The process has a subscriber already.
    #[error("logging is set up already: a process does it once, in main")]
    AlreadySet,
}

/// The filter in force. Cheap to clone.
#[derive(Clone)]
pub struct Logging {
    handle: reload::Handle<EnvFilter, Registry>,
    filter: Arc<Mutex<String>>,
}

/// Sets the process' logging up. For `main` only.
///
/// # Errors
/// [`Error::Filter`], [`Error::AlreadySet`].
pub fn init(config: &Config) -> Result<Logging, Error> {
    let (filter, handle) = reload::Layer::new(parse(&config.filter)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|_| Error::AlreadySet)?;
    Ok(Logging { handle, filter: Arc::new(Mutex::new(config.filter.clone())) })
}

impl Logging {
    /// Replaces the filter.
    ///
    /// # Errors
    /// [`Error::Filter`]; the one in force stays.
    pub fn set(&self, filter: &str) -> Result<(), Error> {
        let parsed = parse(filter)?;
        self.handle.reload(parsed).map_err(|error| Error::Filter { filter: filter.into(), reason: error.to_string() })?;
        filter.clone_into(&mut self.filter.lock().unwrap_or_else(PoisonError::into_inner));
        tracing::info!(filter, "log filter changed");
        Ok(())
    }

    /// The filter in force, as it was written.
    #[must_use]
    pub fn filter(&self) -> String {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Logging").field(&self.filter()).finish()
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(Error::Format(other.into())),
        }
    }
}

fn parse(filter: &str) -> Result<EnvFilter, Error> {
    let fail = |reason: String| Error::Filter { filter: filter.into(), reason };
    let directives: Result<Vec<String>, Error> =
        filter.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| directive(part).map_err(fail)).collect();
    let directives = directives?;
    if directives.is_empty() {
        return Err(fail("it is empty".into()));
    }
    EnvFilter::builder().parse(directives.join(",")).map_err(|error| fail(error.to_string()))
}

/// One part, in RUST_LOG's words.
fn directive(part: &str) -> Result<String, String> {
    let split = part.rsplit_once('=').or_else(|| part.rsplit_once(':').filter(|(scope, _)| !scope.ends_with(':')));
    match split {
        None => level(part).map(str::to_owned).ok_or_else(|| format!("{part:?} is not a level")),
        Some((scope, text)) => {
            let level = level(text).ok_or_else(|| format!("{text:?} is not a level"))?;
            Ok(if matches!(scope, "default" | "all") { level.to_owned() } else { format!("{scope}={level}") })
        }
    }
}

fn level(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().as_str() {
        "trace" => "trace",
        "debug" => "debug",
        "info" => "info",
        "warn" | "warning" => "warn",
        "error" | "critical" | "fatal" => "error",
        "off" | "none" => "off",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn filters_of_three_worlds() {
        for (given, expected) in [
            ("warning", "warn"),
            ("default:info,ads:debug", "ads=debug,info"),
            ("info,mesh_pilot::xds=debug", "mesh_pilot::xds=debug,info"),
            ("all:none", "off"),
        ] {
            let parts = |text: &str| text.split(',').map(str::to_owned).collect::<BTreeSet<_>>();
            assert_eq!(parts(&parse(given).unwrap().to_string()), parts(expected), "{given}");
        }
        for bad in ["", "loud", "ads:loud"] {
            assert!(parse(bad).unwrap_err().to_string().contains("expected a level"), "{bad}");
        }
    }
}
