//! Bodies on their way up: streamed with backpressure, remembered for another try only within a bound.

use std::{
    cell::{Cell, RefCell},
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
}

struct Kept {
    frames: Vec<Piece>,
    bytes: usize,
    /// `None`: nothing is remembered (any more).
    limit: Option<usize>,
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
        }))
    }

    /// The body for the next try; earlier tries may not read any more.
    pub(crate) fn next_try(&self) -> UpBody {
        let number = self.0.current.get() + 1;
        self.0.current.set(number);
        UpBody::Try(Try { state: self.0.clone(), number, next: 0 })
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
        if let Some(piece) = state.kept.borrow().frames.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(piece.clone().frame())));
        }
        {
            let mut kept = state.kept.borrow_mut();
            if kept.limit.is_none() && !kept.frames.is_empty() {
                kept.frames = Vec::new();
            }
        }
        if state.ended.get() {
            return Poll::Ready(None);
        }
        let polled = ready!(Pin::new(&mut *state.source.borrow_mut()).poll_frame(cx));
        let now = Instant::now();
        state.last.set(now);
        match polled {
            None => {
                state.ended.set(true);
                state.complete.set(Some(now));
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                state.failed.set(true);
                Poll::Ready(Some(Err(error.into())))
            }
            Some(Ok(frame)) => {
                if self.remember(&frame) {
                    self.next += 1;
                }
                if state.source.borrow().is_end_stream() {
                    state.ended.set(true);
                    state.complete.set(Some(now));
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    /// Whether the frame was kept.
    fn remember(&self, frame: &Frame<Bytes>) -> bool {
        let mut kept = self.state.kept.borrow_mut();
        kept.begun = true;
        if let Some(data) = frame.data_ref() {
            self.state.received.set(self.state.received.get() + data.len() as u64);
            kept.bytes += data.len();
        }
        let Some(limit) = kept.limit else { return false };
        if kept.bytes > limit {
            kept.limit = None;
            // What was kept was sent already by this try, the only one that may read.
            kept.frames = Vec::new();
            return false;
        }
        let piece = match frame.data_ref() {
            Some(data) => Piece::Data(data.clone()),
            None => Piece::Trailers(frame.trailers_ref().cloned().unwrap_or_default()),
        };
        kept.frames.push(piece);
        true
    }
}

impl Piece {
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
