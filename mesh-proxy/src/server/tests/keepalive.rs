//! When an HTTP/1 connection may be used again, and what its client is told.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use mesh_runtime::task::Tasks;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::fixture::*;
use crate::snapshot::*;

fn answering(status: StatusCode) -> Route {
    let mut direct = route("/", |_| {});
    direct.action = Action::Direct { status, body: Bytes::from_static(b"here") };
    direct
}

#[tokio::test]
async fn the_last_answer_of_a_connection_says_so() {
    let tasks = Tasks::new("backend");
    let settings = Hcm { max_requests_per_connection: 2, ..hcm(vec![route("/", |_| {})]) };
    let net = net(config(http_chain(settings), vec![cluster(&[echo(&tasks).await])]));
    let mut client = client1(&net).await;
    for expected in ["", "close"] {
        client.ready().await.unwrap();
        let answer = read(client.send_request(get("/")).await.unwrap()).await;
        assert_eq!((answer.status, answer.header("connection")), (200, expected));
    }
    net.seen.all_closed().await;
}

#[tokio::test]
async fn a_local_answer_to_a_small_body_keeps_the_connection() {
    let net = net(config(http_chain(hcm(vec![answering(StatusCode::OK)])), Vec::new()));
    let mut client = client1(&net).await;
    for number in 0..5 {
        client.ready().await.unwrap();
        let request = Request::post("/").header("host", "a").body(Full::from("small")).unwrap();
        let answer = read(client.send_request(request).await.unwrap()).await;
        assert_eq!((answer.status, answer.header("connection")), (200, ""), "request {number}");
        assert_eq!(net.seen.request(number).await.received, 5);
    }
}

#[tokio::test]
async fn a_local_answer_to_half_a_body_closes_the_connection() {
    let net = net(config(http_chain(hcm(vec![answering(StatusCode::OK)])), Vec::new()));
    let mut stream = TcpStream::connect(net.address()).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn the_headers_timeout_begins_with_the_first_byte() {
    let settings = Hcm { request_headers_timeout: Some(Duration::from_millis(60)), ..hcm(vec![answering(StatusCode::OK)]) };
    let net = net(config(http_chain(settings), Vec::new()));
    let mut stream = TcpStream::connect(net.address()).await.unwrap();
    let mut buffer = [0; 1024];
    for _ in 0..2 {
        let closed = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut buffer)).await;
        assert!(closed.is_err(), "an idle connection stays: {closed:?}");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
    }
    stream.write_all(b"GET / HT").await.unwrap();
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 0, "headers that do not end are waited for no longer");
}

#[tokio::test]
async fn tries_are_counted_for_both_sides() {
    let tasks = Tasks::new("backend");
    let mut settings = hcm(vec![route("/", |_| {})]);
    let RouteSource::Inline(table) = &mut settings.routes else { unreachable!("the fixture's table is inline") };
    let host = Arc::get_mut(&mut Arc::get_mut(table).unwrap().virtual_hosts[0]).unwrap();
    (host.attempt_count_in_request, host.attempt_count_in_response) = (true, true);
    let net = net(config(http_chain(settings), vec![cluster(&[echo(&tasks).await])]));
    let answer = http1(&net, get("/")).await;
    assert_eq!((answer.header("got-x-envoy-attempt-count"), answer.header("x-envoy-attempt-count")), ("1", "1"));
}

#[tokio::test]
async fn who_we_are_is_not_told_outside_of_the_mesh() {
    let tasks = Tasks::new("backend");
    let address = echo(&tasks).await;
    let exchange = PeerMetadata {
        downstream_discovery: false,
        upstream_discovery: true,
        downstream_propagation: Propagation::Nobody,
        upstream_propagation: Propagation::Mesh,
    };
    let mut settings = hcm(vec![route("/out", |forward| forward.target = Target::Cluster(ClusterSlot(1))), route("/", |_| {})]);
    settings.filters.insert(0, filter("mx", HttpFilter::PeerMetadata(exchange)));
    let outside = Cluster { name: "outside".into(), external: true, ..cluster(&[address]) };
    let ours = crate::server::PeerMetadataHeaders { id: "id".parse().unwrap(), metadata: "who".parse().unwrap() };
    let options = crate::server::Options { peer_metadata: Some(ours), ..crate::server::Options::default() };
    let net = net_with(options, config(http_chain(settings), vec![cluster(&[address]), outside]));
    assert_eq!(http1(&net, get("/")).await.header("got-x-envoy-peer-metadata"), "who");
    assert_eq!(http1(&net, get("/out")).await.header("got-x-envoy-peer-metadata"), "");
}
