//! The workload's certificate for others: SDS on a Unix socket (Envoy, gRPC), and certificate files.
//!
//! The socket's folder and mode decide who may ask: mode 0600, the same user only. Served are Istio's two names, over the
//! secret discovery service and over ADS.

#[cfg(test)]
pub(crate) mod tests;

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use mesh_proto::{
    any,
    envoy::{
        config::core::v3::{DataSource, data_source::Specifier},
        extensions::transport_sockets::tls::v3::{CertificateValidationContext, Secret, TlsCertificate, secret::Type},
        service::{
            discovery::v3::{
                DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
                aggregated_discovery_service_server::AggregatedDiscoveryService,
            },
            secret::v3::secret_discovery_service_server::{SecretDiscoveryService, SecretDiscoveryServiceServer},
        },
    },
    type_url,
};
use mesh_runtime::{
    drain::DrainWatch,
    grpc,
    listen::{self, Listener},
    svid::{self, Svid},
    task::Tasks,
    xds::{
        Handler, Peer, Remote, Resource, Snapshot, Subscription,
        server::{Limits, Responses, Server},
    },
};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming, service::Routes};

use crate::xds::{OWN_CERTIFICATE, OWN_ROOTS};

/// A bound SDS socket.
#[derive(Debug)]
pub struct Sds {
    listener: Listener,
    source: svid::Source,
}

impl Sds {
    /// Listens on `path`, which its owner alone may use. A socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// The path is taken, or its folder does not exist or is not ours.
    pub fn bind(path: &Path, source: svid::Source) -> io::Result<Self> {
        let address = listen::Address::Unix(path.to_owned());
        let listener = Listener::bind(&address, listen::Options::default()).map_err(|error| io::Error::other(error.to_string()))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, source })
    }

    /// Serves until the drain.
    ///
    /// # Errors
    /// The HTTP/2 server itself failed.
    pub async fn serve(self, drain: DrainWatch) -> Result<(), tonic::transport::Error> {
        let tasks = Tasks::new("sds");
        let (sender, snapshots) = watch::channel(None);
        let mut source = self.source;
        let feeding = async move {
            let mut svid = source.ready().await;
            while let Ok(current) = svid {
                sender.send_replace(Some(Arc::new(snapshot(&current))));
                svid = source.changed().await;
            }
            // What was fed last stays good.
            sender.closed().await;
        };
        tasks.spawn("feed", feeding);
        let limits = Limits { names: 16, types: 8, request: 1 << 20, response: 1 << 20 };
        let handler = Arc::new(Local { snapshots });
        let secrets = Secrets(Server::new(handler.clone(), tasks.spawner(), drain.clone(), limits));
        let aggregated = Server::new(handler, tasks.spawner(), drain.clone(), limits).into_service();
        let routes = Routes::new(SecretDiscoveryServiceServer::new(secrets)).add_service(aggregated);
        let options = grpc::Options { connections: 64, ..grpc::Options::default() };
        grpc::serve(self.listener, routes, options, drain).await
    }
}

/// Writes the certificate files now and at each rotation, whole generations at a time.
///
/// # Errors
/// The first generation cannot be written. Later ones are logged, and the one before stays.
pub async fn write_files(folder: PathBuf, mut source: svid::Source, drain: DrainWatch) -> io::Result<()> {
    let Ok(first) = source.ready().await else { return Ok(()) };
    write(&folder, first).await?;
    loop {
        let changed = tokio::select! {
            () = drain.forced() => return Ok(()),
            changed = source.changed() => changed,
        };
        let Ok(svid) = changed else { return Ok(()) };
        if let Err(error) = write(&folder, svid).await {
            tracing::error!(folder = %folder.display(), %error, "cannot write the certificate files; the ones before stay");
        }
    }
}

async fn write(folder: &Path, svid: Arc<Svid>) -> io::Result<()> {
    // A few small files, once a rotation, on the control thread.
    svid.write_files(folder).map(drop)
}

/// Admits whoever could open the socket.
struct Local {
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
}

impl Handler for Local {
    async fn open(&self, peer: Peer, _node: Arc<mesh_proto::envoy::config::core::v3::Node>) -> Result<Subscription, Status> {
        if peer.remote != Remote::Unix {
            return Err(Status::permission_denied("secrets are served on the Unix socket only"));
        }
        Ok(Subscription::new(self.snapshots.clone()))
    }
}

/// The secret discovery service: the aggregated one, as there is only one type.
struct Secrets(Server<Local>);

#[tonic::async_trait]
impl SecretDiscoveryService for Secrets {
    type StreamSecretsStream = Responses<DiscoveryResponse>;
    type DeltaSecretsStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_secrets(&self, request: Request<Streaming<DiscoveryRequest>>) -> Result<Response<Self::StreamSecretsStream>, Status> {
        self.0.stream_aggregated_resources(request).await
    }

    async fn delta_secrets(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        self.0.delta_aggregated_resources(request).await
    }

    async fn fetch_secrets(&self, _request: Request<DiscoveryRequest>) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("polling is not offered; use StreamSecrets or DeltaSecrets"))
    }
}

fn snapshot(svid: &Svid) -> Snapshot {
    let data = |text: String| Some(DataSource { specifier: Some(Specifier::InlineBytes(text.into_bytes())), ..DataSource::default() });
    let certificate = Type::TlsCertificate(TlsCertificate {
        certificate_chain: data(svid.chain_pem()),
        private_key: data(svid.key_pem()),
        ..TlsCertificate::default()
    });
    let roots = Type::ValidationContext(CertificateValidationContext {
        trusted_ca: data(svid.roots_pem()),
        ..CertificateValidationContext::default()
    });
    let mut builder = Snapshot::builder();
    for (name, secret) in [(OWN_CERTIFICATE, certificate), (OWN_ROOTS, roots)] {
        let secret = Secret { name: name.to_owned(), r#type: Some(secret) };
        builder.insert(type_url::SECRET, Resource::new(name, any::pack(&secret)));
    }
    builder.build()
}
