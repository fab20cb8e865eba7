//! What the router does with an admitted request: answer it as the route says, or send it to an endpoint, again if need be.

mod attempt;
pub(super) mod prepare;

use std::{rc::Rc, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;

use self::{
    attempt::{Target, choose},
    prepare::Prepared,
};
use super::{
    filter::Admitted,
    flight::Flight,
    headers, mirror,
    reply::{self, DownBody, Streaming},
    serve::Conn,
    upgrade,
};
use crate::{
    clock,
    error::{Failure, LocalReply},
    info::Flags,
    plan::{self, Matched, RouteDecision},
    snapshot::{Action, Cluster, Endpoint, Forward, RouteTable, Snapshot},
    upstream::{
        breaker::{self, Active, Resource},
        outlier::{self, Outcome},
        pool::Sent,
        retry,
    },
};

/// What a request is handled with, besides itself.
pub(super) struct Scene<'a> {
    pub(super) conn: &'a Rc<Conn>,
    pub(super) snapshot: &'a Arc<Snapshot>,
    pub(super) table: Option<&'a Arc<RouteTable>>,
}

/// Answers an admitted request.
pub(super) async fn forward(
    scene: &Scene<'_>,
    admitted: Admitted,
    mut flight: Flight,
    on_upgrade: Option<OnUpgrade>,
) -> Response<DownBody> {
    let method = admitted.call.method.clone();
    let tls = scene.conn.connection.tls.as_ref();
    let matched = match &admitted.decision {
        RouteDecision::Matched(matched) => matched.clone(),
        RouteDecision::RequireTls { .. } => {
            let location = plan::tls_location(&admitted.call.facts(tls));
            return redirect(StatusCode::MOVED_PERMANENTLY, &location, flight);
        }
        RouteDecision::NoVirtualHost | RouteDecision::NoRoute { .. } => {
            return reply::local(LocalReply::no_route(), &method, flight);
        }
    };
    if !matched.route.name.is_empty() {
        flight.info.route_name = Some(matched.route.name.clone());
    }
    match &matched.route.action {
        Action::Forward(settings) => Box::pin(to_cluster(scene, &matched, settings, admitted, flight, on_upgrade)).await,
        Action::Redirect(settings) => {
            let location = plan::redirect_location(settings, &matched.route.matcher, &admitted.call.facts(tls));
            let mut response = redirect(settings.status, &location, flight);
            edit_response(&matched, scene.table, &mut response);
            response
        }
        Action::Direct { status, body } if flight.info.is_grpc => {
            let text = String::from_utf8_lossy(body).into_owned();
            let mut response = reply::local(LocalReply::new(*status, text, "direct_response"), &method, flight);
            edit_response(&matched, scene.table, &mut response);
            response
        }
        Action::Direct { status, body } => {
            flight.info.details = "direct_response".into();
            let mut headers = HeaderMap::new();
            if !body.is_empty() {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            }
            let body = if method == http::Method::HEAD { Bytes::new() } else { body.clone() };
            let mut response = reply::full(*status, headers, body, flight);
            edit_response(&matched, scene.table, &mut response);
            response
        }
        Action::Refuse { reason } => reply::local(LocalReply::not_implemented(reason), &method, flight),
    }
}

fn redirect(status: StatusCode, location: &str, mut flight: Flight) -> Response<DownBody> {
    flight.info.details = "direct_response".into();
    let mut headers = HeaderMap::new();
    if let Ok(location) = HeaderValue::from_str(location) {
        headers.insert(header::LOCATION, location);
    }
    reply::full(status, headers, Bytes::new(), flight)
}

async fn to_cluster(
    scene: &Scene<'_>,
    matched: &Matched,
    settings: &Forward,
    admitted: Admitted,
    mut flight: Flight,
    on_upgrade: Option<OnUpgrade>,
) -> Response<DownBody> {
    let method = admitted.call.method.clone();
    let Some(cluster) = matched.cluster(scene.snapshot).and_then(|slot| scene.snapshot.cluster(slot)) else {
        return reply::local(LocalReply::no_cluster(settings.cluster_not_found), &method, flight);
    };
    flight.info.cluster = Some(cluster.name.clone());
    flight.info.service.clone_from(&cluster.service);
    if plan::dropped(&cluster.endpoints, &mut rand::random).is_some() {
        return reply::local(LocalReply::dropped(), &method, flight);
    }
    let mut prepared = match prepare::prepare(scene, matched, settings, admitted, &mut flight) {
        Ok(prepared) => prepared,
        Err(reply) => return reply::local(reply, &method, flight),
    };
    let result = exchange(scene, settings, cluster, &mut prepared, &mut flight).await;
    mirror::send(scene, settings, &mut prepared, &flight);
    match result {
        Ok((sent, active)) => respond(scene, matched, prepared, (sent, active), flight, on_upgrade),
        Err(reply) => {
            let attempts = flight.info.attempts;
            let mut response = reply::local(reply, &method, flight);
            if matched.virtual_host.attempt_count_in_response {
                response.headers_mut().insert(attempt::ATTEMPT_COUNT, HeaderValue::from(attempts));
            }
            response
        }
    }
}

/// Tries until an answer is good enough or nothing more may be tried.
async fn exchange(
    scene: &Scene<'_>,
    settings: &Forward,
    cluster: &Arc<Cluster>,
    prepared: &mut Prepared,
    flight: &mut Flight,
) -> Result<(Sent, Active), LocalReply> {
    let mut tried: Vec<Arc<Endpoint>> = Vec::new();
    let mut retrying = None;
    loop {
        flight.info.attempts += 1;
        let number = flight.info.attempts;
        let endpoint = choose(scene, settings, cluster, prepared, &tried)?;
        note(&endpoint, flight);
        breaker_count(cluster, retrying.is_some());
        let active = breaker::active(&endpoint.state);
        let target = Target { cluster, endpoint: &endpoint, settings };
        let outcome = attempt::attempt(scene, target, prepared, flight).await;
        observe(cluster, &endpoint, &outcome);
        let wants_more = prepared.retry.as_ref().is_some_and(|retry| retry.should_retry(&seen(&outcome)));
        if !wants_more {
            return finish(cluster, outcome, active, retrying.is_some(), flight);
        }
        let left = prepared.retry.as_ref().is_some_and(|retry| number <= retry.retries);
        let repeatable = flight.body().is_none_or(super::body::RequestBody::can_repeat);
        if !left || !repeatable || prepared.call.is_none() {
            if !left {
                flight.info.flags.insert(Flags::RETRY_LIMIT_EXCEEDED);
            }
            return finish(cluster, outcome, active, false, flight);
        }
        if retrying.is_none() {
            match breaker::take(cluster, settings.high_priority, Resource::Retry) {
                Ok(guard) => retrying = Some(guard),
                Err(_) => {
                    attempt::add(&cluster.state.totals.retry_overflow);
                    flight.info.flags.insert(Flags::UPSTREAM_OVERFLOW);
                    return finish(cluster, outcome, active, false, flight);
                }
            }
        }
        drop((outcome, active));
        tried.push(endpoint);
        let pause = prepared.retry.as_ref().map(|retry| retry.backoff(number, rand::random())).unwrap_or_default();
        let timing = &prepared.timing;
        timing.pause(pause, flight.body()).await.map_err(|failure| LocalReply::upstream(&failure))?;
    }
}

fn breaker_count(cluster: &Cluster, is_retry: bool) {
    let totals = &cluster.state.totals;
    attempt::add(&totals.requests);
    if is_retry {
        attempt::add(&totals.retries);
    }
}

fn note(endpoint: &Endpoint, flight: &mut Flight) {
    let info = &mut flight.info;
    info.upstream_address = Some(endpoint.address.clone());
    info.upstream_workload.clone_from(&endpoint.workload);
}

/// As the retry policy sees it.
fn seen(outcome: &Result<Sent, Failure>) -> retry::Outcome<'_> {
    match outcome {
        Ok(sent) => retry::Outcome::Response { status: sent.response.status(), headers: sent.response.headers() },
        Err(failure) => match failure {
            Failure::Connect(_) | Failure::ConnectTimeout => retry::Outcome::ConnectFailure,
            Failure::RefusedStream => retry::Outcome::RefusedStream,
            Failure::PerTryTimeout | Failure::PerTryIdleTimeout => retry::Outcome::PerTryTimeout,
            Failure::Terminated | Failure::RemoteReset | Failure::Protocol => retry::Outcome::Reset { request_sent: true },
            // None of these may be tried again.
            Failure::Overflow
            | Failure::Timeout
            | Failure::StreamIdle(_)
            | Failure::Duration
            | Failure::RequestTimeout
            | Failure::Downstream => retry::Outcome::Overflow,
        },
    }
}

/// Tells outlier detection and the counters.
fn observe(cluster: &Cluster, endpoint: &Endpoint, outcome: &Result<Sent, Failure>) {
    let totals = &cluster.state.totals;
    let seen = match outcome {
        Ok(sent) => {
            let status = sent.response.status().as_u16();
            if let Some(class) = totals.classes.get(usize::from(status / 100)) {
                attempt::add(class);
            }
            if status >= 500 {
                attempt::add(&endpoint.state.errors);
            }
            Outcome::Status(attempt::effective_status(&sent.response))
        }
        Err(failure) => {
            attempt::add(&endpoint.state.errors);
            match failure {
                Failure::Connect(_) | Failure::ConnectTimeout => Outcome::ConnectFailed,
                Failure::Timeout | Failure::PerTryTimeout | Failure::PerTryIdleTimeout => Outcome::Timeout,
                Failure::Terminated | Failure::RemoteReset | Failure::RefusedStream | Failure::Protocol => Outcome::Reset,
                Failure::Overflow | Failure::Downstream | Failure::StreamIdle(_) | Failure::RequestTimeout | Failure::Duration => return,
            }
        }
    };
    outlier::observe(seen, cluster, endpoint, clock::now_ms(), rand::random());
}

fn finish(
    cluster: &Cluster,
    outcome: Result<Sent, Failure>,
    active: Active,
    healed: bool,
    flight: &mut Flight,
) -> Result<(Sent, Active), LocalReply> {
    match outcome {
        Ok(sent) => {
            if healed && sent.response.status().as_u16() < 500 {
                attempt::add(&cluster.state.totals.retry_success);
            }
            Ok((sent, active))
        }
        Err(failure) => {
            let totals = &cluster.state.totals;
            match &failure {
                Failure::Timeout => attempt::add(&totals.timeouts),
                Failure::PerTryTimeout | Failure::PerTryIdleTimeout => attempt::add(&totals.per_try_timeouts),
                Failure::Overflow => attempt::add(&totals.pending_overflow),
                Failure::Connect(reason) => flight.info.upstream_failure = Some(reason.clone()),
                _ => {}
            }
            Err(LocalReply::upstream(&failure))
        }
    }
}

/// An endpoint's answer on its way to the client.
fn respond(
    scene: &Scene<'_>,
    matched: &Matched,
    prepared: Prepared,
    (sent, active): (Sent, Active),
    mut flight: Flight,
    on_upgrade: Option<OnUpgrade>,
) -> Response<DownBody> {
    let now = Instant::now();
    let Sent { response, facts, hold } = sent;
    flight.info.first_upstream_byte = Some(now);
    flight.info.upstream_local = Some(facts.local);
    flight.info.upstream_tls.clone_from(&facts.tls);
    flight.info.details = "via_upstream".into();
    if let Some(body) = flight.body() {
        body.commit();
    }
    flight.note_grpc_status(response.headers());
    let mut response = response;
    let upstream = upgrade::is_accepted(&response, &prepared.kind).then(|| hyper::upgrade::on(&mut response));
    let (mut parts, source) = response.into_parts();
    headers::remove_hop_by_hop(&mut parts.headers, upstream.is_some());
    // The endpoint's version is its own affair.
    parts.version = http::Version::HTTP_11;
    if matched.virtual_host.attempt_count_in_response {
        parts.headers.insert(attempt::ATTEMPT_COUNT, HeaderValue::from(flight.info.attempts));
    }
    // Envoy does not time an answer that switches protocols.
    if !prepared.router.suppress_envoy_headers && upstream.is_none() {
        let complete = flight.body().and_then(super::body::RequestBody::complete).unwrap_or(flight.info.start);
        let took = now.saturating_duration_since(complete).as_millis();
        let took = u64::try_from(took).unwrap_or(u64::MAX);
        parts.headers.insert("x-envoy-upstream-service-time", HeaderValue::from(took));
    }
    if let Some(cookie) = prepared.set_cookie.as_deref().and_then(|cookie| HeaderValue::from_str(cookie).ok()) {
        parts.headers.append(header::SET_COOKIE, cookie);
    }
    let mut response = match upstream {
        Some(upstream) => {
            parts.status = upgrade::answer_head(&mut parts.headers, &flight, &prepared.kind);
            let switch = upgrade::Switch { upstream, client: on_upgrade, idle: prepared.timing.idle, hold, active };
            reply::switching(parts, Box::new(switch), flight)
        }
        None => reply::streaming(parts, Streaming::new(source, hold, active, prepared.timing.limits()), flight),
    };
    edit_response(matched, scene.table, &mut response);
    response
}

/// Header edits of the route, its virtual host and its table.
fn edit_response(matched: &Matched, table: Option<&Arc<RouteTable>>, response: &mut Response<DownBody>) {
    let mutations = prepare::mutations(matched, table);
    if mutations.iter().all(|edits| edits.response.remove.is_empty() && edits.response.set.is_empty()) {
        return;
    }
    let status = response.status().as_u16();
    let mut edited = std::mem::take(response.headers_mut());
    if let Some(flight) = response.body_mut().flight_mut() {
        flight.info.status = status;
        for edits in mutations {
            let info = &flight.info;
            headers::mutate(&edits.response, &mut edited, info, Some(&info.request_headers), |_, _| {});
        }
    }
    *response.headers_mut() = edited;
}
