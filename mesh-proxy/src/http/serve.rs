//! One downstream HTTP connection: which protocol it speaks, its limits, and its orderly end.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{io::AsyncReadExt as _, sync::watch};

use super::{
    flight::Needs,
    heard::{Heard, Hearing},
    pipeline,
    reply::DownBody,
};
use crate::{
    info::ConnectionInfo,
    listener::{H2_PREFACE, Opened},
    snapshot::{Codec, FilterChain, Hcm, Http2Options, ListenerSlot, Snapshot, Terminal},
    transport::Transport,
    worker::{Phase, Worker, successor},
};

/// A downstream connection, as its requests see it.
pub(crate) struct Conn {
    pub(crate) worker: Rc<Worker>,
    pub(crate) connection: Arc<ConnectionInfo>,
    /// Bytes of a request that may be kept for another try.
    pub(crate) buffer_limit: usize,
    listener: ListenerSlot,
    phase: watch::Receiver<Phase>,
    settings: RefCell<Settings>,
    needs: RefCell<(usize, Rc<Needs>)>,
    active: Cell<u32>,
    served: Cell<u32>,
    last: Cell<Instant>,
    enough: Cell<bool>,
    /// When the headers must be whole that have begun to come.
    hearing: Hearing,
}

/// The settings in force, as of one snapshot.
struct Settings {
    generation: u64,
    chain: Arc<FilterChain>,
    hcm: Arc<Hcm>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

/// Serves a connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, opened: Opened, hcm: Arc<Hcm>) {
    let Opened { mut transport, connection, listener, chain, snapshot, mut phase, sniffed } = opened;
    let alpn = connection.tls.as_ref().and_then(|tls| tls.alpn.clone());
    let version = match (hcm.codec, alpn.as_deref(), sniffed) {
        (Codec::Http1, ..) => Version::Http1,
        (Codec::Http2, ..) => Version::Http2,
        (Codec::Auto, Some(b"h2" | b"istio-h2"), _) | (Codec::Auto, _, Some("h2c")) => Version::Http2,
        (Codec::Auto, Some(b"http/1.1" | b"http/1.0" | b"istio-http/1.1" | b"istio-http/1.0"), _) | (Codec::Auto, _, Some(_)) => {
            Version::Http1
        }
        (Codec::Auto, ..) => match Box::pin(detect(transport, &mut phase, hcm.idle_timeout, &worker)).await {
            Some((version, rewound)) => {
                transport = rewound;
                version
            }
            None => return,
        },
    };
    let needs = Rc::new(Needs::of(&hcm));
    let conn = Rc::new(Conn {
        buffer_limit: listener.buffer_limit,
        listener: listener.slot,
        phase: phase.clone(),
        needs: RefCell::new((Arc::as_ptr(&hcm) as usize, needs)),
        settings: RefCell::new(Settings { generation: snapshot.generation, chain, hcm: hcm.clone() }),
        worker,
        connection,
        active: Cell::new(0),
        served: Cell::new(0),
        last: Cell::new(Instant::now()),
        enough: Cell::new(false),
        hearing: Hearing::new(hcm.request_headers_timeout.filter(|_| version == Version::Http1)),
    });
    drop((snapshot, listener));
    match version {
        Version::Http1 => {
            let heard = conn.hearing.on(transport);
            drive(&conn, &hcm, phase, http1_connection(&conn, &hcm, TokioIo::new(heard))).await;
        }
        Version::Http2 => drive(&conn, &hcm, phase, http2_connection(&conn, &hcm, TokioIo::new(transport))).await,
    }
}

/// How long an idle HTTP/1 connection must be quiet to be closed, if its worker ends.
///
/// To close it at once would lose the request that is on its way; its next answer tells the client to close. So a connection
/// whose chain is gone stays for that answer, or until it is forced, as in Envoy. A worker that ends waits a moment.
const QUIET: Duration = Duration::from_millis(200);
/// How often a connection whose chain is gone looks whether its worker ends.
const LOOK: Duration = Duration::from_secs(1);

fn ends(worker: &Worker) -> bool {
    *worker.opening().borrow() >= Phase::Draining
}

/// Reads the first bytes to tell HTTP/2 by its preface.
async fn detect(
    mut transport: Transport,
    phase: &mut watch::Receiver<Phase>,
    idle: Option<Duration>,
    worker: &Worker,
) -> Option<(Version, Transport)> {
    let mut bytes = BytesMut::with_capacity(4096);
    let reading = async {
        loop {
            if transport.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
            let seen = bytes.len().min(H2_PREFACE.len());
            if bytes[..seen] != H2_PREFACE[..seen] {
                return Some(Version::Http1);
            }
            if seen == H2_PREFACE.len() {
                return Some(Version::Http2);
            }
        }
    };
    let idle = async {
        match idle {
            Some(idle) => tokio::time::sleep(idle).await,
            None => std::future::pending().await,
        }
    };
    let version = tokio::select! {
        biased;
        version = reading => version?,
        () = quiet_end(phase, worker) => return None,
        () = idle => return None,
    };
    Some((version, transport.unread(bytes.freeze())))
}

/// Until a connection that has not begun a request, and so has nothing to finish, must go.
async fn quiet_end(phase: &mut watch::Receiver<Phase>, worker: &Worker) {
    if phase.wait_for(|phase| *phase >= Phase::Draining).await.is_err() {
        return;
    }
    loop {
        let last = ends(worker);
        let forced = phase.wait_for(|phase| *phase >= Phase::Forced);
        if tokio::time::timeout(if last { QUIET } else { LOOK }, forced).await.is_ok() || last {
            return;
        }
    }
}

/// What both of hyper's connections can do.
trait Connection: Future<Output = hyper::Result<()>> {
    /// An idle connection takes requests that are on their way when it is asked to finish up (HTTP/2: GOAWAY).
    const SAYS_GOODBYE: bool;

    /// Finishes what is under way, then ends.
    fn finish_up(self: Pin<&mut Self>);
}

fn http1_connection(conn: &Rc<Conn>, hcm: &Hcm, io: TokioIo<Heard<Transport>>) -> impl Connection + use<> {
    let mut builder = http1::Builder::new();
    // hyper's own limit would run on idle connections, too.
    builder.timer(TokioTimer::new()).header_read_timeout(None);
    builder.max_buf_size(hcm.max_header_bytes.max(MIN_BUFFER));
    if hcm.max_headers != HYPERS_MAX_HEADERS {
        builder.max_headers(hcm.max_headers);
    }
    builder.serve_connection(io, service_fn(service(conn))).with_upgrades()
}

fn http2_connection(conn: &Rc<Conn>, hcm: &Hcm, io: TokioIo<Transport>) -> impl Connection + use<> {
    let Http2Options { max_concurrent_streams, stream_window, connection_window, keepalive, allow_connect } = hcm.http2;
    let mut builder = http2::Builder::new(conn.worker.tasks.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(max_concurrent_streams)
        .initial_stream_window_size(stream_window)
        .initial_connection_window_size(connection_window)
        .max_header_list_size(u32::try_from(hcm.max_header_bytes).unwrap_or(u32::MAX));
    if let Some((interval, timeout)) = keepalive {
        builder.keep_alive_interval(interval).keep_alive_timeout(timeout);
    }
    if allow_connect {
        builder.enable_connect_protocol();
    }
    builder.serve_connection(io, service_fn(service(conn)))
}

/// Keeps a small request's headers in one read; hyper asks for at least 8 KiB.
const MIN_BUFFER: usize = 64 * 1024;
/// What hyper parses without allocating, and Envoy's default.
const HYPERS_MAX_HEADERS: usize = 100;

/// A request being answered.
type Answering = Pin<Box<dyn Future<Output = Result<Response<DownBody>, Infallible>>>>;

fn service(conn: &Rc<Conn>) -> impl Fn(Request<Incoming>) -> Answering + use<> {
    let conn = conn.clone();
    move |request| {
        let busy = Busy::new(&conn);
        // Boxed, so that a connection without a request holds no space for one.
        Box::pin(pipeline::handle(conn.clone(), busy, request))
    }
}

/// Counts a request until the last byte of its answer.
pub(super) struct Busy(Rc<Conn>);

impl Busy {
    fn new(conn: &Rc<Conn>) -> Self {
        conn.active.set(conn.active.get() + 1);
        conn.hearing.answer();
        Self(conn.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        self.0.last.set(Instant::now());
        self.0.hearing.listen();
    }
}

/// Runs the connection; ends it gracefully when its chain drains, when it was idle or open for too long, or has served
/// enough; at once when forced.
async fn drive<C: Connection>(conn: &Rc<Conn>, hcm: &Hcm, mut phase: watch::Receiver<Phase>, connection: C) {
    let mut connection = pin!(connection);
    let opened = Instant::now();
    let mut asked = false;
    // Since when it does.
    let mut draining: Option<Instant> = None;
    let first = next_look(conn, hcm, opened, draining).map_or_else(far_away, Into::into);
    let mut timer = pin!(tokio::time::sleep_until(first));
    loop {
        let now = *phase.borrow_and_update();
        if now == Phase::Forced {
            return;
        }
        if now >= Phase::Draining && !asked && draining.is_none() {
            if C::SAYS_GOODBYE {
                asked = true;
                connection.as_mut().finish_up();
            } else {
                draining = Some(Instant::now());
                timer.as_mut().reset(next_look(conn, hcm, opened, draining).map_or_else(far_away, Into::into));
            }
        }
        let served = poll_fn(|cx| {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(Some(ended));
            }
            if conn.enough.take() {
                return Poll::Ready(None);
            }
            conn.hearing.poll_late(cx).map(|()| Some(Ok(())))
        });
        tokio::select! {
            biased;
            ended = served => match ended {
                Some(Ok(())) => return,
                Some(Err(error)) => {
                    tracing::debug!(connection = conn.connection.id, %error, "connection ended");
                    return;
                }
                None => {
                    asked = true;
                    connection.as_mut().finish_up();
                }
            },
            changed = phase.changed() => if changed.is_err() {
                return;
            },
            () = timer.as_mut() => {
                let idle = hcm.idle_timeout.is_some_and(|limit| conn.active.get() == 0 && conn.last.get().elapsed() >= limit);
                let old = hcm.max_connection_duration.is_some_and(|limit| opened.elapsed() >= limit);
                let quiet = conn.active.get() == 0 && ends(&conn.worker) && quiet_from(conn, draining).is_some_and(|at| Instant::now() >= at);
                if (idle || old || quiet) && !asked {
                    asked = true;
                    connection.as_mut().finish_up();
                }
                let next = next_look(conn, hcm, opened, draining).filter(|_| !asked).map_or_else(far_away, Into::into);
                timer.as_mut().reset(next);
            }
        }
    }
}

/// When a draining connection will have been quiet for long enough.
fn quiet_from(conn: &Conn, draining: Option<Instant>) -> Option<Instant> {
    let from = if conn.active.get() == 0 { conn.last.get().max(draining?) } else { Instant::now() };
    draining.map(|_| from + QUIET)
}

/// When the connection may have become idle for too long, or too old.
fn next_look(conn: &Conn, hcm: &Hcm, opened: Instant, draining: Option<Instant>) -> Option<Instant> {
    let from = if conn.active.get() == 0 { conn.last.get() } else { Instant::now() };
    let idle = hcm.idle_timeout.map(|limit| from + limit);
    let old = hcm.max_connection_duration.map(|limit| opened + limit);
    let quiet = if ends(&conn.worker) { quiet_from(conn, draining) } else { draining.map(|_| Instant::now() + LOOK) };
    idle.into_iter().chain(old).chain(quiet).min()
}

fn far_away() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(365 * 24 * 3600)
}

impl<S, F> Connection for http1::UpgradeableConnection<TokioIo<Heard<Transport>>, S>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<DownBody>, Error = Infallible, Future = F>,
    F: Future<Output = Result<Response<DownBody>, Infallible>>,
{
    const SAYS_GOODBYE: bool = false;

    fn finish_up(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S, F> Connection for http2::Connection<TokioIo<Transport>, S, crate::worker::LocalTasks>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<DownBody>, Error = Infallible, Future = F>,
    F: Future<Output = Result<Response<DownBody>, Infallible>> + 'static,
{
    const SAYS_GOODBYE: bool = true;

    fn finish_up(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl Conn {
    /// The connection manager's settings in `snapshot`: its chain's, if it still has it, else the last known.
    pub(super) fn settings(&self, snapshot: &Snapshot) -> Arc<Hcm> {
        let mut settings = self.settings.borrow_mut();
        if settings.generation != snapshot.generation {
            settings.generation = snapshot.generation;
            if let Some(chain) = successor(snapshot, self.listener, &settings.chain)
                && let Terminal::Http(hcm) = &chain.terminal
            {
                settings.hcm = hcm.clone();
                settings.chain = chain.clone();
            }
        }
        settings.hcm.clone()
    }

    /// Its answers must tell an HTTP/1 client to use another connection.
    pub(super) fn is_draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining
    }

    /// Says when a connection that was switched to another protocol must end.
    pub(super) fn upgraded_phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// Which headers are kept for logs and tags.
    pub(super) fn needs(&self, hcm: &Arc<Hcm>) -> Rc<Needs> {
        let mut needs = self.needs.borrow_mut();
        let identity = Arc::as_ptr(hcm) as usize;
        if needs.0 != identity {
            *needs = (identity, Rc::new(Needs::of(hcm)));
        }
        needs.1.clone()
    }

    /// One more answer. Whether it is the last one, by `max_requests_per_connection`: HTTP/1 must say so in it.
    pub(super) fn served(&self, hcm: &Hcm, version: http::Version) -> bool {
        let served = self.served.get().saturating_add(1);
        self.served.set(served);
        let last = hcm.max_requests_per_connection != 0 && served >= hcm.max_requests_per_connection;
        if last && version >= http::Version::HTTP_2 {
            self.enough.set(true);
        }
        last
    }
}
