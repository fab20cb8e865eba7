//! Galley as a server: folders in, MCP out.

use std::{sync::Arc, time::Duration};

use mesh_proto::{envoy::config::core::v3::Node, id::SpiffeId};
use mesh_runtime::{
    admin::{self, Pages, Reply},
    connect::Connector,
    drain::DrainWatch,
    enroll,
    grpc::{self, Peer},
    listen::{Address, BindError, Listener},
    ready::{Blocker, Readiness},
    task::Tasks,
    tls::{self, ALPN_H2, ClientAuth, Identity, Peers, Roots},
    xds::{
        self, Handler, Subscription,
        server::{Limits, Server},
    },
};
use tokio::sync::watch;
use tonic::{Status, service::Routes};

use crate::{
    config::Config,
    folders::{Folders, Last},
    metrics::Metrics,
    publish::Outlet,
    state::State,
    store::Report,
    subscribers::Subscribers,
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
    /// The state folder cannot be used.
    #[error("the state folder {folder} cannot be written: {reason}")]
    State {
        /// Which.
        folder: String,
        /// Why.
        reason: String,
    },
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
    state: Option<State>,
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
    let state = match &config.state {
        Some(folder) => Some(
            State::open(folder.clone())
                .map_err(|error| Error::State { folder: folder.display().to_string(), reason: error.to_string() })?,
        ),
        None => None,
    };
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
        state,
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
        let Self { config, state, listener, admin, readiness, blocker, .. } = self;
        let tasks = Tasks::new("galley");
        let metrics = Arc::new(Metrics::new());
        let reports = watch::Sender::new(Report::default());
        let (outlet, served) = Outlet::new();
        let subscribers = Subscribers::new(served, metrics.clone());
        if let Some(admin) = admin {
            tasks.spawn("monitoring", admin::serve(admin, pages(&readiness, &metrics, &reports, &subscribers), drain.clone()));
        }

        let connector = Connector::new();
        let enrolled = tokio::select! {
            source = config.enrollment.start(&connector, &tasks, ENROLL_PATIENCE) => source?,
            () = drain.draining() => return Ok(()),
        };

        let mcp = Mcp { trusted: outlet.trusted(), others: outlet.others(), may_have_secrets: config.trusted, subscribers };
        let folders = Folders {
            folders: config.folders,
            watch: config.watch.then_some((config.quiet, config.patience)),
            last: Last::new(state),
            outlet: Arc::new(outlet),
            reports,
            metrics,
        };
        tasks.spawn("folders", folders.run(blocker));

        let roots = Roots::Live(enrolled.clone());
        let peers = Peers::Ids(Arc::new(config.allowed.into_iter().collect()));
        let config = tls::server_config(Identity::Live(enrolled), ClientAuth::Required(roots, peers), &[ALPN_H2])?;
        // Only those on the allow-list get here, and one that comes back names every resource that it holds of a kind.
        let limits = Limits { request: 16 << 20, ..Limits::default() };
        let server = Server::new(Arc::new(mcp), tasks.spawner(), drain.clone(), limits);
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

/// Who may subscribe was decided by TLS, which is never off; who may have Secrets is decided here, by the same identity.
struct Mcp {
    trusted: watch::Receiver<Option<Arc<xds::Snapshot>>>,
    others: watch::Receiver<Option<Arc<xds::Snapshot>>>,
    may_have_secrets: Vec<SpiffeId>,
    subscribers: Subscribers,
}

impl Handler for Mcp {
    async fn open(&self, peer: Peer, node: Arc<Node>) -> Result<Subscription, Status> {
        let Some(identity) = peer.identity else {
            return Err(Status::unauthenticated("MCP is served to mesh identities only: connect with a client certificate"));
        };
        let snapshots = if self.may_have_secrets.contains(&identity) { &self.trusted } else { &self.others };
        let id = self.subscribers.arrived(identity, &node.id);
        let subscribers = self.subscribers.clone();
        Ok(Subscription::new(snapshots.clone()).announce_revisions().observe(move |event| subscribers.observe(id, event)))
    }
}

fn pages(readiness: &Readiness, metrics: &Arc<Metrics>, reports: &watch::Sender<Report>, subscribers: &Subscribers) -> Pages {
    let (metrics, reports) = (metrics.clone(), reports.subscribe());
    let (tallied, listed) = (subscribers.clone(), subscribers.clone());
    Pages::new()
        .readiness(readiness.clone())
        .get("/metrics", move |_| {
            tallied.tally();
            let text = metrics.encode();
            async move { Reply::text(text) }
        })
        .get("/debug/status", move |_| {
            let status = serde_json::to_value(&*reports.borrow()).unwrap_or_default();
            async move { Reply::json(&status) }
        })
        .get("/debug/subscribers", move |_| {
            let list = listed.to_json();
            async move { Reply::json(&list) }
        })
}

#[cfg(test)]
mod tests;
