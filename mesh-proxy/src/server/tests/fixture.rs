//! Snapshots in a few words, backends that do as told, and an observer that remembers.

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_runtime::task::{Spawner, Tasks};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    info::{ConnectionInfo, RequestInfo},
    observe::{Observer, ObserverFactory, Refused},
    plan::fixture,
    server::{DataPlane, Options},
    snapshot::*,
};

pub(super) type Body = BoxBody<Bytes, hyper::Error>;

/// What the observer heard of a request or a TCP connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) flags: String,
    pub(super) details: String,
    pub(super) attempts: u32,
    pub(super) received: u64,
    pub(super) sent: u64,
}

#[derive(Clone, Default)]
pub(super) struct Recorder(Arc<Mutex<Record>>);

#[derive(Default)]
struct Record {
    requests: Vec<Seen>,
    tcp: Vec<Seen>,
    refused: Vec<String>,
    open: i64,
}

impl ObserverFactory for Recorder {
    fn worker(&self, _index: usize) -> Rc<dyn Observer> {
        Rc::new(self.clone())
    }
}

impl Observer for Recorder {
    fn request(&self, info: &RequestInfo, _hcm: &Hcm) {
        self.0.lock().unwrap().requests.push(seen(info));
    }

    fn connection_opened(&self, _connection: &ConnectionInfo, _listener: &Listener) {
        self.0.lock().unwrap().open += 1;
    }

    fn connection_closed(&self, _connection: &ConnectionInfo, _listener: &Listener) {
        self.0.lock().unwrap().open -= 1;
    }

    fn connection_refused(&self, refused: &Refused<'_>, _listener: &Listener) {
        self.0.lock().unwrap().refused.push(refused.reason.to_owned());
    }

    fn tcp(&self, info: &RequestInfo, _proxy: &TcpProxy) {
        self.0.lock().unwrap().tcp.push(seen(info));
    }
}

fn seen(info: &RequestInfo) -> Seen {
    Seen {
        status: info.status,
        flags: info.flags.short().collect::<Vec<_>>().join(","),
        details: info.details.to_string(),
        attempts: info.attempts,
        received: info.bytes_received,
        sent: info.bytes_sent,
    }
}

impl Recorder {
    /// The `n`th request's record, once it is there.
    pub(super) async fn request(&self, n: usize) -> Seen {
        until(|| self.0.lock().unwrap().requests.get(n).cloned()).await
    }

    pub(super) async fn tcp(&self, n: usize) -> Seen {
        until(|| self.0.lock().unwrap().tcp.get(n).cloned()).await
    }

    pub(super) async fn refused(&self, n: usize) -> String {
        until(|| self.0.lock().unwrap().refused.get(n).cloned()).await
    }

    pub(super) async fn all_closed(&self) {
        until(|| (self.0.lock().unwrap().open == 0).then_some(())).await;
    }
}

/// Waits for a condition, not for a time.
pub(super) async fn until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "the condition did not come true");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A proxy with one listener, and what it serves.
pub(super) struct Net {
    pub(super) plane: DataPlane,
    pub(super) seen: Recorder,
    pub(super) tasks: Tasks,
}

/// What the snapshot is made of.
pub(super) struct Config {
    pub(super) chains: Vec<Arc<FilterChain>>,
    pub(super) clusters: Vec<Cluster>,
    pub(super) edit: Box<dyn Fn(&mut Listener)>,
    pub(super) generation: u64,
}

pub(super) fn net(config: Config) -> Net {
    net_of(2, config)
}

pub(super) fn net_of(workers: usize, config: Config) -> Net {
    net_with(Options { workers, ..Options::default() }, config)
}

pub(super) fn net_with(options: Options, config: Config) -> Net {
    mesh_runtime::tls::install_provider();
    let seen = Recorder::default();
    let plane = DataPlane::start(options, Arc::new(seen.clone())).unwrap();
    let failed = plane.apply(Arc::new(snapshot(config)));
    assert!(failed.is_empty(), "{failed:?}");
    Net { plane, seen, tasks: Tasks::new("test") }
}

impl Net {
    /// Where the listener is.
    pub(super) fn address(&self) -> SocketAddr {
        match self.plane.listeners()[0].local {
            Address::Socket(address) => address,
            Address::Pipe(_) => unreachable!("tests listen on TCP"),
        }
    }
}

pub(super) fn config(chain: FilterChain, clusters: Vec<Cluster>) -> Config {
    Config { chains: vec![Arc::new(chain)], clusters, edit: Box::new(|_| {}), generation: 1 }
}

/// A snapshot with one listener on a free port of loopback.
pub(super) fn snapshot(config: Config) -> Snapshot {
    let mut listener = fixture::listener(config.chains);
    listener.default_chain = None;
    listener.addresses = vec![Address::Socket(([127, 0, 0, 1], 0).into())];
    (config.edit)(&mut listener);
    let mut snapshot = Snapshot { generation: config.generation, ..Snapshot::default() };
    snapshot.listeners = vec![Some(Arc::new(listener))];
    for (slot, mut cluster) in (0u32..).zip(config.clusters) {
        cluster.slot = ClusterSlot(slot);
        snapshot.cluster_names.insert(cluster.name.clone(), ClusterSlot(slot));
        snapshot.clusters.push(Some(Arc::new(cluster)));
    }
    snapshot
}

/// A plaintext chain with this connection manager.
pub(super) fn http_chain(hcm: Hcm) -> FilterChain {
    let mut chain = Arc::into_inner(fixture::chain("http", ChainMatch::default())).unwrap();
    chain.terminal = Terminal::Http(Arc::new(hcm));
    chain
}

/// A connection manager with these routes on every host.
pub(super) fn hcm(routes: Vec<Route>) -> Hcm {
    let mut table = fixture::table(&[("any", &["*"])]);
    let host = Arc::get_mut(&mut table.virtual_hosts[0]).unwrap();
    host.routes = routes.into_iter().map(Arc::new).collect();
    Hcm {
        stat_prefix: "h".into(),
        codec: Codec::Auto,
        routes: RouteSource::Inline(Arc::new(table)),
        filters: vec![router()],
        access_logs: Vec::new(),
        server_header: ServerHeader::Overwrite(HeaderValue::from_static("envoy")),
        use_remote_address: false,
        xff_trusted_hops: 0,
        internal_networks: Vec::new(),
        skip_xff_append: false,
        generate_request_id: true,
        preserve_external_request_id: false,
        request_id_in_response: false,
        xfcc: Xfcc::default(),
        normalize_path: true,
        merge_slashes: false,
        escaped_slashes: EscapedSlashes::Keep,
        strip_host_port: StripPort::No,
        upgrades: vec!["websocket".into()],
        stream_idle_timeout: Some(Duration::from_secs(300)),
        request_timeout: None,
        request_headers_timeout: None,
        idle_timeout: Some(Duration::from_secs(3600)),
        max_connection_duration: None,
        max_requests_per_connection: 0,
        max_header_bytes: 60 * 1024,
        max_headers: 100,
        http2: http2(),
        drain_timeout: Duration::from_secs(5),
        delayed_close: Duration::from_secs(1),
        tracing: None,
        via: None,
        accept_http10: false,
    }
}

pub(super) fn http2() -> Http2Options {
    Http2Options { max_concurrent_streams: 100, stream_window: 1 << 20, connection_window: 1 << 20, keepalive: None, allow_connect: true }
}

pub(super) fn router() -> NamedFilter {
    filter("router", HttpFilter::Router(Arc::default()))
}

pub(super) fn filter(name: &str, filter: HttpFilter) -> NamedFilter {
    NamedFilter { name: name.into(), disabled: false, filter }
}

/// A route for a prefix to the cluster in slot 0, edited.
pub(super) fn route(prefix: &str, edit: impl FnOnce(&mut Forward)) -> Route {
    let matcher = fixture::path_match(PathMatch::Prefix(prefix.into()));
    let mut route = Arc::into_inner(fixture::route_to("r", matcher, 0)).unwrap();
    if let Action::Forward(forward) = &mut route.action {
        edit(forward);
    }
    route
}

pub(super) fn retry_policy(words: &str, retries: u32) -> RetryPolicy {
    RetryPolicy {
        on: crate::upstream::retry::parse_retry_on(words).0,
        status_codes: Vec::new(),
        headers: Vec::new(),
        request_headers: Vec::new(),
        retries,
        per_try_timeout: None,
        per_try_idle_timeout: None,
        avoid_previous_hosts: false,
        host_attempts: 3,
        base_interval: Duration::from_millis(1),
        max_interval: Duration::from_millis(2),
    }
}

/// A cluster with these endpoints.
pub(super) fn cluster(endpoints: &[SocketAddr]) -> Cluster {
    let mut locality = fixture::locality(None, 1, &vec![1; endpoints.len()], Health::Healthy);
    for (endpoint, address) in locality.endpoints.iter_mut().zip(endpoints) {
        Arc::get_mut(endpoint).unwrap().address = Address::Socket(*address);
    }
    let mut cluster = fixture::cluster(Balancer::RoundRobin, fixture::endpoint_set(vec![vec![locality]]));
    cluster.http2 = http2();
    cluster
}

/// An address that refuses connections.
pub(super) async fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A backend that answers as `answer` says to (method and path, headers, body).
pub(super) async fn backend<F, A>(tasks: &Tasks, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let spawner: Spawner = tasks.spawner();
    let inner = spawner.clone();
    spawner.spawn("backend", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            inner.spawn("connection", async move {
                let service = service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, hyper::Error>(answer.await) }
                });
                let mut preface = [0; 3];
                let http2 = stream.peek(&mut preface).await.is_ok_and(|read| read == 3 && &preface == b"PRI");
                if http2 {
                    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                } else {
                    let _ =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
                }
            });
        }
    });
    address
}

pub(super) fn text(status: u16, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// A backend that says how it was asked.
pub(super) async fn echo(tasks: &Tasks) -> SocketAddr {
    backend(tasks, |request| async move {
        let line = format!("{} {} {:?}", request.method(), request.uri().path(), request.version());
        let headers = request.headers().clone();
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let mut response = text(200, format!("{line} {}", String::from_utf8_lossy(&body)));
        for (name, value) in &headers {
            let name: http::HeaderName = format!("got-{name}").parse().unwrap();
            response.headers_mut().append(name, value.clone());
        }
        response
    })
    .await
}

/// Counts calls and answers by their number.
pub(super) async fn numbered(tasks: &Tasks, answer: fn(usize) -> Response<Body>) -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let address = backend(tasks, move |_| {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        async move { answer(number) }
    })
    .await;
    (address, count)
}

/// An answer read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(super) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", "example.com").body(Full::default()).unwrap()
}

/// One HTTP/1 request on a new connection.
pub(super) async fn http1(net: &Net, request: Request<Full<Bytes>>) -> Answer {
    let mut client = client1(net).await;
    read(client.send_request(request).await.unwrap()).await
}

pub(super) async fn client1(net: &Net) -> hyper::client::conn::http1::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(net.address()).await.unwrap();
    let (client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    net.tasks.spawn("client", async move {
        let _ = connection.with_upgrades().await;
    });
    client
}

pub(super) async fn client2<B>(net: &Net) -> hyper::client::conn::http2::SendRequest<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(net.address()).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (client, connection) = handshake.await.unwrap();
    net.tasks.spawn("client", async move {
        let _ = connection.await;
    });
    client
}

pub(super) async fn read(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    let body = String::from_utf8(collected.to_bytes().to_vec()).unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}
