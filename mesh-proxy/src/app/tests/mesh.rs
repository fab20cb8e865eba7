//! A proxy of the mesh against a certificate authority and an xDS server over mutual TLS.

use std::sync::atomic::{AtomicUsize, Ordering};

use mesh_proto::istio::auth::{IstioCertificateRequest, IstioCertificateResponse, IstioCertificateService, IstioCertificateServiceServer};
use mesh_runtime::{
    svid::{Renewal, Svid, Token},
    tls::{ClientAuth, Roots, Trust},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DistinguishedName, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use tonic::{Request, Response};

use super::*;

const WORKLOAD: &str = "spiffe://cluster.local/ns/shop/sa/a";
const PILOT: &str = "spiffe://cluster.local/ns/mesh-system/sa/mesh-pilot";

type Ca = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ca::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let now = std::time::SystemTime::now();
    params.not_before = (now - Duration::from_secs(60)).into();
    // Renewed at half of what is left: every 2 s or so.
    params.not_after = (now + Duration::from_secs(4)).into();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params
}

struct Citadel(Arc<Ca>, Arc<AtomicUsize>);

#[tonic::async_trait]
impl IstioCertificateService for Citadel {
    async fn create_certificate(&self, request: Request<IstioCertificateRequest>) -> Result<Response<IstioCertificateResponse>, Status> {
        if request.metadata().get("authorization").is_none_or(|value| value != "Bearer secret") {
            return Err(Status::unauthenticated("who are you?"));
        }
        self.1.fetch_add(1, Ordering::SeqCst);
        let csr = CertificateSigningRequestParams::from_pem(&request.get_ref().csr).unwrap();
        let certificate = leaf(WORKLOAD).signed_by(&csr.public_key, &*self.0).unwrap();
        Ok(Response::new(IstioCertificateResponse { cert_chain: vec![certificate.pem(), self.0.pem()] }))
    }
}

struct Pilot(watch::Receiver<Option<Arc<Snapshot>>>);

impl Handler for Pilot {
    async fn open(&self, peer: Peer, node: Arc<WireNode>) -> Result<Subscription, Status> {
        assert_eq!(peer.identity.unwrap().as_str(), WORKLOAD);
        assert_eq!(node.cluster, "a.shop");
        Ok(Subscription::new(self.0.clone()))
    }
}

fn tls_listener(port: u16) -> Value {
    let mut listener = hcm_listener("mtls", port, "in the mesh");
    listener["filter_chains"][0]["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": true,
            "common_tls_context": {
                "tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": {"ads": {}}}],
                "combined_validation_context": {
                    "default_validation_context": {},
                    "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": {"ads": {}}},
                },
            },
        },
    });
    listener
}

#[tokio::test]
async fn enrols_is_configured_over_mutual_tls_and_rotates() {
    tls::install_provider();
    let (ca, signed) = (Arc::new(authority()), Arc::new(AtomicUsize::new(0)));
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("root.pem");
    std::fs::write(&roots, ca.pem()).unwrap();

    let key = KeyPair::generate().unwrap();
    let mut params = leaf(PILOT);
    params.not_after = (std::time::SystemTime::now() + Duration::from_secs(3600)).into();
    let certificate = params.signed_by(&key, &*ca).unwrap();
    let identity = Svid::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes(), ca.pem().as_bytes()).unwrap();
    let trust = Trust::from_pem(ca.pem().as_bytes()).unwrap();
    let auth = ClientAuth::Optional(Roots::Fixed(trust), Peers::AnySpiffe);
    let config = tls::server_config(Identity::Fixed(identity.certified_key().clone()), auth, &[tls::ALPN_H2]).unwrap();

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (_feed, snapshots) = watch::channel(Some(resources(&[tls_listener(port)])));
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), listen::Options::default()).unwrap();
    let control_plane = Target::Tcp(listener.address().tcp().unwrap());
    let (_server_trigger, server_watch) = drain::channel();
    let server = Tasks::new("server");
    let ads = Server::new(Arc::new(Pilot(snapshots)), server.spawner(), server_watch.clone(), Limits::default()).into_service();
    let routes = Routes::new(ads).add_service(IstioCertificateServiceServer::new(Citadel(ca.clone(), signed.clone())));
    server.spawn(
        "control plane",
        grpc::serve(listener, routes, grpc::Options { tls: Some(config), ..grpc::Options::default() }, server_watch),
    );

    let pilot_id: SpiffeId = PILOT.parse().unwrap();
    let mesh = Mesh {
        node: Node {
            id: "sidecar~127.0.0.1~a.shop~shop.svc".into(),
            cluster: "a.shop".into(),
            metadata: json!({"NAMESPACE": "shop"}),
            locality: None,
        },
        pilot: control_plane.clone(),
        pilot_id: pilot_id.clone(),
        mode: client::Mode::Delta,
        enrollment: Enrollment {
            id: WORKLOAD.parse().unwrap(),
            citadel: control_plane,
            peers: Peers::id(pilot_id),
            roots,
            token: Token::Held("secret".into()),
            renewal: Renewal::Token,
        },
        patience: Duration::from_secs(10),
    };
    let files = folder.path().join("certificates");
    let proxy = start(Config {
        admin: Some("127.0.0.1:0".parse().unwrap()),
        certificates: Some(files.clone()),
        ..Config::new(ConfigSource::Mesh(Box::new(mesh)))
    })
    .await;
    tokio::time::timeout(Duration::from_secs(20), proxy.readiness.wait()).await.unwrap();

    let serial = async || {
        let certs: Value = serde_json::from_str(&ask(proxy.admin, "GET /certs").await.1).unwrap();
        let chains = certs["certificates"].as_array().unwrap().iter().filter_map(|of| of["cert_chain"].get(0)).cloned();
        let leaf = chains.into_iter().next().unwrap();
        assert_eq!(leaf["subject_alt_names"][0]["uri"], WORKLOAD);
        leaf["serial_number"].as_str().unwrap().to_owned()
    };
    let first = serial().await;
    until("a rotation", async || serial().await != first).await;
    assert!(signed.load(Ordering::SeqCst) >= 2);
    until("files of the rotation", async || files.join("cert-chain.pem").exists()).await;

    // A caller without a certificate is refused.
    let (mut anonymous, mut answer) = (TcpStream::connect(("127.0.0.1", port)).await.unwrap(), Vec::new());
    anonymous.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let _ = anonymous.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("in the mesh"));
    proxy.trigger.drain(Duration::from_secs(10)).await;
    proxy.tasks.shutdown(Duration::from_secs(5)).await;
}
