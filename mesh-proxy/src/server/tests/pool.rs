//! Connections to endpoints are opened for whoever waits, not for one request.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use mesh_runtime::task::Tasks;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::fixture::*;
use crate::snapshot::*;

/// An endpoint that accepts, and hangs up once `go` says so: TLS with it is begun and never made. Counts connections.
async fn half_open(tasks: &Tasks) -> (SocketAddr, Arc<AtomicUsize>, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (go, gate) = watch::channel(false);
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let (spawner, counter) = (tasks.spawner(), count.clone());
    tasks.spawn("endpoint", async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, SeqCst);
            let mut gate = gate.clone();
            spawner.spawn("connection", async move {
                let _ = gate.wait_for(|open| *open).await;
                drop(stream);
            });
        }
    });
    (address, count, go)
}

/// One worker in front of an endpoint that wants TLS.
fn towards(address: SocketAddr, protocol: UpstreamProtocol) -> Net {
    let mut upstream = cluster(&[address]);
    upstream.protocol = protocol;
    upstream.transport = UpstreamTransport::Tls(Arc::new(UpstreamTls {
        certificate: None,
        validation: None,
        sni: None,
        auto_host_sni: false,
        alpn: Vec::new(),
        versions: TlsVersions::Tls12And13,
        max_session_keys: 1,
        name: "t".into(),
    }));
    net_of(1, config(http_chain(hcm(vec![route("/", |_| {})])), vec![upstream]))
}

fn state(net: &Net) -> Arc<crate::upstream::state::ClusterState> {
    net.plane.snapshot().clusters[0].as_ref().unwrap().state.clone()
}

#[tokio::test]
async fn all_who_wait_for_an_attempt_fail_with_it() {
    for protocol in [UpstreamProtocol::Http2, UpstreamProtocol::Auto] {
        let tasks = Tasks::new("endpoint");
        let (address, count, go) = half_open(&tasks).await;
        let net = towards(address, protocol);
        let (state, mut asking) = (state(&net), Vec::new());
        for _ in 0..4 {
            let mut client = client1(&net).await;
            let answer = client.send_request(get("/"));
            asking.push((client, answer));
        }
        until(|| (state.load[0].pending.load(SeqCst) == 4 && count.load(SeqCst) == 1).then_some(())).await;
        assert_eq!(state.load[0].connections.load(SeqCst), 1);
        go.send_replace(true);
        for (_client, answer) in asking {
            assert_eq!(answer.await.unwrap().status(), 503);
        }
        assert_eq!(count.load(SeqCst), 1, "nobody tries again what has just failed");
        until(|| (state.load[0].pending.load(SeqCst) + state.load[0].connections.load(SeqCst) == 0).then_some(())).await;
    }
}

#[tokio::test]
async fn who_gives_up_ends_nobody_elses_attempt() {
    let tasks = Tasks::new("endpoint");
    let (address, count, go) = half_open(&tasks).await;
    let net = towards(address, UpstreamProtocol::Http2);
    let state = state(&net);
    let mut impatient = TcpStream::connect(net.address()).await.unwrap();
    impatient.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until(|| (count.load(SeqCst) == 1).then_some(())).await;
    let mut client = client1(&net).await;
    let patient = client.send_request(get("/"));
    until(|| (state.load[0].pending.load(SeqCst) == 2).then_some(())).await;
    drop(impatient);
    assert_eq!(net.seen.request(0).await.flags, "DC");
    assert_eq!(state.load[0].pending.load(SeqCst), 1);
    assert_eq!(state.load[0].connections.load(SeqCst), 1, "the attempt goes on");
    go.send_replace(true);
    assert_eq!(patient.await.unwrap().status(), 503);
    assert_eq!((count.load(SeqCst), net.seen.request(1).await.flags), (1, "UF".to_owned()));
}

#[tokio::test]
async fn a_connection_is_handed_to_who_has_waited_longest() {
    let tasks = Tasks::new("backend");
    let (go, gate) = watch::channel(0);
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let address = backend(&tasks, move |_| {
        let (mut gate, number) = (gate.clone(), counter.fetch_add(1, SeqCst) + 1);
        async move {
            let _ = gate.wait_for(|let_through| *let_through >= number).await;
            text(200, "ok")
        }
    })
    .await;
    let mut upstream = cluster(&[address]);
    upstream.protocol = UpstreamProtocol::Http1;
    upstream.breakers.max_connections = 1;
    let net = net_of(1, config(http_chain(hcm(vec![route("/", |_| {})])), vec![upstream]));
    let state = state(&net);
    let mut first = client1(&net).await;
    let first = first.send_request(get("/"));
    until(|| (asked.load(SeqCst) == 1).then_some(())).await;
    let mut impatient = TcpStream::connect(net.address()).await.unwrap();
    impatient.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until(|| (state.load[0].pending.load(SeqCst) == 1).then_some(())).await;
    let mut last = client1(&net).await;
    let last = last.send_request(get("/"));
    until(|| (state.load[0].pending.load(SeqCst) == 2).then_some(())).await;
    drop(impatient);
    go.send_replace(2);
    assert_eq!(read(first.await.unwrap()).await.status, 200);
    assert_eq!(read(last.await.unwrap()).await.status, 200);
    assert_eq!(state.totals.connections.load(SeqCst), 1);
}
