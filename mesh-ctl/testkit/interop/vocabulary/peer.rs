//! One Envoy that is given one snapshot by delta ADS over a Unix socket, and secrets over another.

use std::{
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use mesh_proto::envoy::config::core::v3::Node;
use mesh_proxy::sds::Sds;
use mesh_runtime::{
    drain::{self, DrainTrigger},
    grpc,
    listen::{Address, Listener, Options},
    svid::{Source, Svid},
    task::Tasks,
    xds::{
        Event, Handler, Peer as Caller, Snapshot, Subscription,
        server::{Limits, Server},
    },
};
use rcgen::{CertificateParams, KeyPair, SanType};
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    sync::watch,
    time::sleep,
};
use tonic::{Status, service::Routes};

/// How long Envoy may take to open its admin interface.
const START: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// Its cluster for ADS, and the one that Pilot's TLS contexts name.
const CLUSTERS: [&str; 2] = ["xds-grpc", "sds-grpc"];
/// How many of its clusters are not Pilot's.
pub(super) const STATIC_CLUSTERS: u64 = CLUSTERS.len() as u64;

/// A running Envoy and its servers.
pub(super) struct Peer {
    pub(super) admin: SocketAddr,
    refusals: Arc<Mutex<Vec<String>>>,
    envoy: Child,
    drain: DrainTrigger,
    tasks: Tasks,
    // Streams end with it.
    _source: watch::Sender<Option<Arc<Snapshot>>>,
    _folder: tempfile::TempDir,
}

impl Peer {
    /// Starts it; it hears `snapshot` at once.
    pub(super) async fn start(program: &Path, node: &Value, snapshot: Snapshot) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("mesh-").tempdir()?;
        let socket = |name: &str| folder.path().join(name);
        let tasks = Tasks::new("vocabulary");
        let (drain, watch) = drain::channel();
        let refusals = Arc::<Mutex<Vec<String>>>::default();
        let (source, snapshot) = watch::channel(Some(Arc::new(snapshot)));
        let ads = Ads { snapshot, refusals: refusals.clone() };
        let service = Server::new(Arc::new(ads), tasks.spawner(), watch.clone(), Limits::default()).into_service();
        let listener = Listener::bind(&Address::Unix(socket(CLUSTERS[0])), Options::default())?;
        tasks.spawn("ads", grpc::serve(listener, Routes::new(service), grpc::Options::default(), watch.clone()));
        tasks.spawn("sds", Sds::bind(&socket(CLUSTERS[1]), Source::fixed(anybody()?))?.serve(watch));

        let (bootstrap, address) = (socket("bootstrap.json"), socket("admin"));
        std::fs::write(&bootstrap, document(node, folder.path()).to_string())?;
        let mut envoy = Command::new(program)
            .arg("--config-path")
            .arg(&bootstrap)
            .arg("--admin-address-path")
            .arg(&address)
            .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "critical"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let begun = Instant::now();
        let admin = loop {
            if let Some(admin) = std::fs::read_to_string(&address).ok().and_then(|text| text.trim().parse().ok()) {
                break admin;
            }
            if let Some(status) = envoy.try_wait()? {
                bail!("Envoy ended: {status}");
            }
            if begun.elapsed() > START {
                bail!("Envoy has no admin interface after {START:?}");
            }
            sleep(POLL).await;
        };
        Ok(Self { admin, refusals, envoy, drain, tasks, _source: source, _folder: folder })
    }

    /// Ends it; gives what it said when it refused something.
    pub(super) async fn end(mut self) -> Vec<String> {
        if let Err(error) = self.envoy.kill().await {
            tracing::debug!(%error, "Envoy");
        }
        drop(self.drain);
        self.tasks.shutdown(START).await;
        self.refusals.lock().map(|refusals| refusals.clone()).unwrap_or_default()
    }
}

/// Gives everybody the same.
struct Ads {
    snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
    refusals: Arc<Mutex<Vec<String>>>,
}

impl Handler for Ads {
    async fn open(&self, _: Caller, _: Arc<Node>) -> Result<Subscription, Status> {
        let refusals = self.refusals.clone();
        Ok(Subscription::new(self.snapshot.clone()).observe(move |event| {
            if let (Event::Nack { message, .. }, Ok(mut refusals)) = (event, refusals.lock()) {
                refusals.push(message);
            }
        }))
    }
}

/// A certificate that is its own root: nobody is called.
fn anybody() -> Result<Svid> {
    let mut params = CertificateParams::default();
    params.subject_alt_names.push(SanType::URI("spiffe://cluster.local/ns/shop/sa/a".try_into()?));
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    Ok(Svid::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes(), certificate.as_bytes())?)
}

fn document(node: &Value, folder: &Path) -> Value {
    let ads = json!({"ads": {}, "resource_api_version": "V3"});
    let cluster = |name: &str| {
        json!({
            "name": name,
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": {"pipe": {"path": folder.join(name)}}}},
            ]}]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
        })
    };
    json!({
        "node": node,
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": {
            "lds_config": ads,
            "cds_config": ads,
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {
                    "cluster_name": CLUSTERS[0],
                    "retry_policy": {"retry_back_off": {"base_interval": "0.05s", "max_interval": "0.2s"}},
                }}],
            },
        },
        // Names are nobody's either: a resolver that is not there says so at once.
        "typed_dns_resolver_config": {
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": 1}}],
                "query_timeout_seconds": 1,
                "query_tries": 1,
            },
        },
        "static_resources": {"clusters": CLUSTERS.map(cluster)},
    })
}
