//! Snapshots swapped under load, listeners that come and go, drains.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::HeaderValue;
use mesh_runtime::task::Tasks;
use tokio::io::AsyncReadExt as _;

use super::fixture::*;
use crate::snapshot::*;

/// A snapshot whose answers carry its generation.
fn marked(generation: u64, address: Address, backend: std::net::SocketAddr) -> Snapshot {
    let mut route = route("/", |_| {});
    route.headers.response.set.push(HeaderEdit {
        name: HeaderKey::Name("x-generation".parse().unwrap()),
        value: HeaderFormat::Literal(HeaderValue::from(generation)),
        append: AppendAction::OverwriteIfExistsOrAdd,
        keep_empty: false,
    });
    let mut config = config(http_chain(hcm(vec![route])), vec![cluster(&[backend])]);
    config.generation = generation;
    config.edit = Box::new(move |listener| listener.addresses = vec![address.clone()]);
    snapshot(config)
}

#[tokio::test]
async fn a_swap_under_load_loses_nothing() {
    let tasks = Tasks::new("load");
    let backend = echo(&tasks).await;
    let loopback = Address::Socket(([127, 0, 0, 1], 0).into());
    let net = net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![cluster(&[backend])]));
    let (done, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let address = net.address();
    for _ in 0..4 {
        let (done, sent) = (done.clone(), sent.clone());
        let mut client = client1(&net).await;
        tasks.spawn("client", async move {
            while !done.load(SeqCst) {
                client.ready().await.unwrap();
                let answer = read(client.send_request(get("/")).await.unwrap()).await;
                assert_eq!(answer.status, 200);
                sent.fetch_add(1, SeqCst);
            }
        });
    }
    for generation in 2..200 {
        assert!(net.plane.apply(Arc::new(marked(generation, loopback.clone(), backend))).is_empty());
        let before = sent.load(SeqCst);
        until(|| (sent.load(SeqCst) >= before + 10).then_some(())).await;
    }
    let answer = http1(&net, get("/")).await;
    assert_eq!(answer.header("x-generation"), "199");
    assert_eq!(net.address(), address, "the socket stays");
    done.store(true, SeqCst);
    assert!(tasks.shutdown(Duration::from_millis(500)).await != mesh_runtime::task::Shutdown::Clean, "the backend runs for ever");
    assert!(sent.load(SeqCst) > 1900);
}

#[tokio::test]
async fn a_removed_listener_drains() {
    let tasks = Tasks::new("backend");
    let backend = echo(&tasks).await;
    let net = net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![cluster(&[backend])]));
    let address = net.address();
    let mut client = client1(&net).await;
    assert_eq!(read(client.send_request(get("/")).await.unwrap()).await.status, 200);
    let before = net.plane.snapshot();
    let (clusters, cluster_names) = (before.clusters.clone(), before.cluster_names.clone());
    let without = Snapshot { generation: 2, clusters, cluster_names, ..Snapshot::default() };
    assert!(net.plane.apply(Arc::new(without)).is_empty());
    assert!(net.plane.listeners().is_empty());
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        assert!(std::time::Instant::now() < deadline, "the socket does not close");
    }
    client.ready().await.unwrap();
    let answer = read(client.send_request(get("/")).await.unwrap()).await;
    assert_eq!((answer.status, answer.header("connection")), (200, "close"), "an idle connection is told, not cut");
    net.seen.all_closed().await;
}

#[tokio::test]
async fn an_idle_connection_of_a_removed_listener_does_not_hold_up_the_end() {
    let net = net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![cluster(&[])]));
    let mut client = client1(&net).await;
    assert_eq!(read(client.send_request(get("/")).await.unwrap()).await.status, 503);
    let silent = tokio::net::TcpStream::connect(net.address()).await.unwrap();
    assert!(net.plane.apply(Arc::new(Snapshot { generation: 2, ..Snapshot::default() })).is_empty());
    let start = std::time::Instant::now();
    net.plane.drain(Duration::from_secs(20)).await;
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    drop((client, silent));
}

#[tokio::test]
async fn an_orderly_end_waits_a_moment_for_idle_connections() {
    let tasks = Tasks::new("backend");
    let backend = echo(&tasks).await;
    let net = net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![cluster(&[backend])]));
    let (mut idle, mut late) = (client1(&net).await, client1(&net).await);
    let silent = tokio::net::TcpStream::connect(net.address()).await.unwrap();
    for client in [&mut idle, &mut late] {
        assert_eq!(read(client.send_request(get("/")).await.unwrap()).await.header("connection"), "");
        client.ready().await.unwrap();
    }
    let Net { plane, tasks: running, .. } = net;
    let start = std::time::Instant::now();
    let asking = async {
        // The drain has begun: nothing is listened on any more.
        until(|| plane.listeners().is_empty().then_some(())).await;
        read(late.send_request(get("/")).await.unwrap()).await
    };
    let (answer, ()) = tokio::join!(asking, plane.drain(Duration::from_secs(20)));
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop((running, idle, silent));
}

#[tokio::test]
async fn a_request_in_flight_is_finished_before_the_end() {
    let tasks = Tasks::new("backend");
    let (go, gate) = tokio::sync::watch::channel(false);
    let backend = backend(&tasks, move |_| {
        let mut gate = gate.clone();
        async move {
            let _ = gate.wait_for(|open| *open).await;
            text(200, "late but whole")
        }
    })
    .await;
    let net = net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![cluster(&[backend])]));
    let mut client = client1(&net).await;
    let answer = client.send_request(get("/"));
    let snapshot = net.plane.snapshot();
    let load = &snapshot.clusters[0].as_ref().unwrap().state.load[0];
    let Net { plane, tasks: running, .. } = net;
    let asking = async { read(answer.await.unwrap()).await };
    let ending = async {
        until(|| (load.requests.load(SeqCst) == 1).then_some(())).await;
        let draining = plane.drain(Duration::from_secs(20));
        go.send_replace(true);
        draining.await;
    };
    let (answer, ()) = tokio::join!(asking, ending);
    assert_eq!((answer.status, &*answer.body), (200, "late but whole"));
    drop(running);
}

#[tokio::test]
async fn what_does_not_end_is_forced() {
    let tasks = Tasks::new("backend");
    let backend = backend(&tasks, |_| std::future::pending()).await;
    let net = net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![cluster(&[backend])]));
    let mut client = client1(&net).await;
    let answer = client.send_request(get("/"));
    let snapshot = net.plane.snapshot();
    let load = &snapshot.clusters[0].as_ref().unwrap().state.load[0];
    let Net { plane, seen, tasks: running } = net;
    let ending = async {
        until(|| (load.requests.load(SeqCst) == 1).then_some(())).await;
        plane.drain(Duration::from_millis(20)).await;
    };
    let (answer, ()) = tokio::join!(answer, ending);
    assert!(answer.is_err());
    assert_eq!(seen.request(0).await.flags, "DC");
    drop(running);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_forced_too() {
    let mut config = config(http_chain(hcm(vec![route("/", |_| {})])), vec![cluster(&[])]);
    config.edit = Box::new(|listener| listener.inspectors.http = true);
    let net = net(config);
    let mut silent = tokio::net::TcpStream::connect(net.address()).await.unwrap();
    until(|| (net.plane.listeners()[0].connections == 1).then_some(())).await;
    net.plane.drain(Duration::from_millis(20)).await;
    assert_eq!(net.seen.refused(0).await, "drained");
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn an_address_that_is_taken_hurts_only_itself() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Socket(taken.local_addr().unwrap());
    let tasks = Tasks::new("backend");
    let backend = echo(&tasks).await;
    let net = net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![cluster(&[backend])]));
    let mut both = marked(2, Address::Socket(([127, 0, 0, 1], 0).into()), backend);
    let mut other = crate::plan::fixture::listener(Vec::new());
    other.addresses = vec![address.clone()];
    other.slot = ListenerSlot(1);
    both.listeners.push(Some(Arc::new(other)));
    let both = Arc::new(both);
    let failed = net.plane.apply(both);
    assert_eq!(failed.len(), 1);
    assert!(failed[0].to_string().contains("another process or listener has it"), "{}", failed[0]);
    assert_eq!(http1(&net, get("/")).await.header("x-generation"), "2");
    drop(taken);
    assert!(net.plane.retry_failures().is_empty());
    assert_eq!(net.plane.listeners().len(), 2);
}

#[tokio::test]
async fn unix_sockets_listen_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.sock");
    let tasks = Tasks::new("backend");
    let backend = echo(&tasks).await;
    let net = net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![cluster(&[backend])]));
    assert!(net.plane.apply(Arc::new(marked(2, Address::Pipe(path.clone()), backend))).is_empty());
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn names_are_resolved_on_the_side() {
    let tasks = Tasks::new("backend");
    let backend = echo(&tasks).await;
    let mut upstream = cluster(&[]);
    upstream.discovery = Discovery::StrictDns { refresh: Duration::from_secs(5) };
    let mut set = crate::plan::fixture::endpoint_set(Vec::new());
    set.names = vec![("backend.example".into(), backend.port())];
    upstream.endpoints = Arc::new(set);
    let net = net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![upstream]));
    assert_eq!(&*net.plane.names()[0].host, "backend.example");
    assert_eq!(http1(&net, get("/")).await.body, "no healthy upstream");
    net.plane.resolved("backend.example", vec![backend.ip()]);
    assert_eq!(http1(&net, get("/")).await.status, 200);
    let before = net.plane.snapshot();
    net.plane.resolved("backend.example", vec![backend.ip()]);
    assert!(Arc::ptr_eq(&before, &net.plane.snapshot()), "nothing changed");
    net.plane.resolved("backend.example", Vec::new());
    assert_eq!(http1(&net, get("/")).await.status, 503);
}
