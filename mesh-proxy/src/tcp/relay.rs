//! Moving bytes both ways. Large reads, no buffer while nothing moves, half-close passed on.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};

use crate::worker::Phase;

/// One read. 8 KiB loses against Envoy, 64 KiB beats it (DESIGN.md §5).
const CHUNK: usize = 128 * 1024;

thread_local! {
    /// Every connection of a worker reads through the same buffer; only what a slow writer leaves is kept apart.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into());
}

/// What went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// From client to endpoint.
    pub(crate) up: u64,
    /// From endpoint to client.
    pub(crate) down: u64,
    /// Why it ended.
    pub(crate) end: End,
}

/// How a relay ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides were done.
    #[default]
    Closed,
    /// The client's side broke.
    Client,
    /// The endpoint's side broke.
    Endpoint,
    /// Nothing moved for too long.
    Idle,
    /// The proxy had to end it.
    Forced,
}

/// One direction.
#[derive(Default)]
struct Half {
    pending: Vec<u8>,
    written: usize,
    eof: bool,
    done: bool,
    unflushed: bool,
    moved: u64,
}

/// Whose side failed.
enum Broken {
    Reader,
    Writer,
}

/// Relays until both directions are closed, one breaks, nothing moved for `idle`, or the connection is forced.
pub(crate) async fn relay<A, B>(mut client: A, mut endpoint: B, idle: Option<Duration>, mut phase: watch::Receiver<Phase>) -> Moved
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut up, mut down) = (Half::default(), Half::default());
    let mut last = Instant::now();
    let end = {
        let forced = async {
            let _ = phase.wait_for(|phase| *phase == Phase::Forced).await;
        };
        let mut forced = std::pin::pin!(forced);
        let mut timer = idle.map(|idle| Box::pin(tokio::time::sleep(idle)));
        poll_fn(|cx| {
            let before = up.moved + down.moved;
            let upward = up.poll(cx, &mut client, &mut endpoint);
            let downward = down.poll(cx, &mut endpoint, &mut client);
            if up.moved + down.moved != before {
                last = Instant::now();
            }
            match (&upward, &downward) {
                (Poll::Ready(Err(Broken::Reader)), _) | (_, Poll::Ready(Err(Broken::Writer))) => {
                    return Poll::Ready(End::Client);
                }
                (Poll::Ready(Err(Broken::Writer)), _) | (_, Poll::Ready(Err(Broken::Reader))) => {
                    return Poll::Ready(End::Endpoint);
                }
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Closed),
                _ => {}
            }
            if forced.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Forced);
            }
            while let (Some(timer), Some(idle)) = (&mut timer, idle) {
                if timer.as_mut().poll(cx).is_pending() {
                    break;
                }
                let at = last + idle;
                if Instant::now() >= at {
                    return Poll::Ready(End::Idle);
                }
                timer.as_mut().reset(at.into());
            }
            Poll::Pending
        })
        .await
    };
    Moved { up: up.moved, down: down.moved, end }
}

impl Half {
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self.done {
            return Poll::Ready(Ok(()));
        }
        SCRATCH.with_borrow_mut(|scratch| self.pump(cx, reader, writer, scratch))
    }

    fn pump<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W, scratch: &mut [u8]) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            ready!(self.write_pending(cx, writer)).map_err(|_| Broken::Writer)?;
            if self.eof {
                ready!(Pin::new(&mut *writer).poll_shutdown(cx)).map_err(|_| Broken::Writer)?;
                self.done = true;
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut *reader).poll_read(cx, &mut buffer) {
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *writer).poll_flush(cx)).map_err(|_| Broken::Writer)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Reader)),
                Poll::Ready(Ok(())) => {
                    let read = buffer.filled();
                    if read.is_empty() {
                        self.eof = true;
                        continue;
                    }
                    self.moved += read.len() as u64;
                    self.unflushed = true;
                    let written = write_some(cx, writer, read).map_err(|_| Broken::Writer)?;
                    self.pending.extend_from_slice(&read[written..]);
                }
            }
        }
    }

    fn write_pending<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>> {
        while self.written < self.pending.len() {
            let written = ready!(Pin::new(&mut *writer).poll_write(cx, &self.pending[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        if !self.pending.is_empty() {
            self.pending = Vec::new();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes as much as the writer takes now.
fn write_some<W: AsyncWrite + Unpin>(cx: &mut Context<'_>, writer: &mut W, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match Pin::new(&mut *writer).poll_write(cx, &bytes[written..]) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(more)) => written += more,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => break,
        }
    }
    Ok(written)
}
