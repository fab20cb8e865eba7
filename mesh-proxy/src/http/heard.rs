//! `request_headers_timeout`: how long headers may take from their first byte on. An idle connection is none of its business.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// Whether headers are coming, and by when they must be whole.
pub(super) struct Hearing {
    limit: Option<Duration>,
    answering: Cell<bool>,
    due: Cell<Option<Instant>>,
    timer: RefCell<Option<Pin<Box<Sleep>>>>,
    heard: Arc<AtomicBool>,
}

impl Hearing {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { limit, answering: Cell::new(false), due: Cell::new(None), timer: RefCell::new(None), heard: Arc::default() }
    }

    /// A connection on which this hears.
    pub(super) fn on<T>(&self, io: T) -> Heard<T> {
        Heard { io, heard: self.heard.clone() }
    }

    /// A request has come; until it is answered, bytes are its body or wait for their turn.
    pub(super) fn answer(&self) {
        self.answering.set(true);
        self.due.set(None);
    }

    /// The request is answered: bytes are headers again.
    pub(super) fn listen(&self) {
        self.answering.set(false);
        self.heard.store(false, Relaxed);
    }

    /// Ready when headers have taken too long. To be polled whenever the connection was.
    pub(super) fn poll_late(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else { return Poll::Pending };
        if self.answering.get() || !self.heard.load(Relaxed) {
            return Poll::Pending;
        }
        let due = self.due.get().unwrap_or_else(|| Instant::now() + limit);
        self.due.set(Some(due));
        let due = due.into();
        let mut timer = self.timer.borrow_mut();
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }
}

/// A connection that takes note when bytes come.
pub(super) struct Heard<T> {
    io: T,
    heard: Arc<AtomicBool>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Heard<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.io).poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.heard.store(true, Relaxed);
        }
        Poll::Ready(result)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Heard<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}
