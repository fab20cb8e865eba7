//! PROXY protocol, versions 1 and 2 (haproxy's `proxy-protocol.txt`): who the client of the load balancer in front is.
//!
//! Where it is configured it is required: a connection without it is closed, or anyone could choose an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf as _, BytesMut};

use crate::transport::{Socket, read_some};

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V1_MAX: usize = 107;
/// Address block and extensions of version 2.
const V2_MAX: usize = 16 + 4096;

/// Who speaks to whom, if the header says so (`LOCAL` and `UNKNOWN` do not).
pub(super) type Header = Option<(SocketAddr, SocketAddr)>;

/// The header is missing or wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("no PROXY header: {0}")]
    Malformed(&'static str),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Reads and takes the header off `bytes`; what follows it stays.
pub(super) async fn read(socket: &mut Socket, bytes: &mut BytesMut) -> Result<Header, Error> {
    loop {
        if let Some((length, header)) = parse(bytes).map_err(Error::Malformed)? {
            bytes.advance(length);
            return Ok(header);
        }
        if read_some(socket, bytes, V2_MAX).await? == 0 {
            return Err(Error::Malformed("the connection ended in it"));
        }
    }
}

/// `None`: more bytes are needed.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(usize, Header)>, &'static str> {
    let probe = bytes.len().min(V2_SIGNATURE.len());
    if bytes[..probe] == V2_SIGNATURE[..probe] {
        return if bytes.len() < 16 { Ok(None) } else { version_2(bytes) };
    }
    let probe = bytes.len().min(6);
    if bytes[..probe] != b"PROXY "[..probe] {
        return Err("neither version 1 nor 2 begins so");
    }
    match bytes.windows(2).take(V1_MAX - 1).position(|pair| pair == b"\r\n") {
        Some(end) => version_1(&bytes[..end]).map(|header| Some((end + 2, header))),
        None if bytes.len() >= V1_MAX => Err("version 1 is longer than 107 bytes"),
        None => Ok(None),
    }
}

fn version_1(line: &[u8]) -> Result<Header, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "version 1 is not ASCII")?;
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        ["PROXY", "TCP4" | "TCP6", source, destination, source_port, destination_port] => {
            let address = |ip: &str, port: &str| -> Option<SocketAddr> { Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?)) };
            let source = address(source, source_port).ok_or("bad source in version 1")?;
            let destination = address(destination, destination_port).ok_or("bad destination in version 1")?;
            Ok(Some((source, destination)))
        }
        _ => Err("version 1 has other words"),
    }
}

fn version_2(bytes: &[u8]) -> Result<Option<(usize, Header)>, &'static str> {
    let (command, family) = (bytes[12], bytes[13]);
    let length = 16 + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if length > V2_MAX {
        return Err("version 2 is too long");
    }
    if bytes.len() < length {
        return Ok(None);
    }
    let body = &bytes[16..length];
    match (command, family) {
        (0x20, _) => Ok(Some((length, None))),
        (0x21, 0x11) => pair::<4>(body, |ip| Ipv4Addr::from(ip).into()).map(|header| Some((length, Some(header)))),
        (0x21, 0x21) => pair::<16>(body, |ip| Ipv6Addr::from(ip).into()).map(|header| Some((length, Some(header)))),
        (0x21, _) => Ok(Some((length, None))),
        _ => Err("version 2 has another command"),
    }
}

fn pair<const N: usize>(body: &[u8], ip: impl Fn([u8; N]) -> IpAddr) -> Result<(SocketAddr, SocketAddr), &'static str> {
    const SHORT: &str = "version 2 is too short for its addresses";
    let part = |at: usize| -> Option<[u8; N]> { body.get(at..at + N)?.try_into().ok() };
    let port = |at: usize| -> Option<u16> { Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?)) };
    let source = SocketAddr::new(ip(part(0).ok_or(SHORT)?), port(2 * N).ok_or(SHORT)?);
    let destination = SocketAddr::new(ip(part(N).ok_or(SHORT)?), port(2 * N + 2).ok_or(SHORT)?);
    Ok((source, destination))
}
