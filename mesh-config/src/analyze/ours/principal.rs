//! Policies that judge by a token which nobody reads.

use std::collections::HashMap;

use super::super::{
    Analyzer, code,
    context::{Context, Item},
};
use crate::resource::{
    AuthorizationPolicy, Kind, Labels, RequestAuthentication,
    authorization_policy::{Action, Rule},
    selector::LabelSelector,
};

/// Tokens are read where they are asked for.
pub(in super::super) static REQUEST_PRINCIPAL: Analyzer = Analyzer {
    name: "mesh.RequestPrincipalAnalyzer",
    about: "Checks that a RequestAuthentication reads the tokens that AuthorizationPolicies judge by",
    codes: &[&code::REQUEST_PRINCIPAL_WITHOUT_REQUEST_AUTHENTICATION],
    reads: &[Kind::AuthorizationPolicy, Kind::RequestAuthentication],
    run: principals,
};

fn principals(cx: &mut Context<'_>) {
    let mut readers: HashMap<&str, Vec<Item<'_, RequestAuthentication>>> = HashMap::new();
    for reader in cx.all::<RequestAuthentication>() {
        readers.entry(&reader.meta().namespace).or_default().push(reader);
    }
    let root = cx.root_namespace();
    for policy in cx.all::<AuthorizationPolicy>() {
        let asked = policy
            .spec()
            .rules
            .iter()
            .enumerate()
            .find_map(|(index, rule)| asks(rule).map(|(path, attribute)| (format!("spec.rules[{index}].{path}"), attribute)));
        let Some((path, attribute)) = asked else { continue };
        let namespace = policy.meta().namespace.as_str();
        // A policy of the root namespace is for every namespace, and any of their RequestAuthentications may read.
        let near = if namespace == root { None } else { Some([namespace, root]) };
        let read = match near {
            None => !readers.is_empty(),
            Some(near) => near.iter().filter_map(|namespace| readers.get(namespace)).flatten().any(|reader| {
                let by_reference =
                    !reader.spec().target_refs.is_empty() || reader.spec().target_ref.is_some() || !policy.spec().target_refs.is_empty();
                by_reference || compatible(labels(reader.spec().selector.as_ref()), labels(policy.spec().selector.as_ref()))
            }),
        };
        if !read {
            let effect = match policy.spec().action {
                Action::Deny => "rules that ask for it deny nothing, and those that ask for its absence deny everything",
                _ => "no request matches the rule",
            };
            cx.report(&code::REQUEST_PRINCIPAL_WITHOUT_REQUEST_AUTHENTICATION, policy, path, &[&attribute, &effect]);
        }
    }
}

/// Where a rule asks for a token, and what of it.
fn asks(rule: &Rule) -> Option<(String, String)> {
    let from = rule.from.iter().enumerate().find_map(|(index, from)| {
        let field = if !from.source.request_principals.is_empty() {
            "requestPrincipals"
        } else if !from.source.not_request_principals.is_empty() {
            "notRequestPrincipals"
        } else {
            return None;
        };
        Some((format!("from[{index}].source.{field}"), field.to_owned()))
    });
    let when = || {
        rule.when
            .iter()
            .enumerate()
            .find(|(_, condition)| condition.key.starts_with("request.auth."))
            .map(|(index, condition)| (format!("when[{index}].key"), condition.key.clone()))
    };
    from.or_else(when)
}

fn labels(selector: Option<&LabelSelector>) -> Option<&Labels> {
    selector.map(|selector| &selector.match_labels)
}

/// Whether some workload can have the labels of both.
fn compatible(one: Option<&Labels>, other: Option<&Labels>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return true };
    one.iter().all(|(key, value)| other.get(key).is_none_or(|other| other == value))
}

#[cfg(test)]
mod tests {
    use super::super::super::check::check;

    const NAME: &str = "mesh.RequestPrincipalAnalyzer";
    const POLICY: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: cart, namespace: a}
spec:
  selector: {matchLabels: {app: cart}}
  rules:
  - from: [{source: {requestPrincipals: ['*']}}]
";

    fn reader(namespace: &str, spec: &str) -> String {
        format!(
            "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: x, namespace: {namespace}}}\nspec: {{{spec}jwtRules: [{{issuer: me, jwks: '{{\"keys\": []}}'}}]}}\n"
        )
    }

    #[test]
    fn a_token_that_nobody_reads_is_told() {
        let expected = ["MESH0012 AuthorizationPolicy a/cart:7 spec.rules[0].from[0].source.requestPrincipals"];
        check(NAME, &[POLICY], &expected);
        check(NAME, &[POLICY, &reader("b", "")], &expected);
        check(NAME, &[POLICY, &reader("a", "selector: {matchLabels: {app: list}}, ")], &expected);
    }

    #[test]
    fn one_that_is_read_is_not() {
        check(NAME, &[POLICY, &reader("a", "")], &[]);
        check(NAME, &[POLICY, &reader("istio-system", "")], &[]);
        check(NAME, &[&POLICY.replace("requestPrincipals", "principals")], &[]);
    }
}
