//! The filter chain. Only it can make an [`Admitted`], and only an [`Admitted`] request is forwarded: authorization cannot
//! be forgotten.

mod alpn;
mod cors;
mod fault;
mod header_mutation;
mod peer_metadata;
mod rbac;

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderMap, StatusCode};

pub use self::peer_metadata::PeerMetadataHeaders;
pub(crate) use self::{alpn::offer, header_mutation::edit_request};
use super::{flight::Flight, request::Call};
use crate::{
    error::LocalReply,
    plan::{Matched, RouteDecision},
    snapshot::{FilterOverride, Hcm, HttpFilter, NamedFilter, RouterOptions, Snapshot},
};

/// What a filter says of a request.
pub(crate) enum Verdict {
    /// Go on with the next.
    Continue,
    /// This is the answer.
    Respond(Answer),
}

/// An answer from the proxy itself.
pub(crate) enum Answer {
    /// In Envoy's local-reply form.
    Local(LocalReply),
    /// Headers only.
    Headers(StatusCode, HeaderMap),
}

/// A request that every filter let through. Only [`admit`] makes one.
pub(crate) struct Admitted {
    pub(crate) call: Call,
    pub(crate) decision: RouteDecision,
    pub(crate) router: Arc<RouterOptions>,
    /// `istio.alpn` is configured.
    pub(crate) istio_alpn: bool,
    _seal: Seal,
}

struct Seal;

/// What filters may look at and edit.
pub(crate) struct Scope<'a> {
    pub(crate) flight: &'a mut Flight,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) client: SocketAddr,
}

/// Runs the chain on a request.
pub(crate) async fn admit(hcm: &Hcm, mut call: Call, decision: RouteDecision, scope: &mut Scope<'_>) -> Result<Admitted, (Answer, Call)> {
    let mut istio_alpn = false;
    let matched = decision.matched().cloned();
    for named in &hcm.filters {
        let over = override_of(named, matched.as_ref());
        if is_off(named, over) {
            continue;
        }
        let verdict = match &named.filter {
            HttpFilter::Router(router) => {
                let router = router.clone();
                return Ok(Admitted { call, decision, router, istio_alpn, _seal: Seal });
            }
            HttpFilter::Rbac(rbac) => rbac::check(rbac, over, &call, scope),
            HttpFilter::Fault(fault) => match fault::draw(fault, over, &call, matched.as_ref(), scope) {
                None => Verdict::Continue,
                Some(drawn) => Box::pin(fault::inject(drawn, scope)).await,
            },
            HttpFilter::Cors => cors::request(cors::policy(over, matched.as_ref()), &call),
            HttpFilter::IstioAlpn => {
                istio_alpn = true;
                Verdict::Continue
            }
            HttpFilter::PeerMetadata(settings) => peer_metadata::request(*settings, matched.as_ref(), &mut call, scope),
            HttpFilter::HeaderMutation { request, .. } => header_mutation::request(request, over, &mut call, scope),
            // These count only; the observer does it.
            HttpFilter::IstioStats(_) | HttpFilter::GrpcStats => Verdict::Continue,
            HttpFilter::Refuse { reason } => Verdict::Respond(Answer::Local(LocalReply::not_implemented(reason))),
        };
        if let Verdict::Respond(answer) = verdict {
            return Err((answer, call));
        }
    }
    Err((Answer::Local(LocalReply::not_implemented("a filter chain without a router")), call))
}

/// Runs the chain backwards on a response.
pub(crate) fn respond(hcm: &Hcm, matched: Option<&Matched>, request: &RequestMarks, headers: &mut HeaderMap, flight: &mut Flight) {
    for named in hcm.filters.iter().rev() {
        let over = override_of(named, matched);
        if is_off(named, over) {
            continue;
        }
        match &named.filter {
            HttpFilter::Cors => cors::response(cors::policy(over, matched), request.origin.as_ref(), headers),
            HttpFilter::PeerMetadata(settings) => {
                peer_metadata::response(*settings, matched, request.peer_metadata, headers, flight);
            }
            HttpFilter::HeaderMutation { response, .. } => header_mutation::response(response, over, headers, flight),
            _ => {}
        }
    }
}

/// What the response path needs to know of the request after it has left.
#[derive(Debug, Default)]
pub(crate) struct RequestMarks {
    origin: Option<http::HeaderValue>,
    peer_metadata: bool,
}

impl RequestMarks {
    /// Taken before filters run.
    pub(crate) fn of(call: &Call) -> Self {
        Self { origin: call.headers.get(http::header::ORIGIN).cloned(), peer_metadata: call.headers.contains_key(peer_metadata::NAME) }
    }
}

/// What the route says for this filter: the weighted part first, then the route.
fn override_of<'a>(named: &NamedFilter, matched: Option<&'a Matched>) -> Option<&'a FilterOverride> {
    let matched = matched?;
    let part = matched.part().map(|part| &part.overrides[..]).unwrap_or_default();
    let found = part.iter().chain(&matched.route.overrides).find(|(name, _)| *name == named.name);
    found.map(|(_, over)| over)
}

fn is_off(named: &NamedFilter, over: Option<&FilterOverride>) -> bool {
    match over {
        Some(FilterOverride::Disabled) => true,
        Some(_) => false,
        None => named.disabled,
    }
}
