//! Our servers behind the proxies: they tell what reached them, and answer as the scenario scripts it. They live through both proxies' turns on the same
//! ports, because consistent hashing looks at addresses.

mod http1;
mod http2;
mod tcp;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use mesh_runtime::task::{Spawner, Tasks};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub(super) use http2::Executor;

use super::{
    certificates::Certificates,
    observe::Seen,
    scenario::{self, Protocol, Reply},
    wire::Io,
};

/// The backends of one scenario.
pub(super) struct Backends {
    all: Vec<Arc<Server>>,
    journal: Journal,
    /// Dropping it ends them.
    _tasks: Tasks,
}

/// What reached any of them, in order.
pub(super) type Journal = Arc<Mutex<Vec<Seen>>>;

/// One server.
struct Server {
    name: String,
    spec: scenario::Backend,
    /// How often each script was asked, by its path; the general one is `""`.
    asked: Mutex<BTreeMap<String, usize>>,
    journal: Journal,
    certificates: Arc<Certificates>,
    spawner: Spawner,
}

impl Backends {
    /// Starts them; adds their ports to `ports`.
    pub(super) async fn start(
        specs: &BTreeMap<String, scenario::Backend>,
        certificates: &Arc<Certificates>,
        ports: &mut BTreeMap<String, u16>,
    ) -> Result<Self> {
        let tasks = Tasks::new("backends");
        let journal = Journal::default();
        let mut all = Vec::new();
        for (name, spec) in specs {
            let listener = TcpListener::bind("127.0.0.1:0").await.with_context(|| format!("backend {name}"))?;
            ports.insert(name.clone(), listener.local_addr()?.port());
            if spec.protocol == Protocol::Closed {
                continue;
            }
            let server = Arc::new(Server {
                name: name.clone(),
                spec: spec.clone(),
                asked: Mutex::default(),
                journal: journal.clone(),
                certificates: certificates.clone(),
                spawner: tasks.spawner(),
            });
            let acceptor = server.acceptor().with_context(|| format!("backend {name}"))?;
            all.push(server.clone());
            tasks.spawn("accept", accept(server, listener, acceptor));
        }
        Ok(Self { all, journal, _tasks: tasks })
    }

    /// Begins every script anew.
    pub(super) fn rewind(&self) {
        for server in &self.all {
            server.asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        self.take();
    }

    /// How many requests came since the last [`Self::take`].
    pub(super) fn count(&self) -> usize {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What came since.
    pub(super) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.journal.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Server {
    fn record(&self, seen: Seen) {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }

    /// The next answer for that path.
    fn reply(&self, target: &str) -> Reply {
        let own = self.spec.paths.iter().filter(|(path, _)| target.starts_with(path.as_str())).max_by_key(|(path, _)| path.len());
        let (key, script) = own.map_or(("", &self.spec.script), |(path, script)| (path.as_str(), script));
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = asked.entry(key.to_owned()).or_default();
        let reply = script.get((*turn).min(script.len().saturating_sub(1))).cloned().unwrap_or_default();
        *turn += 1;
        reply
    }

    /// The body of an answer.
    fn body(&self, reply: &Reply, method: &str, target: &str) -> Vec<u8> {
        match (&reply.body, reply.body_size) {
            (Some(body), _) => body.clone().into_bytes(),
            (None, Some(size)) => vec![b'x'; size],
            (None, None) => format!("{}\n", json!({"backend": self.name, "method": method, "path": target})).into_bytes(),
        }
    }

    fn acceptor(&self) -> Result<Option<TlsAcceptor>> {
        let Some(tls) = &self.spec.tls else { return Ok(None) };
        let leaf = self.certificates.leaf(&tls.certificate)?;
        let builder = ServerConfig::builder();
        let builder = if tls.require_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.certificates.root.clone())?;
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(roots.into()).build()?)
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(vec![leaf.certificate.clone()], leaf.key.clone_key())?;
        config.alpn_protocols = match self.spec.protocol {
            Protocol::Http2 => vec![b"h2".to_vec()],
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
            Protocol::Tcp | Protocol::Closed => Vec::new(),
        };
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

async fn accept(server: Arc<Server>, listener: TcpListener, acceptor: Option<TlsAcceptor>) -> io::Result<()> {
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        // A connection that breaks is the scenario's business, not a failure of ours.
        server.spawner.spawn("connection", {
            let (server, acceptor) = (server.clone(), acceptor.clone());
            async move { drop(serve(server, connection, acceptor).await) }
        });
    }
}

async fn serve(server: Arc<Server>, connection: TcpStream, acceptor: Option<TlsAcceptor>) -> io::Result<()> {
    let (io, tls): (Box<dyn Io>, Option<String>) = match acceptor {
        None => (Box::new(connection), None),
        Some(acceptor) => {
            let stream = acceptor.accept(connection).await?;
            let session = stream.get_ref().1;
            let client = session.peer_certificates().and_then(<[_]>::first).map(|presented| server.certificates.name_of(presented));
            let alpn = session.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned());
            let facts = format!("client {}, sni {}, alpn {}", or(client.as_deref()), or(session.server_name()), or(alpn.as_deref()));
            (Box::new(stream), Some(facts))
        }
    };
    match server.spec.protocol {
        Protocol::Http1 => http1::serve(&server, io, tls).await,
        Protocol::Http2 => http2::serve(server, io, tls).await,
        Protocol::Tcp | Protocol::Closed => tcp::serve(&server, io, tls).await,
    }
}

fn or(text: Option<&str>) -> &str {
    text.unwrap_or("none")
}
