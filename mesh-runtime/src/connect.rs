//! The one way to reach a peer: TCP by IP or by name, or a Unix socket, with TLS or without. Names are resolved by hickory, never by the C library:
//! static binaries have no `getaddrinfo`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::listen::{Address, Stream};

/// Whom to reach: `mesh-pilot.mesh-system.svc:15012`, `10.0.0.1:15012`, `[::1]:80` or `unix:///run/xds.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A known address.
    Tcp(SocketAddr),
    /// A DNS name and a port; looked up at every connect.
    Name(Arc<str>, u16),
    /// A path in the file system.
    Unix(PathBuf),
}

/// Not a [`Target`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a peer's address: expected name:port, IP:port, [IPv6]:port or unix:///path")]
pub struct InvalidTarget {
    text: String,
}

/// TLS to a peer. What the configuration trusts and presents is read at every handshake (`tls::client_config`), so rotations need nothing here.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Whom to believe, what to present.
    pub config: Arc<ClientConfig>,
    /// SNI, and the name for verifiers that check names. `None`: the target's host, `localhost` for Unix sockets.
    pub server_name: Option<ServerName<'static>>,
}

/// A failed connect.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {target}: {reason}")]
pub struct ConnectError {
    /// Whom.
    pub target: Target,
    /// Why.
    pub reason: Reason,
}

/// Why a connect failed.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The name could not be resolved.
    #[error("name lookup: {0}")]
    Lookup(String),
    /// No answer in time.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// The kernel's answer.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The handshake failed.
    #[error("TLS handshake: {0}")]
    Tls(io::Error),
    /// The target's host cannot be a TLS server name.
    #[error("{0:?} is not a TLS server name")]
    ServerName(String),
}

/// Both directions of a connection, TLS or not.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Makes connections. Cheap to clone; clones share the resolver and its cache.
#[derive(Clone)]
pub struct Connector {
    resolver: Arc<OnceLock<Result<TokioResolver, String>>>,
    timeout: Duration,
    keepalive: Duration,
}

impl Connector {
    /// Reads `/etc/resolv.conf` and `/etc/hosts` when the first name is looked up. A connect, with TLS, may take 5 s; a silent peer is noticed after
    /// about 30 s.
    #[must_use]
    pub fn new() -> Self {
        Self { resolver: Arc::default(), timeout: Duration::from_secs(5), keepalive: Duration::from_secs(10) }
    }

    /// As [`Connector::new`], with another resolver.
    #[must_use]
    pub fn with_resolver(resolver: TokioResolver) -> Self {
        Self { resolver: Arc::new(OnceLock::from(Ok(resolver))), ..Self::new() }
    }

    /// Bounds lookup, connect and handshake together.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// A connection, after the TLS handshake if there is one.
    ///
    /// # Errors
    /// [`ConnectError`], with the last address' reason if a name has several.
    pub async fn connect(&self, target: &Target, tls: Option<&Tls>) -> Result<Box<dyn Io>, ConnectError> {
        let connecting = async {
            let stream = self.open(target).await?;
            let Some(tls) = tls else { return Ok(Box::new(stream) as Box<dyn Io>) };
            let name = match &tls.server_name {
                Some(name) => name.clone(),
                None => target.server_name()?,
            };
            let stream = TlsConnector::from(tls.config.clone()).connect(name, stream).await.map_err(Reason::Tls)?;
            Ok(Box::new(stream) as Box<dyn Io>)
        };
        let connected = match tokio::time::timeout(self.timeout, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(Reason::Timeout(self.timeout)),
        };
        connected.map_err(|reason| ConnectError { target: target.clone(), reason })
    }

    /// A gRPC channel that connects when it is first used, and again whenever the connection is lost. HTTP/2 pings find dead peers.
    #[must_use]
    pub fn channel(&self, target: &Target, tls: Option<Tls>) -> Channel {
        let authority = target.authority();
        // Cannot fail: an authority was made of a parsed target. A bad one would only spoil the `:authority` header.
        let uri = |scheme| format!("{scheme}://{authority}").parse::<Uri>().unwrap_or_else(|_| Uri::from_static("http://localhost"));
        let endpoint = Endpoint::from(uri("http"))
            .origin(uri(if tls.is_some() { "https" } else { "http" }))
            .http2_keep_alive_interval(self.keepalive)
            .keep_alive_timeout(self.keepalive)
            .keep_alive_while_idle(true)
            .connect_timeout(self.timeout);
        let (connector, target) = (self.clone(), target.clone());
        endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let (connector, target, tls) = (connector.clone(), target.clone(), tls.clone());
            async move { connector.connect(&target, tls.as_ref()).await.map(TokioIo::new) }
        }))
    }

    /// The addresses of a name, in the resolver's order.
    ///
    /// # Errors
    /// [`Reason::Lookup`].
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Reason> {
        if name == "localhost" {
            return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
        }
        let resolver = self.resolver.get_or_init(|| {
            let builder = TokioResolver::builder_tokio().map_err(|error| format!("/etc/resolv.conf: {error}"))?;
            builder.build().map_err(|error| error.to_string())
        });
        let resolver = resolver.as_ref().map_err(|error| Reason::Lookup(error.clone()))?;
        let answer = resolver.lookup_ip(name).await.map_err(|error| Reason::Lookup(error.to_string()))?;
        Ok(answer.iter().collect())
    }

    async fn open(&self, target: &Target) -> Result<Stream, Reason> {
        match target {
            Target::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
            Target::Tcp(address) => self.open_tcp(*address).await,
            Target::Name(name, port) => {
                let mut last = Reason::Lookup("the name has no address".into());
                let addresses = self.lookup(name).await?;
                // One unreachable address must not use up the time of the others.
                let share = self.timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
                for ip in addresses {
                    match tokio::time::timeout(share, self.open_tcp(SocketAddr::new(ip, *port))).await {
                        Ok(Ok(stream)) => return Ok(stream),
                        Ok(Err(reason)) => last = reason,
                        Err(_) => last = Reason::Timeout(share),
                    }
                }
                Err(last)
            }
        }
    }

    async fn open_tcp(&self, address: SocketAddr) -> Result<Stream, Reason> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(self.keepalive).with_interval(self.keepalive))?;
        Ok(Stream::Tcp(stream))
    }
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Target {
    fn authority(&self) -> String {
        match self {
            Self::Unix(_) => "localhost".into(),
            tcp => tcp.to_string(),
        }
    }

    fn server_name(&self) -> Result<ServerName<'static>, Reason> {
        match self {
            Self::Tcp(address) => Ok(ServerName::from(address.ip())),
            Self::Name(name, _) => ServerName::try_from(name.to_string()).map_err(|_| Reason::ServerName(name.to_string())),
            Self::Unix(_) => ServerName::try_from("localhost").map_err(|_| Reason::ServerName("localhost".into())),
        }
    }
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        if let Ok(address) = text.parse::<Address>() {
            return Ok(address.into());
        }
        let invalid = || InvalidTarget { text: text.to_owned() };
        let (name, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let valid =
            !name.is_empty() && name.len() <= 253 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let port = port.parse().map_err(|_| invalid())?;
        if valid { Ok(Self::Name(name.into(), port)) } else { Err(invalid()) }
    }
}

impl From<Address> for Target {
    fn from(address: Address) -> Self {
        match address {
            Address::Tcp(address) => Self::Tcp(address),
            Address::Unix(path) => Self::Unix(path),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::listen::{Listener, Options};

    #[test]
    fn targets_read_and_print() {
        for text in ["pilot.mesh-system.svc:15012", "10.0.0.1:1", "[::1]:2", "unix:///a/b"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for text in ["pilot", "a b:1", ":1", "x:99999", "unix:"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn connects_by_name_and_by_path() {
        let folder = tempfile::tempdir().unwrap();
        let tcp = Listener::bind(&"127.0.0.1:0".parse().unwrap(), Options::default()).unwrap();
        let unix = Listener::bind(&Address::Unix(folder.path().join("s")), Options::default()).unwrap();
        let named = Target::Name("localhost".into(), tcp.address().tcp().unwrap().port());
        let connector = Connector::new();
        connector.connect(&named, None).await.unwrap();
        connector.connect(&unix.address().clone().into(), None).await.unwrap();
        drop(unix);
        let error = connector.connect(&Target::Unix(folder.path().join("s")), None).await.err().unwrap();
        assert!(error.to_string().starts_with("cannot connect to unix://"), "{error}");
    }
}
