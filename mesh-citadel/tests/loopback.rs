//! The whole of it over loopback: a real TLS server, real tokens, real rotations, mutual TLS between two workloads.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_citadel::authn::LocalIssuer;
use mesh_citadel::authn::jwt::Rules;
use mesh_citadel::root::Location;
use mesh_citadel::{Bound, Config, Limits, Tokens};
use mesh_proto::id::SpiffeId;
use mesh_proto::istio::auth::{IstioCertificateRequest, IstioCertificateServiceClient};
use mesh_runtime::connect::{Connector, Target, Tls};
use mesh_runtime::drain::{self, DrainTrigger};
use mesh_runtime::svid::{self, Authority, GrpcAuthority, Renewal, Request, Rotation, Server, Signing, Source, Token};
use mesh_runtime::task::Tasks;
use mesh_runtime::tls::{self, Peers, Roots, Trust};
use tonic::Code;

const SHOP: &str = "spiffe://cluster.local/ns/shop/sa/frontend";
const LIFETIME: Duration = Duration::from_secs(600);
const WAIT: Duration = Duration::from_secs(20);

struct Mesh {
    issuer: LocalIssuer,
    target: Target,
    roots: Arc<Trust>,
    own: Source,
    drain: Option<DrainTrigger>,
    tasks: Tasks,
    folder: tempfile::TempDir,
}

fn config(folder: &Path) -> Config {
    let listen = "127.0.0.1:0".parse().unwrap();
    let root = Location::Local(folder.join("ca"));
    let mut config = Config::new(&"cluster.local".parse().unwrap(), &"mesh-system".parse().unwrap(), listen, root);
    let rules = Rules { issuers: vec!["test-mesh".to_owned()], ..Rules::default() };
    config.tokens = Some(Tokens { jwks: folder.join("jwks.json"), rules });
    config.monitoring = Some("127.0.0.1:0".parse().unwrap());
    config
}

async fn start(change: impl FnOnce(&mut Config)) -> (Mesh, Arc<mesh_citadel::Metrics>) {
    let folder = tempfile::tempdir().unwrap();
    let issuer = LocalIssuer::new("test-mesh", LIFETIME).unwrap();
    issuer.write_jwks(&folder.path().join("jwks.json")).unwrap();
    let mut config = config(folder.path());
    change(&mut config);
    let bound: Bound = mesh_citadel::bind(config).await.unwrap();
    let target = Target::Tcp(bound.address().unwrap());
    let roots = Trust::from_pem(bound.roots_pem().as_bytes()).unwrap();
    let (own, metrics) = (bound.source(), bound.metrics());
    let (trigger, watch) = drain::channel();
    let tasks = Tasks::new("test");
    tasks.spawn("citadel", bound.run(watch));
    (Mesh { issuer, target, roots, own, drain: Some(trigger), tasks, folder }, metrics)
}

impl Mesh {
    fn token(&self, account: &str, lifetime: Duration) -> String {
        self.issuer.token_at(&"shop".parse().unwrap(), &account.parse().unwrap(), SystemTime::now(), lifetime).unwrap()
    }

    fn server(&self) -> Server {
        Server {
            connector: Connector::new(),
            target: self.target.clone(),
            roots: Roots::Fixed(self.roots.clone()),
            peers: Peers::id("spiffe://cluster.local/ns/mesh-system/sa/mesh-citadel".parse().unwrap()),
        }
    }

    /// A client of `account` that publishes to the returned source.
    fn client(&self, account: &str, token: Option<Token>, change: impl FnOnce(&mut svid::Config)) -> (svid::Client, Source) {
        let (publisher, source) = svid::channel();
        let id: SpiffeId = format!("spiffe://cluster.local/ns/shop/sa/{account}").parse().unwrap();
        let mut config = svid::Config { ttl: Duration::from_secs(3600), ..svid::Config::new(id) };
        change(&mut config);
        let authority = GrpcAuthority::over_tls(self.server(), source.clone(), token).unwrap();
        (svid::Client::new(config, authority, publisher), source)
    }

    async fn workload(&self, account: &str) -> Source {
        let token = Token::Held(self.token(account, LIFETIME).into());
        let (client, source) = self.client(account, Some(token), |_| {});
        client.request().await.unwrap();
        source
    }

    /// A bare call with any headers.
    async fn call(&self, request: IstioCertificateRequest, authorization: Option<&str>) -> Result<Vec<String>, tonic::Status> {
        let server = self.server();
        let config = tls::client_config(None, server.roots, server.peers, &[tls::ALPN_H2]).unwrap();
        let channel = server.connector.channel(&self.target, Some(Tls { config, server_name: None }));
        let mut request = tonic::Request::new(request);
        if let Some(value) = authorization {
            request.metadata_mut().insert("authorization", value.parse().unwrap());
        }
        let answer = IstioCertificateServiceClient::new(channel).create_certificate(request).await?;
        Ok(answer.into_inner().cert_chain)
    }
}

fn asking(csr: &str) -> IstioCertificateRequest {
    IstioCertificateRequest { csr: csr.to_owned(), validity_duration: 3600, metadata: None }
}

#[tokio::test]
async fn a_workload_gets_its_certificate_by_token_and_renews_it_by_certificate() {
    let (mesh, metrics) = start(|_| {}).await;
    let token = mesh.folder.path().join("token");
    std::fs::write(&token, format!("{}\n", mesh.token("frontend", LIFETIME))).unwrap();
    let (client, source) = mesh.client("frontend", Some(Token::File(token.clone())), |config| config.renewal = Renewal::Certificate);
    let first = client.request().await.unwrap();
    assert_eq!(first.id().as_str(), SHOP);
    assert!(first.remaining(SystemTime::now()) <= Duration::from_secs(3600));
    assert_eq!(first.trust().roots(), mesh.roots.roots());

    // The token is gone: only the certificate can prove the caller now.
    std::fs::remove_file(&token).unwrap();
    let second = client.request().await.unwrap();
    assert_ne!(first.serial(), second.serial());
    assert_eq!(source.current().unwrap().serial(), second.serial());
    assert_eq!((metrics.success.value(), metrics.authentication_failure.value()), (2, 0));

    // A token must still be a good one where a certificate would do.
    let (by_token, _) = mesh.client("frontend", Some(Token::File(token)), |_| {});
    assert!(matches!(by_token.request().await, Err(svid::Error::Refused(svid::Refusal::Token(_)))));
}

#[tokio::test]
async fn callers_that_prove_nothing_are_refused() {
    let (mesh, metrics) = start(|_| {}).await;
    let request = Request::new(&SHOP.parse().unwrap()).unwrap();
    let good = mesh.token("frontend", Duration::from_secs(600));
    let stranger = LocalIssuer::new("test-mesh", LIFETIME).unwrap();
    let (namespace, account) = ("shop".parse().unwrap(), "frontend".parse().unwrap());
    let lifetime = Duration::from_secs(600);
    let foreign = stranger.token_at(&namespace, &account, SystemTime::now(), lifetime).unwrap();
    let old = mesh.issuer.token_at(&namespace, &account, SystemTime::now() - Duration::from_secs(3600), lifetime).unwrap();
    let mut tampered = good.clone().into_bytes();
    let middle = good.find('.').unwrap() + 20;
    tampered[middle] = if tampered[middle] == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).unwrap();
    // {"alg":"none"}
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap());
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    for (why, header) in [
        ("nothing", None),
        ("another issuer's key", bearer(&foreign)),
        ("expired", bearer(&old)),
        ("tampered", bearer(&tampered)),
        ("unsigned", bearer(&unsigned)),
        ("no token", Some("Bearer".to_owned())),
        ("another scheme", Some(format!("Basic {good}"))),
    ] {
        let status = mesh.call(asking(request.csr_pem()), header.as_deref()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{why}: {status}");
        assert!(!status.message().contains(&good), "no token in a message");
    }
    assert_eq!((metrics.authentication_failure.value(), metrics.success.value()), (7, 0));
    let chain = mesh.call(asking(request.csr_pem()), bearer(&good).as_deref()).await.unwrap();
    assert_eq!(chain.len(), 2);
}

#[tokio::test]
async fn a_request_for_another_identity_gets_the_callers_own() {
    let (mesh, _) = start(|_| {}).await;
    let pilot: SpiffeId = "spiffe://cluster.local/ns/mesh-system/sa/mesh-pilot".parse().unwrap();
    let greedy = Request::new(&pilot).unwrap();
    let token = format!("Bearer {}", mesh.token("frontend", Duration::from_secs(600)));
    let chain = mesh.call(asking(greedy.csr_pem()), Some(&token)).await.unwrap();
    match greedy.accept(&chain, SystemTime::now()) {
        Err(svid::Error::WrongIdentity { found, expected }) => assert_eq!((found.as_str(), expected), (SHOP, pilot)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn requests_that_cannot_be_granted_are_the_callers_fault() {
    let (mesh, metrics) = start(|_| {}).await;
    let request = Request::new(&SHOP.parse().unwrap()).unwrap();
    let token = format!("Bearer {}", mesh.token("frontend", Duration::from_secs(600)));
    let too_long = IstioCertificateRequest { validity_duration: 91 * 24 * 3600, ..asking(request.csr_pem()) };
    let mut impersonating = asking(request.csr_pem());
    let metadata = impersonating.metadata.insert(Default::default());
    metadata.fields.insert("ImpersonatedIdentity".to_owned(), Default::default());
    for (why, message) in [("no CSR", asking("hello")), ("too long", too_long), ("impersonation", impersonating)] {
        let status = mesh.call(message, Some(&token)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{why}: {status}");
    }
    let huge = mesh.call(asking(&"x".repeat(100 * 1024)), Some(&token)).await.unwrap_err();
    assert_eq!(huge.code(), Code::OutOfRange, "{huge}");
    assert_eq!(metrics.csr_parsing_error.value(), 3);
    let exposed = metrics.render(SystemTime::now());
    assert!(exposed.contains("\ncitadel_server_csr_count 3\n"), "{exposed}");
    assert!(exposed.contains("# TYPE citadel_server_root_cert_expiry_timestamp gauge\n"), "{exposed}");
}

#[tokio::test]
async fn a_flood_is_turned_away() {
    let (mesh, metrics) = start(|config| config.limits = Limits { per_second: 1, burst: 2, ..Limits::default() }).await;
    let request = Request::new(&SHOP.parse().unwrap()).unwrap();
    let token = format!("Bearer {}", mesh.token("frontend", Duration::from_secs(600)));
    for _ in 0..5 {
        let status = mesh.call(asking(request.csr_pem()), None).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "nobodies use nothing up");
    }
    mesh.call(asking(request.csr_pem()), Some(&token)).await.unwrap();
    let status = mesh.call(asking(request.csr_pem()), Some(&token)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(metrics.overload.value(), 1);
}

#[tokio::test]
async fn two_workloads_speak_mutual_tls_and_a_wrong_one_is_refused() {
    let (mesh, _) = start(|_| {}).await;
    let (frontend, inventory) = (mesh.workload("frontend").await, mesh.workload("inventory").await);
    let id = |account: &str| Peers::id(format!("spiffe://cluster.local/ns/shop/sa/{account}").parse().unwrap());
    let server = |peers| {
        let auth = tls::ClientAuth::Required(inventory.clone().into(), peers);
        tls::server_config(inventory.clone().into(), auth, &[tls::ALPN_H2]).unwrap()
    };
    let client = |peers| tls::client_config(Some(frontend.clone().into()), frontend.clone().into(), peers, &[tls::ALPN_H2]).unwrap();
    assert!(handshake(client(id("inventory")), server(id("frontend"))).await.is_ok());
    assert!(handshake(client(id("ledger")), server(id("frontend"))).await.is_err());
    assert!(handshake(client(id("inventory")), server(id("ledger"))).await.is_err());
    // Citadel's own certificate is found under its Service's name.
    let names = tls::Peer::from_der(&mesh.own.current().unwrap().chain()[0]).unwrap().dns_names;
    assert!(names.contains(&"mesh-citadel.mesh-system.svc".to_owned()), "{names:?}");
}

#[tokio::test]
async fn rotations_under_a_live_server_lose_no_request() {
    let (mesh, metrics) = start(|config| {
        config.policy.default_ttl = Duration::from_secs(4);
        config.rotation = Rotation { fraction: 0.1, jitter: 0.0 };
    })
    .await;
    let token = Token::Held(mesh.token("frontend", LIFETIME).into());
    let (client, mut source) = mesh.client("frontend", Some(token), |config| {
        config.ttl = Duration::from_secs(4);
        config.rotation = Rotation { fraction: 0.1, jitter: 0.0 };
        config.renewal = Renewal::Certificate;
    });
    mesh.tasks.spawn("client", client.run());
    let (mut serials, mut own) = (Vec::new(), mesh.own.clone());
    source.ready().await.unwrap();
    for _ in 0..3 {
        let (svid, _) = tokio::time::timeout(WAIT, async { (source.changed().await, own.changed().await) }).await.unwrap();
        serials.push(svid.unwrap().serial().to_owned());
    }
    serials.dedup();
    assert_eq!(serials.len(), 3);
    assert_eq!(metrics.authentication_failure.value() + metrics.csr_sign_error.value(), 0);
}

#[tokio::test]
async fn a_drained_citadel_ends_cleanly_and_comes_back_with_the_same_root() {
    let (mut mesh, _) = start(|_| {}).await;
    mesh.workload("frontend").await;
    let drained = mesh.drain.take().unwrap().drain(WAIT).await;
    assert_eq!(drained, drain::Drained::Clean);
    assert_eq!(mesh.tasks.shutdown(WAIT).await, mesh_runtime::task::Shutdown::Clean);
    let again = mesh_citadel::bind(config(mesh.folder.path())).await.unwrap();
    assert_eq!(Trust::from_pem(again.roots_pem().as_bytes()).unwrap().roots(), mesh.roots.roots());
    assert!(again.monitoring().is_some());
}

#[tokio::test]
async fn an_imposter_is_not_given_the_token() {
    let (mesh, _) = start(|_| {}).await;
    let (imposter, metrics) = start(|_| {}).await;
    // The right address in the wrong hands: other roots.
    let server = Server { target: imposter.target.clone(), ..mesh.server() };
    let token = Token::Held(mesh.token("frontend", LIFETIME).into());
    let authority = GrpcAuthority::over_tls(server, svid::channel().1, Some(token)).unwrap();
    let signing = Signing { csr: String::new(), ttl: Duration::ZERO, by_certificate: false };
    let error = authority.sign(signing).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(metrics.csr.value(), 0);
}

async fn handshake(client: Arc<rustls::ClientConfig>, server: Arc<rustls::ServerConfig>) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = mesh_runtime::listen::Listener::bind(&"127.0.0.1:0".parse().unwrap(), mesh_runtime::listen::Options::default()).unwrap();
    let target = Target::from(listener.address().clone());
    let accept = async {
        let (stream, _) = listener.accept().await?;
        let mut stream = tokio_rustls::TlsAcceptor::from(server).accept(stream).await?;
        stream.write_u8(1).await?;
        stream.flush().await
    };
    let connect = async {
        let tls = Tls { config: client, server_name: None };
        let mut stream = Connector::new().connect(&target, Some(&tls)).await.map_err(std::io::Error::other)?;
        stream.read_u8().await
    };
    let (accepted, connected) = tokio::join!(accept, connect);
    connected.and(accepted)
}
