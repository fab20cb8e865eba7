//! Whether a connection or request is allowed: Envoy's role-based access control, for HTTP and network filters alike.
//!
//! Policies are tried in the order of their names; a policy matches if one of its permissions and one of its principals does.
//! It fails closed: a peer without a verified certificate is nobody, what is not there matches nothing, and of repeated
//! headers the value that is worse for the caller counts.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use serde_json::Value;

use super::facts::{Repeated, RequestFacts, header_matches};
use crate::{
    info::{ConnectionInfo, PeerTls},
    snapshot::{HeaderMatcher, MetadataMatcher, Permission, Principal, Rbac, RbacAction, RbacPolicy, Rules, StringMatcher, ValueMatcher},
};

/// What is known of who asks for what.
#[derive(Debug, Clone, Copy)]
pub struct AuthzFacts<'a> {
    /// The request; `None` in a network filter: conditions on it then hold for nothing.
    pub request: Option<&'a RequestFacts<'a>>,
    /// Our side of the connection, the original destination if one was recovered.
    pub destination: SocketAddr,
    /// The peer of the TCP connection, or what its PROXY header says.
    pub direct_remote: IpAddr,
    /// The client, after trusted hops of X-Forwarded-For.
    pub remote: IpAddr,
    /// SNI.
    pub server_name: Option<&'a str>,
    /// The TLS session, if it was ended here.
    pub tls: Option<&'a PeerTls>,
    /// Dynamic metadata: filter namespace and its struct.
    pub metadata: &'a [(&'a str, Value)],
}

/// What a filter decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Go on. Says the same as `enforced`.
    pub allowed: bool,
    /// What the enforced rules say; `None`: there are none, everything is allowed.
    pub enforced: Option<Judgement>,
    /// What the shadow rules would say. Only to be counted and logged.
    pub shadow: Option<Judgement>,
}

/// What one set of rules says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Allowed or denied.
    pub allowed: bool,
    /// The policy that matched.
    pub policy: Option<PolicyMatch>,
}

/// What of a policy matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyMatch {
    /// The policy.
    pub policy: Arc<str>,
    /// Index of the first permission that holds.
    pub permission: usize,
    /// Index of the first principal that holds.
    pub principal: usize,
}

/// Evaluates an RBAC filter.
pub fn authorize(rbac: &Rbac, facts: &AuthzFacts<'_>) -> Verdict {
    let enforced = rbac.rules.as_ref().map(|rules| judge(rules, facts));
    let shadow = rbac.shadow.as_ref().map(|rules| judge(rules, facts));
    Verdict { allowed: enforced.as_ref().is_none_or(|judgement| judgement.allowed), enforced, shadow }
}

/// Evaluates an RBAC network filter.
pub fn authorize_connection(rbac: &Rbac, connection: &ConnectionInfo) -> Verdict {
    authorize(rbac, &AuthzFacts::of(connection))
}

impl<'a> AuthzFacts<'a> {
    /// The facts of a connection alone.
    pub fn of(connection: &'a ConnectionInfo) -> Self {
        Self {
            request: None,
            destination: connection.local,
            direct_remote: connection.direct_remote.ip(),
            remote: connection.remote.ip(),
            server_name: connection.server_name.as_deref(),
            tls: connection.tls.as_ref(),
            metadata: &[],
        }
    }
}

impl Judgement {
    /// `%RESPONSE_CODE_DETAILS%` of a denial, as Envoy words it.
    pub fn details(&self) -> String {
        let policy = self.policy.as_ref().map_or("none", |matched| &matched.policy);
        format!("rbac_access_denied_matched_policy[{}]", policy.replace(char::is_whitespace, "_"))
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.allowed { "allowed" } else { "denied" })?;
        match &self.policy {
            Some(PolicyMatch { policy, permission, principal }) => {
                write!(f, " by policy `{policy}` (permission #{permission}, principal #{principal})")
            }
            None => write!(f, ": no policy matches"),
        }
    }
}

fn judge(rules: &Rules, facts: &AuthzFacts<'_>) -> Judgement {
    let repeated = match rules.action {
        RbacAction::Deny => Repeated::Any,
        RbacAction::Allow | RbacAction::Log => Repeated::AnyStrict,
    };
    let matcher = Matcher { facts, repeated };
    let policy = rules.policies.iter().find_map(|policy| matcher.policy(policy));
    let allowed = match rules.action {
        RbacAction::Allow => policy.is_some(),
        RbacAction::Deny => policy.is_none(),
        RbacAction::Log => true,
    };
    Judgement { allowed, policy }
}

/// Facts, and how to read repeated headers: against the caller, whichever way a match counts.
#[derive(Clone, Copy)]
struct Matcher<'a> {
    facts: &'a AuthzFacts<'a>,
    repeated: Repeated,
}

impl Matcher<'_> {
    fn policy(self, policy: &RbacPolicy) -> Option<PolicyMatch> {
        let permission = policy.permissions.iter().position(|permission| self.permission(permission))?;
        let principal = policy.principals.iter().position(|principal| self.principal(principal))?;
        Some(PolicyMatch { policy: policy.name.clone(), permission, principal })
    }

    fn permission(self, permission: &Permission) -> bool {
        match permission {
            Permission::Any => true,
            Permission::And(all) => all.iter().all(|permission| self.permission(permission)),
            Permission::Or(any) => any.iter().any(|permission| self.permission(permission)),
            Permission::Not(inner) => !self.negated().permission(inner),
            Permission::Header(header) => self.header(header),
            Permission::Path(path) => self.path(path),
            Permission::PathTemplate(regex) => {
                self.facts.request.is_some_and(|request| !request.path.is_empty() && regex.is_match(request.path_only()))
            }
            Permission::DestinationIp(net) => holds(net, self.facts.destination.ip()),
            Permission::DestinationPorts(ports) => ports.contains(&u32::from(self.facts.destination.port())),
            Permission::ServerName(name) => name.matches(self.facts.server_name.unwrap_or_default()),
            Permission::Metadata(metadata) => self.metadata(metadata),
        }
    }

    fn principal(self, principal: &Principal) -> bool {
        match principal {
            Principal::Any => true,
            Principal::And(all) => all.iter().all(|principal| self.principal(principal)),
            Principal::Or(any) => any.iter().any(|principal| self.principal(principal)),
            Principal::Not(inner) => !self.negated().principal(inner),
            Principal::Authenticated(name) => self.authenticated(name.as_ref()),
            Principal::DirectIp(net) => holds(net, self.facts.direct_remote),
            Principal::RemoteIp(net) => holds(net, self.facts.remote),
            Principal::Header(header) => self.header(header),
            Principal::Path(path) => self.path(path),
            Principal::Metadata(metadata) => self.metadata(metadata),
        }
    }

    fn negated(self) -> Self {
        let repeated = match self.repeated {
            Repeated::Any => Repeated::AnyStrict,
            _ => Repeated::Any,
        };
        Self { repeated, ..self }
    }

    fn header(self, header: &HeaderMatcher) -> bool {
        self.facts.request.is_some_and(|request| header_matches(header, &request.values(&header.name), self.repeated))
    }

    fn path(self, path: &StringMatcher) -> bool {
        self.facts.request.is_some_and(|request| !request.path.is_empty() && path.matches(request.path_only()))
    }

    /// A URI SAN, else a DNS SAN, else the subject; only of a certificate that was verified.
    fn authenticated(self, name: Option<&StringMatcher>) -> bool {
        let Some(peer) = self.facts.tls.filter(|peer| peer.verified) else {
            return false;
        };
        let Some(name) = name else { return true };
        peer.peer_uris.iter().chain(peer.peer_dns.iter()).any(|san| name.matches(san))
            || name.matches(peer.peer_subject.as_deref().unwrap_or_default())
    }

    fn metadata(self, matcher: &MetadataMatcher) -> bool {
        let mut value = self.facts.metadata.iter().find(|(filter, _)| *filter == &*matcher.filter).map(|(_, value)| value);
        for key in &matcher.path {
            value = value.and_then(|value| value.get(&**key));
        }
        value_matches(&matcher.value, value) != matcher.invert
    }
}

/// `envoy.type.matcher.v3.ValueMatcher`. What is not there matches only `present: false`.
fn value_matches(matcher: &ValueMatcher, value: Option<&Value>) -> bool {
    match (matcher, value) {
        (ValueMatcher::Present(wanted), value) => {
            let primitive = value.is_none_or(|value| !value.is_object() && !value.is_array());
            primitive && value.is_some() == *wanted
        }
        (ValueMatcher::Or(any), value) => any.iter().any(|matcher| value_matches(matcher, value)),
        (_, None) => false,
        (ValueMatcher::String(wanted), Some(Value::String(text))) => wanted.matches(text),
        (ValueMatcher::Bool(wanted), Some(Value::Bool(is))) => wanted == is,
        (ValueMatcher::Null, Some(Value::Null)) => true,
        (ValueMatcher::Number(wanted), Some(Value::Number(number))) => {
            number.as_f64().is_some_and(|number| number.total_cmp(wanted).is_eq())
        }
        (ValueMatcher::Any(member), Some(Value::Array(list))) => list.iter().any(|value| value_matches(member, Some(value))),
        _ => false,
    }
}

fn holds(net: &IpNet, address: IpAddr) -> bool {
    net.contains(&address.to_canonical())
}

#[cfg(test)]
mod tests;
