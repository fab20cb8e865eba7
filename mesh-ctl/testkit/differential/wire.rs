//! HTTP/1.1 as bytes (RFC 9112), by hand: a library would mend what we want to see, and refuse to send what we want to try.

use std::io;

use bytes::Bytes;
use http_body_util::{Either, Empty, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A connection of any kind.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// No head or body of ours is larger.
const LIMIT: usize = 32 << 20;

/// A connection and what was read ahead.
pub(super) struct Wire {
    pub(super) io: Box<dyn Io>,
    ahead: Vec<u8>,
}

/// A request or an answer, up to the empty line.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) start: String,
    pub(super) headers: Vec<(String, String)>,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Known(usize),
    Chunked,
    UntilClose,
}

/// A body, and whether all of it came.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) data: Vec<u8>,
    pub(super) trailers: Vec<(String, String)>,
    pub(super) complete: bool,
}

impl Wire {
    pub(super) fn new(io: Box<dyn Io>) -> Self {
        Self { io, ahead: Vec::new() }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.io.write_all(bytes).await?;
        self.io.flush().await
    }

    /// The next head; `None` if the connection ends first.
    pub(super) async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut head = Head::default();
        loop {
            let Some(line) = self.line().await? else { return Ok(None) };
            if head.start.is_empty() {
                head.start = line;
            } else if line.is_empty() {
                return Ok(Some(head));
            } else {
                head.headers.push(field(&line));
            }
        }
    }

    /// A body of that length. What the peer does not finish is given as far as it came.
    pub(super) async fn body(&mut self, length: Length) -> Body {
        let mut body = Body::default();
        body.complete = match length {
            Length::Known(length) => self.exactly(length, &mut body.data).await,
            Length::UntilClose => self.rest(&mut body.data).await,
            Length::Chunked => self.chunks(&mut body).await.unwrap_or(false),
        };
        body
    }

    /// Reads `length` bytes; says whether they came.
    pub(super) async fn exactly(&mut self, length: usize, into: &mut Vec<u8>) -> bool {
        while self.ahead.len() < length {
            if !matches!(self.more().await, Ok(true)) {
                into.append(&mut self.ahead);
                return false;
            }
        }
        into.extend(self.ahead.drain(..length));
        true
    }

    /// Reads to the end; says whether it was an orderly one.
    pub(super) async fn rest(&mut self, into: &mut Vec<u8>) -> bool {
        let end = loop {
            match self.more().await {
                Ok(true) if self.ahead.len() <= LIMIT => {}
                Ok(more) => break !more,
                Err(_) => break false,
            }
        };
        into.append(&mut self.ahead);
        end
    }

    /// Some bytes, if any come: none at the end.
    pub(super) async fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.ahead.is_empty() {
            self.more().await?;
        }
        Ok(std::mem::take(&mut self.ahead))
    }

    async fn chunks(&mut self, body: &mut Body) -> io::Result<bool> {
        loop {
            let Some(size) = self.line().await? else { return Ok(false) };
            let digits = size.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(digits, 16) else { return Ok(false) };
            if size == 0 {
                break;
            }
            if !self.exactly(size, &mut body.data).await || self.line().await?.is_none() {
                return Ok(false);
            }
        }
        loop {
            match self.line().await? {
                None => return Ok(false),
                Some(line) if line.is_empty() => return Ok(true),
                Some(line) => body.trailers.push(field(&line)),
            }
        }
    }

    async fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line);
                return Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()));
            }
            if self.ahead.len() > LIMIT || !self.more().await? {
                return Ok(None);
            }
        }
    }

    async fn more(&mut self) -> io::Result<bool> {
        let mut chunk = vec![0; 16 << 10];
        let read = self.io.read(&mut chunk).await?;
        self.ahead.extend(&chunk[..read]);
        Ok(read > 0)
    }
}

impl Head {
    /// The first value of that header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// As its framing headers say; `otherwise` without any.
    pub(super) fn length(&self, otherwise: Length) -> Length {
        if self.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Length::Chunked;
        }
        self.header("content-length").and_then(|length| length.parse().ok()).map_or(otherwise, Length::Known)
    }
}

/// `body` as chunks of at most 8 KiB, then the trailers.
pub(super) fn chunked(body: &[u8], trailers: &[String], finish: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(8 << 10) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    if finish {
        bytes.extend(b"0\r\n");
        for trailer in trailers {
            bytes.extend(format!("{trailer}\r\n").bytes());
        }
        bytes.extend(b"\r\n");
    }
    bytes
}

/// A body for hyper: the data, the trailers, or a break in the middle.
pub(super) type Stream = Either<Frames, Empty<Bytes>>;
type Frames = StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, io::Error>>>>;

/// Makes one. With nothing in it, its end is known from the start: the headers end the stream.
pub(super) fn stream(data: Vec<u8>, trailers: &[String], broken: bool) -> Stream {
    let mut frames = Vec::new();
    if !data.is_empty() {
        frames.push(Ok(Frame::data(Bytes::from(data))));
    }
    if broken {
        frames.push(Err(io::Error::other("a scripted break")));
    } else if !trailers.is_empty() {
        frames.push(Ok(Frame::trailers(header_map(trailers))));
    }
    if frames.is_empty() { Either::Right(Empty::new()) } else { Either::Left(StreamBody::new(futures_util::stream::iter(frames))) }
}

/// `name: value` lines; what `http` does not take is left out.
pub(super) fn header_map(lines: &[String]) -> http::HeaderMap {
    let mut map = http::HeaderMap::new();
    for (name, value) in lines.iter().map(|line| field(line)) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(value)) {
            map.append(name, value);
        }
    }
    map
}

/// The pairs of a header map, in order.
pub(super) fn pairs(map: &http::HeaderMap) -> Vec<(String, String)> {
    map.iter().map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_owned(), value.trim().to_owned())
}
