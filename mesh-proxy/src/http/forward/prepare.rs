//! A request made ready to leave: what its route edits, how long it may take, what may be tried again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    super::{
        body::RequestBody,
        filter::{Admitted, edit_request},
        flight::Flight,
        headers::append_to_list,
        reply::Limits,
        request::{Call, Kind},
    },
    Scene,
};
use crate::{
    error::{Failure, LocalReply},
    plan::{self, Matched},
    snapshot::{Forward, HeaderMutations, HostRewrite, RouteTable, RouterOptions},
    upstream::retry::{self, Retry},
};

/// A request that is ready to leave, as often as it must.
pub(crate) struct Prepared {
    /// Gone once the last try took it.
    pub(crate) call: Option<Call>,
    pub(crate) router: Arc<RouterOptions>,
    pub(crate) istio_alpn: bool,
    pub(crate) retry: Option<Retry>,
    pub(crate) hash: Option<u64>,
    pub(crate) set_cookie: Option<String>,
    pub(crate) timing: Timing,
    pub(crate) kind: Kind,
    /// The authority becomes the endpoint's hostname.
    pub(crate) auto_host: bool,
    /// Endpoints are told which try it is.
    pub(crate) attempt_count: bool,
    /// For mirrors.
    pub(crate) copy: Option<Call>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) start: Instant,
    pub(crate) timeout: Option<Duration>,
    pub(crate) per_try: Option<Duration>,
    pub(crate) per_try_idle: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) duration: Option<Duration>,
    /// The request must have come whole by then.
    pub(crate) request: Option<Duration>,
}

/// What a request says to the router about its time: not for endpoints.
const TIMEOUT_HEADERS: [&str; 5] = [
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-hedge-on-per-try-timeout",
];
const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

/// Applies all that the route says about the request.
pub(super) fn prepare(
    scene: &Scene<'_>,
    matched: &Matched,
    settings: &Forward,
    admitted: Admitted,
    flight: &mut Flight,
) -> Result<Prepared, LocalReply> {
    let Admitted { mut call, router, istio_alpn, .. } = admitted;
    let connection = &scene.conn.connection;
    let tls = connection.tls.as_ref();
    let hashed = plan::hash_key(&settings.hash_policy, Some(&call.facts(tls)), connection.remote, connection.local);
    let retry = Retry::of(settings.retry.as_ref(), &call.facts(tls));
    let mut timing = timing(settings, &call, flight);
    for name in retry::REQUEST_HEADERS.into_iter().chain(TIMEOUT_HEADERS) {
        call.headers.remove(name);
    }
    for edits in mutations(matched, scene.table) {
        edit_request(&edits.request, &mut call, flight);
    }
    rewrite_host(matched, settings, &mut call, tls)?;
    rewrite_path(matched, settings, &mut call)?;
    if !router.suppress_envoy_headers
        && let Some(expected) = timing.expected(true)
    {
        call.headers.insert(EXPECTED_TIMEOUT, HeaderValue::from(expected));
    }
    if call.kind != Kind::Plain {
        // A switched connection is bounded by its idle time only.
        timing.timeout = None;
        timing.request = None;
    }
    let copy = (!settings.mirrors.is_empty()).then(|| call.clone());
    let kind = call.kind.clone();
    let auto_host = matches!(host_rewrite(matched, settings), Some(HostRewrite::Auto));
    let plan::HashKey { hash, set_cookie } = hashed;
    let call = Some(call);
    let attempt_count = matched.virtual_host.attempt_count_in_request;
    Ok(Prepared { call, router, istio_alpn, retry, hash, set_cookie, timing, kind, auto_host, attempt_count, copy })
}

/// Header edits that apply, in the order in which they do: most specific first, unless the table says otherwise.
pub(super) fn mutations<'a>(matched: &'a Matched, table: Option<&'a Arc<RouteTable>>) -> Vec<&'a HeaderMutations> {
    let all = [
        matched.part().map(|part| &part.headers),
        Some(&matched.route.headers),
        Some(&matched.virtual_host.headers),
        table.map(|table| &table.headers),
    ];
    let any = |edits: &&HeaderMutations| {
        let some = |edits: &crate::snapshot::HeaderMutation| !(edits.remove.is_empty() && edits.set.is_empty());
        some(&edits.request) || some(&edits.response)
    };
    let mut found: Vec<_> = all.into_iter().flatten().filter(any).collect();
    if table.is_some_and(|table| table.most_specific_wins) {
        found.reverse();
    }
    found
}

fn rewrite_host(matched: &Matched, settings: &Forward, call: &mut Call, tls: Option<&crate::info::PeerTls>) -> Result<(), LocalReply> {
    let Some(rewrite) = host_rewrite(matched, settings) else { return Ok(()) };
    if matches!(rewrite, HostRewrite::Auto) {
        return Ok(());
    }
    if let Some(new) = plan::rewritten_authority(rewrite, &call.facts(tls), None) {
        replace_host(settings, call, new);
    }
    Ok(())
}

/// The rewrite in force: the weighted part's, else the route's.
fn host_rewrite<'a>(matched: &'a Matched, settings: &'a Forward) -> Option<&'a HostRewrite> {
    matched.part().and_then(|part| part.host_rewrite.as_ref()).or(settings.host_rewrite.as_ref())
}

/// Puts another authority in, and the old one where Envoy keeps it.
pub(super) fn replace_host(settings: &Forward, call: &mut Call, new: HeaderValue) {
    let Ok(old) = HeaderValue::from_str(&call.authority) else { return };
    if settings.append_x_forwarded_host && old != new {
        append_to_list(&mut call.headers, FORWARDED_HOST, &old);
    }
    if old != new {
        call.headers.insert(ORIGINAL_HOST, old);
    }
    call.set_authority(new);
}

fn rewrite_path(matched: &Matched, settings: &Forward, call: &mut Call) -> Result<(), LocalReply> {
    let Some(rewrite) = &settings.rewrite else { return Ok(()) };
    let Some(new) = plan::rewritten_path(rewrite, &matched.route.matcher, call.path.as_str()) else { return Ok(()) };
    if let Ok(old) = HeaderValue::from_str(call.path.as_str()) {
        call.headers.insert(ORIGINAL_PATH, old);
    }
    call.set_path(&new)
}

fn timing(settings: &Forward, call: &Call, flight: &Flight) -> Timing {
    let header = |name: &str| milliseconds(&call.headers, name);
    // A header of 0 turns the limit off, as a setting of 0 does.
    let set = |value: Option<Duration>| value.filter(|value| !value.is_zero());
    let policy = settings.retry.as_deref();
    let mut timing = Timing {
        start: flight.info.start,
        timeout: set(header("x-envoy-upstream-rq-timeout-ms").or(settings.timeout)),
        per_try: set(header("x-envoy-upstream-rq-per-try-timeout-ms").or(policy.and_then(|policy| policy.per_try_timeout))),
        per_try_idle: set(policy.and_then(|policy| policy.per_try_idle_timeout)),
        idle: set(settings.idle_timeout.or(flight.hcm.stream_idle_timeout)),
        duration: set(settings.max_stream_duration),
        request: set(flight.hcm.request_timeout),
    };
    if flight.info.is_grpc
        && let Some(most) = settings.grpc_timeout_max
        && let Some(asked) = call.headers.get("grpc-timeout").and_then(grpc_timeout)
    {
        timing.duration = set(Some(if most.is_zero() { asked } else { asked.min(most) }));
    }
    timing
}

fn milliseconds(headers: &HeaderMap, name: &str) -> Option<Duration> {
    let text = headers.get(name)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_millis)
}

/// gRPC over HTTP/2: at most 8 digits and a unit.
fn grpc_timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

impl Timing {
    /// What `x-envoy-expected-rq-timeout-ms` says: the try's limit, or the whole request's.
    pub(super) fn expected(&self, first: bool) -> Option<u64> {
        // What has gone by before the first try is not counted.
        let gone = if first { Duration::ZERO } else { self.start.elapsed() };
        let left = self.timeout.map(|timeout| timeout.saturating_sub(gone));
        let limit = match (left, self.per_try) {
            (Some(whole), Some(one)) => Some(whole.min(one)),
            (whole, one) => whole.or(one),
        };
        limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
    }

    /// The limits that still hold while the answer streams.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            start: self.start,
            timeout: self.timeout,
            max_duration: self.duration.map(|duration| self.start + duration),
            idle: self.idle,
        }
    }

    /// The first limit that will be passed if nothing happens, and what passing it means; `None` means: look again then.
    pub(super) fn next(&self, try_start: Instant, body: Option<&RequestBody>) -> Option<(Instant, Option<Failure>)> {
        let now = Instant::now();
        // Timeouts run from the end of the request; until it has come whole, look again later.
        let whole = body.is_none_or(RequestBody::is_complete);
        let complete = body.and_then(RequestBody::complete).unwrap_or(self.start);
        let last = body.map_or(try_start, |body| body.last_activity().max(try_start));
        let from_end = |limit: Option<Duration>, from: Instant, failure: Failure| {
            limit.map(|limit| if whole { (from + limit, Some(failure)) } else { (now + limit, None) })
        };
        let limits = [
            from_end(self.timeout, complete, Failure::Timeout),
            from_end(self.per_try, complete.max(try_start), Failure::PerTryTimeout),
            self.per_try_idle.map(|limit| (last + limit, Some(Failure::PerTryIdleTimeout))),
            self.idle.map(|limit| (last + limit, Some(Failure::StreamIdle(whole)))),
            self.duration.map(|limit| (self.start + limit, Some(Failure::Duration))),
            self.request.filter(|_| !whole).map(|limit| (self.start + limit, Some(Failure::RequestTimeout))),
        ];
        limits.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Waits before another try, but not beyond the request's own limits.
    pub(super) async fn pause(&self, pause: Duration, body: Option<&RequestBody>) -> Result<(), Failure> {
        let end = Instant::now() + pause;
        match self.next(Instant::now(), body) {
            Some((at, Some(failure @ (Failure::Timeout | Failure::Duration)))) if at < end => {
                tokio::time::sleep_until(at.into()).await;
                Err(failure)
            }
            _ => {
                if !pause.is_zero() {
                    tokio::time::sleep_until(end.into()).await;
                }
                Ok(())
            }
        }
    }
}
