//! Who is admitted.
#![allow(clippy::unwrap_used)]

use mesh_runtime::{drain, xds::Remote};
use tonic::Code;

use super::*;
use crate::testing::{node, received, settings, split};

fn ads(admit: Admit) -> (Ads, Discovery, Status) {
    let metrics = Arc::new(Metrics::new());
    let status = Status::new(metrics.clone());
    let discovery = Discovery::new(settings(), status.clone(), metrics, 1);
    (Ads { discovery: discovery.clone(), status: status.clone(), settings: settings(), admit }, discovery, status)
}

fn peer(identity: Option<&str>) -> Peer {
    let mut peer = Peer::anonymous(Remote::Unix);
    peer.identity = identity.map(|id| id.parse().unwrap());
    peer
}

#[tokio::test]
async fn only_a_proxy_that_is_who_it_says_gets_anything() {
    let (ads, discovery, status) = ads(Admit::Identified);
    discovery.push(received(&split(80))).await;
    let open = |identity: Option<&'static str>| ads.open(peer(identity), Arc::new(node("shop", "web")));
    assert_eq!(open(None).await.unwrap_err().code(), Code::Unauthenticated);
    for stranger in
        ["spiffe://cluster.local/ns/shop/sa/other", "spiffe://cluster.local/ns/bank/sa/web", "spiffe://elsewhere/ns/shop/sa/web"]
    {
        assert_eq!(open(Some(stranger)).await.unwrap_err().code(), Code::PermissionDenied, "{stranger}");
    }
    assert!(status.scopes().is_empty());
    let subscription = open(Some("spiffe://cluster.local/ns/shop/sa/web")).await.unwrap();
    assert!(subscription.snapshots.borrow().is_some());
    assert_eq!(status.scopes().len(), 1);
    assert!(status.scopes()[0].1.is_authenticated);
}

#[tokio::test]
async fn a_proxy_that_comes_before_the_first_configuration_waits() {
    let (ads, discovery, _) = ads(Admit::Anyone);
    let mut subscription = ads.open(peer(None), Arc::new(node("shop", "web"))).await.unwrap();
    assert!(subscription.snapshots.borrow_and_update().is_none());
    discovery.push(received(&split(80))).await;
    subscription.snapshots.changed().await.unwrap();
    assert!(subscription.snapshots.borrow().is_some());
}

#[tokio::test]
async fn on_the_plaintext_port_nobody_is_authenticated_whatever_they_say() {
    let (ads, _, status) = ads(Admit::Anyone);
    ads.open(peer(Some("spiffe://cluster.local/ns/shop/sa/web")), Arc::new(node("shop", "web"))).await.unwrap();
    let held = ads.open(peer(None), Arc::new(node("shop", "web"))).await.unwrap();
    assert!(status.scopes().iter().all(|(_, scope)| !scope.is_authenticated));
    drop(held);
}

#[tokio::test]
async fn malformed_nodes_are_told_what_is_wrong() {
    let (ads, ..) = ads(Admit::Anyone);
    let mut node = node("shop", "web");
    node.id = "me".into();
    let refused = ads.open(peer(None), Arc::new(node)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("sidecar~IP~NAME.NAMESPACE~DNS-DOMAIN"), "{refused}");
}

#[tokio::test]
async fn plaintext_is_for_loopback_only() {
    let enrollment = enroll::Enrollment {
        id: "spiffe://cluster.local/ns/mesh-system/sa/mesh-pilot".parse().unwrap(),
        citadel: "127.0.0.1:1".parse().unwrap(),
        peers: Peers::id("spiffe://cluster.local/ns/mesh-system/sa/mesh-citadel".parse().unwrap()),
        roots: "/nonexistent".into(),
        token: mesh_runtime::svid::Token::File("/nonexistent".into()),
        renewal: mesh_runtime::svid::Renewal::Certificate,
    };
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        plaintext: Some("0.0.0.0:0".parse().unwrap()),
        monitoring: None,
        galley: "127.0.0.1:1".into(),
        galley_id: "spiffe://cluster.local/ns/mesh-system/sa/mesh-galley".parse().unwrap(),
        enrollment,
        mesh: settings(),
        debounce: crate::Debounce::default(),
    };
    assert!(matches!(bind(config.clone()).await, Err(Error::Plaintext(_))));
    let bound = bind(Config { plaintext: None, ..config }).await.unwrap();
    assert!(!bound.ads.to_string().ends_with(":0"));
    // Without a trust bundle there is no identity, and Pilot says so instead of serving.
    let (_trigger, watch) = drain::channel();
    assert!(matches!(bound.run(watch).await, Err(Error::Enroll(_))));
}
