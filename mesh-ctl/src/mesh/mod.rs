//! A whole mesh on this machine: Galley, Pilot, Citadel, gateways, and workloads beside their sidecars.
//!
//! The same code is `meshctl demo`, `meshctl up` and the fixture of whole-mesh tests. It needs no root, no cluster and no
//! network: a loopback /24 of its own ([`subnet`]), a private folder ([`folder`]), and one process a role ([`process`]).

pub mod folder;
pub mod layout;
pub mod process;
pub mod role;
pub mod spec;
pub mod subnet;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use mesh_citadel::authn::LocalIssuer;
use mesh_runtime::task::Tasks;
use tokio::sync::{broadcast, mpsc};

use self::{
    folder::Folder,
    layout::{MCP_PORT, MONITORING_PORT, PORTS, Place, SYSTEM_NAMESPACE, TRUST_DOMAIN, XDS_PORT},
    process::{LogLine, Logs, Mode, Process, State},
    role::{Identity, Launch, Role},
    spec::{App, Sidecar, Spec, Workload},
    subnet::Subnet,
};

/// Lines of log kept for who listens late.
const LOG_BACKLOG: usize = 4096;
/// How long a workload token is good for: only until the first certificate, which then renews itself.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);
/// How often running processes get a new one.
const TOKEN_REFRESH: Duration = Duration::from_secs(120);
/// How long one process may take to serve.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// Names of the control plane's processes.
pub const CITADEL: &str = "citadel";
/// See [`CITADEL`].
pub const GALLEY: &str = "galley";
/// See [`CITADEL`].
pub const PILOT: &str = "pilot";

/// A running mesh.
pub struct Mesh {
    spec: Spec,
    mode: Mode,
    places: Vec<Place>,
    issuer: Arc<LocalIssuer>,
    processes: BTreeMap<String, Process>,
    lines: broadcast::Sender<LogLine>,
    tasks: Tasks,
    subnet: Subnet,
    // Last: everything else uses it.
    folder: Arc<Folder>,
}

/// Why a mesh does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No addresses.
    #[error(transparent)]
    Layout(#[from] layout::Error),
    /// No private folder or no file in it.
    #[error("cannot prepare the mesh's private folder: {0}")]
    Folder(#[from] io::Error),
    /// No tokens.
    #[error("cannot make workload tokens: {0}")]
    Tokens(String),
    /// A process did not come up.
    #[error("{name} does not start: {why}\n  its log: {log}")]
    Process {
        /// Which.
        name: String,
        /// Why.
        why: String,
        /// The end of its log.
        log: String,
    },
    /// Somebody asked to stop before everything was ready.
    #[error("stopped while starting")]
    Cancelled,
    /// No such process.
    #[error("there is no process {name}; there are: {known}")]
    Unknown {
        /// Asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

impl From<subnet::Error> for Error {
    fn from(error: subnet::Error) -> Self {
        Self::Layout(error.into())
    }
}

impl Mesh {
    /// Starts everything in `spec`: Citadel, then Galley, then Pilot, then proxies and apps. `progress` hears what is being waited for.
    ///
    /// # Errors
    /// When something does not come up; what had been started is stopped again.
    pub async fn start(spec: Spec, mode: Mode, progress: &mut (dyn FnMut(&str) + Send)) -> Result<Self, Error> {
        Self::start_but(spec, mode, &[], progress, std::future::pending()).await
    }

    /// As [`Mesh::start`], but leaves out some processes, which [`Mesh::launch`] starts later, and stops what it started when
    /// `cancelled` resolves first.
    ///
    /// # Errors
    /// As [`Mesh::start`].
    pub async fn start_but(
        spec: Spec,
        mode: Mode,
        not: &[&str],
        progress: &mut (dyn FnMut(&str) + Send),
        cancelled: impl Future<Output = ()>,
    ) -> Result<Self, Error> {
        let mut mesh = Self::prepare(spec, mode)?;
        progress(&format!("claimed {}", mesh.subnet));
        let started = tokio::select! {
            started = mesh.start_all(not, progress) => started,
            () = cancelled => Err(Error::Cancelled),
        };
        match started {
            Ok(()) => Ok(mesh),
            Err(error) => {
                mesh.stop().await;
                Err(error)
            }
        }
    }

    fn prepare(spec: Spec, mode: Mode) -> Result<Self, Error> {
        let subnet = Subnet::claim(PORTS)?;
        let folder = Arc::new(Folder::new()?);
        let mut places = Vec::new();
        for (n, gateway) in spec.gateways.iter().enumerate() {
            places.push(Place::gateway(&subnet, n, gateway)?);
        }
        for (n, workload) in spec.workloads.iter().enumerate() {
            places.push(Place::workload(&subnet, &folder, n, workload)?);
        }
        folder.write(&folder.generated().join("workloads.yaml"), &layout::generated_yaml(&spec, &places))?;
        let issuer = Arc::new(LocalIssuer::new(TRUST_DOMAIN, TOKEN_LIFETIME).map_err(|error| Error::Tokens(error.to_string()))?);
        issuer.write_jwks(&folder.trust().join("jwks.json"))?;
        let (lines, _) = broadcast::channel(LOG_BACKLOG);
        Ok(Self { spec, mode, places, issuer, processes: BTreeMap::new(), lines, tasks: Tasks::new("mesh"), subnet, folder })
    }

    async fn start_all(&mut self, not: &[&str], progress: &mut (dyn FnMut(&str) + Send)) -> Result<(), Error> {
        for name in [CITADEL, GALLEY, PILOT] {
            progress(&format!("starting {name}"));
            self.launch(name).await?;
            self.wait_ready(name).await?;
        }
        let rest: Vec<String> =
            self.process_names().into_iter().filter(|name| !self.processes.contains_key(name) && !not.contains(&name.as_str())).collect();
        for name in &rest {
            self.launch(name).await?;
        }
        for (n, name) in rest.iter().enumerate() {
            progress(&format!("{} of {} workloads and proxies ready, waiting for {name}", n, rest.len()));
            self.wait_ready(name).await?;
        }
        progress("everything is ready");
        Ok(())
    }

    /// The names of all processes, started or not: control plane, gateways, then `<workload>` and `<workload>-proxy`.
    pub fn process_names(&self) -> Vec<String> {
        let mut names: Vec<String> = [CITADEL, GALLEY, PILOT].map(String::from).into();
        for place in &self.places {
            if place.gateway {
                names.push(place.name.clone());
                continue;
            }
            if !matches!(self.workload_of(place).map(|w| &w.app), Some(App::None) | None) {
                names.push(place.name.clone());
            }
            names.push(sidecar(&place.name));
        }
        names
    }

    /// A process that was started and not stopped since.
    pub fn process(&self, name: &str) -> Option<&Process> {
        self.processes.get(name)
    }

    /// Where a gateway or workload is.
    pub fn place(&self, name: &str) -> Option<&Place> {
        self.places.iter().find(|place| place.name == name)
    }

    /// All places.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Its loopback subnet.
    pub fn subnet(&self) -> &Subnet {
        &self.subnet
    }

    /// Its private folder.
    pub fn folder(&self) -> &Arc<Folder> {
        &self.folder
    }

    /// Live log lines of all processes.
    pub fn logs(&self) -> broadcast::Receiver<LogLine> {
        self.lines.subscribe()
    }

    /// Galley's monitoring address.
    pub fn galley_monitoring(&self) -> SocketAddr {
        SocketAddr::from((self.subnet.galley(), MONITORING_PORT))
    }

    /// Pilot's monitoring address.
    pub fn pilot_monitoring(&self) -> SocketAddr {
        SocketAddr::from((self.subnet.pilot(), MONITORING_PORT))
    }

    /// Starts a process, or starts it again. Does not wait for it.
    ///
    /// # Errors
    /// When there is no such process or it cannot be started.
    pub async fn launch(&mut self, name: &str) -> Result<(), Error> {
        let launch = Launch { name: name.into(), role: self.role(name)?, log: log_filter() };
        let logs = Logs { file: self.folder.log(name), lines: self.lines.clone() };
        let account = launch.role.account().map(|(namespace, account)| (namespace.to_owned(), account.to_owned()));
        let process = Process::start(&self.mode, launch, logs, &self.tasks).await?;
        if let (Some((namespace, account)), Some(control)) = (account, process.control()) {
            self.tasks.spawn(format!("tokens of {name}"), refresh_tokens(self.issuer.clone(), namespace, account, control));
        }
        self.processes.insert(name.into(), process);
        Ok(())
    }

    /// Waits until a started process serves.
    ///
    /// # Errors
    /// When it ended instead, or took too long.
    pub async fn wait_ready(&self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        let Some(process) = self.processes.get(name) else { return Err(self.unknown(name)) };
        let ready = tokio::time::timeout(READY_DEADLINE, process.ready()).await;
        let ready = ready.unwrap_or_else(|_| Err(format!("not ready after {READY_DEADLINE:?}")));
        ready.map_err(|why| Error::Process { name: name.into(), why, log: self.log_end(name) })
    }

    /// Ends a process at once, as a crash would.
    ///
    /// # Errors
    /// When there is no such process.
    pub async fn kill(&mut self, name: &str) -> Result<(), Error> {
        let Some(process) = self.processes.get_mut(name) else {
            return Err(Error::Unknown { name: name.into(), known: self.process_names().join(", ") });
        };
        process.kill().await;
        Ok(())
    }

    /// Whether a process serves now.
    pub fn is_ready(&self, name: &str) -> bool {
        self.processes.get(name).is_some_and(|process| matches!(process.state(), State::Ready(_)))
    }

    /// Process ids of all that were started.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.values().filter_map(Process::pid).collect()
    }

    /// Drains and stops everything, apps' callers first: gateways, apps with their sidecars, then the control plane.
    pub async fn stop(mut self) {
        let mut order: Vec<String> = self.process_names();
        // Gateways, then workloads, then the control plane: nobody loses what it still needs.
        order.rotate_left(3);
        for name in order {
            if let Some(process) = self.processes.remove(&name) {
                process.stop().await;
            }
        }
        self.tasks.shutdown(Duration::from_secs(2)).await;
    }

    /// A credential for `namespace/service_account`.
    ///
    /// # Errors
    /// When no token can be signed.
    pub fn identity(&self, namespace: &str, service_account: &str) -> Result<Identity, Error> {
        Ok(Identity {
            id: format!("spiffe://{TRUST_DOMAIN}/ns/{namespace}/sa/{service_account}"),
            citadel: self.control(self.subnet.citadel(), XDS_PORT),
            roots: self.roots(),
            token: self.issuer.token(namespace, service_account).map_err(|error| Error::Tokens(error.to_string()))?,
        })
    }

    /// The trust bundle, PEM.
    pub fn roots(&self) -> PathBuf {
        self.folder.trust().join("root").join("root-cert.pem")
    }

    fn role(&self, name: &str) -> Result<Role, Error> {
        Ok(match name {
            CITADEL => Role::Citadel(role::Citadel {
                listen: self.control(self.subnet.citadel(), XDS_PORT),
                monitoring: self.control(self.subnet.citadel(), MONITORING_PORT),
                root: self.folder.trust().join("root"),
                jwks: self.folder.trust().join("jwks.json"),
                lifetime_seconds: self.spec.certificate_lifetime.as_secs(),
            }),
            GALLEY => Role::Galley(role::Galley {
                listen: self.control(self.subnet.galley(), MCP_PORT),
                monitoring: self.galley_monitoring(),
                folders: std::iter::once(self.folder.generated()).chain(self.spec.config.iter().cloned()).collect(),
                state: Some(self.folder.state()),
                watch: self.spec.watch,
                identity: self.identity(SYSTEM_NAMESPACE, "mesh-galley")?,
            }),
            PILOT => Role::Pilot(role::Pilot {
                listen: self.control(self.subnet.pilot(), XDS_PORT),
                monitoring: self.pilot_monitoring(),
                galley: self.control(self.subnet.galley(), MCP_PORT),
                identity: self.identity(SYSTEM_NAMESPACE, "mesh-pilot")?,
                access_log: self.spec.access_log,
            }),
            _ => return self.workload_role(name),
        })
    }

    fn workload_role(&self, name: &str) -> Result<Role, Error> {
        for place in &self.places {
            if (place.gateway && place.name == name) || (!place.gateway && sidecar(&place.name) == name) {
                return self.proxy_role(place);
            }
            if let Some(workload) = self.workload_of(place)
                && place.name == name
            {
                match app(workload, place) {
                    Some(role) => return Ok(role),
                    None => break,
                }
            }
        }
        Err(self.unknown(name))
    }

    fn proxy_role(&self, place: &Place) -> Result<Role, Error> {
        let proxy = self.proxy(place)?;
        let Some(Sidecar::Envoy(envoy)) = self.workload_of(place).map(|workload| &workload.sidecar) else {
            return Ok(Role::Proxy(Box::new(proxy)));
        };
        let name = sidecar(&place.name);
        Ok(Role::Envoy(Box::new(role::Envoy {
            program: envoy.program.clone(),
            ads: envoy.ads,
            bootstrap: self.folder.bootstrap(&name),
            sds: self.folder.socket(&format!("{name}-sds")),
            proxy,
        })))
    }

    fn proxy(&self, place: &Place) -> Result<role::Proxy, Error> {
        let app = place.labels.get("app").unwrap_or(&place.name);
        Ok(role::Proxy {
            node_id: place.node_id(),
            node_cluster: format!("{app}.{}", place.namespace),
            metadata: place.metadata(),
            pilot: self.control(self.subnet.pilot(), XDS_PORT),
            identity: self.identity(&place.namespace, &place.service_account)?,
            admin: place.admin(),
            concurrency: self.spec.concurrency,
            sds: None,
        })
    }

    fn workload_of(&self, place: &Place) -> Option<&Workload> {
        self.spec.workloads.iter().find(|w| !place.gateway && w.name == place.name && w.namespace == place.namespace)
    }

    fn control(&self, address: Ipv4Addr, port: u16) -> SocketAddr {
        SocketAddr::from((address, port))
    }

    fn unknown(&self, name: &str) -> Error {
        Error::Unknown { name: name.into(), known: self.process_names().join(", ") }
    }

    fn log_end(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.folder.log(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(12)..];
        format!("\n    {}", last.join("\n    "))
    }
}

/// Hands a running process new tokens long before the old one ends: after a night's sleep, or a long time without Citadel, its certificate and its
/// first token are both too old.
async fn refresh_tokens(issuer: Arc<LocalIssuer>, namespace: String, account: String, control: mpsc::WeakSender<String>) {
    loop {
        tokio::time::sleep(TOKEN_REFRESH).await;
        let Some(control) = control.upgrade() else { break };
        match issuer.token(&namespace, &account) {
            Ok(token) if control.send(format!("{token}\n")).await.is_err() => break,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, namespace, account, "no new token"),
        }
    }
}

/// The process name of a workload's sidecar.
pub fn sidecar(workload: &str) -> String {
    format!("{workload}-proxy")
}

fn app(workload: &Workload, place: &Place) -> Option<Role> {
    match &workload.app {
        App::Shop { service, version } => {
            let socket = place.endpoints.values().find_map(|endpoint| match endpoint {
                layout::Endpoint::Unix(path) => Some(path.clone()),
                layout::Endpoint::Tcp(_) => None,
            })?;
            Some(Role::Shop(crate::shop::Config {
                service: service.clone(),
                version: version.clone(),
                name: workload.name.clone(),
                socket,
                http_proxy: place.http_proxy(),
            }))
        }
        App::Command(command) => {
            let mut command = command.clone();
            command.env.extend(app_environment(workload, place));
            Some(Role::Command(command))
        }
        App::None => None,
    }
}

/// What an app is told of the mesh.
fn app_environment(workload: &Workload, place: &Place) -> BTreeMap<String, String> {
    let proxy = format!("http://{}", place.http_proxy());
    let mut env: BTreeMap<String, String> =
        [("HTTP_PROXY", &proxy), ("http_proxy", &proxy)].map(|(name, value)| (name.to_string(), value.clone())).into();
    env.insert("NO_PROXY".into(), "127.0.0.1,localhost".into());
    env.insert("no_proxy".into(), "127.0.0.1,localhost".into());
    env.insert("MESH_ADDRESS".into(), place.address.to_string());
    for (n, port) in workload.ports.iter().enumerate() {
        let Some(layout::Endpoint::Tcp(address)) = place.endpoints.get(&port.target) else { continue };
        if n == 0 {
            env.insert("PORT".into(), address.port().to_string());
        }
        let suffix = port.name.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        env.insert(format!("PORT_{suffix}"), address.port().to_string());
    }
    env
}

fn log_filter() -> String {
    std::env::var("MESH_LOG").unwrap_or_else(|_| "info".into())
}
