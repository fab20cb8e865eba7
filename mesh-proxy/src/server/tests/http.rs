//! Protocols in all pairs, headers, local answers, upgrades.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper_util::rt::TokioIo;
use mesh_runtime::task::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::fixture::*;
use crate::snapshot::*;

async fn forwarding(edit: impl FnOnce(&mut Forward), protocol: UpstreamProtocol) -> Net {
    let tasks = Tasks::new("backend");
    let mut cluster = cluster(&[echo(&tasks).await]);
    cluster.protocol = protocol;
    let mut net = net(config(http_chain(hcm(vec![route("/", edit)])), vec![cluster]));
    net.tasks = tasks;
    net
}

#[tokio::test]
async fn http1_to_http1() {
    let net = forwarding(|_| {}, UpstreamProtocol::Http1).await;
    let mut request = get("/a/../b?q=1");
    request.headers_mut().insert("connection", HeaderValue::from_static("keep-alive, x-hop"));
    request.headers_mut().insert("x-hop", HeaderValue::from_static("1"));
    let answer = http1(&net, request).await;
    assert_eq!((answer.status, &*answer.body), (200, "GET /b HTTP/1.1 "));
    assert_eq!(answer.header("server"), "envoy");
    assert_eq!(answer.header("got-host"), "example.com");
    assert_eq!(answer.header("got-x-forwarded-proto"), "http");
    assert_eq!(answer.header("got-x-request-id").len(), 36);
    assert_eq!(answer.header("got-x-hop"), "", "hop-by-hop headers end here");
    assert!(answer.headers.contains_key("x-envoy-upstream-service-time"));
    let seen = net.seen.request(0).await;
    assert_eq!((seen.status, &*seen.flags, &*seen.details, seen.attempts), (200, "", "via_upstream", 1));
    assert_eq!(seen.sent, answer.body.len() as u64);
}

#[tokio::test]
async fn connections_are_reused_and_bodies_pass() {
    let net = forwarding(|_| {}, UpstreamProtocol::Http1).await;
    let mut client = client1(&net).await;
    for number in 0..20 {
        let body = format!("{number}").repeat(1000);
        let request = Request::post("/p").header("host", "a").body(Full::from(body.clone())).unwrap();
        client.ready().await.unwrap();
        let answer = read(client.send_request(request).await.unwrap()).await;
        assert_eq!(answer.body, format!("POST /p HTTP/1.1 {body}"));
    }
    let snapshot = net.plane.snapshot();
    let totals = &snapshot.cluster(ClusterSlot(0)).unwrap().state.totals;
    assert_eq!(totals.connections.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn http2_to_http1_and_back() {
    let net = forwarding(|_| {}, UpstreamProtocol::Http1).await;
    let mut client = client2::<Full<Bytes>>(&net).await;
    let request = Request::get("http://example.com/x").header("cookie", "a=1").header("cookie", "b=2");
    let answer = read(client.send_request(request.body(Full::default()).unwrap()).await.unwrap()).await;
    assert_eq!((answer.status, &*answer.body), (200, "GET /x HTTP/1.1 "));
    assert_eq!(answer.header("got-host"), "example.com");
    assert_eq!(answer.header("got-cookie"), "a=1; b=2");

    let net = forwarding(|_| {}, UpstreamProtocol::Http2).await;
    let answer = http1(&net, get("/y")).await;
    assert_eq!((answer.status, &*answer.body), (200, "GET /y HTTP/2.0 "));
}

#[tokio::test]
async fn grpc_streams_both_ways_with_trailers() {
    let tasks = Tasks::new("backend");
    let address = backend(&tasks, |request| async move {
        // Each message goes back as it comes; the trailers come back last.
        let body = request.into_body().map_frame(|frame| match frame.into_trailers() {
            Ok(mut trailers) => {
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        });
        let mut response = Response::new(body.boxed());
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        response
    })
    .await;
    let mut upstream = cluster(&[address]);
    upstream.protocol = UpstreamProtocol::Http2;
    let net = net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![upstream]));
    let mut client = client2(&net).await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, std::convert::Infallible>>(1);
    let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let request = Request::post("http://a/s.S/M").header("content-type", "application/grpc").header("te", "trailers");
    let mut answer = client.send_request(request.body(body).unwrap()).await.unwrap().into_body();
    for number in 0..5u8 {
        let message = Bytes::from(vec![number; 100]);
        sender.send(Ok(Frame::data(message.clone()))).await.unwrap();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), message, "it comes back at once");
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("from-client", HeaderValue::from_static("yes"));
    sender.send(Ok(Frame::trailers(trailers))).await.unwrap();
    drop(sender);
    let trailers = answer.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["from-client"], "yes");
    assert_eq!(trailers["grpc-status"], "0");
    assert!(answer.frame().await.is_none());
    let seen = net.seen.request(0).await;
    assert_eq!((seen.status, seen.received, seen.sent, &*seen.flags), (200, 500, 500, ""));
}

#[tokio::test]
async fn no_route_no_cluster_no_endpoint() {
    let missing = |forward: &mut Forward| forward.target = Target::Cluster(ClusterSlot(9));
    let routes = vec![route("/gone", missing), route("/empty", |_| {})];
    let net = net(config(http_chain(hcm(routes)), vec![cluster(&[])]));
    let answer = http1(&net, get("/nowhere")).await;
    assert_eq!((answer.status, &*answer.body, answer.header("server")), (404, "", "envoy"));
    let answer = http1(&net, get("/gone")).await;
    assert_eq!((answer.status, &*answer.body), (503, ""));
    let answer = http1(&net, get("/empty")).await;
    assert_eq!((answer.status, &*answer.body), (503, "no healthy upstream"));
    assert_eq!(answer.header("content-type"), "text/plain");
    let mut client = client2::<Full<Bytes>>(&net).await;
    let request = Request::post("http://a/empty").header("content-type", "application/grpc");
    let answer = read(client.send_request(request.body(Full::default()).unwrap()).await.unwrap()).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, "14"));
    assert_eq!(answer.header("grpc-message"), "no healthy upstream");
    let mut flags = Vec::new();
    for n in 0..4 {
        flags.push(net.seen.request(n).await.flags);
    }
    assert_eq!(flags, ["NR", "NC", "UH", "UH"]);
}

#[tokio::test]
async fn routes_edit_requests_and_responses() {
    let mut edited = route("/api", |forward| {
        forward.rewrite = Some(Rewrite::Prefix("/v1".into()));
        forward.host_rewrite = Some(HostRewrite::Literal(HeaderValue::from_static("inner")));
    });
    let set = |name: &'static str, value: &'static str| HeaderEdit {
        name: HeaderKey::Name(name.parse().unwrap()),
        value: HeaderFormat::Literal(HeaderValue::from_static(value)),
        append: AppendAction::OverwriteIfExistsOrAdd,
        keep_empty: false,
    };
    edited.headers.request.set.push(set("x-added", "1"));
    edited.headers.response.remove.push("got-host".parse().unwrap());
    edited.headers.response.set.push(set("x-answer", "2"));
    let mut redirect = route("/old", |_| {});
    redirect.action = Action::Redirect(Redirect {
        status: StatusCode::MOVED_PERMANENTLY,
        scheme: Some("https".into()),
        host: None,
        port: None,
        path: Some(RedirectPath::Full("/new".into())),
        strip_query: false,
    });
    let mut direct = route("/direct", |_| {});
    direct.action = Action::Direct { status: StatusCode::IM_A_TEAPOT, body: Bytes::from_static(b"short and stout") };
    let tasks = Tasks::new("backend");
    let upstream = cluster(&[echo(&tasks).await]);
    let net = net(config(http_chain(hcm(vec![edited, redirect, direct])), vec![upstream]));
    let answer = http1(&net, get("/api/x")).await;
    assert_eq!(&*answer.body, "GET /v1/x HTTP/1.1 ");
    assert_eq!((answer.header("got-x-added"), answer.header("x-answer")), ("1", "2"));
    assert_eq!((answer.header("got-host"), answer.header("got-x-envoy-original-path")), ("", "/api/x"));
    let answer = http1(&net, get("/old")).await;
    assert_eq!((answer.status, answer.header("location")), (301, "https://example.com/new"));
    let answer = http1(&net, get("/direct")).await;
    assert_eq!((answer.status, &*answer.body), (418, "short and stout"));
}

#[tokio::test]
async fn websockets_are_relayed() {
    let tasks = Tasks::new("backend");
    let spawner = tasks.spawner();
    let address = backend(&tasks, move |mut request| {
        let upgrade = hyper::upgrade::on(&mut request);
        let asked = request.headers().get("upgrade").cloned();
        spawner.spawn("socket", async move {
            let mut socket = TokioIo::new(upgrade.await.unwrap());
            let mut buffer = [0; 4];
            socket.read_exact(&mut buffer).await.unwrap();
            socket.write_all(&buffer).await.unwrap();
            socket.shutdown().await.unwrap();
        });
        async move {
            let mut response = text(101, "");
            response.headers_mut().insert("upgrade", asked.unwrap());
            response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
            response
        }
    })
    .await;
    let net = net(config(http_chain(hcm(vec![route("/", |_| {})])), vec![cluster(&[address])]));
    let mut client = client1(&net).await;
    let mut request = get("/chat");
    request.headers_mut().insert("connection", HeaderValue::from_static("Upgrade"));
    request.headers_mut().insert("upgrade", HeaderValue::from_static("websocket"));
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 101);
    let mut socket = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    socket.write_all(b"ping").await.unwrap();
    let mut all = Vec::new();
    socket.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"ping");
    drop(socket);
    let seen = net.seen.request(0).await;
    assert_eq!((seen.status, seen.received, seen.sent), (101, 4, 4));

    let mut request = get("/chat");
    request.headers_mut().insert("connection", HeaderValue::from_static("Upgrade"));
    request.headers_mut().insert("upgrade", HeaderValue::from_static("unheard-of"));
    assert_eq!(http1(&net, request).await.status, 403);
}

#[tokio::test]
async fn mirrors_get_a_copy() {
    let tasks = Tasks::new("backend");
    let (shadow, count) = numbered(&tasks, |_| text(200, "shadow")).await;
    let primary = cluster(&[echo(&tasks).await]);
    let mut copies = cluster(&[shadow]);
    copies.name = "shadow".into();
    let mirror = |forward: &mut Forward| {
        forward.mirrors.push(Mirror { cluster: ClusterSlot(1), fraction: Percent::ALWAYS, shadow_suffix: true });
    };
    let net = net(config(http_chain(hcm(vec![route("/", mirror)])), vec![primary, copies]));
    let request = Request::post("/").header("host", "a").body(Full::from("body")).unwrap();
    let answer = http1(&net, request).await;
    assert_eq!(&*answer.body, "POST / HTTP/1.1 body");
    until(|| (count.load(std::sync::atomic::Ordering::SeqCst) == 1).then_some(())).await;
}

#[tokio::test]
async fn filters_refuse_what_they_must() {
    let rules = Rules { action: RbacAction::Allow, policies: Vec::new() };
    let rbac = Rbac { rules: Some(rules), shadow: None, stat_prefix: "".into(), shadow_stat_prefix: "".into() };
    let tasks = Tasks::new("backend");
    let upstream = [echo(&tasks).await];
    let mut settings = hcm(vec![route("/", |_| {})]);
    settings.filters.insert(0, filter("rbac", HttpFilter::Rbac(Arc::new(rbac))));
    let denied = net(config(http_chain(settings), vec![cluster(&upstream)]));
    let answer = http1(&denied, get("/")).await;
    assert_eq!((answer.status, &*answer.body), (403, "RBAC: access denied"));
    assert_eq!(denied.seen.request(0).await.details, "rbac_access_denied_matched_policy[none]");

    let mut settings = hcm(vec![route("/", |_| {})]);
    settings.filters.insert(0, filter("wasm", HttpFilter::Refuse { reason: "wasm".into() }));
    let refused = net(config(http_chain(settings), vec![cluster(&upstream)]));
    assert_eq!(http1(&refused, get("/")).await.status, 500);
}

#[tokio::test]
async fn what_is_routed_by_is_what_is_forwarded() {
    let net = forwarding(|_| {}, UpstreamProtocol::Http1).await;
    let absolute = Request::get("http://routed.example/a").header("host", "other.example").body(Full::default()).unwrap();
    assert_eq!(http1(&net, absolute).await.header("got-host"), "routed.example");
    let twice = Request::get("/a").header("host", "a").header("host", "b").body(Full::default()).unwrap();
    assert_eq!(http1(&net, twice).await.status, 400);
    let escaped = http1(&net, get("/a/%2e%2e/b")).await;
    assert_eq!(&*escaped.body, "GET /b HTTP/1.1 ");
}
