//! AuthorizationPolicies as Envoy RBAC filters.
//!
//! Source: Istio's `pilot/pkg/security/authz/builder`. CUSTOM is judged first, then AUDIT marks, then DENY, then ALLOW. What cannot be expressed at a place
//! (an HTTP attribute on a TCP port, a value that does not parse) tightens: an ALLOW rule with it is dropped, a DENY rule is enforced without it. There are no
//! external authorizers yet, so what a CUSTOM policy would ask one about is denied.

mod attributes;
mod conditions;

use std::collections::HashMap;

use mesh_config::resource::authorization_policy::{Action, Operation, Rule, Source};
use mesh_proto::envoy::{
    config::{
        listener::v3::Filter,
        rbac::v3::{self as wire, Permission, Policy as WirePolicy, Principal, permission, principal, rbac},
    },
    extensions::filters::{
        http::rbac::v3::Rbac as HttpRbac,
        network::{http_connection_manager::v3::HttpFilter, rbac::v3::Rbac as TcpRbac},
    },
};
use mesh_proto::id::TrustDomain;

use super::{
    filters::RBAC,
    wire::{http_filter, network_filter},
};
use crate::{
    scope::ProxyScope,
    world::{Policy, World},
};
use attributes::{Unusable, operation, source};
use conditions::{Half, condition};

/// What the attributes of a place may be, and how a policy's names are read there.
#[derive(Clone, Copy)]
pub(crate) struct Place<'w> {
    /// Bytes only: HTTP attributes are not known.
    pub(crate) tcp: bool,
    /// The namespace of the policy at hand: service accounts without one are in it.
    pub(crate) namespace: &'w str,
    /// All trust domains that are one.
    pub(crate) trust_domains: &'w [TrustDomain],
}

/// The rules of one action.
#[derive(Default)]
struct Rules {
    enforced: Option<HashMap<String, WirePolicy>>,
    shadow: Option<HashMap<String, WirePolicy>>,
}

/// In order of judgement.
const ORDER: [Action; 4] = [Action::Custom, Action::Audit, Action::Deny, Action::Allow];

/// The filters of an HTTP filter chain: those that go before the check of tokens, and those that go after it.
pub(crate) fn http_filters(world: &World, scope: &ProxyScope) -> (Vec<HttpFilter>, Vec<HttpFilter>) {
    let filter = |(action, rules): (Action, Rules)| {
        let config = HttpRbac {
            rules: rules.enforced.map(|policies| engine(action, policies)),
            shadow_rules_stat_prefix: shadow_prefix(action, rules.shadow.is_some()),
            shadow_rules: rules.shadow.map(|policies| engine(action, policies)),
            ..Default::default()
        };
        http_filter(RBAC, &config)
    };
    let (before, after): (Vec<_>, Vec<_>) = compiled(world, scope, false).into_iter().partition(|(action, _)| *action == Action::Custom);
    (before.into_iter().map(filter).collect(), after.into_iter().map(filter).collect())
}

/// The filters of a TCP filter chain.
pub(crate) fn network_filters(world: &World, scope: &ProxyScope) -> Vec<Filter> {
    let filter = |(action, rules): (Action, Rules)| {
        let config = TcpRbac {
            rules: rules.enforced.map(|policies| engine(action, policies)),
            shadow_rules_stat_prefix: shadow_prefix(action, rules.shadow.is_some()),
            shadow_rules: rules.shadow.map(|policies| engine(action, policies)),
            stat_prefix: "tcp.".into(),
            ..Default::default()
        };
        network_filter("envoy.filters.network.rbac", &config)
    };
    compiled(world, scope, true).into_iter().map(filter).collect()
}

fn shadow_prefix(action: Action, used: bool) -> String {
    match (used, action) {
        (false, _) => String::new(),
        (true, Action::Allow) => "istio_dry_run_allow_".into(),
        (true, _) => "istio_dry_run_deny_".into(),
    }
}

fn engine(action: Action, policies: HashMap<String, WirePolicy>) -> wire::Rbac {
    let action = match action {
        Action::Allow => rbac::Action::Allow,
        Action::Deny | Action::Custom => rbac::Action::Deny,
        Action::Audit => rbac::Action::Log,
    };
    wire::Rbac { action: action.into(), policies, ..Default::default() }
}

fn compiled(world: &World, scope: &ProxyScope, tcp: bool) -> Vec<(Action, Rules)> {
    let policies = world.policies(scope.namespace.as_str(), world.labels(scope));
    let settings = world.settings();
    let trust_domains: Vec<TrustDomain> = std::iter::once(&settings.trust_domain).chain(&settings.trust_domain_aliases).cloned().collect();
    let rules = |action: Action| {
        let mut rules = Rules::default();
        for policy in policies.iter().filter(|policy| policy.object.spec.action == action) {
            let list = if policy.dry_run { &mut rules.shadow } else { &mut rules.enforced };
            // Even without a rule it counts: ALLOW without rules allows nothing.
            let list = list.get_or_insert_default();
            let place = Place { tcp, namespace: &policy.object.meta.namespace, trust_domains: &trust_domains };
            list.extend(translate(policy, place));
        }
        rules
    };
    let all = ORDER.into_iter().map(|action| (action, rules(action)));
    all.filter(|(_, rules)| rules.enforced.is_some() || rules.shadow.is_some()).collect()
}

/// A policy's rules by Istio's names: `ns[shop]-policy[ads]-rule[0]`.
fn translate(policy: &Policy, place: Place<'_>) -> Vec<(String, WirePolicy)> {
    let (meta, spec) = (&policy.object.meta, &policy.object.spec);
    let rules = spec.rules.iter().enumerate().filter_map(|(index, rule)| {
        let name = format!("ns[{}]-policy[{}]-rule[{index}]", meta.namespace, meta.name);
        Some((name, translate_rule(rule, spec.action, place)?))
    });
    rules.collect()
}

/// One rule: one of `from`, one of `to`, all of `when`. `None`: nothing can match.
fn translate_rule(rule: &Rule, action: Action, place: Place<'_>) -> Option<WirePolicy> {
    let wide = action != Action::Allow;
    let mut permission_when = Vec::new();
    let mut principal_when = Vec::new();
    for asked in &rule.when {
        match condition(asked, place) {
            Ok(Half::Permission(part)) => permission_when.push(part),
            Ok(Half::Principal(part)) => principal_when.push(part),
            Err(Unusable) if wide => {}
            Err(Unusable) => return None,
        }
    }
    let operations: Vec<Operation> =
        if rule.to.is_empty() { vec![Operation::default()] } else { rule.to.iter().map(|to| to.operation.clone()).collect() };
    let sources: Vec<Source> =
        if rule.from.is_empty() { vec![Source::default()] } else { rule.from.iter().map(|from| from.source.clone()).collect() };
    let permissions = operations.iter().filter_map(|asked| {
        let mut parts = operation(asked, place, wide)?;
        parts.extend(permission_when.iter().cloned());
        Some(all_permissions(parts))
    });
    let principals = sources.iter().filter_map(|asked| {
        let mut parts = source(asked, place, wide)?;
        parts.extend(principal_when.iter().cloned());
        Some(all_principals(parts))
    });
    let policy = WirePolicy { permissions: permissions.collect(), principals: principals.collect(), ..Default::default() };
    (!policy.permissions.is_empty() && !policy.principals.is_empty()).then_some(policy)
}

fn all_permissions(parts: Vec<Permission>) -> Permission {
    let rules = if parts.is_empty() { vec![Permission { rule: Some(permission::Rule::Any(true)) }] } else { parts };
    Permission { rule: Some(permission::Rule::AndRules(permission::Set { rules })) }
}

fn all_principals(parts: Vec<Principal>) -> Principal {
    let ids = if parts.is_empty() { vec![Principal { identifier: Some(principal::Identifier::Any(true)) }] } else { parts };
    Principal { identifier: Some(principal::Identifier::AndIds(principal::Set { ids })) }
}

#[cfg(test)]
mod tests;
