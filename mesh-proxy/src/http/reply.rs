//! Bodies on their way down, and answers that the proxy makes itself.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::{body::BoxError, flight::Flight, upgrade::Switch};
use crate::{
    error::LocalReply,
    info::Flags,
    upstream::{breaker::Active, pool::Hold},
};

/// What is sent to the client. Carries the request's record to its end.
pub(crate) struct DownBody {
    kind: Kind,
    flight: Option<Flight>,
}

enum Kind {
    Empty,
    Full(Option<Bytes>),
    Upstream(Box<Streaming>),
    /// Nothing; what follows is another protocol's.
    Switch(Option<Box<Switch>>),
}

/// An endpoint's answer on its way to the client.
pub(crate) struct Streaming {
    pub(crate) source: Incoming,
    pub(crate) hold: Option<Hold>,
    pub(crate) active: Option<Active>,
    pub(crate) limits: Limits,
    /// Started when first there was nothing to read.
    timer: Option<Pin<Box<Sleep>>>,
    last: Instant,
}

/// Until when the answer must be whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// When the request began.
    pub(crate) start: Instant,
    /// The route's timeout, from the end of the request.
    pub(crate) timeout: Option<Duration>,
    /// `max_stream_duration`.
    pub(crate) max_duration: Option<Instant>,
    /// No byte either way for so long.
    pub(crate) idle: Option<Duration>,
}

impl Streaming {
    pub(crate) fn new(source: Incoming, hold: Hold, active: Active, limits: Limits) -> Self {
        Self { source, hold: Some(hold), active: Some(active), limits, timer: None, last: Instant::now() }
    }
}

/// The answer for `reply`, in gRPC's form for a gRPC request (Envoy's `Utility::sendLocalReply`).
pub(crate) fn local(reply: LocalReply, method: &Method, mut flight: Flight) -> Response<DownBody> {
    let info = &mut flight.info;
    let grpc_status = reply.grpc_status();
    info.flags.insert(reply.flags);
    info.details = reply.details;
    let mut headers = HeaderMap::new();
    if reply.overloaded {
        headers.insert("x-envoy-overloaded", HeaderValue::from_static("true"));
    }
    let (status, body) = if info.is_grpc {
        info.grpc_status = Some(grpc_status);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from(grpc_status));
        if !reply.body.is_empty()
            && let Ok(message) = HeaderValue::try_from(percent_encoded(&reply.body))
        {
            headers.insert("grpc-message", message);
        }
        (StatusCode::OK, Bytes::new())
    } else {
        let body: Bytes = match reply.body {
            std::borrow::Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
            std::borrow::Cow::Owned(text) => text.into(),
        };
        if !body.is_empty() {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        (reply.status, if method == Method::HEAD { Bytes::new() } else { body })
    };
    full(status, headers, body, flight)
}

/// An answer with these bytes.
pub(crate) fn full(status: StatusCode, headers: HeaderMap, body: Bytes, flight: Flight) -> Response<DownBody> {
    let kind = if body.is_empty() { Kind::Empty } else { Kind::Full(Some(body)) };
    let mut response = Response::new(DownBody { kind, flight: Some(flight) });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The answer that protocols are switched.
pub(super) fn switching(parts: http::response::Parts, switch: Box<Switch>, flight: Flight) -> Response<DownBody> {
    Response::from_parts(parts, DownBody { kind: Kind::Switch(Some(switch)), flight: Some(flight) })
}

/// An endpoint's answer.
pub(crate) fn streaming(mut parts: http::response::Parts, streaming: Streaming, flight: Flight) -> Response<DownBody> {
    // Ours, whatever the endpoint speaks.
    parts.version = http::Version::HTTP_11;
    let body = DownBody { kind: Kind::Upstream(Box::new(streaming)), flight: Some(flight) };
    Response::from_parts(parts, body)
}

impl DownBody {
    /// The record of the request that this answers.
    pub(crate) fn flight_mut(&mut self) -> Option<&mut Flight> {
        self.flight.as_mut()
    }

    /// What the switch of protocols needs, and the record, which goes with it.
    pub(super) fn take_switch(&mut self) -> Option<(Box<Switch>, Flight)> {
        let Kind::Switch(switch) = &mut self.kind else { return None };
        switch.take().zip(self.flight.take())
    }

    /// Before an answer that the proxy makes itself: reads what has already come of the request, up to `limit` bytes, so that
    /// a small one leaves its connection clean.
    pub(super) async fn read_request(&self, limit: usize) {
        if matches!(self.kind, Kind::Empty | Kind::Full(_))
            && let Some(body) = self.flight.as_ref().and_then(Flight::body)
        {
            body.read_what_came(limit).await;
        }
    }

    fn end(&mut self) {
        if let Some(mut flight) = self.flight.take() {
            flight.complete();
        }
    }

    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Kind::Upstream(streaming) = &mut self.kind else { return Poll::Ready(None) };
        match Pin::new(&mut streaming.source).poll_frame(cx) {
            Poll::Pending => {
                let flags = ready!(streaming.poll_late(cx, self.flight.as_ref()));
                Poll::Ready(Some(Err(self.fail(flags, details_of(flags)))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                streaming.last = Instant::now();
                let last = streaming.source.is_end_stream();
                if last {
                    streaming.finish(self.flight.as_ref());
                }
                if let Some(flight) = &mut self.flight {
                    if let Some(data) = frame.data_ref() {
                        flight.info.bytes_sent += data.len() as u64;
                    } else if let Some(trailers) = frame.trailers_ref() {
                        flight.keep_trailers(trailers);
                    }
                }
                if last {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                streaming.finish(self.flight.as_ref());
                self.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => {
                let flags = Flags::UPSTREAM_CONNECTION_TERMINATION;
                let details = "upstream_reset_after_response_started{connection_termination}";
                Poll::Ready(Some(Err(self.fail(flags, details))))
            }
        }
    }

    fn fail(&mut self, flags: Flags, details: &'static str) -> BoxError {
        if let Some(mut flight) = self.flight.take() {
            flight.info.flags.insert(flags);
            flight.info.details = details.into();
        }
        self.kind = Kind::Empty;
        details.into()
    }
}

fn details_of(flags: Flags) -> &'static str {
    if flags.contains(Flags::UPSTREAM_REQUEST_TIMEOUT) {
        "response_timeout"
    } else if flags.contains(Flags::MAX_DURATION) {
        "upstream_max_stream_duration_reached"
    } else {
        "stream_idle_timeout"
    }
}

impl Streaming {
    /// The answer is whole: the connection is free, if the request is whole as well.
    fn finish(&mut self, flight: Option<&Flight>) {
        let request_done = flight.and_then(Flight::body).is_none_or(super::body::RequestBody::is_complete);
        if let Some(hold) = self.hold.take()
            && request_done
        {
            hold.finish();
        }
        self.active = None;
        self.timer = None;
    }

    /// Ready when a limit is passed, with the flag for it.
    fn poll_late(&mut self, cx: &mut Context<'_>, flight: Option<&Flight>) -> Poll<Flags> {
        loop {
            let body = flight.and_then(Flight::body);
            let last = body.map_or(self.last, |body| body.last_activity().max(self.last));
            let complete = match body {
                Some(body) => body.complete(),
                None => Some(self.limits.start),
            };
            let Some((at, flags)) = self.limits.next(last, complete) else { return Poll::Pending };
            let at = tokio::time::Instant::from_std(at);
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            if timer.deadline() > at {
                timer.as_mut().reset(at);
            }
            ready!(timer.as_mut().poll(cx));
            // There may have been activity since it was set.
            if tokio::time::Instant::now() >= at {
                return Poll::Ready(flags);
            }
            timer.as_mut().reset(at);
        }
    }
}

impl Limits {
    /// The first limit that will be passed if nothing happens after `last`.
    fn next(&self, last: Instant, complete: Option<Instant>) -> Option<(Instant, Flags)> {
        let timeout = self.timeout.zip(complete).map(|(limit, end)| (end + limit, Flags::UPSTREAM_REQUEST_TIMEOUT));
        let duration = self.max_duration.map(|at| (at, Flags::MAX_DURATION));
        let idle = self.idle.map(|idle| (last + idle, Flags::STREAM_IDLE_TIMEOUT));
        [timeout, duration, idle].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

impl Body for DownBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let body = self.get_mut();
        match &mut body.kind {
            Kind::Empty => {
                body.end();
                Poll::Ready(None)
            }
            Kind::Full(bytes) => {
                let bytes = bytes.take();
                if let (Some(flight), Some(bytes)) = (&mut body.flight, &bytes) {
                    flight.info.bytes_sent += bytes.len() as u64;
                }
                body.end();
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Kind::Upstream(_) => body.poll_upstream(cx),
            Kind::Switch(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty | Kind::Switch(_) => true,
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Upstream(streaming) => streaming.source.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty | Kind::Switch(_) => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Upstream(streaming) => streaming.source.size_hint(),
        }
    }
}

impl Drop for DownBody {
    fn drop(&mut self) {
        // hyper drops a body that says it is at its end without polling it.
        if self.is_end_stream() {
            if let Kind::Upstream(streaming) = &mut self.kind {
                streaming.finish(self.flight.as_ref());
            }
            self.end();
        }
    }
}

/// gRPC's encoding of `grpc-message`: all but printable ASCII and `%`.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.push_str(&crate::tls::hex(&[byte]).to_ascii_uppercase());
            }
        }
    }
    out
}
