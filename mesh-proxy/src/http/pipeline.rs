//! The life of a request. Read this first: every phase is named here, in order.

use std::{convert::Infallible, net::SocketAddr, rc::Rc, sync::Arc, time::Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};

use super::{
    body::RequestBody,
    filter::{self, Answer, RequestMarks, Scope},
    flight::Flight,
    forward::{self, Scene},
    headers,
    reply::{self, DownBody},
    request::{Call, Kind},
    serve::{Busy, Conn},
};
use crate::{
    error::LocalReply,
    plan::{self, Fragment, Matched, Normalized, PathOptions, RouteDecision},
    snapshot::{Hcm, RouteTable, ServerHeader},
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Handles a request: read and clean it, route it, ask the filters, forward it, edit the answer. The record of it, the
/// flight, goes with the answer and reaches the observer when the answer's last byte is sent.
pub(super) async fn handle(conn: Rc<Conn>, busy: Busy, request: Request<Incoming>) -> Result<Response<DownBody>, Infallible> {
    let snapshot = conn.worker.snapshot();
    let hcm = conn.settings(&snapshot);
    let table = snapshot.routes_of(&hcm.routes);
    let method = request.method().clone();
    let mut flight = Flight::new(&conn, busy, hcm.clone());
    let (parts, body) = request.into_parts();
    let Received { call, on_upgrade, client } = match receive(&conn, &hcm, table, parts, &mut flight) {
        Ok(received) => received,
        Err(answer) => {
            // What is no request leaves nothing on the connection that could be read as one.
            let marks = Marks { unread: matches!(answer, Answer::Local(_)), version: flight.info.version, ..Marks::default() };
            return Ok(finish(&conn, &hcm, marks, local(answer, &method, flight)));
        }
    };
    let decision = route(table, &call, &conn);
    let matched = decision.matched().cloned();
    let marks = Marks::of(&hcm, &call, matched.clone());
    watch_body(&conn, matched.as_ref(), body, &mut flight);
    if let Some(refused) = refuse_upgrade(&hcm, matched.as_ref(), &call) {
        return Ok(finish(&conn, &hcm, marks, reply::local(refused, &method, flight)));
    }
    let mut scope = Scope { flight: &mut flight, snapshot: &snapshot, client };
    let mut response = match filter::admit(&hcm, call, decision, &mut scope).await {
        Ok(admitted) => {
            let scene = Scene { conn: &conn, snapshot: &snapshot, table };
            forward::forward(&scene, admitted, flight, on_upgrade).await
        }
        Err((answer, _)) => local(answer, &method, flight),
    };
    if marks.version < http::Version::HTTP_2 {
        response.body_mut().read_request(conn.buffer_limit).await;
    }
    Ok(finish(&conn, &hcm, marks, response))
}

/// A request that may be routed.
struct Received {
    call: Call,
    on_upgrade: Option<OnUpgrade>,
    client: SocketAddr,
}

/// Reads and cleans: request line, canonical path, client's address, identifiers, client certificate, trace.
fn receive(
    conn: &Conn,
    hcm: &Hcm,
    table: Option<&Arc<RouteTable>>,
    mut parts: http::request::Parts,
    flight: &mut Flight,
) -> Result<Received, Answer> {
    let connection = &conn.connection;
    let info = &mut flight.info;
    info.version = parts.version;
    info.method = parts.method.clone();
    info.original_path = parts.uri.path_and_query().map_or("", |path| path.as_str()).into();
    let on_upgrade = parts.extensions.remove::<OnUpgrade>();
    let mut call = Call::read(parts, connection.tls.is_some(), hcm).map_err(Answer::Local)?;
    info.method = call.method.clone();
    let authority = plan::strip_port(&call.authority, hcm.strip_host_port, connection.local.port());
    if authority.len() != call.authority.len()
        && let Ok(stripped) = HeaderValue::from_str(authority)
    {
        call.set_authority(stripped);
    }
    info.authority = call.authority.clone();
    info.is_grpc = call.facts(None).is_grpc();
    canonical_path(hcm, &mut call, info.is_grpc)?;
    let client = headers::client_address(&call.headers, hcm, connection);
    info.client = client;
    let local_address = conn.worker.shared.local_address;
    headers::receive(&mut call, hcm, table.map(|table| &**table), connection, local_address);
    headers::forward_client_certificate(&mut call.headers, hcm.xfcc, connection.tls.as_ref());
    if let Some(tracing) = &hcm.tracing {
        info.trace = Some(headers::begin_span(&mut call.headers, tracing));
    }
    flight.keep_request_headers(&call.headers);
    Ok(Received { call, on_upgrade, client })
}

/// What is matched is what is forwarded.
fn canonical_path(hcm: &Hcm, call: &mut Call, is_grpc: bool) -> Result<(), Answer> {
    if call.kind == Kind::Connect {
        return Ok(());
    }
    let bad = || Answer::Local(LocalReply::new(StatusCode::BAD_REQUEST, "", "path_normalization_failed"));
    let changed = match plan::normalize(call.path.as_str(), PathOptions::of(hcm, Fragment::Reject)) {
        Normalized::Continue(path) if path == call.path.as_str() => return Ok(()),
        Normalized::Continue(path) => path.into_owned(),
        Normalized::Redirect(_) if is_grpc => return Err(bad()),
        Normalized::Redirect(path) => {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, HeaderValue::try_from(path).map_err(|_| bad())?);
            return Err(Answer::Headers(StatusCode::TEMPORARY_REDIRECT, headers));
        }
        Normalized::Reject => return Err(bad()),
    };
    call.set_path(&changed).map_err(Answer::Local)
}

fn route(table: Option<&Arc<RouteTable>>, call: &Call, conn: &Conn) -> RouteDecision {
    match table {
        Some(table) => plan::route(table, &call.facts(conn.connection.tls.as_ref()), rand::random()),
        None => RouteDecision::NoVirtualHost,
    }
}

/// Keeps the body where tries can read it, and as much of it as another try may need.
fn watch_body(conn: &Conn, matched: Option<&Matched>, body: Incoming, flight: &mut Flight) {
    if body.is_end_stream() {
        return;
    }
    let repeatable = matched
        .and_then(Matched::forward)
        .is_some_and(|forward| forward.retry.as_ref().is_some_and(|retry| !retry.is_off()) || !forward.mirrors.is_empty());
    let limit = if repeatable { conn.buffer_limit } else { 0 };
    flight.watch(RequestBody::new(body, limit, Instant::now()));
}

/// Protocols are switched only where the connection manager or the route says so (Envoy: 403, `upgrade_failed`).
fn refuse_upgrade(hcm: &Hcm, matched: Option<&Matched>, call: &Call) -> Option<LocalReply> {
    let wanted = call.kind.protocol()?;
    // CONNECT matches only routes that are made for it.
    if matched.is_none() && call.kind == Kind::Connect {
        return None;
    }
    let by_route = matched
        .and_then(Matched::forward)
        .and_then(|forward| forward.upgrades.iter().find(|(name, _)| &**name == wanted))
        .map(|(_, allowed)| *allowed);
    let allowed = by_route.unwrap_or_else(|| hcm.upgrades.iter().any(|name| &**name == wanted));
    (!allowed).then(|| LocalReply::new(StatusCode::FORBIDDEN, "", "upgrade_failed"))
}

/// What of the request has a say in the answer's headers.
#[derive(Default)]
struct Marks {
    matched: Option<Matched>,
    filters: RequestMarks,
    request_id: Option<HeaderValue>,
    version: http::Version,
    /// It asked for another protocol, or could not be understood: what comes after it is no request, unless it is switched.
    unread: bool,
}

impl Marks {
    fn of(hcm: &Hcm, call: &Call, matched: Option<Matched>) -> Self {
        let told = hcm.request_id_in_response || call.headers.contains_key("x-envoy-force-trace");
        let request_id = call.headers.get(X_REQUEST_ID).filter(|_| told).cloned();
        let unread = call.kind != Kind::Plain;
        Self { matched, filters: RequestMarks::of(call), request_id, version: call.version, unread }
    }
}

/// Edits the answer, whoever made it: filters in reverse, then what the connection manager adds.
fn finish(conn: &Conn, hcm: &Hcm, marks: Marks, mut response: Response<DownBody>) -> Response<DownBody> {
    let mut headers = std::mem::take(response.headers_mut());
    let status = response.status().as_u16();
    if let Some(flight) = response.body_mut().flight_mut() {
        flight.info.status = status;
        filter::respond(hcm, marks.matched.as_ref(), &marks.filters, &mut headers, flight);
    }
    match &hcm.server_header {
        ServerHeader::Overwrite(name) => {
            headers.insert(header::SERVER, name.clone());
        }
        ServerHeader::AppendIfAbsent(name) => {
            headers.entry(header::SERVER).or_insert_with(|| name.clone());
        }
        ServerHeader::PassThrough => {}
    }
    if let Some(id) = marks.request_id {
        headers.insert(X_REQUEST_ID, id);
    }
    if let Some(flight) = response.body_mut().flight_mut() {
        flight.keep_response_headers(&headers);
    }
    let last = conn.served(hcm, marks.version);
    let switched = response.body_mut().take_switch();
    if let Some((switch, flight)) = switched {
        switch.relay(conn, flight);
    } else if marks.version < http::Version::HTTP_2
        && let Some(flight) = response.body_mut().flight_mut()
        // An answer that comes before the request has come whole ends an HTTP/1 connection: nobody waits for the rest.
        && (last || conn.is_draining() || marks.unread || flight.body().is_some_and(|body| !body.is_complete()))
    {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    *response.headers_mut() = headers;
    response
}

fn local(answer: Answer, method: &Method, mut flight: Flight) -> Response<DownBody> {
    match answer {
        Answer::Local(local) => reply::local(local, method, flight),
        Answer::Headers(status, headers) => {
            flight.info.details = "direct_response".into();
            reply::full(status, headers, bytes::Bytes::new(), flight)
        }
    }
}
