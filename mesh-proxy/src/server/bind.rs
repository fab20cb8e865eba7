//! Opening listening sockets: one per worker and address.

use std::{
    io,
    net::SocketAddr,
    os::{linux::net::SocketAddrExt as _, unix::net},
    path::Path,
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{snapshot::Address, worker::BoundSocket};

/// Envoy's `tcp_backlog_size` default is the system's `somaxconn`, which caps this.
const BACKLOG: i32 = 16 * 1024;

/// As many sockets as there are workers, on one address.
pub(super) struct Bound {
    pub(super) local: Address,
    pub(super) sockets: Vec<BoundSocket>,
}

/// Listens on `address` with `count` sockets, or with none.
pub(super) fn bind(address: &Address, count: usize) -> io::Result<Bound> {
    match address {
        Address::Socket(address) => tcp(*address, count),
        Address::Pipe(path) => unix(path, count),
    }
}

/// The system's word, with what may help.
pub(super) fn explain(error: &io::Error) -> String {
    let help = match error.kind() {
        io::ErrorKind::AddrInUse => ": another process or listener has it; stop that one or choose another port",
        io::ErrorKind::PermissionDenied => ": ports below 1024 need CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => ": no interface has this address",
        _ => "",
    };
    format!("{error}{help}")
}

/// The address this machine sends from; loopback if it has no other.
pub(super) fn local_address() -> std::net::IpAddr {
    // Connecting a datagram socket sends nothing; the address is one of documentation (RFC 5737).
    let probe = || -> io::Result<SocketAddr> {
        let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((std::net::Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    probe().map_or(std::net::Ipv4Addr::LOCALHOST.into(), |address| address.ip())
}

fn tcp(address: SocketAddr, count: usize) -> io::Result<Bound> {
    // SO_REUSEPORT would share an address with a stranger of the same user without a word: notice that first.
    if address.port() != 0 {
        drop(tcp_socket(address, false)?);
    }
    let first = tcp_socket(address, true)?;
    let local = first.local_addr()?;
    let mut sockets = vec![BoundSocket::Tcp(first)];
    for _ in 1..count {
        sockets.push(BoundSocket::Tcp(tcp_socket(local, true)?));
    }
    Ok(Bound { local: Address::Socket(local), sockets })
}

fn tcp_socket(address: SocketAddr, share: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(address.ip() != std::net::Ipv6Addr::UNSPECIFIED)?;
    }
    socket.bind(&SockAddr::from(address))?;
    if share {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

/// One queue for all workers: Unix sockets have no SO_REUSEPORT.
fn unix(path: &Path, count: usize) -> io::Result<Bound> {
    let name = path.as_os_str().as_encoded_bytes();
    let first = match name.strip_prefix(b"@") {
        Some(name) => net::UnixListener::bind_addr(&net::SocketAddr::from_abstract_name(name)?)?,
        None => {
            remove_stale(path)?;
            net::UnixListener::bind(path)?
        }
    };
    first.set_nonblocking(true)?;
    let mut sockets = Vec::with_capacity(count);
    for _ in 1..count {
        sockets.push(BoundSocket::Unix(first.try_clone()?));
    }
    sockets.push(BoundSocket::Unix(first));
    Ok(Bound { local: Address::Pipe(path.to_owned()), sockets })
}

/// Removes a socket file that nobody listens on any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket && net::UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}
