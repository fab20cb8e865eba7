//! Rules of `AuthorizationPolicy`. Whatever is not understood is an error: a rule that is dropped would admit or deny
//! the wrong callers.

use super::{Action, AuthorizationPolicy, Condition, Operation, Rule, Source};
use crate::{
    resource::{Meta, Object, selector::TargetRef},
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

/// Condition keys with a name in brackets.
const NAMED_KEYS: &[&str] = &["request.headers", "request.auth.claims", "experimental.envoy.filters."];

/// What a policy can attach to, by group and kind.
const TARGETS: &[(&str, &str)] = &[
    ("", "Service"),
    ("core", "Service"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("networking.istio.io", "ServiceEntry"),
];

/// A policy that is judged and not enforced.
const DRY_RUN: &str = "istio.io/dry-run";

impl Validate for AuthorizationPolicy {
    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        targets(spec, checks);
        action(spec, checks);
        dry_run(&object.meta, spec.action, checks);
        if spec.rules.len() > 512 {
            checks.field("rules", |checks| checks.error(shown(spec.rules.len()), "at most 512 rules", "split the policy"));
        }
        checks.each("rules", &spec.rules, |checks, item| rule(item, spec.action, checks));
    }
}

fn targets(spec: &AuthorizationPolicy, checks: &mut Checks) {
    let given = [spec.selector.is_some(), spec.target_ref.is_some(), !spec.target_refs.is_empty()];
    if given.iter().filter(|given| **given).count() > 1 {
        checks.error(None, "only one of targetRefs or selector can be set", "keep one");
    }
    if let Some(selector) = &spec.selector {
        checks.selector("selector.matchLabels", &selector.match_labels);
        checks.selects_nothing_special("selector", &selector.match_labels);
    }
    // A policy that is accepted and not enforced would be worse than none.
    let unsupported = |checks: &mut Checks| checks.error(None, "targetRefs are not supported by this mesh yet", "use selector");
    if spec.target_ref.is_some() {
        checks.field("targetRef", unsupported);
    }
    if !spec.target_refs.is_empty() {
        checks.field("targetRefs", unsupported);
    }
    if spec.target_refs.len() > 16 {
        checks.field("targetRefs", |checks| checks.error(shown(spec.target_refs.len()), "at most 16", "split the policy"));
    }
    let reference = |checks: &mut Checks, target: &TargetRef| {
        for (field, value) in [("kind", &target.kind), ("name", &target.name)] {
            if value.is_empty() {
                checks.field(field, |checks| checks.error(None, "Required value", "name the object"));
            }
        }
        if !TARGETS.contains(&(target.group.as_str(), target.kind.as_str())) {
            checks.error(
                shown(&target.kind),
                "not a kind that a policy can attach to",
                "use Gateway, GatewayClass, Service or ServiceEntry, with its group",
            );
        }
        if !target.namespace.is_empty() {
            checks.field("namespace", |checks| {
                let rule = "cross namespace referencing is not currently supported";
                checks.error(shown(&target.namespace), rule, "remove it: the target is in the policy's namespace");
            });
        }
    };
    if let Some(target) = &spec.target_ref {
        checks.field("targetRef", |checks| reference(checks, target));
    }
    checks.each("targetRefs", &spec.target_refs, reference);
}

fn action(spec: &AuthorizationPolicy, checks: &mut Checks) {
    let provider = spec.provider.as_ref();
    match spec.action {
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
    if spec.rules.is_empty() {
        checks.field("rules", |checks| match spec.action {
            Action::Deny | Action::Custom => {
                let rule = format!("{} action without `rules` is meaningless as it will never be triggered", spec.action);
                checks.error(None, rule, "add a rule; `rules: [{}]` matches everything");
            }
            Action::Allow => {
                let rule = "configured AuthorizationPolicy will deny all traffic to workloads under its scope";
                checks.warning(None, rule, "add a rule if something shall be allowed");
            }
            Action::Audit => {}
        });
    }
}

/// The annotation is at `metadata`, outside the spec.
fn dry_run(meta: &Meta, action: Action, checks: &mut Checks) {
    let Some(value) = meta.annotations.get(DRY_RUN) else { return };
    checks.metadata(&format!("annotations[{DRY_RUN:?}]"), |checks| {
        if !matches!(value.as_str(), "true" | "false") {
            checks.error(shown(value), format!("annotation {DRY_RUN} has an invalid value"), "set \"true\" or \"false\"");
        } else if !matches!(action, Action::Allow | Action::Deny) {
            let rule = format!("the annotation {DRY_RUN} currently only supports action ALLOW/DENY, found action {action}");
            checks.error(shown(value), rule, "remove it");
        }
    });
}

fn rule(rule: &Rule, action: Action, checks: &mut Checks) {
    if rule.from.len() > 512 {
        checks.field("from", |checks| checks.error(shown(rule.from.len()), "at most 512", "split the policy"));
    }
    checks.each("from", &rule.from, |checks, from| checks.field("source", |checks| source(&from.source, action, checks)));
    checks.each("to", &rule.to, |checks, to| checks.field("operation", |checks| operation(&to.operation, checks)));
    checks.each("when", &rule.when, |checks, when| condition(when, action, checks));
}

fn source(source: &Source, action: Action, checks: &mut Checks) {
    let set = |list: &[String]| !list.is_empty();
    if *source == Source::default() {
        checks.error(None, "`from.source` must not be empty", "name the callers, or leave `from` out to match all");
    }
    let accounts = set(&source.service_accounts) || set(&source.not_service_accounts);
    let others = [&source.principals, &source.not_principals, &source.namespaces, &source.not_namespaces];
    if accounts && others.iter().any(|list| set(list)) {
        checks.error(None, "Cannot set serviceAccounts with namespaces or principals", "keep serviceAccounts, or the others");
    }
    if action == Action::Custom {
        for (field, list) in [("requestPrincipals", &source.request_principals), ("notRequestPrincipals", &source.not_request_principals)] {
            if set(list) {
                checks.field(field, |checks| {
                    let rule = format!("{field} is currently not supported with CUSTOM action");
                    checks.error(None, rule, "remove it: CUSTOM is judged before tokens are verified");
                });
            }
        }
    }
    for (field, list) in [("serviceAccounts", &source.service_accounts), ("notServiceAccounts", &source.not_service_accounts)] {
        if list.len() > 16 {
            checks.field(field, |checks| checks.error(shown(list.len()), "at most 16 entries", "use more sources"));
        }
        checks.each(field, list, |checks, account| {
            let parts = account.split('/').collect::<Vec<_>>();
            if account.len() > 320 || parts.len() > 2 || parts.iter().any(|part| part.is_empty()) || account.contains('*') {
                let rule = "serviceAccounts entries are `account` or `namespace/account`, without wildcards";
                checks.error(shown(account), rule, "name one account");
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
        ("trustDomains", &source.trust_domains),
        ("notTrustDomains", &source.not_trust_domains),
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
            if !port.parse::<u16>().is_ok_and(|port| port > 0) {
                checks.error(shown(port), "port must be between 1-65535", "write the number of a port, in quotes");
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

/// What is wrong with a path pattern: wildcards and templates do not mix, and `{**}` is the last of its kind.
fn path_problem(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("an empty entry matches nothing");
    }
    let templated = path.contains("{*}") || path.contains("{**}");
    if !templated {
        return path.contains(['{', '}']).then_some("invalid path: braces only in `{*}` and `{**}`");
    }
    let mut multi = false;
    for segment in path.split('/') {
        match segment {
            "{**}" if multi => return Some("`{**}` may stand once"),
            "{**}" => multi = true,
            "{*}" if multi => return Some("`{*}` must not follow `{**}`"),
            "{*}" => {}
            text if text.contains("{*}") || text.contains("{**}") => {
                return Some("`{*}` and `{**}` must be whole segments");
            }
            text if text.contains(['{', '}', '*']) => return Some("a template must not contain another wildcard"),
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
        let named = NAMED_KEYS.iter().any(|known| {
            key.strip_prefix(known)
                .is_some_and(|rest| known.ends_with('.') || rest.starts_with('[') && rest.ends_with(']') && rest.len() > 2)
        });
        if !named && !PLAIN_KEYS.contains(&key) {
            let known = PLAIN_KEYS.iter().chain(NAMED_KEYS).copied();
            let remedy = match crate::suggest::nearest(key, known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("use one of {}, request.headers[…], request.auth.claims[…]", PLAIN_KEYS.join(", ")),
            };
            checks.error(shown(key), "unknown attribute", remedy);
        } else if action == Action::Custom && key.starts_with("request.auth.") {
            let rule = format!("{key} is currently not supported with CUSTOM action");
            checks.error(shown(key), rule, "remove it: CUSTOM is judged before tokens are verified");
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
                "destination.port" => value.parse::<u16>().is_ok_and(|port| port > 0),
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
