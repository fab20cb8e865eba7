//! Bodies on their way up: streamed with backpressure, remembered for another try only within a bound.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// Any error.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is sent to an endpoint.
pub(crate) enum UpBody {
    /// Nothing.
    Empty,
    /// These bytes.
    Full(Option<Bytes>),
    /// The client's body, on one try.
    Try(Try),
}

/// The client's body, over all tries. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RequestBody(Rc<State>);

/// One reader of a [`RequestBody`]: from the first byte on, if that is still remembered.
pub(crate) struct Try {
    state: Rc<State>,
    number: u32,
    next: usize,
}

struct State {
    source: RefCell<Incoming>,
    kept: RefCell<Kept>,
    /// Only the last try may read.
    current: Cell<u32>,
    received: Cell<u64>,
    ended: Cell<bool>,
    failed: Cell<bool>,
    complete: Cell<Option<Instant>>,
    last: Cell<Instant>,
    /// The current try has begun to read: what comes next is for it.
    taken: Cell<bool>,
}

struct Kept {
    frames: Vec<Piece>,
    bytes: usize,
    /// `None`: nothing is remembered (any more).
    limit: Option<usize>,
    /// Something was sent.
    begun: bool,
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl RequestBody {
    /// Remembers up to `limit` bytes; 0: none.
    pub(crate) fn new(source: Incoming, limit: usize, now: Instant) -> Self {
        let ended = source.is_end_stream();
        let kept = Kept { frames: Vec::new(), bytes: 0, limit: (limit > 0).then_some(limit), begun: false };
        Self(Rc::new(State {
            source: RefCell::new(source),
            kept: RefCell::new(kept),
            current: Cell::new(0),
            received: Cell::new(0),
            ended: Cell::new(ended),
            failed: Cell::new(false),
            complete: Cell::new(ended.then_some(now)),
            last: Cell::new(now),
            taken: Cell::new(false),
        }))
    }

    /// The body for the next try; earlier tries may not read any more.
    pub(crate) fn next_try(&self) -> UpBody {
        let number = self.0.current.get() + 1;
        self.0.current.set(number);
        self.0.taken.set(false);
        UpBody::Try(Try { state: self.0.clone(), number, next: 0 })
    }

    /// Reads on while no try does, so that the end of a request is known before there is a connection for it. Holds no more than
    /// `limit` bytes and the frame that passes it. Never ready; wakes when something has come.
    pub(crate) fn poll_ahead(&self, cx: &mut Context<'_>, limit: usize) -> Poll<()> {
        let state = &*self.0;
        while !state.taken.get() && !state.ended.get() && !state.failed.get() {
            if state.kept.borrow().held() >= limit {
                break;
            }
            // An error is told to the try that reads on.
            let Some(Ok(frame)) = ready!(state.poll_source(cx)) else { break };
            state.kept.borrow_mut().keep(&frame);
        }
        Poll::Pending
    }

    /// Reads what has come already, up to `limit` bytes.
    pub(crate) async fn read_what_came(&self, limit: usize) {
        let mut quiet = 0;
        // Each turn lets the connection hand on what it has; three in a row without anything are the end of it.
        while quiet < 3 && !self.0.ended.get() && !self.0.failed.get() && self.0.kept.borrow().held() < limit {
            let before = self.received();
            poll_fn(|cx| {
                let _ = self.poll_ahead(cx, limit);
                Poll::Ready(())
            })
            .await;
            quiet = if self.received() == before { quiet + 1 } else { 0 };
            tokio::task::yield_now().await;
        }
    }

    /// Whether another try can send it all again.
    pub(crate) fn can_repeat(&self) -> bool {
        let kept = self.0.kept.borrow();
        !self.0.failed.get() && (kept.limit.is_some() || !kept.begun)
    }

    /// No further try will come: forget what was kept, once the last try has sent it.
    pub(crate) fn commit(&self) {
        self.0.kept.borrow_mut().limit = None;
    }

    /// Bytes received so far.
    pub(crate) fn received(&self) -> u64 {
        self.0.received.get()
    }

    /// When the last byte came.
    pub(crate) fn complete(&self) -> Option<Instant> {
        self.0.complete.get()
    }

    /// Whether all of it has been read from the client.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.ended.get()
    }

    /// Whether the client broke off.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.failed.get()
    }

    /// When something last came.
    pub(crate) fn last_activity(&self) -> Instant {
        self.0.last.get()
    }

    /// All of it, if it has come whole and is still remembered.
    pub(crate) fn whole(&self) -> Option<Bytes> {
        let kept = self.0.kept.borrow();
        kept.limit.filter(|_| self.0.ended.get())?;
        let mut all = bytes::BytesMut::with_capacity(kept.bytes);
        for piece in &kept.frames {
            if let Piece::Data(data) = piece {
                all.extend_from_slice(data);
            }
        }
        Some(all.freeze())
    }
}

impl Try {
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let state = self.state.clone();
        if state.current.get() != self.number {
            return Poll::Ready(Some(Err("this try was given up".into())));
        }
        state.taken.set(true);
        let mut kept = state.kept.borrow_mut();
        kept.begun = true;
        if let Some(piece) = kept.frames.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(piece.clone().frame())));
        }
        if kept.limit.is_none() && !kept.frames.is_empty() {
            kept.frames = Vec::new();
        }
        drop(kept);
        if state.ended.get() {
            return Poll::Ready(None);
        }
        if state.failed.get() {
            return Poll::Ready(Some(Err("the client broke off".into())));
        }
        let polled = ready!(state.poll_source(cx));
        if let Some(Ok(frame)) = &polled
            && state.kept.borrow_mut().remember(frame)
        {
            self.next += 1;
        }
        Poll::Ready(polled)
    }
}

impl State {
    /// The next of what the client sends.
    fn poll_source(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut source = self.source.borrow_mut();
        let polled = ready!(Pin::new(&mut *source).poll_frame(cx));
        let now = Instant::now();
        self.last.set(now);
        let ended = match &polled {
            None => true,
            Some(Err(_)) => {
                self.failed.set(true);
                false
            }
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.received.set(self.received.get() + length as u64);
                frame.is_trailers() || source.is_end_stream()
            }
        };
        if ended {
            self.ended.set(true);
            self.complete.set(Some(now));
        }
        Poll::Ready(polled.map(|frame| frame.map_err(Into::into)))
    }
}

impl Kept {
    /// Bytes that are in memory.
    fn held(&self) -> usize {
        if self.frames.is_empty() { 0 } else { self.bytes }
    }

    /// Keeps a frame that was not sent yet.
    fn keep(&mut self, frame: &Frame<Bytes>) {
        self.bytes += frame.data_ref().map_or(0, Bytes::len);
        // Too much for another try, but this one needs it.
        self.limit = self.limit.filter(|limit| self.bytes <= *limit);
        self.frames.push(Piece::of(frame));
    }

    /// Keeps a frame that is being sent, if it may be needed again. Whether it was kept.
    fn remember(&mut self, frame: &Frame<Bytes>) -> bool {
        self.bytes += frame.data_ref().map_or(0, Bytes::len);
        let Some(limit) = self.limit else { return false };
        if self.bytes > limit {
            self.limit = None;
            // What was kept was sent already by this try, the only one that may read.
            self.frames = Vec::new();
            return false;
        }
        self.frames.push(Piece::of(frame));
        true
    }
}

impl Piece {
    fn of(frame: &Frame<Bytes>) -> Self {
        match frame.data_ref() {
            Some(data) => Self::Data(data.clone()),
            None => Self::Trailers(frame.trailers_ref().cloned().unwrap_or_default()),
        }
    }

    fn frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }
}

impl Body for UpBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Try(reader) => Pin::new(reader).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_none(),
            Self::Try(reader) => reader.state.ended.get() && reader.next >= reader.state.kept.borrow().frames.len(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            // A content-length header, if the client sent one, says the same.
            Self::Try(_) => SizeHint::default(),
        }
    }
}
