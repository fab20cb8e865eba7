//! Where lines go: one thread and one bounded queue per sink. A full queue drops lines and counts them; a request never
//! waits for a disk.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use crate::snapshot::LogSink;

/// Lines that may wait for a sink.
const QUEUE: usize = 8192;

/// All sinks in use, opened when first written to. Dropping it writes what is queued and closes them.
#[derive(Debug, Default)]
pub struct Sinks {
    open: Mutex<HashMap<LogSink, Open>>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Open {
    queue: SyncSender<String>,
    reopen: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// What became of lines so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Handed to the operating system.
    pub written: u64,
    /// Given up because the queue was full.
    pub dropped: u64,
    /// Given up because the sink could not be opened or written.
    pub failed: u64,
}

/// A worker's end of a sink's queue.
pub(super) struct Queue {
    lines: SyncSender<String>,
    counts: Arc<Counts>,
}

impl Queue {
    pub(super) fn send(&self, line: String) {
        match self.lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => add(&self.counts.dropped, 1),
        }
    }
}

impl Sinks {
    /// Opens files anew before their next line: for log rotation (SIGUSR1).
    pub fn reopen(&self) {
        for open in self.lock().values() {
            open.reopen.store(true, Ordering::Release);
        }
    }

    /// What became of lines so far.
    pub fn written(&self) -> Written {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Written { written: read(&self.counts.written), dropped: read(&self.counts.dropped), failed: read(&self.counts.failed) }
    }

    pub(super) fn queue(&self, sink: &LogSink) -> Queue {
        let mut open = self.lock();
        let lines = match open.get(sink) {
            Some(open) => open.queue.clone(),
            None => {
                let started = start(sink.clone(), self.counts.clone());
                let lines = started.queue.clone();
                open.insert(sink.clone(), started);
                lines
            }
        };
        Queue { lines, counts: self.counts.clone() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<LogSink, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        for (_, open) in self.lock().drain() {
            drop(open.queue);
            // Workers are gone before the sinks: their queues are closed, so the threads end.
            if let Some(thread) = open.thread {
                let _ = thread.join();
            }
        }
    }
}

fn start(sink: LogSink, counts: Arc<Counts>) -> Open {
    let (queue, lines) = sync_channel(QUEUE);
    let reopen = Arc::new(AtomicBool::new(false));
    let seen = reopen.clone();
    let spawned = thread::Builder::new().name("access-log".into()).spawn(move || run(&sink, &lines, &counts, &seen));
    let thread = match spawned {
        Ok(thread) => Some(thread),
        Err(error) => {
            // The receiver went with the closure: lines are dropped and counted.
            tracing::error!(%error, "no thread for an access log: its lines are dropped");
            None
        }
    };
    Open { queue, reopen, thread }
}

fn run(sink: &LogSink, lines: &Receiver<String>, counts: &Counts, reopen: &AtomicBool) {
    let mut target: Option<BufWriter<Box<dyn Write + Send>>> = None;
    while let Ok(first) = lines.recv() {
        if reopen.swap(false, Ordering::AcqRel) {
            target = None;
        }
        let mut batch = 1;
        let mut result = open(sink, &mut target).and_then(|target| target.write_all(first.as_bytes()));
        // What waits goes out in one write, and then what was written is flushed: nothing lingers.
        for line in lines.try_iter().take(QUEUE) {
            batch += 1;
            result = result.and_then(|()| open(sink, &mut target)?.write_all(line.as_bytes()));
        }
        match result.and_then(|()| open(sink, &mut target)?.flush()) {
            Ok(()) => add(&counts.written, batch),
            Err(error) => {
                add(&counts.failed, batch);
                tracing::warn!(?sink, %error, "an access log cannot be written");
                target = None;
            }
        }
    }
}

fn open<'a>(
    sink: &LogSink,
    target: &'a mut Option<BufWriter<Box<dyn Write + Send>>>,
) -> io::Result<&'a mut BufWriter<Box<dyn Write + Send>>> {
    if target.is_none() {
        let opened: Box<dyn Write + Send> = match sink {
            LogSink::Stdout => Box::new(io::stdout()),
            LogSink::Stderr => Box::new(io::stderr()),
            LogSink::File(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        };
        *target = Some(BufWriter::with_capacity(64 * 1024, opened));
    }
    target.as_mut().ok_or_else(|| io::Error::other("not open"))
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
