//! Who is served what over MCP.
#![allow(clippy::unwrap_used)]

use mesh_runtime::xds::Remote;

use super::*;
use crate::{store::Uncertain, testing};

const PILOT: &str = "spiffe://cluster.local/ns/mesh-system/sa/mesh-pilot";
const MIXER: &str = "spiffe://cluster.local/ns/mesh-system/sa/mesh-mixer";

async fn subscription(mcp: &Mcp, identity: Option<&str>) -> Result<Subscription, Status> {
    let mut peer = Peer::anonymous(Remote::Unix);
    peer.identity = identity.map(|id| id.parse().unwrap());
    mcp.open(peer, Arc::new(Node::default())).await
}

#[tokio::test]
async fn secrets_are_for_pilot_alone() {
    let (outlet, served) = Outlet::new();
    let subscribers = Subscribers::new(served, Arc::new(Metrics::new()));
    let may_have_secrets = vec![PILOT.parse().unwrap()];
    let mcp = Mcp { trusted: outlet.trusted(), others: outlet.others(), may_have_secrets, subscribers };
    let (chain, key) = testing::pair();
    let secret = testing::secret("edge", "cert", &[("tls.crt", &chain), ("tls.key", &key)]);
    let gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: edge}\nspec:\n  selector: {app: g}\n  servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, credentialName: cert}}]\n";
    outlet.put(&testing::snapshot(&format!("{secret}---\n{gateway}")), &Uncertain::default());
    let secrets = |subscription: Subscription| {
        let snapshot = subscription.snapshots.borrow().clone().unwrap();
        snapshot.resources("mesh.dev/mcp/v1/Secret").map_or(0, |list| list.len())
    };
    assert_eq!(secrets(subscription(&mcp, Some(PILOT)).await.unwrap()), 1);
    assert_eq!(secrets(subscription(&mcp, Some(MIXER)).await.unwrap()), 0);
    assert!(subscription(&mcp, None).await.is_err());
}
