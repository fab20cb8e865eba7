//! The ADS session feeds the assembler and asks for what is wanted.

#![allow(clippy::unwrap_used)]

use mesh_proto::{
    any,
    envoy::{config::listener::v3::Listener, extensions::transport_sockets::tls::v3::Secret as WireSecret},
    json,
};
use mesh_runtime::{drain, ready::Readiness, task::Tasks, xds::Resource};
use serde_json::json;

use super::*;
use crate::{observe::Silent, sds::tests::svid, server::Options};

fn tls_listener() -> Resource {
    let listener: Listener = json::decode(json!({
        "name": "tls",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()}},
        "filter_chains": [{
            "filters": [{
                "name": "envoy.filters.network.tcp_proxy",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    "stat_prefix": "t", "cluster": "c",
                },
            }],
            "transport_socket": {
                "name": "envoy.transport_sockets.tls",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": {"ads": {}}}]},
                },
            },
        }],
    }))
    .unwrap();
    Resource::new("tls", any::pack(&listener))
}

fn update(type_url: &str, upserts: Vec<Resource>) -> Update {
    Update { type_url: type_url.into(), revision: None, upserts, removed: Vec::new(), first: true }
}

#[tokio::test]
async fn the_own_certificate_is_local_and_rotates_in_place() {
    let plane = Arc::new(DataPlane::start(Options::default(), Arc::new(Silent)).unwrap());
    let readiness = Readiness::new();
    let ads = Handle::default();
    let session = Session::new(Assembler::new(), plane.clone(), Some(ads), true, readiness.block("configuration"));
    session.start(Discover { listeners: true, clusters: true });
    let mut consumer = Consumer(session.clone());
    assert!(consumer.apply(update(type_url::CLUSTER, Vec::new())).is_empty());
    assert_eq!(consumer.apply(update(type_url::LISTENER, vec![tls_listener()])), []);
    assert!(!readiness.is_ready(), "the listener waits for its certificate");
    assert!(plane.listeners().is_empty());

    let (publisher, source) = svid::channel();
    let (_trigger, watch) = drain::channel();
    let tasks = Tasks::new("test");
    tasks.spawn("follow", session.clone().follow(source, watch));
    publisher.publish(svid());
    tokio::time::timeout(Duration::from_secs(10), readiness.wait()).await.unwrap();
    assert_eq!(plane.listeners().len(), 1);
    let generation = plane.snapshot().generation;
    let place = session.lock().assembler.secret(OWN_CERTIFICATE);
    let version = place.version();

    // The server has no say in it.
    let foreign = WireSecret { name: OWN_CERTIFICATE.into(), ..WireSecret::default() };
    let rejections = consumer.apply(update(type_url::SECRET, vec![Resource::new(OWN_CERTIFICATE, any::pack(&foreign))]));
    assert_eq!(rejections.len(), 1);
    assert_eq!(place.version(), version);

    publisher.publish(svid());
    let rotated = async {
        while place.version() == version {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), rotated).await.unwrap();
    assert_eq!(plane.snapshot().generation, generation, "no new snapshot, so no connection is touched");
}
