//! Galley as a server: folders in, MCP out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mesh_config::{resource::Kind, snapshot::ConfigSnapshot};
use mesh_proto::{
    envoy::config::core::v3::Node,
    id::SpiffeId,
    mcp::{self, Object},
};
use mesh_runtime::{
    admin::{self, Pages, Reply},
    connect::{Connector, Target},
    drain::DrainWatch,
    enroll::{self, Enrollment},
    grpc::{self, Peer},
    listen::{Address, BindError, Listener},
    ready::{Blocker, Readiness},
    svid::Renewal,
    task::Tasks,
    tls::{self, ALPN_H2, ClientAuth, Identity, Peers, Roots},
    xds::{
        self, Handler, Resource, Subscription,
        server::{Limits, Server},
    },
};
use tokio::sync::watch;
use tonic::{Status, service::Routes};

use crate::{
    config::Config,
    metrics::Metrics,
    source::{folder, watch::Watch},
    store::{Report, Store},
};

/// How long Citadel may take to answer at the start.
const ENROLL_PATIENCE: Duration = Duration::from_secs(60);

/// Why Galley does not start or stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder is not there.
    #[error("{folder} is not a folder that can be read: {reason}")]
    Folder {
        /// Which.
        folder: String,
        /// Why.
        reason: String,
    },
    /// An address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Citadel's address is none.
    #[error("citadel: {0}")]
    Citadel(#[from] mesh_runtime::connect::InvalidTarget),
    /// No certificate.
    #[error(transparent)]
    Enroll(#[from] enroll::Error),
    /// TLS refused its parts.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// Serving failed.
    #[error("serving MCP: {0}")]
    Serve(#[from] tonic::transport::Error),
    /// A part of Galley died.
    #[error("a part of Galley failed: {0}")]
    Task(String),
}

/// Galley, bound and not yet serving.
pub struct Bound {
    /// Where MCP is served.
    pub mcp: Address,
    /// Where monitoring is served.
    pub monitoring: Option<Address>,
    config: Config,
    listener: Listener,
    admin: Option<Listener>,
    readiness: Readiness,
    blocker: Blocker,
}

/// Checks the folders and binds the sockets.
///
/// # Errors
/// When a folder is missing or an address is taken.
pub async fn bind(config: Config) -> Result<Bound, Error> {
    for folder in &config.folders {
        if let Err(error) = std::fs::read_dir(folder) {
            return Err(Error::Folder { folder: folder.display().to_string(), reason: error.to_string() });
        }
    }
    let listener = Listener::bind(&Address::from(config.listen), mesh_runtime::listen::Options::default())?;
    let admin = match config.monitoring {
        Some(address) => Some(Listener::bind(&Address::from(address), mesh_runtime::listen::Options::default())?),
        None => None,
    };
    let readiness = Readiness::new();
    let blocker = readiness.block("first read");
    Ok(Bound {
        mcp: listener.address().clone(),
        monitoring: admin.as_ref().map(|listener| listener.address().clone()),
        config,
        listener,
        admin,
        readiness,
        blocker,
    })
}

impl Bound {
    /// What must happen before Galley serves.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Serves until drained.
    ///
    /// # Errors
    /// When there is no identity, or a part fails.
    pub async fn run(self, drain: DrainWatch) -> Result<(), Error> {
        let Self { config, listener, admin, readiness, blocker, .. } = self;
        let tasks = Tasks::new("galley");
        let metrics = Arc::new(Metrics::new());
        let reports = watch::Sender::new(Report::default());
        if let Some(admin) = admin {
            tasks.spawn("monitoring", admin::serve(admin, pages(&readiness, &metrics, &reports), drain.clone()));
        }

        let identity = config.identity.clone();
        let enrollment = Enrollment {
            id: identity.id,
            citadel: identity.citadel.parse::<Target>()?,
            peers: Peers::Ids(Arc::new([identity.citadel_id].into())),
            roots: identity.roots,
            token: identity.token,
            renewal: Renewal::Certificate,
        };
        let connector = Connector::new();
        let enrolled = tokio::select! {
            source = enrollment.start(&connector, &tasks, ENROLL_PATIENCE) => source?,
            () = drain.draining() => return Ok(()),
        };

        let (snapshots, served) = watch::channel(None);
        let folders = Folders { config: config.clone(), store: Store::default(), snapshots, reports, metrics };
        tasks.spawn("folders", folders.run(blocker));

        let roots = Roots::Live(enrolled.clone());
        let peers = Peers::Ids(Arc::new(config.allowed.iter().cloned().collect()));
        let config = tls::server_config(Identity::Live(enrolled), ClientAuth::Required(roots, peers), &[ALPN_H2])?;
        let handler = Arc::new(Mcp { snapshots: served });
        let server = Server::new(handler, tasks.spawner(), drain.clone(), Limits::default());
        let routes = Routes::new(server.into_service());
        let options = grpc::Options { tls: Some(config), ..grpc::Options::default() };
        let ended = tokio::select! {
            served = grpc::serve(listener, routes, options, drain) => served.map_err(Error::from),
            failure = tasks.failure() => Err(Error::Task(failure.to_string())),
        };
        tasks.shutdown(Duration::from_secs(1)).await;
        ended
    }
}

/// Reads the folders whenever they changed.
struct Folders {
    config: Config,
    store: Store,
    snapshots: watch::Sender<Option<Arc<xds::Snapshot>>>,
    reports: watch::Sender<Report>,
    metrics: Arc<Metrics>,
}

impl Folders {
    async fn run(mut self, blocker: Blocker) {
        // The watch comes first: what changes during the first read is seen after it.
        let mut watch = self.config.watch.then(|| Watch::start(&self.config.folders, self.config.quiet, self.config.patience));
        self.read().await;
        blocker.ready();
        while let Some(watch) = &mut watch {
            watch.changed().await;
            self.read().await;
        }
        std::future::pending().await
    }

    async fn read(&mut self) {
        let folders = self.config.folders.clone();
        // Parsing thousands of files must not hold up the server.
        let mut store = std::mem::take(&mut self.store);
        let read = tokio::task::spawn_blocking(move || {
            let (files, unreadable) = folder::read(&folders);
            let snapshot = store.update(files, &unreadable);
            (store, snapshot)
        });
        let snapshot = match read.await {
            Ok((store, snapshot)) => {
                self.store = store;
                snapshot
            }
            Err(error) => {
                // The store is lost with it: what is served stays, and the next read starts afresh.
                tracing::error!(%error, "reading the configuration failed; the last good one stays in force");
                return;
            }
        };
        self.tell();
        self.publish(&snapshot);
    }

    fn tell(&self) {
        let report = self.store.report();
        self.metrics.report(report);
        let news = self.reports.send_if_modified(|last| {
            let differs = last != report;
            if differs {
                last.clone_from(report);
            }
            differs
        });
        if !news {
            return;
        }
        for error in &report.errors {
            tracing::error!("configuration refused, the last good one stays in force\n{error}");
        }
        for warning in &report.warnings {
            tracing::warn!("configuration\n{warning}");
        }
    }

    fn publish(&self, snapshot: &ConfigSnapshot) {
        self.snapshots.send_if_modified(|served| {
            if served.as_ref().is_some_and(|served| served.revision == *snapshot.revision()) {
                return false;
            }
            let next = mcp_snapshot(snapshot, served.as_deref());
            tracing::info!(revision = %snapshot.revision(), resources = snapshot.len(), "new configuration in force");
            *served = Some(Arc::new(next));
            true
        });
    }
}

/// Every kind, even the empty ones; kinds that did not change share their resources with the snapshot before.
fn mcp_snapshot(snapshot: &ConfigSnapshot, before: Option<&xds::Snapshot>) -> xds::Snapshot {
    let mut builder = xds::Snapshot::builder();
    for kind in Kind::ALL.iter().copied() {
        let type_url = mcp::type_url(kind.as_str());
        let resources: BTreeMap<Arc<str>, Resource> = snapshot
            .entries(kind)
            .map(|(key, entry)| {
                let name: Arc<str> = format!("{}/{}", key.namespace, key.name).into();
                let version: Arc<str> = entry.version().to_string().into();
                let same = before.and_then(|before| before.resource(&type_url, &name)).filter(|old| old.version == version);
                let resource = same.cloned().unwrap_or_else(|| {
                    let object = Object {
                        kind: kind.as_str().into(),
                        api_version: kind.api_version(),
                        name: key.name.clone(),
                        namespace: key.namespace.clone(),
                        json: entry.resource().to_json().to_string().into(),
                        ..Object::default()
                    };
                    Resource::with_version(name.clone(), version, mcp::pack(&object))
                });
                (name, resource)
            })
            .collect();
        let old = before.and_then(|before| before.resources(&type_url));
        match old {
            Some(old) if **old == resources => builder.share(&type_url, old.clone()),
            _ => builder.share(&type_url, Arc::new(resources)),
        };
    }
    builder.build_at(snapshot.revision().clone())
}

/// Who may subscribe was decided by TLS; everybody admitted sees the same.
struct Mcp {
    snapshots: watch::Receiver<Option<Arc<xds::Snapshot>>>,
}

impl Handler for Mcp {
    async fn open(&self, peer: Peer, node: Arc<Node>) -> Result<Subscription, Status> {
        let Some(identity) = peer.identity else {
            return Err(Status::unauthenticated("MCP is served to mesh identities only: connect with a client certificate"));
        };
        tracing::info!(%identity, node = node.id, "MCP subscriber");
        Ok(Subscription::new(self.snapshots.clone()).announce_revisions().observe(move |event| tell_event(&identity, event)))
    }
}

fn tell_event(identity: &SpiffeId, event: xds::Event) {
    match event {
        xds::Event::Nack { type_url, message, names, .. } => {
            tracing::error!(%identity, %type_url, ?names, message, "a subscriber refused configuration; it keeps its last good one");
        }
        xds::Event::Closed => tracing::info!(%identity, "MCP subscriber gone"),
        _ => {}
    }
}

fn pages(readiness: &Readiness, metrics: &Arc<Metrics>, reports: &watch::Sender<Report>) -> Pages {
    let (metrics, reports) = (metrics.clone(), reports.subscribe());
    Pages::new()
        .readiness(readiness.clone())
        .get("/metrics", move |_| {
            let text = metrics.encode();
            async move { Reply::text(text) }
        })
        .get("/debug/status", move |_| {
            let status = serde_json::to_value(&*reports.borrow()).unwrap_or_default();
            async move { Reply::json(&status) }
        })
}
