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
    snapshot::{Abort, Fault, FilterOverride},
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
    let delay = fault.delay.filter(|(share, _)| share.hits(rand::random())).map(|(_, delay)| delay);
    let abort = fault.abort.filter(|(share, _)| share.hits(rand::random())).map(|(_, abort)| abort);
    (delay.is_some() || abort.is_some()).then_some(Drawn { delay, abort })
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
