//! Pilot as a server: MCP in, ADS out.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use mesh_proto::{envoy::config::core::v3::Node, istio::auth::IstioCertificateServiceServer};
use mesh_runtime::{
    admin,
    connect::{Connector, InvalidTarget, Target, Tls},
    drain::DrainWatch,
    enroll,
    grpc::{self, Peer},
    listen::{Address, BindError, Listener, Options},
    ready::{Blocker, Readiness},
    svid::Source as Certificates,
    task::Tasks,
    tls::{self, ALPN_H2, ClientAuth, Identity, Peers, Roots},
    xds::{
        Handler, Subscription,
        client::{self, Client},
        server::{Limits, Server},
    },
};
use tonic::{Status as GrpcStatus, service::Routes};

use crate::{
    config::Config, debug, metrics::Metrics, push::Discovery, relay::Relay, scope::ProxyScope, settings::MeshSettings, source::Source,
    status::Status,
};

/// How long Citadel may take to answer at the start.
const ENROLL_PATIENCE: Duration = Duration::from_secs(60);

/// Why Pilot does not start or stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Plaintext for others than this machine.
    #[error("{0} is not a loopback address: plaintext ADS has no identities and is served on loopback only")]
    Plaintext(SocketAddr),
    /// A peer's address is none.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    /// No certificate.
    #[error(transparent)]
    Enroll(#[from] enroll::Error),
    /// TLS refused its parts.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// Serving failed.
    #[error("serving ADS: {0}")]
    Serve(#[from] tonic::transport::Error),
    /// A part of Pilot died.
    #[error("a part of Pilot failed: {0}")]
    Task(String),
}

/// Pilot, bound and not yet serving.
pub struct Bound {
    /// Where ADS is served over TLS.
    pub ads: Address,
    /// Where ADS is served in plaintext.
    pub plaintext: Option<Address>,
    /// Where monitoring is served.
    pub monitoring: Option<Address>,
    config: Config,
    listener: Listener,
    plain: Option<Listener>,
    admin: Option<Listener>,
    readiness: Readiness,
    discovery: Discovery,
    status: Status,
    metrics: Arc<Metrics>,
}

/// Binds the sockets.
///
/// # Errors
/// When an address is taken, or plaintext is asked for on another than a loopback address.
pub async fn bind(config: Config) -> Result<Bound, Error> {
    let listen = |address: SocketAddr| Listener::bind(&Address::from(address), Options::default());
    if let Some(address) = config.plaintext.filter(|address| !address.ip().is_loopback()) {
        return Err(Error::Plaintext(address));
    }
    let listener = listen(config.listen)?;
    let plain = config.plaintext.map(listen).transpose()?;
    let admin = config.monitoring.map(listen).transpose()?;
    let metrics = Arc::new(Metrics::new());
    let status = Status::new(metrics.clone());
    let concurrency = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let at = |listener: &Option<Listener>| listener.as_ref().map(|listener| listener.address().clone());
    Ok(Bound {
        ads: listener.address().clone(),
        plaintext: at(&plain),
        monitoring: at(&admin),
        discovery: Discovery::new(config.mesh.clone(), status.clone(), metrics.clone(), concurrency),
        config,
        listener,
        plain,
        admin,
        readiness: Readiness::new(),
        status,
        metrics,
    })
}

impl Bound {
    /// What must happen before Pilot serves.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// What proxies are given.
    pub fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// Who is connected.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Serves until drained.
    ///
    /// # Errors
    /// When there is no identity, or a part fails.
    pub async fn run(self, drain: DrainWatch) -> Result<(), Error> {
        let Self { config, listener, plain, admin, readiness, discovery, status, metrics, .. } = self;
        let tasks = Tasks::new("pilot");
        let blocker = readiness.block("first configuration");
        if let Some(admin) = admin {
            let pages = debug::pages(&readiness, &metrics, &status, &discovery);
            tasks.spawn("monitoring", admin::serve(admin, pages, drain.clone()));
        }
        let connector = Connector::new();
        let enrollment = config.enrollment.clone();
        let citadel = enrollment.citadel.clone();
        let certificates = tokio::select! {
            source = enrollment.start(&connector, &tasks, ENROLL_PATIENCE) => source?,
            () = drain.draining() => return Ok(()),
        };
        let roots = Roots::Live(certificates.clone());
        subscribe(&config, &connector, &certificates, &discovery, &tasks, &metrics, &drain)?;
        tasks.spawn("readiness", first_world(discovery.clone(), blocker));

        let ads = |admit| routes(&discovery, &status, &config.mesh, admit, &tasks, &drain);
        let anonymous = tls::client_config(None, roots.clone(), config.enrollment.peers.clone(), &[ALPN_H2])?;
        let relay = Relay::new(connector.channel(&citadel, Some(Tls { config: anonymous, server_name: None })));
        let routes = ads(Admit::Identified).add_service(IstioCertificateServiceServer::new(relay));
        // Newcomers have no certificate yet and want one; ADS is for those who have.
        let auth = ClientAuth::Optional(roots, Peers::AnySpiffe);
        let server = tls::server_config(Identity::Live(certificates), auth, &[ALPN_H2])?;
        if let Some(plain) = plain {
            tasks.spawn("plaintext ADS", grpc::serve(plain, ads(Admit::Anyone), grpc::Options::default(), drain.clone()));
        }
        let options = grpc::Options { tls: Some(server), ..grpc::Options::default() };
        let ended = tokio::select! {
            served = grpc::serve(listener, routes, options, drain) => served.map_err(Error::from),
            failure = tasks.failure() => Err(Error::Task(failure.to_string())),
        };
        tasks.shutdown(Duration::from_secs(1)).await;
        ended
    }
}

/// Follows Galley.
#[expect(clippy::too_many_arguments, reason = "wires up what `run` has made")]
fn subscribe(
    config: &Config,
    connector: &Connector,
    certificates: &Certificates,
    discovery: &Discovery,
    tasks: &Tasks,
    metrics: &Arc<Metrics>,
    drain: &DrainWatch,
) -> Result<(), Error> {
    let galley = config.galley.parse::<Target>()?;
    let peers = Peers::id(config.galley_id.clone());
    let identity = Identity::Live(certificates.clone());
    let tls = tls::client_config(Some(identity), Roots::Live(certificates.clone()), peers, &[ALPN_H2])?;
    let channel = connector.channel(&galley, Some(Tls { config: tls, server_name: None }));
    let node = Node { id: config.enrollment.id.to_string(), user_agent_name: "mesh-pilot".into(), ..Node::default() };
    let client = Client::new(client::Config::new(node, channel));
    let (source, configuration) = Source::new(metrics.clone());
    Source::subscribe(&client.handle());
    tasks.spawn("configuration", client.run(source, drain.clone()));
    tasks.spawn("push", discovery.clone().run(configuration, config.debounce));
    Ok(())
}

async fn first_world(discovery: Discovery, blocker: Blocker) {
    let mut worlds = discovery.worlds();
    if worlds.wait_for(Option::is_some).await.is_ok() {
        blocker.ready();
    }
}

/// Whom a listener admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admit {
    /// Proxies whose certificate says what their node message says.
    Identified,
    /// Anyone: the plaintext listener on loopback.
    Anyone,
}

/// ADS for one listener.
pub(crate) fn routes(
    discovery: &Discovery,
    status: &Status,
    settings: &MeshSettings,
    admit: Admit,
    tasks: &Tasks,
    drain: &DrainWatch,
) -> Routes {
    let handler = Ads { discovery: discovery.clone(), status: status.clone(), settings: settings.clone(), admit };
    Routes::new(Server::new(Arc::new(handler), tasks.spawner(), drain.clone(), Limits::default()).into_service())
}

/// Admits proxies.
struct Ads {
    discovery: Discovery,
    status: Status,
    settings: MeshSettings,
    admit: Admit,
}

impl Handler for Ads {
    async fn open(&self, peer: Peer, node: Arc<Node>) -> Result<Subscription, GrpcStatus> {
        let mut scope = ProxyScope::from_node(&node).map_err(|error| GrpcStatus::invalid_argument(error.to_string()))?;
        if self.admit == Admit::Identified {
            let identity = peer.identity.as_ref().ok_or_else(|| {
                GrpcStatus::unauthenticated("discovery is served to mesh identities only: connect with a client certificate")
            })?;
            scope = scope.authenticated(identity, &self.settings).map_err(|error| {
                tracing::warn!(node = node.id, %identity, "a proxy claims to be somebody else");
                GrpcStatus::permission_denied(error.to_string())
            })?;
        }
        let connection = self.status.connected(&node.id, &scope, peer.remote.to_string());
        tracing::info!(proxy = node.id, client = %scope.client, "proxy connected");
        let gone = Gone { status: self.status.clone(), connection: Some(connection) };
        let lease = self.discovery.subscribe(&scope).await;
        let snapshots = lease.snapshots();
        let first = snapshots.borrow().clone();
        if let Some(first) = first {
            self.status.welcomed(connection, &first);
        }
        let status = self.status.clone();
        gone.defuse();
        Ok(Subscription::new(snapshots).observe(move |event| {
            // The observer lives as long as the stream.
            let _held = &lease;
            status.observe(connection, event);
        }))
    }
}

/// Takes a proxy off the table if its stream is given up before it is observed.
struct Gone {
    status: Status,
    connection: Option<crate::status::ConnectionId>,
}

impl Gone {
    fn defuse(mut self) {
        self.connection = None;
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(connection) = self.connection {
            self.status.observe(connection, mesh_runtime::xds::Event::Closed);
        }
    }
}

#[cfg(test)]
mod tests;
