//! TCP relays.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::fixture::*;
use crate::{
    plan::fixture,
    snapshot::{ChainMatch, FilterChain, Inspectors, NetworkFilter, Rbac, RbacAction, Rules},
};

fn tcp_chain() -> FilterChain {
    Arc::into_inner(fixture::chain("tcp", ChainMatch::default())).unwrap()
}

/// A backend that reads to the end, then answers with what it read, reversed.
async fn reverser(net_tasks: &mesh_runtime::task::Tasks) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let spawner = net_tasks.spawner();
    net_tasks.spawn("backend", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            spawner.spawn("connection", async move {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                all.reverse();
                stream.write_all(&all).await.unwrap();
            });
        }
    });
    address
}

#[tokio::test]
async fn half_close_is_passed_on() {
    let tasks = mesh_runtime::task::Tasks::new("backend");
    let net = net(config(tcp_chain(), vec![cluster(&[reverser(&tasks).await])]));
    let payload: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    let (mut read, mut write) = TcpStream::connect(net.address()).await.unwrap().into_split();
    let sent = payload.clone();
    let writing = async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
        write
    };
    let mut answer = Vec::new();
    let (_write, read) = tokio::join!(writing, read.read_to_end(&mut answer));
    read.unwrap();
    answer.reverse();
    assert!(answer == payload, "{} bytes of {}", answer.len(), payload.len());
    let seen = net.seen.tcp(0).await;
    assert_eq!((seen.received, seen.sent, &*seen.flags), (3_000_000, 3_000_000, ""));
    net.seen.all_closed().await;
}

#[tokio::test]
async fn nobody_there_closes_the_connection() {
    let net = net(config(tcp_chain(), vec![cluster(&[refusing().await])]));
    let mut stream = TcpStream::connect(net.address()).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(net.seen.tcp(0).await.flags, "UF");
}

#[tokio::test]
async fn a_network_policy_refuses() {
    let rules = Rules { action: RbacAction::Allow, policies: Vec::new() };
    let rbac = Rbac { rules: Some(rules), shadow: None, stat_prefix: "".into(), shadow_stat_prefix: "".into() };
    let mut chain = tcp_chain();
    chain.filters.push(NetworkFilter::Rbac(Arc::new(rbac)));
    let net = net(config(chain, vec![cluster(&[refusing().await])]));
    let mut stream = TcpStream::connect(net.address()).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(net.seen.refused(0).await, "rbac_deny_close");
}

#[tokio::test]
async fn protocols_are_told_apart() {
    let tasks = mesh_runtime::task::Tasks::new("backend");
    let mut http = http_chain(hcm(vec![route("/", |_| {})]));
    http.matcher.application_protocols = vec!["http/1.1".into(), "h2c".into()];
    let mut upstream = cluster(&[reverser(&tasks).await]);
    upstream.name = "tcp".into();
    let web = cluster(&[echo(&tasks).await]);
    let mut tcp = fixture::tcp_proxy();
    tcp.clusters = vec![(crate::snapshot::ClusterSlot(1), 1)];
    let mut other = tcp_chain();
    other.terminal = crate::snapshot::Terminal::Tcp(Arc::new(tcp));
    let mut config = config(http, vec![web, upstream]);
    config.chains.push(Arc::new(other));
    config.edit = Box::new(|listener| listener.inspectors = Inspectors { http: true, tls: true, ..Inspectors::default() });
    let net = net(config);
    assert_eq!(http1(&net, get("/web")).await.body, "GET /web HTTP/1.1 ");
    let mut stream = TcpStream::connect(net.address()).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "olleh");
}
