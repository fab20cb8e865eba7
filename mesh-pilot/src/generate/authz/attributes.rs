//! The attributes of `from` and `to`, value by value, as RBAC permissions and principals.

use mesh_config::resource::authorization_policy::{Operation, Source};
use mesh_proto::{
    any::pack,
    envoy::{
        config::{
            core::v3::{CidrRange, TypedExtensionConfig},
            rbac::v3::{Permission, Principal, permission, principal},
            route::v3::{HeaderMatcher, header_matcher::HeaderMatchSpecifier},
        },
        extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig,
        r#type::matcher::v3::{
            ListMatcher, MetadataMatcher, OrMatcher, PathMatcher, StringMatcher, ValueMatcher, list_matcher,
            metadata_matcher::{PathSegment, path_segment::Segment},
            path_matcher, value_matcher,
        },
    },
    id::TrustDomain,
};

use super::{
    super::wire::{exact, number, prefix, regex, suffix},
    Place,
};

/// A value or attribute that cannot be judged here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unusable;

type Judged<T> = Result<T, Unusable>;

/// Where JWT claims would be found.
const JWT: &str = "envoy.filters.http.jwt_authn";
const ANY_TEXT: &str = ".+";

/// `to`: all attributes that are given. `None`: one is unusable, and the rule must not be widened.
pub(super) fn operation(asked: &Operation, place: Place<'_>, wide: bool) -> Option<Vec<Permission>> {
    let mut parts = Parts::new(wide);
    let http = |value: Judged<Permission>| if place.tcp { Err(Unusable) } else { value };
    parts.permissions(&asked.hosts, &asked.not_hosts, |value| http(Ok(permission_header(host(value)))))?;
    parts.permissions(&asked.methods, &asked.not_methods, |value| http(Ok(permission_header(header(":method", value)))))?;
    parts.permissions(&asked.paths, &asked.not_paths, |value| http(Ok(path(value))))?;
    parts.permissions(&asked.ports, &asked.not_ports, port)?;
    Some(parts.permissions)
}

/// `from`: all attributes that are given. `None`: one is unusable, and the rule must not be widened.
pub(super) fn source(asked: &Source, place: Place<'_>, wide: bool) -> Option<Vec<Principal>> {
    let mut parts = Parts::new(wide);
    let http = |value: Judged<Principal>| if place.tcp { Err(Unusable) } else { value };
    parts.principals(&asked.principals, &asked.not_principals, |value| Ok(principal(value, place)))?;
    parts.principals(&asked.request_principals, &asked.not_request_principals, |value| http(Ok(request_principal(value))))?;
    parts.principals(&asked.namespaces, &asked.not_namespaces, |value| Ok(namespace(value)))?;
    parts.principals(&asked.service_accounts, &asked.not_service_accounts, |value| Ok(service_account(value, place)))?;
    parts.principals(&asked.trust_domains, &asked.not_trust_domains, |value| Ok(trust_domain(value)))?;
    parts.principals(&asked.ip_blocks, &asked.not_ip_blocks, direct_ip)?;
    parts.principals(&asked.remote_ip_blocks, &asked.not_remote_ip_blocks, remote_ip)?;
    Some(parts.principals)
}

/// Collects attributes; each is "one of these and none of those".
struct Parts {
    wide: bool,
    permissions: Vec<Permission>,
    principals: Vec<Principal>,
}

impl Parts {
    fn new(wide: bool) -> Self {
        Self { wide, permissions: Vec::new(), principals: Vec::new() }
    }

    fn permissions(&mut self, any: &[String], none: &[String], judge: impl Fn(&str) -> Judged<Permission>) -> Option<()> {
        for (values, negated) in [(any, false), (none, true)] {
            match values.iter().map(|value| judge(value)).collect::<Judged<Vec<_>>>() {
                Ok(list) if list.is_empty() => {}
                Ok(list) if negated => self.permissions.push(not_permission(any_permission(list))),
                Ok(list) => self.permissions.push(any_permission(list)),
                Err(Unusable) if self.wide => {}
                Err(Unusable) => return None,
            }
        }
        Some(())
    }

    fn principals(&mut self, any: &[String], none: &[String], judge: impl Fn(&str) -> Judged<Principal>) -> Option<()> {
        for (values, negated) in [(any, false), (none, true)] {
            match values.iter().map(|value| judge(value)).collect::<Judged<Vec<_>>>() {
                Ok(list) if list.is_empty() => {}
                Ok(list) if negated => self.principals.push(not_principal(any_principal(list))),
                Ok(list) => self.principals.push(any_principal(list)),
                Err(Unusable) if self.wide => {}
                Err(Unusable) => return None,
            }
        }
        Some(())
    }
}

pub(super) fn any_permission(rules: Vec<Permission>) -> Permission {
    Permission { rule: Some(permission::Rule::OrRules(permission::Set { rules })) }
}

pub(super) fn any_principal(ids: Vec<Principal>) -> Principal {
    Principal { identifier: Some(principal::Identifier::OrIds(principal::Set { ids })) }
}

pub(super) fn not_permission(of: Permission) -> Permission {
    Permission { rule: Some(permission::Rule::NotRule(Box::new(of))) }
}

pub(super) fn not_principal(of: Principal) -> Principal {
    Principal { identifier: Some(principal::Identifier::NotId(Box::new(of))) }
}

/// `*`, `prefix*`, `*suffix`, or exact.
pub(super) fn string(value: &str) -> StringMatcher {
    match (value.strip_prefix('*'), value.strip_suffix('*')) {
        _ if value == "*" => regex(ANY_TEXT),
        (Some(end), _) => suffix(end),
        (None, Some(start)) => prefix(start),
        (None, None) => exact(value),
    }
}

pub(super) fn header(name: &str, value: &str) -> HeaderMatcher {
    // Present and not empty is what `*` means everywhere.
    let specifier = HeaderMatchSpecifier::StringMatch(string(value));
    HeaderMatcher { name: name.to_owned(), header_match_specifier: Some(specifier), ..Default::default() }
}

/// Hosts compare without case, and with or without a port (ISTIO-SECURITY-2021-008).
fn host(value: &str) -> HeaderMatcher {
    const PORT: &str = "(:[0-9]{1,5})?";
    let pattern = match (value.strip_prefix('*'), value.strip_suffix('*')) {
        _ if value == "*" => ANY_TEXT.to_owned(),
        (Some(end), _) => format!("(?i).*{}{PORT}", escape(end)),
        (None, Some(start)) => format!("(?i){}.*", escape(start)),
        (None, None) if value.contains(':') => format!("(?i){}", escape(value)),
        (None, None) => format!("(?i){}{PORT}", escape(value)),
    };
    let specifier = HeaderMatchSpecifier::StringMatch(regex(pattern));
    HeaderMatcher { name: ":authority".into(), header_match_specifier: Some(specifier), ..Default::default() }
}

fn permission_header(header: HeaderMatcher) -> Permission {
    Permission { rule: Some(permission::Rule::Header(header)) }
}

/// A path, or a template: `{*}` stands for one segment, a last `{**}` for the rest.
fn path(value: &str) -> Permission {
    if value.contains("{*}") || value.contains("{**}") {
        let template = UriTemplateMatchConfig { path_template: value.replace("{**}", "**").replace("{*}", "*") };
        let config =
            TypedExtensionConfig { name: "envoy.path.match.uri_template.uri_template_matcher".into(), typed_config: Some(pack(&template)) };
        return Permission { rule: Some(permission::Rule::UriTemplate(config)) };
    }
    let path = PathMatcher { rule: Some(path_matcher::Rule::Path(string(value))) };
    Permission { rule: Some(permission::Rule::UrlPath(path)) }
}

pub(super) fn port(value: &str) -> Judged<Permission> {
    let port: u16 = value.parse().map_err(|_| Unusable)?;
    Ok(Permission { rule: Some(permission::Rule::DestinationPort(port.into())) })
}

pub(super) fn destination_ip(value: &str) -> Judged<Permission> {
    Ok(Permission { rule: Some(permission::Rule::DestinationIp(cidr(value)?)) })
}

pub(super) fn direct_ip(value: &str) -> Judged<Principal> {
    Ok(Principal { identifier: Some(principal::Identifier::DirectRemoteIp(cidr(value)?)) })
}

pub(super) fn remote_ip(value: &str) -> Judged<Principal> {
    Ok(Principal { identifier: Some(principal::Identifier::RemoteIp(cidr(value)?)) })
}

/// An address or a block.
fn cidr(value: &str) -> Judged<CidrRange> {
    let net: ipnet::IpNet = match value.parse::<std::net::IpAddr>() {
        Ok(ip) => ip.into(),
        Err(_) => value.parse().map_err(|_| Unusable)?,
    };
    Ok(CidrRange { address_prefix: net.network().to_string(), prefix_len: number(net.prefix_len().into()) })
}

fn authenticated(name: StringMatcher) -> Principal {
    let authenticated = principal::Authenticated { principal_name: Some(name) };
    Principal { identifier: Some(principal::Identifier::Authenticated(authenticated)) }
}

/// `td/ns/NS/sa/SA`, with `*` at one end; the mesh's own trust domain stands for its aliases, too.
pub(super) fn principal(value: &str, place: Place<'_>) -> Principal {
    let names = aliases(value, place.trust_domains);
    let mut list: Vec<Principal> = names.iter().map(|name| authenticated(spiffe(name))).collect();
    match (list.pop(), list.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            list.extend(last);
            any_principal(list)
        }
    }
}

fn spiffe(value: &str) -> StringMatcher {
    match (value.strip_prefix('*'), value.strip_suffix('*')) {
        _ if value == "*" => regex(ANY_TEXT),
        // The scheme must stay in front of what `*` stands for.
        (Some(end), _) => regex(format!("spiffe://.*{}", escape(end))),
        (None, Some(start)) => prefix(format!("spiffe://{start}")),
        (None, None) => exact(format!("spiffe://{value}")),
    }
}

fn aliases(value: &str, domains: &[TrustDomain]) -> Vec<String> {
    match value.split_once('/') {
        Some((domain, rest)) if domains.iter().any(|known| known.as_str() == domain) || domain == "cluster.local" => {
            let mut names: Vec<String> = domains.iter().map(|known| format!("{known}/{rest}")).collect();
            if !domains.iter().any(|known| known.as_str() == domain) {
                names.push(value.to_owned());
            }
            names
        }
        _ => vec![value.to_owned()],
    }
}

pub(super) fn namespace(value: &str) -> Principal {
    authenticated(regex(format!("spiffe://[^/]+/ns/{}/.*", wildcard(value))))
}

/// `NS/SA`, or `SA` in the policy's namespace. Dots in names are dots (CVE-2026-39350).
pub(super) fn service_account(value: &str, place: Place<'_>) -> Principal {
    let (namespace, account) = value.split_once('/').unwrap_or((place.namespace, value));
    authenticated(regex(format!("spiffe://[^/]+/ns/{}/sa/{}", escape(namespace), escape(account))))
}

pub(super) fn trust_domain(value: &str) -> Principal {
    authenticated(regex(format!("spiffe://{}/.*", wildcard(value))))
}

fn wildcard(value: &str) -> String {
    value.split('*').map(escape).collect::<Vec<_>>().join("[^/]*")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$#&-~".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// `issuer/subject`, with `*` at one end. Without a JWT there is none, so nothing matches.
pub(super) fn request_principal(value: &str) -> Principal {
    if value == "*" {
        return both(string("*"), string("*"));
    }
    if let Some(end) = value.strip_prefix('*') {
        return match end.rsplit_once('/') {
            Some((issuer, subject)) => both(if issuer.is_empty() { string("*") } else { suffix(issuer) }, exact(subject)),
            None => both(string("*"), suffix(end)),
        };
    }
    if let Some(start) = value.strip_suffix('*') {
        return match start.rsplit_once('/') {
            Some((issuer, subject)) => both(exact(issuer), if subject.is_empty() { string("*") } else { prefix(subject) }),
            None => both(prefix(start), string("*")),
        };
    }
    let (issuer, subject) = value.rsplit_once('/').unwrap_or((value, ""));
    both(exact(issuer), exact(subject))
}

fn both(issuer: StringMatcher, subject: StringMatcher) -> Principal {
    let ids = vec![claim(&["iss"], issuer), claim(&["sub"], subject)];
    Principal { identifier: Some(principal::Identifier::AndIds(principal::Set { ids })) }
}

/// A claim that is the value, or a list with the value in it.
pub(super) fn claim(path: &[&str], value: StringMatcher) -> Principal {
    let text = ValueMatcher { match_pattern: Some(value_matcher::MatchPattern::StringMatch(value)) };
    let member = ListMatcher { match_pattern: Some(list_matcher::MatchPattern::OneOf(Box::new(text.clone()))) };
    let member = ValueMatcher { match_pattern: Some(value_matcher::MatchPattern::ListMatch(Box::new(member))) };
    let either = value_matcher::MatchPattern::OrMatch(OrMatcher { value_matchers: vec![text, member] });
    metadata(JWT, std::iter::once("payload").chain(path.iter().copied()), either)
}

#[expect(deprecated, reason = "its successor, `sourced_metadata`, is unknown to Envoys in use")]
pub(super) fn metadata<'p>(filter: &str, path: impl Iterator<Item = &'p str>, value: value_matcher::MatchPattern) -> Principal {
    let matcher = MetadataMatcher {
        filter: filter.to_owned(),
        path: path.map(|key| PathSegment { segment: Some(Segment::Key(key.to_owned())) }).collect(),
        value: Some(ValueMatcher { match_pattern: Some(value) }),
        invert: false,
    };
    Principal { identifier: Some(principal::Identifier::Metadata(matcher)) }
}
