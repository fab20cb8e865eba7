//! What a client says first: a TLS ClientHello, an HTTP request line, the HTTP/2 preface, or something else.
//!
//! Bytes are read, kept and later read again by whoever serves the connection; never more than a bound.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustls::server::{Accepted, Acceptor};

use crate::transport::{Socket, read_some};

/// Envoy's TLS inspector reads at most 16 KiB, and so do we; a ClientHello of more is not TLS.
const MAX_HELLO: usize = 16 * 1024 + 5;
/// Longest request line that is looked at.
const MAX_REQUEST_LINE: usize = 8 * 1024;
/// RFC 9113 §3.4.
pub(crate) const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Methods that Envoy's HTTP inspector knows (RFC 9110, WebDAV and the like).
const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "TRACE",
    "COPY",
    "LOCK",
    "MKCOL",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "SEARCH",
    "UNLOCK",
    "BIND",
    "REBIND",
    "UNBIND",
    "ACL",
    "REPORT",
    "MKACTIVITY",
    "CHECKOUT",
    "MERGE",
    "M-SEARCH",
    "NOTIFY",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "PATCH",
    "PURGE",
    "MKCALENDAR",
    "LINK",
    "UNLINK",
];

/// The client's first bytes, and a ClientHello if they were one.
#[derive(Default)]
pub(crate) struct Said {
    /// All that was read and not consumed.
    pub(crate) bytes: BytesMut,
    /// The ClientHello.
    pub(crate) hello: Option<Hello>,
    /// The HTTP version found, as Envoy names it: `http/1.0`, `http/1.1`, `h2c`.
    pub(crate) http: Option<&'static str>,
}

/// A ClientHello.
pub(crate) struct Hello {
    /// To go on with the handshake.
    pub(crate) accepted: Accepted,
    /// How many of the bytes it took.
    consumed: usize,
    /// SNI, lower case.
    pub(crate) server_name: Option<Arc<str>>,
    /// Protocols offered.
    pub(crate) alpn: Vec<Arc<str>>,
}

impl Said {
    /// Splits into the ClientHello and the bytes after it, to end TLS here.
    pub(crate) fn into_hello(self) -> (Option<Hello>, Bytes) {
        let mut bytes = self.bytes;
        match self.hello {
            Some(hello) => {
                let rest = bytes.split_off(hello.consumed.min(bytes.len()));
                (Some(hello), rest.freeze())
            }
            None => (None, bytes.freeze()),
        }
    }
}

/// Reads until the first record is a ClientHello or cannot be one any more.
pub(crate) async fn tls(socket: &mut Socket, said: &mut Said) -> std::io::Result<()> {
    let mut acceptor = Acceptor::default();
    let mut consumed = 0;
    loop {
        if said.bytes.first().is_some_and(|first| *first != 0x16) {
            return Ok(());
        }
        while consumed < said.bytes.len() {
            let mut unread = &said.bytes[consumed..];
            let Ok(taken @ 1..) = acceptor.read_tls(&mut unread) else { return Ok(()) };
            consumed += taken;
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    said.hello = Some(read_hello(accepted, consumed));
                    return Ok(());
                }
                Ok(None) => {}
                // A record that is not a ClientHello: Envoy goes on as "not TLS".
                Err(_) => return Ok(()),
            }
        }
        if said.bytes.len() >= MAX_HELLO || read_some(socket, &mut said.bytes, MAX_HELLO).await? == 0 {
            return Ok(());
        }
    }
}

fn read_hello(accepted: Accepted, consumed: usize) -> Hello {
    let hello = accepted.client_hello();
    let server_name = hello.server_name().map(|name| name.to_ascii_lowercase().into());
    let alpn = hello.alpn().into_iter().flatten().map(|name| String::from_utf8_lossy(name).into()).collect();
    Hello { accepted, consumed, server_name, alpn }
}

/// Reads until the request line is known, or cannot be HTTP.
pub(crate) async fn http(socket: &mut Socket, said: &mut Said) -> std::io::Result<()> {
    loop {
        match look(&said.bytes) {
            Look::Http(version) => {
                said.http = Some(version);
                return Ok(());
            }
            Look::Other => return Ok(()),
            Look::More if said.bytes.len() >= MAX_REQUEST_LINE => return Ok(()),
            Look::More => {}
        }
        if read_some(socket, &mut said.bytes, MAX_REQUEST_LINE).await? == 0 {
            return Ok(());
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    Http(&'static str),
    Other,
    More,
}

pub(super) fn look(bytes: &[u8]) -> Look {
    let preface = bytes.len().min(H2_PREFACE.len());
    if bytes[..preface] == H2_PREFACE[..preface] {
        return if preface == H2_PREFACE.len() { Look::Http("h2c") } else { Look::More };
    }
    let Some(method_end) = bytes.iter().position(|byte| *byte == b' ') else {
        let could_be = METHODS.iter().any(|method| method.as_bytes().starts_with(bytes));
        return if could_be { Look::More } else { Look::Other };
    };
    if !METHODS.iter().any(|method| method.as_bytes() == &bytes[..method_end]) {
        return Look::Other;
    }
    let Some(line_end) = bytes.iter().position(|byte| *byte == b'\n') else { return Look::More };
    let line = bytes[..line_end].strip_suffix(b"\r").unwrap_or(&bytes[..line_end]);
    if line.ends_with(b" HTTP/1.1") {
        Look::Http("http/1.1")
    } else if line.ends_with(b" HTTP/1.0") {
        Look::Http("http/1.0")
    } else {
        Look::Other
    }
}
