//! What a policy attaches to, as far as the CRD's schema does not say it: rules that several kinds share.

use super::selector::{LabelSelector, TargetRef};
use crate::validate::{Checks, rules::shown};

/// What a policy can attach to, by group and kind.
const TARGETS: &[(&str, &str)] = &[
    ("", "Service"),
    ("core", "Service"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("networking.istio.io", "ServiceEntry"),
];

/// Checks the fields `selector`, `targetRef` and `targetRefs` of the current object.
pub(super) fn attachment(selector: Option<&LabelSelector>, target_ref: Option<&TargetRef>, target_refs: &[TargetRef], checks: &mut Checks) {
    if let Some(selector) = selector {
        checks.selects_nothing_special("selector", &selector.match_labels);
    }
    if let Some(target) = target_ref {
        checks.field("targetRef", |checks| reference(target, checks));
    }
    checks.each("targetRefs", target_refs, |checks, target| reference(target, checks));
}

fn reference(target: &TargetRef, checks: &mut Checks) {
    if !TARGETS.contains(&(target.group.as_str(), target.kind.as_str())) {
        let found = if target.group.is_empty() { target.kind.clone() } else { format!("{}/{}", target.group, target.kind) };
        let remedy = "use Gateway or GatewayClass (gateway.networking.k8s.io), ServiceEntry (networking.istio.io) or Service";
        checks.error(shown(found), "not a kind that a policy can attach to", remedy);
    }
}
