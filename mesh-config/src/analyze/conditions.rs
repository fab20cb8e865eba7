//! Conditions that controllers left in `status`.

use serde_json::Value;

use super::{
    Analyzer, code,
    context::{Any, Context},
};
use crate::resource::Kind;

/// What a controller says does not work.
pub(super) static CONDITIONS: Analyzer = Analyzer {
    name: "conditions.ConditionAnalyzer",
    about: "Checks for conditions that say an object does not work",
    codes: &[&code::NEGATIVE_CONDITION_STATUS],
    reads: &[
        Kind::Service,
        Kind::ServiceEntry,
        Kind::WorkloadEntry,
        Kind::AuthorizationPolicy,
        Kind::K8sGateway,
        Kind::HttpRoute,
        Kind::GrpcRoute,
    ],
    run,
};

fn run(cx: &mut Context<'_>) {
    for kind in CONDITIONS.reads {
        for object in cx.any(*kind).collect::<Vec<_>>() {
            for (path, condition) in conditions(object) {
                let text = |field: &str| condition.get(field).and_then(Value::as_str).unwrap_or_default();
                let (kind, reason) = (text("type"), text("reason"));
                let negative = bad_when_false(object.kind()).contains(&kind) && text("status") == "False";
                // Said with status True, as the part that is right is in force.
                let partly = object.kind() == Kind::AuthorizationPolicy && kind == "WaypointAccepted" && reason == "PartiallyInvalid";
                if negative || partly {
                    cx.report(&code::NEGATIVE_CONDITION_STATUS, object, path, &[&kind, &reason, &text("message")]);
                }
            }
        }
    }
}

/// The conditions whose `False` means that something does not work.
fn bad_when_false(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Service | Kind::ServiceEntry | Kind::WorkloadEntry => &["istio.io/WaypointBound"],
        Kind::AuthorizationPolicy => &["ZtunnelAccepted", "WaypointAccepted"],
        Kind::K8sGateway | Kind::HttpRoute | Kind::GrpcRoute => &["Accepted", "Programmed", "ResolvedRefs"],
        _ => &[],
    }
}

/// An object's conditions and where they are; a route has those of each parent.
fn conditions(object: Any<'_>) -> Vec<(String, &Value)> {
    let Some(status) = object.status() else { return Vec::new() };
    let parents = status.get("parents").and_then(Value::as_array).into_iter().flatten().enumerate();
    let places =
        std::iter::once(("status".to_owned(), status)).chain(parents.map(|(index, parent)| (format!("status.parents[{index}]"), parent)));
    places
        .flat_map(|(path, place)| {
            let conditions = place.get("conditions").and_then(Value::as_array).into_iter().flatten().enumerate();
            conditions.map(move |(index, condition)| (format!("{path}.conditions[{index}]"), condition))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    const ANALYZER: &str = "conditions.ConditionAnalyzer";

    fn entry(condition: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a, namespace: b}}\nspec: {{hosts: [a.example], ports: [{{number: 80, name: http}}]}}\nstatus:\n  conditions:\n  - {condition}\n"
        )
    }

    #[test]
    fn what_a_controller_says_does_not_work() {
        check(
            ANALYZER,
            &[&entry("{type: istio.io/WaypointBound, status: 'False', reason: Missing, message: none}")],
            &["IST0171 ServiceEntry b/a:7 status.conditions[0]"],
        );
        check(ANALYZER, &[&entry("{type: istio.io/WaypointBound, status: 'True', reason: Bound, message: ok}")], &[]);
        check(ANALYZER, &[&entry("{type: Accepted, status: 'False', reason: a, message: b}")], &[]);
    }
}
