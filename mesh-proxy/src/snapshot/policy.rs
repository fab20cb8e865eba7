//! Role-based access control as compiled from Envoy's RBAC filters.

use std::{ops::Range, sync::Arc};

use ipnet::IpNet;

use super::{HeaderMatcher, StringMatcher};

/// One RBAC filter.
#[derive(Debug)]
pub struct Rbac {
    /// Enforced rules; `None` allows everything.
    pub rules: Option<Rules>,
    /// Evaluated and counted only.
    pub shadow: Option<Rules>,
    /// `rules_stat_prefix` / `shadow_rules_stat_prefix`.
    pub stat_prefix: Arc<str>,
    /// See `stat_prefix`.
    pub shadow_stat_prefix: Arc<str>,
}

/// A set of policies and what a match means.
#[derive(Debug)]
pub struct Rules {
    /// What a match means.
    pub action: RbacAction,
    /// Sorted by name, as Envoy evaluates them.
    pub policies: Vec<RbacPolicy>,
}

/// What a match means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RbacAction {
    /// Allowed only if some policy matches.
    Allow,
    /// Denied if some policy matches.
    Deny,
    /// Always allowed, a match is only marked.
    Log,
}

/// One policy.
#[derive(Debug)]
pub struct RbacPolicy {
    /// Name, such as `ns[default]-policy[frontend]-rule[0]`.
    pub name: Arc<str>,
    /// OR.
    pub permissions: Vec<Permission>,
    /// OR.
    pub principals: Vec<Principal>,
}

/// What is asked for.
#[derive(Debug)]
pub enum Permission {
    /// Anything.
    Any,
    /// All of.
    And(Vec<Permission>),
    /// One of.
    Or(Vec<Permission>),
    /// Not.
    Not(Box<Permission>),
    /// A header.
    Header(HeaderMatcher),
    /// The path without query and fragment.
    Path(StringMatcher),
    /// The path against a URI template (`{*}`, `{**}`), as an anchored regex.
    PathTemplate(regex::Regex),
    /// Destination address.
    DestinationIp(IpNet),
    /// Destination port.
    DestinationPorts(Range<u32>),
    /// SNI.
    ServerName(StringMatcher),
    /// Filter metadata: namespace, key path, what its value must be (list membership counts).
    Metadata(MetadataMatcher),
}

/// Who asks.
#[derive(Debug)]
pub enum Principal {
    /// Anyone.
    Any,
    /// All of.
    And(Vec<Principal>),
    /// One of.
    Or(Vec<Principal>),
    /// Not.
    Not(Box<Principal>),
    /// By certificate: `None`: any verified peer certificate; else a URI SAN, else a DNS SAN, else the subject matches.
    Authenticated(Option<StringMatcher>),
    /// Direct peer address.
    DirectIp(IpNet),
    /// Address after trusted hops of X-Forwarded-For.
    RemoteIp(IpNet),
    /// A header.
    Header(HeaderMatcher),
    /// The path without query and fragment.
    Path(StringMatcher),
    /// Filter metadata.
    Metadata(MetadataMatcher),
}

/// `envoy.type.matcher.v3.MetadataMatcher`, compiled.
#[derive(Debug)]
pub struct MetadataMatcher {
    /// Filter namespace.
    pub filter: Arc<str>,
    /// Key path.
    pub path: Vec<Arc<str>>,
    /// What the value must be.
    pub value: ValueMatcher,
    /// Inverted.
    pub invert: bool,
}

/// `envoy.type.matcher.v3.ValueMatcher`.
#[derive(Debug)]
pub enum ValueMatcher {
    /// A string.
    String(StringMatcher),
    /// Present or not.
    Present(bool),
    /// A boolean.
    Bool(bool),
    /// A list with a member that matches.
    Any(Box<ValueMatcher>),
    /// Null.
    Null,
    /// A number, exact.
    Number(f64),
    /// Any of.
    Or(Vec<ValueMatcher>),
}
