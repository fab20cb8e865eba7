//! Routes of one VirtualService that can never take a request: the rule is `resource::virtual_service::reach`'s, the codes are Istio's.

use super::{Analyzer, code, context::Context};
use crate::{
    diagnostic::{Diagnostic, Severity},
    resource::{
        Kind, VirtualService,
        virtual_service::reach::{Reason, unreachable},
    },
};

/// Rules and matches that earlier ones leave nothing for.
pub(super) static UNREACHABLE: Analyzer = Analyzer {
    name: "schema.ValidationAnalyzer.VirtualService",
    about: "Checks a kind's schema and rules, and that each rule and match of a VirtualService can be reached",
    codes: &[&code::VIRTUAL_SERVICE_UNREACHABLE_RULE, &code::VIRTUAL_SERVICE_INEFFECTIVE_MATCH],
    reads: &[Kind::VirtualService],
    run: rules,
};

/// Validation says the same as a warning without a code.
pub(super) fn is_theirs(diagnostic: &Diagnostic) -> bool {
    let service = diagnostic.object.as_ref().is_some_and(|(kind, _)| *kind == Kind::VirtualService);
    service && diagnostic.severity == Severity::Warning && diagnostic.message.starts_with("never used: ")
}

fn rules(cx: &mut Context<'_>) {
    for service in cx.all::<VirtualService>() {
        for found in unreachable(service.spec()) {
            let rule = format!("spec.{}[{}]", found.list, found.rule);
            let path = found.matched.map_or_else(|| rule.clone(), |index| format!("{rule}.match[{index}]"));
            match &found.reason {
                Reason::Duplicate { matched, by } | Reason::Overlap { matched: (matched, _), by, .. } => {
                    cx.report(&code::VIRTUAL_SERVICE_INEFFECTIVE_MATCH, service, path, &[&found.rule_name, matched, by]);
                }
                reason => cx.report(&code::VIRTUAL_SERVICE_UNREACHABLE_RULE, service, path, &[&found.rule_name, reason]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    const SERVICE: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: a}
spec:
  hosts: [shop.example.com]
  http:
  - match: [{uri: {prefix: /FIRST}}]
    route: [{destination: {host: a}}]
  - match: [{uri: {prefix: /cart}}]
    route: [{destination: {host: b}}]
";

    #[test]
    fn a_match_that_repeats_an_earlier_one_has_codes_and_is_told_once() {
        let expected = ["IST0130 VirtualService a/shop:9 spec.http[1]", "IST0131 VirtualService a/shop:9 spec.http[1].match[0]"];
        check("schema.ValidationAnalyzer.VirtualService", &[&SERVICE.replace("FIRST", "cart")], &expected);
    }

    #[test]
    fn different_matches_are_not() {
        check("schema.ValidationAnalyzer.VirtualService", &[&SERVICE.replace("FIRST", "list")], &[]);
    }
}
