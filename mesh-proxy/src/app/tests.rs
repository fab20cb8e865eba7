//! The proxy as a whole, against servers in this process.

#![allow(clippy::unwrap_used)]

mod mesh;

use std::sync::Arc;

use mesh_proto::{
    any,
    envoy::config::{cluster::v3::Cluster, core::v3::Node as WireNode, listener::v3::Listener as WireListener},
    json, type_url,
};
use mesh_runtime::{
    drain::DrainTrigger,
    grpc,
    xds::{
        Event, Handler, Peer, Resource, Snapshot, Subscription,
        server::{Limits, Server},
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, watch},
};
use tonic::{Status, service::Routes};

use super::*;

fn hcm_listener(name: &str, port: u16, body: &str) -> Value {
    json!({
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "ingress",
                "route_config": {"name": "local", "virtual_hosts": [{
                    "name": "all", "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": body}}}],
                }]},
                "http_filters": [{
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
                }],
            },
        }]}],
    })
}

fn bootstrap(static_resources: &Value, dynamic_resources: &Value) -> Config {
    let text = json!({
        "node": {"id": "sidecar~127.0.0.1~a.shop~shop.svc.cluster.local", "cluster": "a.shop", "metadata": {"WORKLOAD_NAME": "a"}},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": static_resources,
        "dynamic_resources": dynamic_resources,
    });
    Config::new(ConfigSource::Bootstrap(Box::new(Bootstrap { text: text.to_string(), ..Bootstrap::default() })))
}

/// Status line and headers apart from the body.
async fn ask(address: SocketAddr, line: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok(), "{what}");
}

struct Running {
    admin: SocketAddr,
    readiness: Readiness,
    listeners: Arc<DataPlane>,
    trigger: DrainTrigger,
    tasks: Tasks,
    ended: mpsc::UnboundedReceiver<Result<(), String>>,
}

async fn start(config: Config) -> Running {
    let bound = bind(config).await.unwrap();
    let (admin, readiness, listeners) = (bound.addrs.admin.unwrap(), bound.readiness.clone(), bound.parts.plane.clone());
    let (trigger, watch) = drain::channel();
    let tasks = Tasks::new("test");
    let (sender, ended) = mpsc::unbounded_channel();
    tasks.spawn("proxy", async move {
        let result = bound.run(watch).await.map_err(|error| error.to_string());
        let _ = sender.send(result);
    });
    Running { admin, readiness, listeners, trigger, tasks, ended }
}

fn address_of(plane: &DataPlane, name: &str) -> Option<SocketAddr> {
    plane.listeners().into_iter().find(|listener| &*listener.name == name).and_then(|listener| match listener.local {
        crate::snapshot::Address::Socket(address) => Some(address),
        crate::snapshot::Address::Pipe(_) => None,
    })
}

#[tokio::test]
async fn a_static_bootstrap_serves_and_tells_of_itself() {
    let config = bootstrap(&json!({"listeners": [hcm_listener("web", 0, "hello")]}), &json!({}));
    let mut proxy = start(config).await;
    assert!(proxy.readiness.is_ready());
    let web = address_of(&proxy.listeners, "web").unwrap();
    let (head, body) = ask(web, "GET /x").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, "hello");

    let admin = proxy.admin;
    let page = async |path: &str| ask(admin, &format!("GET {path}")).await;
    assert_eq!(page("/ready").await.1, "LIVE\n");
    until("the request is counted", async || page("/stats").await.1.contains("http.ingress.downstream_rq_2xx: 1\n")).await;
    let prometheus = page("/stats/prometheus").await.1;
    let expected = "envoy_http_downstream_rq_xx{envoy_response_code_class=\"2\",envoy_http_conn_manager_prefix=\"ingress\"} 1\n";
    assert!(prometheus.contains(expected), "{prometheus}");
    assert_eq!(page("/listeners").await.1, format!("web::{web}\n"));
    let dump: Value = serde_json::from_str(&page("/config_dump").await.1).unwrap();
    assert_eq!(dump["configs"][0]["bootstrap"]["node"]["cluster"], "a.shop");
    let listeners: Value = serde_json::from_str(&page("/config_dump?resource=static_listeners").await.1).unwrap();
    assert_eq!(listeners["configs"][0]["listener"]["name"], "web");
    let info: Value = serde_json::from_str(&page("/server_info").await.1).unwrap();
    assert_eq!(info["state"], "LIVE");
    assert_eq!(page("/certs").await.1, "{\"certificates\":[]}");
    assert!(page("/clusters").await.0.starts_with("HTTP/1.1 200"));
    assert!(page("/stats?filter=(").await.0.starts_with("HTTP/1.1 400"));
    assert!(page("/quitquitquit").await.0.starts_with("HTTP/1.1 405"));

    assert_eq!(ask(admin, "POST /quitquitquit").await.1, "OK\n");
    assert_eq!(proxy.ended.recv().await.unwrap(), Ok(()));
    assert!(TcpStream::connect(web).await.is_err(), "nobody listens any more");
    drop(proxy.trigger);
    proxy.tasks.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_bootstrap_is_said() {
    let mut listener = hcm_listener("web", 0, "hello");
    listener["filter_chains"][0]["filters"] = json!([]);
    let error = bind(bootstrap(&json!({"listeners": [listener]}), &json!({}))).await.err().unwrap();
    assert!(error.to_string().contains("web"), "{error}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = bootstrap(&json!({"listeners": [hcm_listener("web", taken.local_addr().unwrap().port(), "")]}), &json!({}));
    let error = bind(config).await.err().unwrap();
    assert!(matches!(error, Error::Listener(_)), "{error}");
}

/// Feeds whoever comes, and hears what they say.
struct Open(watch::Receiver<Option<Arc<Snapshot>>>, mpsc::UnboundedSender<Event>);

impl Handler for Open {
    async fn open(&self, _peer: Peer, node: Arc<WireNode>) -> Result<Subscription, Status> {
        assert_eq!(node.user_agent_name, "mesh-proxy");
        let events = self.1.clone();
        Ok(Subscription::new(self.0.clone()).observe(move |event| drop(events.send(event))))
    }
}

fn resources(listeners: &[Value]) -> Arc<Snapshot> {
    let mut builder = Snapshot::builder();
    for listener in listeners {
        let wire: WireListener = json::decode(listener.clone()).unwrap();
        builder.insert(type_url::LISTENER, Resource::new(wire.name.clone(), any::pack(&wire)));
    }
    let cluster: Cluster = json::decode(json!({"name": "c", "type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}}}})).unwrap();
    builder.insert(type_url::CLUSTER, Resource::new("c", any::pack(&cluster)));
    let endpoints = json::decode::<mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment>(json!({
        "cluster_name": "c",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9}}}}]}],
    }));
    builder.insert(type_url::ENDPOINT, Resource::new("c", any::pack(&endpoints.unwrap())));
    Arc::new(builder.build())
}

#[tokio::test]
async fn an_xds_server_configures_it_and_hears_of_bad_resources() {
    for api_type in ["DELTA_GRPC", "GRPC"] {
        let (feed, snapshots) = watch::channel(None);
        let (sender, mut events) = mpsc::unbounded_channel();
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), listen::Options::default()).unwrap();
        let port = listener.address().tcp().unwrap().port();
        let (server_trigger, server_watch) = drain::channel();
        let server = Tasks::new("server");
        let service =
            Server::new(Arc::new(Open(snapshots, sender)), server.spawner(), server_watch.clone(), Limits::default()).into_service();
        server.spawn("ads", grpc::serve(listener, Routes::new(service), grpc::Options::default(), server_watch));

        let ads = json!({
            "ads_config": {"api_type": api_type, "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
        });
        let xds = json!({
            "name": "xds", "type": "STATIC",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
            "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}},
            ]}]},
        });
        let proxy = start(bootstrap(&json!({"clusters": [xds]}), &ads)).await;
        assert_eq!(ask(proxy.admin, "GET /ready").await.1, "PRE_INITIALIZING\n");
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        feed.send_replace(Some(resources(&[hcm_listener("web", free, "one")])));
        tokio::time::timeout(Duration::from_secs(20), proxy.readiness.wait()).await.unwrap();
        let web = address_of(&proxy.listeners, "web").unwrap();
        assert_eq!(ask(web, "GET /").await.1, "one");

        let mut bad = hcm_listener("bad", 0, "");
        bad["filter_chains"][0]["filters"] = json!([]);
        feed.send_replace(Some(resources(&[hcm_listener("web", free, "two"), bad])));
        until("the new answer", async || ask(web, "GET /").await.1 == "two").await;
        let refused = loop {
            if let Event::Nack { names, .. } = events.recv().await.unwrap() {
                break names;
            }
        };
        assert_eq!(refused, ["bad".into()]);
        let dump: Value = serde_json::from_str(&ask(proxy.admin, "GET /config_dump?include_eds").await.1).unwrap();
        let text = dump.to_string();
        assert!(
            text.contains("\"dynamic_active_clusters\"") && text.contains("\"error_state\"") && text.contains("EndpointsConfigDump"),
            "{text}"
        );
        assert!(ask(proxy.admin, "GET /clusters").await.1.contains("c::127.0.0.1:9::health_flags::healthy\n"));
        assert!(ask(proxy.admin, "GET /stats").await.1.contains("listener_manager.lds.update_rejected: 1\n"));

        // The server goes: what is in force stays.
        drop(server_trigger);
        server.shutdown(Duration::from_secs(5)).await;
        assert_eq!(ask(web, "GET /").await.1, "two");
        proxy.trigger.drain(Duration::from_secs(10)).await;
        proxy.tasks.shutdown(Duration::from_secs(5)).await;
    }
}
