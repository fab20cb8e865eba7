//! `envoy.filters.http.rbac`: asks `plan::authorize`, and answers 403.

use super::{Answer, Scope, Verdict};
use crate::{
    error::LocalReply,
    http::request::Call,
    plan::{AuthzFacts, authorize},
    snapshot::{FilterOverride, Rbac},
};

/// Allowed or not.
pub(super) fn check(configured: &Rbac, over: Option<&FilterOverride>, call: &Call, scope: &mut Scope<'_>) -> Verdict {
    let rbac = match over {
        Some(FilterOverride::Rbac(None)) => return Verdict::Continue,
        Some(FilterOverride::Rbac(Some(rbac))) => rbac,
        _ => configured,
    };
    let connection = scope.flight.info.connection.clone();
    let request = call.facts(connection.tls.as_ref());
    let facts = AuthzFacts { request: Some(&request), remote: scope.client.ip(), ..AuthzFacts::of(&connection) };
    let verdict = authorize(rbac, &facts);
    if let Some(shadow) = &verdict.shadow {
        let metadata = &mut scope.flight.info.metadata;
        metadata.push(("shadow_engine_result", if shadow.allowed { "allowed" } else { "denied" }.into()));
        if let Some(matched) = &shadow.policy {
            metadata.push(("shadow_effective_policy_id", matched.policy.clone()));
        }
    }
    if verdict.allowed {
        return Verdict::Continue;
    }
    let details = verdict.enforced.map_or_else(|| "rbac_access_denied".to_owned(), |judgement| judgement.details());
    Verdict::Respond(Answer::Local(LocalReply::denied(details)))
}
