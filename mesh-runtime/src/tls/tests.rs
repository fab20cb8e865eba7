//! Handshakes over memory pipes: who is believed, who is not, and what a rotation changes.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::ExtendedKeyUsagePurpose;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::*;
use crate::svid::fixture::{Leaf, TestCa, id};
use crate::svid::{self, Source};

const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/frontend";
const SERVER: &str = "spiffe://cluster.local/ns/shop/sa/inventory";

type Handshake = (std::io::Result<client::TlsStream<DuplexStream>>, std::io::Result<server::TlsStream<DuplexStream>>);

/// A handshake, then one byte from the server: a client of TLS 1.3 learns only by reading that it was refused.
async fn shake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Handshake {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("outbound_.80_._.inventory.shop.svc.cluster.local").unwrap();
    let connect = async {
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        stream.read_u8().await?;
        Ok(stream)
    };
    let accept = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        stream.write_u8(1).await?;
        stream.flush().await?;
        Ok(stream)
    };
    tokio::join!(connect, accept)
}

fn client_of(source: &Source, peers: Peers) -> Arc<ClientConfig> {
    client_config(Some(source.clone().into()), source.clone().into(), peers, &[b"istio", ALPN_H2]).unwrap()
}

fn server_of(source: &Source, auth: fn(Roots, Peers) -> ClientAuth, peers: Peers) -> Arc<ServerConfig> {
    server_config(source.clone().into(), auth(source.clone().into(), peers), &[ALPN_H2, b"istio"]).unwrap()
}

fn source(ca: &TestCa, uri: &str) -> Source {
    Source::fixed(ca.svid(&Leaf::of(uri)))
}

fn reason<T>(result: std::io::Result<T>) -> String {
    match result {
        Ok(_) => panic!("the handshake succeeded"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn two_workloads_prove_themselves_to_each_other() {
    let ca = TestCa::new();
    let client = client_of(&source(&ca, CLIENT), Peers::id(id(SERVER)));
    let server = server_of(&source(&ca, SERVER), ClientAuth::Required, Peers::AnySpiffe);
    let (client, server) = shake(client, server).await;
    let (client, server) = (client.unwrap(), server.unwrap());
    let peer = |certificates: Option<&[rustls_pki_types::CertificateDer<'_>]>| peer_spiffe_id(&certificates.unwrap()[0]);
    assert_eq!(peer(client.get_ref().1.peer_certificates()).unwrap(), id(SERVER));
    assert_eq!(peer(server.get_ref().1.peer_certificates()).unwrap(), id(CLIENT));
    let session = server.get_ref().1;
    assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(session.negotiated_key_exchange_group().unwrap().name(), rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(session.alpn_protocol(), Some(ALPN_H2));
}

#[tokio::test]
async fn a_peer_with_another_identity_is_refused_by_either_side() {
    let ca = TestCa::new();
    let strict = Peers::id(id("spiffe://cluster.local/ns/shop/sa/ledger"));
    let server = server_of(&source(&ca, SERVER), ClientAuth::Required, Peers::AnySpiffe);
    let (refused, _) = shake(client_of(&source(&ca, CLIENT), strict.clone()), server).await;
    let text = reason(refused);
    assert!(text.contains(SERVER) && text.contains("sa/ledger"), "{text}");

    let server = server_of(&source(&ca, SERVER), ClientAuth::Required, strict);
    let (client, refused) = shake(client_of(&source(&ca, CLIENT), Peers::AnySpiffe), server).await;
    assert!(reason(refused).contains(CLIENT));
    assert!(client.is_err());
}

#[tokio::test]
async fn another_root_another_trust_domain_and_an_expired_certificate_are_refused() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let ours = Peers::TrustDomain("cluster.local".parse().unwrap());
    let now = SystemTime::now();
    let expired = Leaf { to: now - Duration::from_secs(5), ..Leaf::of(CLIENT) };
    let early = Leaf { from: now + Duration::from_secs(600), ..Leaf::of(CLIENT) };
    let server_only = Leaf { usages: vec![ExtendedKeyUsagePurpose::ServerAuth], ..Leaf::of(CLIENT) };
    let good = source(&ca, CLIENT);
    let wrong = [
        (source(&other, CLIENT), "BadSignature"),
        (source(&ca, "spiffe://elsewhere/ns/shop/sa/frontend"), "trust domain cluster.local"),
        (Source::fixed(ca.svid(&expired)), "expired"),
        (Source::fixed(ca.svid(&early)), "not valid yet"),
        (Source::fixed(ca.svid(&server_only)), "extended key usage"),
    ];
    for (identity, expected) in wrong {
        let server = server_of(&source(&ca, SERVER), ClientAuth::Required, ours.clone());
        let client = client_config(Some(identity.into()), good.clone().into(), Peers::AnySpiffe, &[]).unwrap();
        let (client, server) = shake(client, server).await;
        let text = reason(server);
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(client.is_err());
    }
}

#[tokio::test]
async fn a_client_without_certificate_is_nobody_or_refused() {
    let ca = TestCa::new();
    let anonymous = |peers| client_config(None, source(&ca, CLIENT).into(), peers, &[]).unwrap();
    let required = server_of(&source(&ca, SERVER), ClientAuth::Required, Peers::AnySpiffe);
    let (client, server) = shake(anonymous(Peers::AnySpiffe), required).await;
    assert!(client.is_err() && server.is_err());
    let optional = server_of(&source(&ca, SERVER), ClientAuth::Optional, Peers::AnySpiffe);
    let (client, server) = shake(anonymous(Peers::AnySpiffe), optional).await;
    assert!(client.is_ok() && server.unwrap().get_ref().1.peer_certificates().is_none());
    // A wrong certificate is worse than none.
    let optional = server_of(&source(&ca, SERVER), ClientAuth::Optional, Peers::AnySpiffe);
    let stranger = source(&TestCa::new(), CLIENT);
    let liar = client_config(Some(stranger.into()), source(&ca, CLIENT).into(), Peers::AnySpiffe, &[]).unwrap();
    assert!(shake(liar, optional).await.1.is_err());
}

#[tokio::test]
async fn dns_names_are_matched_when_asked_for() {
    let ca = TestCa::new();
    let pilot = Leaf { dns: vec!["mesh-pilot.mesh-system.svc".to_owned()], ..Leaf::of(SERVER) };
    let server = || server_config(Source::fixed(ca.svid(&pilot)).into(), ClientAuth::None, &[]).unwrap();
    let client = |name| client_of(&source(&ca, CLIENT), Peers::dns(name).unwrap());
    assert!(shake(client("mesh-pilot.mesh-system.svc"), server()).await.0.is_ok());
    assert!(shake(client("mesh-galley.mesh-system.svc"), server()).await.0.is_err());
    assert!(Peers::dns("not a name").is_err());
}

#[tokio::test]
async fn a_rotation_changes_the_next_handshake_and_leaves_the_open_connection_alone() {
    let (old, new) = (TestCa::new(), TestCa::new());
    let (publisher, live) = svid::channel();
    let config = server_of(&live, ClientAuth::Required, Peers::AnySpiffe);
    let client = |ca| client_of(&source(ca, CLIENT), Peers::id(id(SERVER)));
    assert!(shake(client(&old), config.clone()).await.1.is_err(), "no certificate yet: nobody is served");

    publisher.publish(old.svid(&Leaf::of(SERVER)));
    let (open_client, open_server) = shake(client(&old), config.clone()).await;
    let (mut open_client, mut open_server) = (open_client.unwrap(), open_server.unwrap());

    publisher.publish(new.svid(&Leaf::of(SERVER)));
    assert!(shake(client(&new), config.clone()).await.0.is_ok(), "the new certificate and the new roots are in force");
    assert!(shake(client(&old), config).await.0.is_err());
    open_client.write_u8(7).await.unwrap();
    open_client.flush().await.unwrap();
    assert_eq!(open_server.read_u8().await.unwrap(), 7);
}

#[tokio::test]
async fn no_session_is_resumed_past_a_certificate() {
    let ca = TestCa::new();
    let ((presenter, presented), (publisher, served)) = (svid::channel(), svid::channel());
    let client = client_of(&presented, Peers::id(id(SERVER)));
    let server = server_of(&served, ClientAuth::Required, Peers::id(id(CLIENT)));
    presenter.publish(ca.svid(&Leaf::of(CLIENT)));
    publisher.publish(ca.svid(&Leaf::of(SERVER)));
    for _ in 0..3 {
        let (accepted, _) = shake(client.clone(), server.clone()).await;
        assert_eq!(accepted.unwrap().get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
    // The same two configurations see at once that the other one is somebody else now.
    publisher.publish(ca.svid(&Leaf::of("spiffe://cluster.local/ns/shop/sa/other")));
    assert!(shake(client.clone(), server.clone()).await.0.is_err());
    publisher.publish(ca.svid(&Leaf::of(SERVER)));
    presenter.publish(ca.svid(&Leaf { to: SystemTime::now() - Duration::from_secs(5), ..Leaf::of(CLIENT) }));
    assert!(shake(client, server).await.1.is_err());
}

#[test]
fn a_spiffe_id_is_the_one_uri() {
    let ca = TestCa::new();
    let uris = |uris: &[&str]| {
        let uris = uris.iter().map(|uri| (*uri).to_owned()).collect();
        peer_spiffe_id(&ca.certificate(&Leaf { uris, ..Leaf::of(CLIENT) }))
    };
    assert_eq!(uris(&[CLIENT]).unwrap(), id(CLIENT));
    assert!(matches!(uris(&[]), Err(Error::NoSpiffeId)));
    assert!(matches!(uris(&[CLIENT, SERVER]), Err(Error::ManyUris(2))));
    assert!(matches!(uris(&["https://cluster.local/ns/shop/sa/frontend"]), Err(Error::BadSpiffeId { .. })));
    assert!(matches!(uris(&["spiffe://cluster.local/ns/shop/../sa/x"]), Err(Error::BadSpiffeId { .. })));
    assert!(matches!(peer_spiffe_id(&b"junk".as_slice().into()), Err(Error::Unreadable { .. })));
    assert!(matches!(Trust::from_pem(b""), Err(Error::NoRoots)));
    assert!(Peers::ids([]).check(&ca.certificate(&Leaf::of(CLIENT))).is_err(), "an empty set believes nobody");
}
