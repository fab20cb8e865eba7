//! A byte stream with a peer, whatever carries it: TCP or a Unix socket, plain or TLS, with bytes that an inspector
//! has already taken put back in front.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// A connection, ready to carry a protocol.
pub(crate) enum Transport {
    /// As it is.
    Plain(Raw),
    /// TLS ended here.
    Accepted(Box<tokio_rustls::server::TlsStream<Raw>>),
    /// TLS begun here.
    Dialed(Box<tokio_rustls::client::TlsStream<Raw>>),
    /// Any of them, with bytes put back in front (plain ones keep them in [`Raw`]).
    Rewound(Bytes, Box<Transport>),
}

/// A socket and what was read from it but not consumed.
pub(crate) struct Raw {
    prefix: Bytes,
    socket: Socket,
}

/// A connected stream socket.
pub(crate) enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// Unix.
    Unix(UnixStream),
}

/// The address that stands for a peer without one (a Unix socket).
pub(crate) const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Socket {
    /// The peer's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        match self {
            Self::Tcp(stream) => stream.peer_addr().map_or(NO_ADDRESS, canonical),
            Self::Unix(_) => NO_ADDRESS,
        }
    }

    /// Our address.
    pub(crate) fn local(&self) -> SocketAddr {
        match self {
            Self::Tcp(stream) => stream.local_addr().map_or(NO_ADDRESS, canonical),
            Self::Unix(_) => NO_ADDRESS,
        }
    }
}

impl Raw {
    /// A socket nothing was read from.
    pub(crate) fn new(socket: Socket) -> Self {
        Self { prefix: Bytes::new(), socket }
    }

    /// `prefix` is read again before anything new.
    pub(crate) fn rewound(socket: Socket, prefix: Bytes) -> Self {
        Self { prefix, socket }
    }
}

impl Transport {
    /// The same stream with `bytes`, which were read from it, to be read again.
    pub(crate) fn unread(self, bytes: Bytes) -> Self {
        match self {
            Self::Plain(raw) if raw.prefix.is_empty() => Self::Plain(Raw { prefix: bytes, socket: raw.socket }),
            other => Self::Rewound(bytes, Box::new(other)),
        }
    }
}

/// `::ffff:a.b.c.d` as `a.b.c.d`: what a dual-stack socket calls an IPv4 peer.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Plain($stream) => $call,
            Transport::Accepted($stream) => $call,
            Transport::Dialed($stream) => $call,
            Transport::Rewound(_, $stream) => $call,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Self::Rewound(prefix, _) = &mut *self
            && give_back(prefix, buf)
        {
            return Poll::Ready(Ok(()));
        }
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Accepted(tls) => tls.is_write_vectored(),
            Self::Dialed(tls) => tls.is_write_vectored(),
            Self::Rewound(_, below) => below.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl AsyncRead for Raw {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let raw = self.get_mut();
        if give_back(&mut raw.prefix, buf) {
            return Poll::Ready(Ok(()));
        }
        match &mut raw.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Raw {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Moves what fits from `prefix`; false if there was nothing.
fn give_back(prefix: &mut Bytes, buf: &mut ReadBuf<'_>) -> bool {
    if prefix.is_empty() {
        return false;
    }
    let take = prefix.len().min(buf.remaining());
    buf.put_slice(&prefix[..take]);
    prefix.advance(take);
    if prefix.is_empty() {
        *prefix = Bytes::new();
    }
    true
}

/// Reads once into `buffer`, at most up to `limit` bytes in all. 0 is the end of the stream.
pub(crate) async fn read_some(socket: &mut Socket, buffer: &mut bytes::BytesMut, limit: usize) -> io::Result<usize> {
    let room = limit.saturating_sub(buffer.len()).min(4096);
    let mut chunk = [0u8; 4096];
    let mut read = ReadBuf::new(&mut chunk[..room]);
    std::future::poll_fn(|cx| {
        ready!(match socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut read),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, &mut read),
        })?;
        Poll::Ready(io::Result::Ok(()))
    })
    .await?;
    let filled = read.filled();
    buffer.extend_from_slice(filled);
    Ok(filled.len())
}
