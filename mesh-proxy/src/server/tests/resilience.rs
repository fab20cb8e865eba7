//! Retries, timeouts, faults, breakers, ejection.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use mesh_runtime::task::Tasks;

use super::fixture::*;
use crate::snapshot::*;

fn retrying(policy: RetryPolicy) -> impl FnOnce(&mut Forward) {
    move |forward| forward.retry = Some(Arc::new(policy))
}

#[tokio::test]
async fn a_503_is_tried_again() {
    let tasks = Tasks::new("backend");
    let (address, count) = numbered(&tasks, |n| if n < 2 { text(503, "no") } else { text(200, "yes") }).await;
    let routes = vec![route("/", retrying(retry_policy("5xx", 3)))];
    let net = net(config(http_chain(hcm(routes)), vec![cluster(&[address])]));
    let request = Request::post("/").header("host", "a").body(Full::from("kept for another try")).unwrap();
    let answer = http1(&net, request).await;
    assert_eq!((answer.status, &*answer.body, count.load(SeqCst)), (200, "yes", 3));
    let seen = net.seen.request(0).await;
    assert_eq!((seen.attempts, &*seen.flags), (3, ""));
    let snapshot = net.plane.snapshot();
    let cluster = snapshot.cluster(ClusterSlot(0)).unwrap();
    assert_eq!(cluster.state.totals.retries.load(SeqCst), 2);
    assert_eq!(cluster.state.totals.retry_success.load(SeqCst), 1);
    assert_eq!(cluster.state.load[0].retries.load(SeqCst), 0, "places are given back");
}

#[tokio::test]
async fn retries_end() {
    let tasks = Tasks::new("backend");
    let (address, count) = numbered(&tasks, |_| text(503, "never")).await;
    let routes = vec![route("/", retrying(retry_policy("gateway-error", 2)))];
    let net = net(config(http_chain(hcm(routes)), vec![cluster(&[address])]));
    let answer = http1(&net, get("/")).await;
    assert_eq!((answer.status, &*answer.body, count.load(SeqCst)), (503, "never", 3));
    assert_eq!(net.seen.request(0).await.flags, "URX");
}

#[tokio::test]
async fn a_refused_connection_is_tried_elsewhere() {
    let tasks = Tasks::new("backend");
    let endpoints = [refusing().await, echo(&tasks).await];
    let policy = RetryPolicy { avoid_previous_hosts: true, ..retry_policy("connect-failure", 2) };
    let net = net(config(http_chain(hcm(vec![route("/", retrying(policy))])), vec![cluster(&endpoints)]));
    for n in 0..4 {
        assert_eq!(http1(&net, get("/")).await.status, 200);
        assert_eq!(net.seen.request(n).await.flags, "");
    }
}

#[tokio::test]
async fn without_a_retry_a_refused_connection_is_503_uf() {
    let net = net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![cluster(&[refusing().await])]));
    let answer = http1(&net, get("/")).await;
    assert_eq!(answer.status, 503);
    let begins = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";
    assert!(answer.body.starts_with(begins), "{}", answer.body);
    assert_eq!(net.seen.request(0).await.flags, "UF");
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_503_uc() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let net = net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![cluster(&[address])]));
    net.tasks.spawn("backend", async move {
        use tokio::io::AsyncReadExt as _;
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    let answer = http1(&net, get("/")).await;
    assert_eq!((answer.status, &*net.seen.request(0).await.flags), (503, "UC"));
    assert!(answer.body.ends_with("reset reason: connection termination"), "{}", answer.body);
}

async fn hanging(tasks: &Tasks) -> std::net::SocketAddr {
    backend(tasks, |_| std::future::pending()).await
}

#[tokio::test]
async fn timeouts_are_504_ut() {
    let tasks = Tasks::new("backend");
    let limit = Some(Duration::from_millis(30));
    let per_try = RetryPolicy { per_try_timeout: limit, ..retry_policy("5xx", 1) };
    let routes = vec![route("/try", retrying(per_try)), route("/whole", move |forward| forward.timeout = limit)];
    let net = net(config(http_chain(hcm(routes)), vec![cluster(&[hanging(&tasks).await])]));
    let answer = http1(&net, get("/whole")).await;
    assert_eq!((answer.status, &*answer.body), (504, "upstream request timeout"));
    let answer = http1(&net, get("/try")).await;
    assert_eq!((answer.status, &*answer.body), (504, "upstream request timeout"));
    let (whole, tries) = (net.seen.request(0).await, net.seen.request(1).await);
    assert_eq!((&*whole.flags, whole.attempts, &*whole.details), ("UT", 1, "upstream_response_timeout"));
    assert_eq!((tries.attempts, &*tries.details), (2, "upstream_per_try_timeout"));
    assert!(tries.flags.contains("UT"), "{}", tries.flags);
}

#[tokio::test]
async fn timeouts_run_while_there_is_no_connection_for_a_body() {
    let tasks = Tasks::new("backend");
    let limit = Some(Duration::from_millis(100));
    let mut limited = cluster(&[hanging(&tasks).await]);
    limited.breakers = Breakers { max_connections: 1, ..limited.breakers };
    let routes = vec![route("/whole", move |forward| forward.timeout = limit), route("/", |_| {})];
    let net = net_of(1, config(http_chain(hcm(routes)), vec![limited]));
    let mut first = client1(&net).await;
    let occupying = first.send_request(get("/"));
    net.tasks.spawn("first", async move {
        let _ = occupying.await;
    });
    let snapshot = net.plane.snapshot();
    let load = &snapshot.cluster(ClusterSlot(0)).unwrap().state.load[0];
    until(|| (load.requests.load(SeqCst) == 1).then_some(())).await;
    let mut client = client1(&net).await;
    for _ in 0..2 {
        let request = Request::post("/whole").header("host", "a").body(Full::from("whole")).unwrap();
        client.ready().await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(10), client.send_request(request)).await.expect("the timeout runs");
        let answer = read(answer.unwrap()).await;
        assert_eq!((answer.status, answer.header("connection")), (504, ""));
    }
    assert_eq!(net.seen.request(1).await.received, 5);
}

#[tokio::test]
async fn what_was_read_ahead_is_sent() {
    let tasks = Tasks::new("backend");
    let net = net(config(http_chain(hcm(vec![route("/", retrying(retry_policy("connect-failure", 3)))])), {
        vec![cluster(&[refusing().await, echo(&tasks).await])]
    }));
    let body = "x".repeat(100_000);
    for _ in 0..4 {
        let request = Request::post("/").header("host", "a").body(Full::from(body.clone())).unwrap();
        let answer = http1(&net, request).await;
        assert_eq!((answer.status, answer.body.len()), (200, "POST / HTTP/1.1 ".len() + body.len()));
    }
}

#[tokio::test]
async fn faults_delay_and_abort() {
    let tasks = Tasks::new("backend");
    let delay = Duration::from_millis(50);
    let fault = Fault {
        delay: Some((Percent::ALWAYS, crate::snapshot::Delay::Fixed(delay))),
        abort: Some((Percent::ALWAYS, Abort::Http(StatusCode::IM_A_TEAPOT))),
        ..Fault::default()
    };
    let mut settings = hcm(vec![route("/", |_| {})]);
    settings.filters.insert(0, filter("fault", HttpFilter::Fault(Arc::new(fault))));
    let net = net(config(http_chain(settings), vec![cluster(&[echo(&tasks).await])]));
    let start = Instant::now();
    let answer = http1(&net, get("/")).await;
    assert!(start.elapsed() >= delay);
    assert_eq!((answer.status, &*answer.body), (418, "fault filter abort"));
    assert_eq!(net.seen.request(0).await.flags, "DI,FI");
}

#[tokio::test]
async fn breakers_open_and_close() {
    let tasks = Tasks::new("backend");
    let mut limited = cluster(&[hanging(&tasks).await]);
    limited.breakers = Breakers { max_requests: 1, ..limited.breakers };
    let net = net_of(1, config(http_chain(hcm(vec![route("/", |_| {})])), vec![limited]));
    let mut first = client1(&net).await;
    let hanging = first.send_request(get("/"));
    let snapshot = net.plane.snapshot();
    let load = &snapshot.cluster(ClusterSlot(0)).unwrap().state.load[0];
    net.tasks.spawn("first", async move {
        let _ = hanging.await;
    });
    until(|| (load.requests.load(SeqCst) == 1).then_some(())).await;
    let answer = http1(&net, get("/")).await;
    assert_eq!((answer.status, answer.header("x-envoy-overloaded")), (503, "true"));
    assert!(answer.body.ends_with("reset reason: overflow"), "{}", answer.body);
    assert_eq!(net.seen.request(0).await.flags, "UO");
    drop(first);
    net.tasks.shutdown(Duration::ZERO).await;
    until(|| (load.requests.load(SeqCst) == 0).then_some(())).await;
    assert_eq!(net.seen.request(1).await.flags, "DC");
}

#[tokio::test]
async fn a_bad_endpoint_is_ejected() {
    let tasks = Tasks::new("backend");
    let (bad, count) = numbered(&tasks, |_| text(500, "bad")).await;
    let mut upstream = cluster(&[bad, echo(&tasks).await]);
    upstream.panic_threshold = 0;
    upstream.outlier = Some(Outlier {
        consecutive_5xx: (2, 100),
        consecutive_gateway: (5, 0),
        consecutive_local: (5, 100),
        split_local: false,
        interval: Duration::from_secs(10),
        base_ejection: Duration::from_secs(30),
        max_ejection: Duration::from_secs(300),
        max_ejection_percent: 100,
        always_eject_one: true,
        success_rate: None,
    });
    let net = net_of(1, config(http_chain(hcm(vec![route("/", |_| {})])), vec![upstream]));
    let mut bad_answers = 0;
    for _ in 0..20 {
        bad_answers += usize::from(http1(&net, get("/")).await.status == 500);
    }
    assert_eq!((bad_answers, count.load(SeqCst)), (2, 2), "after two failures it gets nothing more");
}

#[tokio::test]
async fn a_dead_pooled_connection_costs_no_request() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let net = net_of(1, config(http_chain(hcm(vec![route("/", |_| {})])), vec![cluster(&[address])]));
    // One answer a connection, which then closes without having said so.
    net.tasks.spawn("backend", async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    });
    for n in 0..50 {
        let answer = http1(&net, get("/")).await;
        assert_eq!((answer.status, &*answer.body), (200, "ok"), "request {n}");
        let snapshot = net.plane.snapshot();
        let endpoint = snapshot.clusters[0].as_ref().unwrap().endpoints.priorities[0][0].endpoints[0].clone();
        until(|| (endpoint.state.connections.load(SeqCst) == 0).then_some(())).await;
    }
}

#[tokio::test]
async fn large_bodies_stream_in_bounded_memory() {
    let tasks = Tasks::new("backend");
    let address = backend(&tasks, |request| async move {
        let mut response = text(200, "");
        *response.body_mut() = request.into_body().boxed();
        response
    })
    .await;
    let routes = vec![route("/", retrying(retry_policy("5xx", 1)))];
    let mut config = config(http_chain(hcm(routes)), vec![cluster(&[address])]);
    config.edit = Box::new(|listener| listener.buffer_limit = 16 * 1024);
    let net = net(config);
    let body = Bytes::from(vec![b'x'; 8 << 20]);
    let request = Request::post("/").header("host", "a").body(Full::new(body.clone())).unwrap();
    let answer = http1(&net, request).await;
    assert_eq!(answer.body.len(), body.len());
    let seen = net.seen.request(0).await;
    assert_eq!((seen.received, seen.sent), (8 << 20, 8 << 20));
}
