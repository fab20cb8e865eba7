//! Access logs: lines made on the worker, written by one thread per sink, never waited for by a request.
//!
//! Formats and filters are parsed when the snapshot is built (`snapshot::LogFormat`); this module turns a finished
//! request into a line. Envoy docs: "Access logging".

mod filter;
mod json;
mod sink;
mod time;
mod value;

#[cfg(test)]
mod tests;

use std::{cell::RefCell, collections::HashMap, sync::Arc};

pub use self::sink::{Sinks, Written};
use self::{filter::passes, sink::Queue};
pub(crate) use self::{time::rfc3339, value::protocol};
use crate::{
    info::RequestInfo,
    snapshot::{AccessLog, Format, LogFormat, LogSink},
};

/// A line longer than this is cut: a peer chooses much of its content.
const MAX_LINE: usize = 64 * 1024;

/// One worker's way to the sinks.
pub(crate) struct Logger {
    // Before the sinks: the last owner of those waits for all queues to be closed.
    queues: RefCell<HashMap<LogSink, Queue>>,
    sinks: Arc<Sinks>,
}

impl Logger {
    /// A logger that finds its sinks when it first needs them.
    pub(crate) fn new(sinks: Arc<Sinks>) -> Self {
        Self { sinks, queues: RefCell::default() }
    }

    /// Writes `info` to those of `logs` that want it.
    pub(crate) fn log(&self, info: &RequestInfo, logs: &[Arc<AccessLog>]) {
        for log in logs {
            if log.filter.as_ref().is_some_and(|filter| !passes(filter, info)) {
                continue;
            }
            self.send(&log.sink, line(&log.format, info));
        }
    }

    fn send(&self, sink: &LogSink, line: String) {
        if let Some(queue) = self.queues.borrow().get(sink) {
            return queue.send(line);
        }
        let queue = self.sinks.queue(sink);
        queue.send(line);
        self.queues.borrow_mut().insert(sink.clone(), queue);
    }
}

/// The line of one request. JSON lines end with a newline; text lines end as their format says.
pub fn line(format: &LogFormat, info: &RequestInfo) -> String {
    let mut line = match format {
        LogFormat::Text(format) => text(format, info),
        LogFormat::Json(format) => {
            let mut line = json::value(format, info).to_string();
            line.push('\n');
            line
        }
    };
    if line.len() > MAX_LINE {
        line.truncate(floor(&line, MAX_LINE));
        line.push('\n');
    }
    line
}

/// A format's text: what is missing prints as `-`, or as nothing with `omit_empty`. Control characters of values are
/// escaped, so that no peer can begin a line of its own.
pub fn text(format: &Format, info: &RequestInfo) -> String {
    let mut out = String::with_capacity(256);
    for part in &format.parts {
        value::append(part, info, format.omit_empty, &mut out);
    }
    out
}

/// The largest character boundary of `text` up to `max`.
fn floor(text: &str, max: usize) -> usize {
    if max >= text.len() {
        return text.len();
    }
    (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
