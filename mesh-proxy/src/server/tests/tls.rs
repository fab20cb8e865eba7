//! TLS in and out: identities accepted and refused, ALPN, SNI, rotation, missing secrets.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::{RootCertStore, crypto::aws_lc_rs::sign::any_supported_type, sign::CertifiedKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::fixture::*;
use crate::{
    secret::{Roots, Secret, SecretRef},
    snapshot::*,
};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: SecretRef,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let mut store = RootCertStore::empty();
    store.add(certificate.der().clone()).unwrap();
    let root = SecretRef::new("root");
    root.store(Secret::Roots(Roots { store: Arc::new(store), certificates: [certificate.der().clone()].into(), crl: None }));
    Authority { issuer: Issuer::new(params, key), root }
}

impl Authority {
    fn key(&self, uri: &str) -> Secret {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["svc.example.com".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer = any_supported_type(&private).unwrap();
        Secret::Certificate(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer)))
    }

    fn secret(&self, uri: &str) -> SecretRef {
        let secret = SecretRef::new(uri);
        secret.store(self.key(uri));
        secret
    }

    fn downstream(&self, certificate: SecretRef, names: Vec<SanMatcher>) -> DownstreamTls {
        DownstreamTls {
            certificates: vec![certificate],
            validation: Some(self.validation(names)),
            require_client_certificate: true,
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            versions: TlsVersions::Tls12And13,
            resumption: true,
        }
    }

    fn upstream(&self, certificate: Option<SecretRef>, names: Vec<SanMatcher>) -> UpstreamTls {
        UpstreamTls {
            certificate,
            validation: Some(self.validation(names)),
            sni: Some("outbound_.80_._.b.default.svc.cluster.local".into()),
            auto_host_sni: false,
            alpn: vec![b"istio-peer-exchange".to_vec(), b"istio".to_vec()],
            versions: TlsVersions::Tls12And13,
            max_session_keys: 1,
            name: "t".into(),
        }
    }

    fn validation(&self, names: Vec<SanMatcher>) -> Validation {
        Validation { roots: Some(self.root.clone()), names, spki: Vec::new(), hashes: Vec::new(), crl: None }
    }
}

fn uri(uri: &str) -> SanMatcher {
    let value = StringMatcher { pattern: StringPattern::Exact(uri.into()), ignore_case: false };
    SanMatcher { kind: SanKind::Uri, value }
}

const A: &str = "spiffe://td/ns/default/sa/a";
const B: &str = "spiffe://td/ns/default/sa/b";

/// The server's sidecar: ends mutual TLS, tells the backend who asked.
fn server(tls: DownstreamTls, backend: std::net::SocketAddr) -> Net {
    let mut settings = hcm(vec![route("/", |_| {})]);
    settings.xfcc = Xfcc { mode: XfccMode::SanitizeSet, uri: true, ..Xfcc::default() };
    let mut chain = http_chain(settings);
    chain.transport = DownstreamTransport::Tls(Arc::new(tls));
    net(config(chain, vec![cluster(&[backend])]))
}

/// The client's sidecar: begins mutual TLS.
fn client(tls: UpstreamTls, server: &Net) -> Net {
    let mut upstream = cluster(&[server.address()]);
    upstream.transport = UpstreamTransport::Tls(Arc::new(tls));
    net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![upstream]))
}

#[tokio::test]
async fn identities_are_verified_both_ways() {
    let tasks = mesh_runtime::task::Tasks::new("backend");
    let backend = echo(&tasks).await;
    let ca = authority();
    let server = server(ca.downstream(ca.secret(B), vec![uri(A)]), backend);

    let good = client(ca.upstream(Some(ca.secret(A)), vec![uri(B)]), &server);
    let answer = http1(&good, get("/")).await;
    assert_eq!(answer.status, 200);
    let xfcc = answer.header("got-x-forwarded-client-cert");
    assert!(xfcc.starts_with(&format!("By={B};Hash=")) && xfcc.ends_with(&format!(";URI={A}")), "{xfcc}");
    assert_eq!(answer.header("got-x-forwarded-proto"), "http", "the client's sidecar said so");

    let wrong_server = client(ca.upstream(Some(ca.secret(A)), vec![uri("spiffe://td/ns/default/sa/other")]), &server);
    let answer = http1(&wrong_server, get("/")).await;
    assert_eq!((answer.status, &*wrong_server.seen.request(0).await.flags), (503, "UF"));
    // Why the transport failed is for the access log: the client is told no more than by Envoy.
    assert!(answer.body.ends_with("remote connection failure"), "{}", answer.body);

    let stranger = authority();
    for certificate in [Some(ca.secret(B)), Some(stranger.secret(A)), None] {
        let refused = client(ca.upstream(certificate, vec![uri(B)]), &server);
        assert_eq!(http1(&refused, get("/")).await.status, 503);
    }
    let other_roots = client(stranger.upstream(Some(ca.secret(A)), vec![uri(B)]), &server);
    assert_eq!(http1(&other_roots, get("/")).await.status, 503);
}

#[tokio::test]
async fn a_missing_secret_fails_closed_and_heals() {
    let tasks = mesh_runtime::task::Tasks::new("backend");
    let backend = echo(&tasks).await;
    let ca = authority();
    let waiting = SecretRef::new("default");
    let server = server(ca.downstream(waiting.clone(), vec![uri(A)]), backend);
    let client = client(ca.upstream(Some(ca.secret(A)), vec![uri(B)]), &server);
    assert_eq!(http1(&client, get("/")).await.status, 503);
    assert!(server.seen.refused(0).await.contains("is not available"));
    waiting.store(ca.key(B));
    assert_eq!(http1(&client, get("/")).await.status, 200);
}

#[tokio::test]
async fn a_rotation_loses_no_request_and_no_connection() {
    let tasks = mesh_runtime::task::Tasks::new("backend");
    let backend = echo(&tasks).await;
    let ca = authority();
    let (ours, theirs) = (ca.secret(A), ca.secret(B));
    let server = server(ca.downstream(theirs.clone(), vec![uri(A)]), backend);
    let sidecar = client(ca.upstream(Some(ours.clone()), vec![uri(B)]), &server);
    for round in 0..20 {
        assert_eq!(http1(&sidecar, get("/")).await.status, 200, "round {round}");
        ours.store(ca.key(A));
        theirs.store(ca.key(B));
    }
    // Rotated to an identity that is not expected: open connections go on, a new one is refused.
    theirs.store(ca.key("spiffe://td/ns/default/sa/impostor"));
    assert_eq!(http1(&sidecar, get("/")).await.status, 200);
    let fresh = client(ca.upstream(Some(ours), vec![uri(B)]), &server);
    assert_eq!(http1(&fresh, get("/")).await.status, 503);
}

#[tokio::test]
async fn http2_by_alpn_and_chain_by_sni() {
    let tasks = mesh_runtime::task::Tasks::new("backend");
    let ca = authority();
    let (one, two) = (echo(&tasks).await, numbered(&tasks, |_| text(200, "two")).await.0);
    let chain = |name: &str, sni: &str, cluster: u32| {
        let to = move |forward: &mut Forward| forward.target = Target::Cluster(ClusterSlot(cluster));
        let mut chain = http_chain(hcm(vec![route("/", to)]));
        chain.name = name.into();
        chain.matcher.server_names = vec![sni.into()];
        chain.matcher.transport_protocol = Some("tls".into());
        chain.transport = DownstreamTransport::Tls(Arc::new(ca.downstream(ca.secret(B), Vec::new())));
        chain
    };
    let mut second = cluster(&[two]);
    second.name = "two".into();
    let mut settings = config(chain("one", "one.example.com", 0), vec![cluster(&[one]), second]);
    settings.chains.push(Arc::new(chain("two", "two.example.com", 1)));
    settings.edit = Box::new(|listener| listener.inspectors.tls = true);
    let server = net(settings);
    for (sni, protocol, expected) in [
        ("one.example.com", UpstreamProtocol::Auto, "GET / HTTP/1.1 "),
        ("one.example.com", UpstreamProtocol::Http1, "GET / HTTP/1.1 "),
        ("two.example.com", UpstreamProtocol::Auto, "two"),
    ] {
        let mut tls = ca.upstream(Some(ca.secret(A)), vec![uri(B)]);
        (tls.sni, tls.alpn) = (Some(sni.into()), Vec::new());
        let mut upstream = cluster(&[server.address()]);
        upstream.transport = UpstreamTransport::Tls(Arc::new(tls));
        upstream.protocol = protocol;
        let client = net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![upstream]));
        let answer = http1(&client, get("/")).await;
        assert_eq!((answer.status, &*answer.body), (200, expected), "{sni} {protocol:?}");
    }
    let mut tls = ca.upstream(Some(ca.secret(A)), vec![uri(B)]);
    tls.sni = Some("three.example.com".into());
    let lost = client(tls, &server);
    assert_eq!(http1(&lost, get("/")).await.status, 503);
    assert_eq!(server.seen.refused(0).await, "filter_chain_not_found");
}
