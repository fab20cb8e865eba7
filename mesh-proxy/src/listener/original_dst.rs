//! Where a redirected connection wanted to go: `SO_ORIGINAL_DST`, left by an iptables or nftables REDIRECT.

use std::net::SocketAddr;

use socket2::SockRef;

use crate::transport::{Socket, canonical};

/// The destination before redirection; `None` if the connection was not redirected.
pub(super) fn original_destination(socket: &Socket) -> Option<SocketAddr> {
    let Socket::Tcp(stream) = socket else { return None };
    let reference = SockRef::from(stream);
    let v4 = || reference.original_dst_v4().ok();
    let v6 = || reference.original_dst_v6().ok();
    let address = if socket.local().is_ipv4() { v4().or_else(v6) } else { v6().or_else(v4) };
    address?.as_socket().map(canonical)
}
