//! Switches of protocol, from either version.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use mesh_runtime::task::Tasks;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::fixture::*;
use crate::snapshot::*;

/// A backend that switches and returns what it gets, and says in its answer how it was asked.
async fn switching(tasks: &Tasks) -> SocketAddr {
    let spawner = tasks.spawner();
    backend(tasks, move |mut request| {
        let upgrade = hyper::upgrade::on(&mut request);
        let asked = format!("{} {}", request.method(), request.uri().path());
        let protocol = request.headers().get("upgrade").cloned();
        spawner.spawn("socket", async move {
            let Ok(upgraded) = upgrade.await else { return };
            let mut socket = TokioIo::new(upgraded);
            let mut buffer = [0; 4];
            socket.read_exact(&mut buffer).await.unwrap();
            socket.write_all(&buffer).await.unwrap();
            socket.shutdown().await.unwrap();
        });
        async move {
            let mut response = text(if protocol.is_some() { 101 } else { 200 }, "");
            response.headers_mut().insert("asked", asked.parse().unwrap());
            if let Some(protocol) = protocol {
                response.headers_mut().insert("upgrade", protocol);
                response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
            }
            response
        }
    })
    .await
}

fn edited() -> Route {
    let mut route = route("/", |_| {});
    route.headers.response.set.push(HeaderEdit {
        name: HeaderKey::Name("x-answer".parse().unwrap()),
        value: HeaderFormat::Literal(HeaderValue::from_static("edited")),
        append: AppendAction::OverwriteIfExistsOrAdd,
        keep_empty: false,
    });
    route
}

fn extended_connect(path: &str) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = format!("http://example.com{path}").parse().unwrap();
    request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
    request
}

#[tokio::test]
async fn an_extended_connect_is_routed_as_the_get_that_it_is() {
    let tasks = Tasks::new("backend");
    let mut direct = route("/admin", |_| {});
    direct.action = Action::Direct { status: StatusCode::IM_A_TEAPOT, body: Bytes::new() };
    direct.matcher.headers.push(HeaderMatcher {
        name: HeaderKey::Method,
        test: HeaderTest::Value(StringMatcher { pattern: StringPattern::Exact("GET".into()), ignore_case: false }),
        invert: false,
        missing_as_empty: false,
    });
    let upstream = cluster(&[switching(&tasks).await]);
    let net = net(config(http_chain(hcm(vec![direct, edited()])), vec![upstream]));
    let mut client = client2::<Full<Bytes>>(&net).await;
    // An extended CONNECT may be sent once the server has said that it knows it.
    let plain = Request::get("http://example.com/").body(Full::default()).unwrap();
    assert_eq!(read(client.send_request(plain).await.unwrap()).await.status, 200);
    let answer = read(client.send_request(extended_connect("/public/%2e%2e/admin")).await.unwrap()).await;
    assert_eq!(answer.status, 418, "its path is normalized and its method is GET");

    let response = client.send_request(extended_connect("/a/../chat")).await.unwrap();
    assert_eq!((response.status(), response.headers()["asked"].to_str().unwrap()), (StatusCode::OK, "GET /chat"));
    assert_eq!(
        (&response.headers()["x-answer"], &response.headers()["server"]),
        (&HeaderValue::from_static("edited"), &HeaderValue::from_static("envoy"))
    );
    let mut socket = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    socket.write_all(b"ping").await.unwrap();
    let mut all = Vec::new();
    socket.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"ping");
    drop(socket);
    let seen = net.seen.request(2).await;
    assert_eq!((seen.status, seen.received, seen.sent), (200, 4, 4));
}

#[tokio::test]
async fn access_control_sees_an_extended_connect_as_a_get() {
    let tasks = Tasks::new("backend");
    let path = StringMatcher { pattern: StringPattern::Exact("/admin".into()), ignore_case: false };
    let policy = RbacPolicy { name: "admin".into(), permissions: vec![Permission::Path(path)], principals: vec![Principal::Any] };
    let rules = Rules { action: RbacAction::Deny, policies: vec![policy] };
    let rbac = Rbac { rules: Some(rules), shadow: None, stat_prefix: "".into(), shadow_stat_prefix: "".into() };
    let mut settings = hcm(vec![edited()]);
    settings.filters.insert(0, filter("rbac", HttpFilter::Rbac(Arc::new(rbac))));
    let net = net(config(http_chain(settings), vec![cluster(&[switching(&tasks).await])]));
    let mut client = client2::<Full<Bytes>>(&net).await;
    let plain = Request::get("http://example.com/").body(Full::default()).unwrap();
    assert_eq!(read(client.send_request(plain).await.unwrap()).await.status, 200);
    assert_eq!(read(client.send_request(extended_connect("/x/../admin")).await.unwrap()).await.status, 403);
}

#[tokio::test]
async fn the_answer_to_a_switch_is_edited_like_any_other() {
    let tasks = Tasks::new("backend");
    let net = net(config(http_chain(hcm(vec![edited()])), vec![cluster(&[switching(&tasks).await])]));
    let mut client = client1(&net).await;
    let mut request = get("/chat");
    request.headers_mut().insert("connection", HeaderValue::from_static("Upgrade"));
    request.headers_mut().insert("upgrade", HeaderValue::from_static("websocket"));
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(
        (&response.headers()["x-answer"], &response.headers()["server"]),
        (&HeaderValue::from_static("edited"), &HeaderValue::from_static("envoy"))
    );
    assert_eq!(response.headers()["connection"], "upgrade");
}

#[tokio::test]
async fn a_connect_has_no_path() {
    let net = net(config(http_chain(hcm(vec![edited()])), Vec::new()));
    let mut stream = TcpStream::connect(net.address()).await.unwrap();
    stream.write_all(b"CONNECT /admin HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
