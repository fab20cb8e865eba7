//! The keys of `when`.

use mesh_config::resource::authorization_policy::Condition;
use mesh_proto::envoy::{
    config::rbac::v3::{Permission, Principal, permission, principal},
    r#type::matcher::v3::{ListMatcher, ValueMatcher, list_matcher, value_matcher},
};

use super::{
    Place,
    attributes::{
        self, Unusable, any_permission, any_principal, claim, header, namespace, not_permission, not_principal, request_principal,
        service_account, string, trust_domain,
    },
};

/// Which side of RBAC a condition is on.
#[derive(Clone)]
pub(super) enum Half {
    /// About what is asked for.
    Permission(Permission),
    /// About who asks.
    Principal(Principal),
}

/// Reads one value.
type Judge = fn(&str) -> Result<Permission, Unusable>;

/// One of the values and none of the others.
pub(super) fn condition(asked: &Condition, place: Place<'_>) -> Result<Half, Unusable> {
    let key = asked.key.as_str();
    let permission: Option<Judge> = match key {
        "destination.ip" => Some(attributes::destination_ip),
        "destination.port" => Some(attributes::port),
        "connection.sni" => Some(sni),
        _ => None,
    };
    if let Some(judge) = permission {
        return permissions(asked, judge).map(Half::Permission);
    }
    let judge = |value: &str| principal_value(key, value, place);
    principals(asked, judge).map(Half::Principal)
}

fn permissions(asked: &Condition, judge: Judge) -> Result<Permission, Unusable> {
    let all = |values: &[String]| values.iter().map(|value| judge(value)).collect::<Result<Vec<_>, _>>();
    let mut rules = Vec::new();
    if !asked.values.is_empty() {
        rules.push(any_permission(all(&asked.values)?));
    }
    if !asked.not_values.is_empty() {
        rules.push(not_permission(any_permission(all(&asked.not_values)?)));
    }
    one_or(rules, Unusable).map(|rules| Permission { rule: Some(permission::Rule::AndRules(permission::Set { rules })) })
}

fn principals(asked: &Condition, judge: impl Fn(&str) -> Result<Principal, Unusable>) -> Result<Principal, Unusable> {
    let all = |values: &[String]| values.iter().map(|value| judge(value)).collect::<Result<Vec<_>, _>>();
    let mut ids = Vec::new();
    if !asked.values.is_empty() {
        ids.push(any_principal(all(&asked.values)?));
    }
    if !asked.not_values.is_empty() {
        ids.push(not_principal(any_principal(all(&asked.not_values)?)));
    }
    one_or(ids, Unusable).map(|ids| Principal { identifier: Some(principal::Identifier::AndIds(principal::Set { ids })) })
}

/// A condition without values says nothing that could be judged.
fn one_or<T, E>(list: Vec<T>, error: E) -> Result<Vec<T>, E> {
    if list.is_empty() { Err(error) } else { Ok(list) }
}

fn sni(value: &str) -> Result<Permission, Unusable> {
    Ok(Permission { rule: Some(permission::Rule::RequestedServerName(string(value))) })
}

fn principal_value(key: &str, value: &str, place: Place<'_>) -> Result<Principal, Unusable> {
    match key {
        "source.ip" => return attributes::direct_ip(value),
        "remote.ip" => return attributes::remote_ip(value),
        "source.namespace" => return Ok(namespace(value)),
        "source.serviceAccount" => return Ok(service_account(value, place)),
        "source.trustDomain" => return Ok(trust_domain(value)),
        "source.principal" => return Ok(attributes::principal(value, place)),
        _ => {}
    }
    // The rest is known for HTTP only.
    if place.tcp && !key.starts_with("experimental.envoy.filters.") {
        return Err(Unusable);
    }
    if let Some(name) = bracketed(key, "request.headers") {
        return Ok(Principal { identifier: Some(principal::Identifier::Header(header(name.first().ok_or(Unusable)?, value))) });
    }
    if let Some(path) = bracketed(key, "request.auth.claims") {
        return Ok(claim(&path, string(value)));
    }
    match key {
        "request.auth.principal" => Ok(request_principal(value)),
        "request.auth.audiences" => Ok(claim(&["aud"], string(value))),
        "request.auth.presenter" => Ok(claim(&["azp"], string(value))),
        _ => filter_metadata(key, value),
    }
}

/// `experimental.envoy.filters.a.b[key]`; a value in brackets asks for a member of a list.
fn filter_metadata(key: &str, value: &str) -> Result<Principal, Unusable> {
    let rest = key.strip_prefix("experimental.").ok_or(Unusable)?;
    let (filter, path) = rest.split_once('[').ok_or(Unusable)?;
    let path = path.strip_suffix(']').ok_or(Unusable)?;
    let pattern = match value.strip_prefix('[').and_then(|value| value.strip_suffix(']')) {
        Some(member) => {
            let text = ValueMatcher { match_pattern: Some(value_matcher::MatchPattern::StringMatch(string(member))) };
            let list = ListMatcher { match_pattern: Some(list_matcher::MatchPattern::OneOf(Box::new(text))) };
            value_matcher::MatchPattern::ListMatch(Box::new(list))
        }
        None => value_matcher::MatchPattern::StringMatch(string(value)),
    };
    Ok(attributes::metadata(filter, path.split("]["), pattern))
}

/// `name[a][b]` → `[a, b]`.
fn bracketed<'k>(key: &'k str, name: &str) -> Option<Vec<&'k str>> {
    let inside = key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?;
    (!inside.is_empty()).then(|| inside.split("][").collect())
}
