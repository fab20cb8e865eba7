//! Rules of `AuthorizationPolicy`. Whatever is not understood is an error: a rule that is dropped would admit or deny
//! the wrong callers.

use super::{Action, AuthorizationPolicy, Condition, Operation, Rule, Source};
use crate::{
    resource::{Meta, Object, attachment::attachment},
    schema::{AGE, Crd},
    validate::{
        Checks, Validate,
        rules::{is_block, shown},
    },
};

/// Condition keys without a name in brackets.
const PLAIN_KEYS: &[&str] = &[
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.principal",
    "source.serviceAccount",
    "source.trustDomain",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "destination.ip",
    "destination.port",
    "connection.sni",
];

/// How condition keys with a name in brackets begin.
const NAMED_KEYS: &[&str] = &["request.headers[", "request.auth.claims[", "experimental.envoy.filters."];

/// Condition keys that a CUSTOM policy cannot use beside those of `request.auth.`: it is judged before callers are authenticated.
const AUTHENTICATED_KEYS: &[&str] = &["source.namespace", "source.serviceAccount", "source.trustDomain", "source.principal"];

/// A policy that is judged and not enforced.
const DRY_RUN: &str = "istio.io/dry-run";

/// What Istio reads as a boolean in an annotation.
const PARSED_BOOLEANS: &[&str] = &["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"];

impl Validate for AuthorizationPolicy {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().short_names(&["ap"]).columns(&[("Action", ".spec.action", "string"), AGE]));

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        attachment(spec.selector.as_ref(), spec.target_ref.as_ref(), &spec.target_refs, checks);
        action(spec, checks);
        dry_run(&object.meta, spec.action, checks);
        checks.each("rules", &spec.rules, |checks, item| rule(item, spec.action, checks));
    }
}

fn action(spec: &AuthorizationPolicy, checks: &mut Checks) {
    let provider = spec.provider.as_ref();
    match spec.action {
        Action::Custom if spec.rules.is_empty() => {}
        Action::Custom => {
            if provider.is_none_or(|provider| provider.name.is_empty()) {
                checks.field("provider.name", |checks| {
                    checks.error(None, "`provider.name` must not be empty", "name an extension provider of MeshConfig");
                });
            }
        }
        action => {
            if provider.is_some() {
                checks.field("provider", |checks| {
                    let rule = format!("`provider` must not be with non CUSTOM action, found {action}");
                    checks.error(None, rule, "remove it, or set action: CUSTOM");
                });
            }
        }
    }
    if spec.rules.is_empty() && matches!(spec.action, Action::Deny | Action::Custom) {
        checks.field("rules", |checks| {
            let rule = format!("{} action without `rules` is meaningless as it will never be triggered", spec.action);
            checks.error(None, rule, "add a rule; `rules: [{}]` matches everything");
        });
    }
}

/// The annotation is at `metadata`, outside the spec.
fn dry_run(meta: &Meta, action: Action, checks: &mut Checks) {
    let Some(value) = meta.annotations.get(DRY_RUN) else { return };
    checks.metadata(&format!("annotations[{DRY_RUN:?}]"), |checks| {
        if !PARSED_BOOLEANS.contains(&value.as_str()) {
            checks.error(shown(value), format!("annotation {DRY_RUN} has an invalid value"), "set \"true\" or \"false\"");
        } else if !matches!(action, Action::Allow | Action::Deny) {
            let rule = format!("the annotation {DRY_RUN} currently only supports action ALLOW/DENY, found action {action}");
            checks.error(shown(value), rule, "remove it");
        }
    });
}

fn rule(rule: &Rule, action: Action, checks: &mut Checks) {
    checks.each("from", &rule.from, |checks, from| checks.field("source", |checks| source(&from.source, action, checks)));
    checks.each("to", &rule.to, |checks, to| checks.field("operation", |checks| operation(&to.operation, checks)));
    checks.each("when", &rule.when, |checks, when| condition(when, action, checks));
    if action == Action::Deny && denies_bytes(rule) {
        let rule = "the rule denies all traffic to TCP ports in its scope: on them its HTTP attributes match anything";
        checks.warning(None, rule, "add `ports` to the operation");
    }
}

/// Whether a DENY rule only has attributes that are not known of plain TCP, and therefore denies all of it.
fn denies_bytes(rule: &Rule) -> bool {
    let known_from = rule.from.iter().any(|from| {
        let Source { principals, not_principals, namespaces, not_namespaces, service_accounts, not_service_accounts, .. } = &from.source;
        let Source { ip_blocks, not_ip_blocks, remote_ip_blocks, not_remote_ip_blocks, .. } = &from.source;
        let identity = [principals, not_principals, namespaces, not_namespaces, service_accounts, not_service_accounts];
        let address = [ip_blocks, not_ip_blocks, remote_ip_blocks, not_remote_ip_blocks];
        identity.into_iter().chain(address).any(|list| !list.is_empty())
    });
    let known_to = rule.to.iter().any(|to| !to.operation.ports.is_empty() || !to.operation.not_ports.is_empty());
    match (rule.from.is_empty(), rule.to.is_empty()) {
        (_, false) => !known_to,
        (false, true) => !known_from,
        (true, true) => false,
    }
}

fn source(source: &Source, action: Action, checks: &mut Checks) {
    let set = |list: &[String]| !list.is_empty();
    if *source == Source::default() {
        checks.error(None, "`from.source` must not be empty", "name the callers, or leave `from` out to match all");
    }
    if action == Action::Custom {
        for (field, list) in [
            ("principals", &source.principals),
            ("notPrincipals", &source.not_principals),
            ("requestPrincipals", &source.request_principals),
            ("notRequestPrincipals", &source.not_request_principals),
            ("namespaces", &source.namespaces),
            ("notNamespaces", &source.not_namespaces),
            ("serviceAccounts", &source.service_accounts),
            ("notServiceAccounts", &source.not_service_accounts),
            ("trustDomains", &source.trust_domains),
            ("notTrustDomains", &source.not_trust_domains),
        ] {
            if set(list) {
                checks.field(field, |checks| {
                    let rule = format!("{field} is currently not supported with CUSTOM action");
                    checks.error(None, rule, "remove it: CUSTOM is judged before callers are authenticated");
                });
            }
        }
    }
    for (field, list) in [("serviceAccounts", &source.service_accounts), ("notServiceAccounts", &source.not_service_accounts)] {
        checks.each(field, list, |checks, account| {
            if !is_account(account) {
                let rule = "serviceAccounts entries are `account` or `namespace/account`, without wildcards";
                checks.error(shown(account), rule, "name one account");
            }
        });
    }
    for (field, list) in [("trustDomains", &source.trust_domains), ("notTrustDomains", &source.not_trust_domains)] {
        checks.each(field, list, |checks, domain| {
            if !is_pattern(domain) || domain.contains('/') {
                checks.error(shown(domain), "not a trust domain, with `*` at one end at most", "write it as in SPIFFE ids, without a path");
            }
        });
    }
    for (field, list) in [
        ("ipBlocks", &source.ip_blocks),
        ("notIpBlocks", &source.not_ip_blocks),
        ("remoteIpBlocks", &source.remote_ip_blocks),
        ("notRemoteIpBlocks", &source.not_remote_ip_blocks),
    ] {
        checks.each(field, list, |checks, block| {
            if !is_block(block) {
                checks.error(shown(block), "not an IP address or CIDR block", "write 10.0.0.1 or 10.0.0.0/16");
            }
        });
    }
    for (field, list) in [
        ("principals", &source.principals),
        ("notPrincipals", &source.not_principals),
        ("requestPrincipals", &source.request_principals),
        ("notRequestPrincipals", &source.not_request_principals),
        ("namespaces", &source.namespaces),
        ("notNamespaces", &source.not_namespaces),
    ] {
        patterns(field, list, checks);
    }
}

fn operation(operation: &Operation, checks: &mut Checks) {
    if *operation == Operation::default() {
        checks.error(None, "`to.operation` must not be empty", "name what is called, or leave `to` out to match all");
    }
    for (field, list) in [("ports", &operation.ports), ("notPorts", &operation.not_ports)] {
        checks.each(field, list, |checks, port| {
            if port.parse::<u16>().is_err() {
                checks.error(shown(port), "not a port", "write the number of a port, in quotes");
            }
        });
    }
    for (field, list) in [
        ("hosts", &operation.hosts),
        ("notHosts", &operation.not_hosts),
        ("methods", &operation.methods),
        ("notMethods", &operation.not_methods),
    ] {
        patterns(field, list, checks);
    }
    for (field, list) in [("paths", &operation.paths), ("notPaths", &operation.not_paths)] {
        checks.each(field, list, |checks, path| {
            if let Some(problem) = path_problem(path) {
                checks.error(shown(path), problem, "use `*` at one end, or `{*}` for a segment and `{**}` for the rest");
            }
        });
    }
}

/// Lists of texts with an optional `*` at one end.
fn patterns(field: &str, list: &[String], checks: &mut Checks) {
    checks.each(field, list, |checks, text| {
        if text.is_empty() {
            checks.error(None, "an empty entry matches nothing", "remove it");
        }
    });
}

/// `account` or `namespace/account`.
fn is_account(account: &str) -> bool {
    let parts = account.split('/').collect::<Vec<_>>();
    account.len() <= 320 && parts.len() <= 2 && parts.iter().all(|part| !part.is_empty()) && !account.contains('*')
}

/// A text with at most one `*`, at one end.
fn is_pattern(text: &str) -> bool {
    match text.matches('*').count() {
        0 => !text.is_empty(),
        1 => text.starts_with('*') || text.ends_with('*'),
        _ => false,
    }
}

/// What is wrong with a path pattern: templates are whole segments, `{**}` is the last of them, and beside one the other segments are literal (RFC 3986's
/// `pchar`).
fn path_problem(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("an empty entry matches nothing");
    }
    let templated = path.contains("{*}") || path.contains("{**}");
    let literal = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@=".contains(&b));
    let mut rest = false;
    for segment in path.trim_matches('/').split('/') {
        match segment {
            "{*}" | "{**}" if rest => return Some("`{**}` must be the last template"),
            "{**}" => rest = true,
            "{*}" => {}
            text if text.contains(['{', '}']) => return Some("invalid path: braces only in `{*}` and `{**}`, which are whole segments"),
            text if templated && !literal(text) => {
                return Some("invalid path: beside a template, a segment has no other wildcard and is not empty");
            }
            _ => {}
        }
    }
    None
}

fn condition(condition: &Condition, action: Action, checks: &mut Checks) {
    let key = condition.key.as_str();
    checks.field("key", |checks| {
        if key.is_empty() {
            return checks.error(None, "`key` must not be empty", "name an attribute, such as `request.headers[x-user]`");
        }
        let named = NAMED_KEYS.iter().any(|known| key.starts_with(known))
            && key.find('[').is_some_and(|open| open > 0 && open + 2 < key.len() && key.ends_with(']'));
        if !named && !PLAIN_KEYS.contains(&key) {
            let known = PLAIN_KEYS.iter().copied().chain(NAMED_KEYS.iter().map(|key| key.trim_end_matches(['[', '.'])));
            let remedy = match crate::suggest::nearest(key, known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("use one of {}, request.headers[…], request.auth.claims[…]", PLAIN_KEYS.join(", ")),
            };
            checks.error(shown(key), "unknown attribute", remedy);
        } else if action == Action::Custom && (key.starts_with("request.auth.") || AUTHENTICATED_KEYS.contains(&key)) {
            let rule = format!("{key} is currently not supported with CUSTOM action");
            checks.error(shown(key), rule, "remove it: CUSTOM is judged before callers are authenticated");
        }
    });
    if condition.values.is_empty() && condition.not_values.is_empty() {
        let rule = format!("at least one of `values` or `notValues` must be set for key {key}");
        checks.error(None, rule, "add the values");
    }
    for (field, list) in [("values", &condition.values), ("notValues", &condition.not_values)] {
        checks.each(field, list, |checks, value| {
            let valid = match key {
                "source.ip" | "remote.ip" | "destination.ip" => is_block(value),
                "destination.port" => value.parse::<u16>().is_ok(),
                "source.serviceAccount" => is_account(value),
                "source.trustDomain" => is_pattern(value),
                _ => !value.is_empty(),
            };
            if !valid {
                checks.error(
                    shown(value),
                    format!("invalid value for key {key}"),
                    "write an address, a block, a port, or a text that is not empty",
                );
            }
        });
    }
}
