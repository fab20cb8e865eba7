//! `envoy.filters.http.fault`: wait, then fail, for the drawn share of requests.

use std::time::Duration;

use http::StatusCode;

use super::{Answer, Scope, Verdict};
use crate::{
    error::LocalReply,
    http::request::Call,
    info::Flags,
    plan::{
        Matched,
        facts::{Repeated, header_matches},
    },
    snapshot::{Abort, Delay, Fault, FilterOverride, Percent},
};

/// What happens to this request.
pub(super) struct Drawn {
    delay: Option<Duration>,
    abort: Option<Abort>,
}

/// Draws; `None` for most requests.
pub(super) fn draw(
    configured: &Fault,
    over: Option<&FilterOverride>,
    call: &Call,
    matched: Option<&Matched>,
    scope: &Scope<'_>,
) -> Option<Drawn> {
    let fault = match over {
        Some(FilterOverride::Fault(fault)) => fault,
        _ => configured,
    };
    if fault.delay.is_none() && fault.abort.is_none() {
        return None;
    }
    if let Some(wanted) = &fault.upstream_cluster {
        let cluster = matched.and_then(|matched| matched.cluster(scope.snapshot));
        let name = cluster.and_then(|slot| scope.snapshot.cluster(slot)).map(|cluster| &cluster.name);
        if name != Some(wanted) {
            return None;
        }
    }
    let facts = call.facts(None);
    let applies = |matcher: &crate::snapshot::HeaderMatcher| header_matches(matcher, &facts.values(&matcher.name), Repeated::AnyStrict);
    if !fault.headers.iter().all(applies) {
        return None;
    }
    if fault.max_active.is_some_and(|most| scope.flight.worker.active_faults.get() >= most) {
        return None;
    }
    let delay = fault.delay.and_then(|(share, delay)| match delay {
        Delay::Fixed(delay) => share.hits(rand::random()).then_some(delay),
        Delay::ByHeader => {
            let asked = number(call, "x-envoy-fault-delay-request")?;
            at_most(share, call, "x-envoy-fault-delay-request-percentage").hits(rand::random()).then_some(Duration::from_millis(asked))
        }
    });
    let abort = fault.abort.and_then(|(share, abort)| match abort {
        Abort::ByHeader => {
            let abort = asked_abort(call)?;
            at_most(share, call, "x-envoy-fault-abort-request-percentage").hits(rand::random()).then_some(abort)
        }
        abort => share.hits(rand::random()).then_some(abort),
    });
    (delay.is_some() || abort.is_some()).then_some(Drawn { delay, abort })
}

/// What the caller asks to be answered with.
fn asked_abort(call: &Call) -> Option<Abort> {
    let status = number(call, "x-envoy-fault-abort-request").and_then(|status| u16::try_from(status).ok());
    if let Some(status) = status.filter(|status| (200..600).contains(status)) {
        return StatusCode::from_u16(status).ok().map(Abort::Http);
    }
    let code = number(call, "x-envoy-fault-abort-grpc-request")?;
    u32::try_from(code).ok().map(Abort::Grpc)
}

/// The caller may ask for fewer faults than are configured, never for more.
fn at_most(share: Percent, call: &Call, header: &str) -> Percent {
    let asked = number(call, header).and_then(|asked| u32::try_from(asked).ok()).unwrap_or(u32::MAX);
    Percent { numerator: share.numerator.min(asked), ..share }
}

fn number(call: &Call, header: &str) -> Option<u64> {
    call.headers.get(header)?.to_str().ok()?.parse().ok()
}

/// Waits and fails as drawn.
pub(super) async fn inject(drawn: Drawn, scope: &mut Scope<'_>) -> Verdict {
    let active = &scope.flight.worker.active_faults;
    active.set(active.get() + 1);
    let _active = Active(scope.flight.worker.clone());
    if let Some(delay) = drawn.delay {
        scope.flight.info.flags.insert(Flags::DELAY_INJECTED);
        tokio::time::sleep(delay).await;
    }
    let Some(abort) = drawn.abort else { return Verdict::Continue };
    let (status, grpc) = match abort {
        Abort::Http(status) => (status, None),
        Abort::Grpc(code) => (http_status_of(code), Some(code)),
        // Drawn as one of the others.
        Abort::ByHeader => return Verdict::Continue,
    };
    let reply = LocalReply::new(status, "fault filter abort", "fault_filter_abort").flagged(Flags::FAULT_INJECTED);
    Verdict::Respond(Answer::Local(LocalReply { grpc, ..reply }))
}

struct Active(std::rc::Rc<crate::worker::Worker>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active_faults.set(self.0.active_faults.get() - 1);
    }
}

/// Envoy's `Grpc::Utility::grpcToHttpStatus`.
fn http_status_of(code: u32) -> StatusCode {
    match code {
        0 => StatusCode::OK,
        1 => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        3 | 9 | 11 => StatusCode::BAD_REQUEST,
        4 => StatusCode::GATEWAY_TIMEOUT,
        5 => StatusCode::NOT_FOUND,
        6 | 10 => StatusCode::CONFLICT,
        7 => StatusCode::FORBIDDEN,
        8 => StatusCode::TOO_MANY_REQUESTS,
        12 => StatusCode::NOT_IMPLEMENTED,
        14 => StatusCode::SERVICE_UNAVAILABLE,
        16 => StatusCode::UNAUTHORIZED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
