//! The proxy as a whole: who it is, where its configuration comes from, and its life from bind to drain.

mod discovery;
mod node;

#[cfg(test)]
mod tests;

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mesh_proto::id::SpiffeId;
use mesh_runtime::{
    admin as runtime_admin,
    connect::{Connector, Target},
    drain::{self, DrainWatch},
    enroll::{self, Enrollment},
    listen::{self, Listener},
    ready::Readiness,
    svid,
    task::Tasks,
    telemetry::Logging,
    tls::{self, Identity, Peers},
    xds::client,
};
use tokio::sync::Notify;

pub use self::node::Node;
use crate::{
    access_log::Sinks,
    admin::{self, Admin},
    bootstrap::{self, Loaded},
    metrics::{Metrics, workload_of},
    sds::{self, Sds},
    server::{BoundListener, DataPlane, Options},
    telemetry::Telemetry,
    trace::{self, Exporter},
    upstream::dns,
    xds::{Assembler, Consumer, Discover, Session},
};

/// How to run a proxy.
#[derive(Clone)]
pub struct Config {
    /// Where its configuration comes from.
    pub source: ConfigSource,
    /// Where the admin endpoints listen; `None`: nowhere, or where the bootstrap says.
    pub admin: Option<SocketAddr>,
    /// Worker threads, at least 1.
    pub concurrency: usize,
    /// How long connections of removed listeners may go on (Envoy `--drain-time-s`, default 600 s).
    pub drain_time: Duration,
    /// How long connections may go on once the proxy is told to end (Istio's `terminationDrainDuration`, default 5 s).
    pub termination_drain: Duration,
    /// Serve our certificate to others on this Unix socket.
    pub sds: Option<PathBuf>,
    /// Write our certificate's files into this folder, at each rotation anew.
    pub certificates: Option<PathBuf>,
    /// For `/logging`.
    pub logging: Option<Logging>,
}

impl Config {
    /// One worker, no admin endpoints, Envoy's and Istio's times.
    pub fn new(source: ConfigSource) -> Self {
        Self {
            source,
            admin: None,
            concurrency: 1,
            drain_time: Duration::from_secs(600),
            termination_drain: Duration::from_secs(5),
            sds: None,
            certificates: None,
            logging: None,
        }
    }
}

/// Where a proxy's configuration comes from.
#[derive(Clone)]
pub enum ConfigSource {
    /// A sidecar or gateway of the mesh.
    Mesh(Box<Mesh>),
    /// An Envoy bootstrap.
    Bootstrap(Box<Bootstrap>),
}

/// A proxy of the mesh: enrolled with Citadel, configured by Pilot.
#[derive(Clone)]
pub struct Mesh {
    /// Who it is.
    pub node: Node,
    /// Pilot's ADS.
    pub pilot: Target,
    /// Who Pilot must prove to be.
    pub pilot_id: SpiffeId,
    /// Delta, or state of the world.
    pub mode: client::Mode,
    /// How it gets its certificate.
    pub enrollment: Enrollment,
    /// How long to try for the first certificate.
    pub patience: Duration,
}

/// An Envoy bootstrap, and what the command line says beside it.
#[derive(Debug, Clone, Default)]
pub struct Bootstrap {
    /// Its text, YAML or JSON.
    pub text: String,
    /// In place of the bootstrap's `node.id` (`--service-node`).
    pub node_id: Option<String>,
    /// In place of the bootstrap's `node.cluster` (`--service-cluster`).
    pub node_cluster: Option<String>,
}

/// Why a proxy could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bootstrap is no bootstrap.
    #[error("the bootstrap cannot be read")]
    Unreadable(#[from] Box<mesh_proto::json::ConfigError>),
    /// It is one, and something in it is wrong.
    #[error("the bootstrap is refused:\n{0}")]
    Refused(bootstrap::Report),
    /// A source of configuration that is not implemented.
    #[error("{what}: {reason}")]
    Source {
        /// Which.
        what: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// The node's metadata is not an object.
    #[error("node metadata: {0}")]
    Node(String),
    /// No certificate.
    #[error(transparent)]
    Enroll(#[from] enroll::Error),
    /// TLS to the control plane cannot be set up.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// An address is taken.
    #[error(transparent)]
    Bind(#[from] listen::BindError),
    /// The SDS socket cannot be had.
    #[error("cannot serve secrets on {path}")]
    Sds {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No thread for a worker.
    #[error("a worker cannot be started")]
    Worker(#[from] io::Error),
    /// A static listener cannot be bound.
    #[error(transparent)]
    Listener(#[from] crate::server::BindFailure),
    /// A task that must live died.
    #[error(transparent)]
    Task(#[from] mesh_runtime::task::Failure),
}

/// A proxy with everything that can fail behind it.
pub struct Bound {
    /// Where it can be reached.
    pub addrs: Addrs,
    /// Ready when the first configuration is in force.
    pub readiness: Readiness,
    parts: Parts,
}

/// Addresses of a proxy. Listeners come and go with the configuration: [`Bound::listeners`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addrs {
    /// The admin endpoints.
    pub admin: Option<SocketAddr>,
    /// The SDS socket.
    pub sds: Option<PathBuf>,
}

struct Parts {
    plane: Arc<DataPlane>,
    logs: Arc<Sinks>,
    session: Arc<Session>,
    ads: Option<client::Client>,
    source: Option<svid::Source>,
    sds: Option<Sds>,
    certificates: Option<PathBuf>,
    admin: Option<(Listener, runtime_admin::Pages)>,
    exporter: Exporter,
    discover: Discover,
    is_static: bool,
    lifecycle: Arc<Lifecycle>,
    termination_drain: Duration,
    connector: Connector,
    tasks: Tasks,
    /// Renews the certificate until the very end: it is dropped, not waited for.
    identity: Tasks,
}

/// What the admin endpoints may ask for, and what they tell of the state.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    /// As Envoy numbers states: 0 live, 1 draining, 2 pre-initializing.
    state: AtomicU64,
    pub(crate) quit: Notify,
    pub(crate) drain_listeners: Notify,
}

impl Lifecycle {
    pub(crate) fn is_draining(&self) -> bool {
        self.state.load(Ordering::Relaxed) == 1
    }
}

/// Makes everything ready that can fail: addresses, the first certificate, the static configuration.
///
/// # Errors
/// See [`Error`]. Nothing is left behind.
pub async fn bind(config: Config) -> Result<Bound, Error> {
    let (tasks, identity) = (Tasks::new("proxy"), Tasks::new("identity"));
    let readiness = Readiness::new();
    let connector = Connector::new();
    let Setup { node, static_text, assembler, ads, discover, source, admin: configured } = match &config.source {
        ConfigSource::Mesh(mesh) => enrolled(mesh, &connector, &identity).await?,
        ConfigSource::Bootstrap(file) => from_file(file, &connector)?,
    };
    let admin_address = config.admin.map(listen::Address::Tcp).or(configured);
    let listener = admin_address.map(|address| Listener::bind(&address, listen::Options::default())).transpose()?;
    let sds = match (&config.sds, &source) {
        (Some(path), Some(source)) => Some(Sds::bind(path, source.clone()).map_err(|source| Error::Sds { path: path.clone(), source })?),
        _ => None,
    };
    let (spans, exporter) = trace::channel(node.id.as_str().into());
    let metrics = Arc::new(Metrics::new(workload_of(&node.metadata)));
    let logs = Arc::new(Sinks::default());
    let telemetry = Arc::new(Telemetry { metrics, logs: logs.clone(), spans });
    let options = Options {
        workers: config.concurrency.max(1),
        drain_time: config.drain_time,
        peer_metadata: node.peer_metadata(),
        ..Options::default()
    };
    let plane = Arc::new(DataPlane::start(options, telemetry.clone())?);
    let handle = ads.as_ref().map(client::Client::handle);
    let is_static = handle.is_none();
    let session = Session::new(assembler, plane.clone(), handle, source.is_some(), readiness.block("configuration"));
    let lifecycle = Arc::new(Lifecycle::default());
    let addrs =
        Addrs { admin: listener.as_ref().and_then(|listener| listener.address().tcp()), sds: config.sds.clone().filter(|_| sds.is_some()) };
    let admin = Admin {
        node,
        static_text,
        session: session.clone(),
        plane: plane.clone(),
        telemetry,
        readiness: readiness.clone(),
        lifecycle: lifecycle.clone(),
        concurrency: config.concurrency.max(1),
        drain_time: config.drain_time,
    };
    let pages = listener.map(|listener| (listener, admin::pages(admin, config.logging.clone())));
    let parts = Parts {
        plane,
        logs,
        session,
        ads,
        source,
        sds,
        certificates: config.certificates.clone(),
        admin: pages,
        exporter,
        discover,
        is_static,
        lifecycle,
        termination_drain: config.termination_drain,
        connector,
        tasks,
        identity,
    };
    parts.start_listening()?;
    Ok(Bound { addrs, readiness, parts })
}

impl Parts {
    /// Static listeners must be had at once; others are tried again and reported to their server.
    fn start_listening(&self) -> Result<(), Error> {
        let failures = self.session.start(self.discover);
        match failures.into_iter().next() {
            Some(failure) if self.is_static => Err(failure.into()),
            _ => Ok(()),
        }
    }
}

impl Bound {
    /// What is listened on now.
    pub fn listeners(&self) -> Vec<BoundListener> {
        self.parts.plane.listeners()
    }

    /// The access logs' sinks, to have them reopened.
    pub fn access_logs(&self) -> Arc<Sinks> {
        self.parts.logs.clone()
    }

    /// Serves until `drain` begins (or `POST /quitquitquit`); then stops accepting, lets connections finish for at most
    /// the termination drain, and ends. A forced drain cuts it short.
    ///
    /// # Errors
    /// A task that must live died.
    pub async fn run(self, drain: DrainWatch) -> Result<(), Error> {
        let guard = drain.guard();
        let Parts {
            plane,
            session,
            ads,
            source,
            sds,
            certificates,
            admin,
            exporter,
            lifecycle,
            termination_drain,
            connector,
            tasks,
            identity,
            ..
        } = self.parts;
        let (trigger, watch) = drain::channel();
        if let Some((listener, pages)) = admin {
            tasks.spawn("admin", runtime_admin::serve(listener, pages, watch.clone()));
        }
        if let Some(source) = source {
            if let Some(folder) = certificates {
                tasks.spawn("certificate files", sds::write_files(folder, source.clone(), watch.clone()));
            }
            tasks.spawn("certificate", session.clone().follow(source, watch.clone()));
        }
        if let Some(sds) = sds {
            tasks.spawn("sds", sds.serve(watch.clone()));
        }
        if let Some(ads) = ads {
            tasks.spawn("ads", ads.run(Consumer(session.clone()), watch.clone()));
        }
        tasks.spawn("spans", exporter.run(plane.clone(), watch.clone()));
        tasks.spawn("tend", session.clone().tend(watch.clone()));
        let (resolving, until) = (dns::follow(plane.clone(), connector), watch.clone());
        tasks.spawn("dns", async move {
            tokio::select! {
                () = resolving => {}
                () = until.forced() => {}
            }
        });

        let ended = loop {
            tokio::select! {
                () = drain.draining() => break Ok(()),
                () = lifecycle.quit.notified() => break Ok(()),
                failure = tasks.failure() => break Err(failure.into()),
                failure = identity.failure() => break Err(failure.into()),
                () = lifecycle.drain_listeners.notified() => plane.drain(termination_drain).await,
            }
        };
        lifecycle.state.store(1, Ordering::Relaxed);
        tracing::info!("draining");
        trigger.start();
        tokio::select! {
            () = plane.drain(termination_drain) => {}
            () = drain.forced() => {}
        }
        trigger.drain(Duration::from_millis(200)).await;
        tasks.shutdown(Duration::from_secs(2)).await;
        drop(guard);
        ended
    }
}

/// What both kinds of configuration come down to.
struct Setup {
    node: Node,
    static_text: Option<String>,
    assembler: Assembler,
    ads: Option<client::Client>,
    discover: Discover,
    source: Option<svid::Source>,
    admin: Option<listen::Address>,
}

async fn enrolled(mesh: &Mesh, connector: &Connector, tasks: &Tasks) -> Result<Setup, Error> {
    let node = mesh.node.clone();
    let wire = node.to_wire()?;
    let source = mesh.enrollment.clone().start(connector, tasks, mesh.patience).await?;
    let roots = tls::Roots::Live(source.clone());
    let config = tls::client_config(Some(Identity::Live(source.clone())), roots, Peers::id(mesh.pilot_id.clone()), &[tls::ALPN_H2])?;
    let channel = connector.channel(&mesh.pilot, Some(mesh_runtime::connect::Tls { config, server_name: None }));
    let ads = client::Client::new(client::Config::new(wire, channel).mode(mesh.mode));
    let discover = Discover { listeners: true, clusters: true };
    Ok(Setup { node, static_text: None, assembler: Assembler::new(), ads: Some(ads), discover, source: Some(source), admin: None })
}

fn from_file(file: &Bootstrap, connector: &Connector) -> Result<Setup, Error> {
    let Loaded { config, mut assembler, report } = bootstrap::from_yaml(&file.text).map_err(Box::new)?;
    if !report.is_ok() {
        return Err(Error::Refused(report));
    }
    for line in report.refusing.iter().chain(&report.ignored) {
        tracing::info!(%line, "accepted and without effect");
    }
    let mut wire = config.node;
    if let Some(id) = &file.node_id {
        wire.id.clone_from(id);
    }
    if let Some(cluster) = &file.node_cluster {
        wire.cluster.clone_from(cluster);
    }
    let node = Node::from_wire(&wire);
    let discover = Discover {
        listeners: discovery::is_ads("dynamic_resources.lds_config", config.lds.as_ref())?,
        clusters: discovery::is_ads("dynamic_resources.cds_config", config.cds.as_ref())?,
    };
    let ads = match &config.ads {
        Some(ads) => {
            let channel = discovery::channel(&mut assembler, &ads.target, connector)?;
            let mode = if ads.delta { client::Mode::Delta } else { client::Mode::Sotw };
            Some(client::Client::new(client::Config::new(node::signed(wire), channel).mode(mode)))
        }
        None => None,
    };
    let admin = config.admin.map(|admin| match admin.address {
        crate::snapshot::Address::Socket(address) => listen::Address::Tcp(address),
        crate::snapshot::Address::Pipe(path) => listen::Address::Unix(path),
    });
    Ok(Setup { node, static_text: Some(file.text.clone()), assembler, ads, discover, source: None, admin })
}
