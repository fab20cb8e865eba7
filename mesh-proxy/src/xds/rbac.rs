//! Role-based access control. Everything here decides who gets in: what is not understood refuses the resource, never narrows or widens a rule.

use mesh_proto::envoy::{
    config::{
        core::v3::TypedExtensionConfig,
        rbac::v3::{
            MetadataSource, Permission as WirePermission, Policy, Principal as WirePrincipal, Rbac as WireRules, SourcedMetadata,
            permission::{Rule, Set as PermissionSet},
            principal::{Authenticated, Identifier, Set as PrincipalSet},
            rbac::Action,
        },
    },
    extensions::{
        filters::{http::rbac::v3::Rbac as HttpRbac, network::rbac::v3::Rbac as NetworkRbac},
        path::r#match::uri_template::v3::UriTemplateMatchConfig,
    },
    r#type::{
        matcher::v3::{FilterStateMatcher, PathMatcher, filter_state_matcher, path_matcher},
        v3::Int32Range,
    },
};

use super::{
    address,
    any::Typed,
    context::{Context, Result, ignored, refused},
    metadata, regex, scalar, text,
};
use crate::snapshot::{Permission, Principal, Rbac, RbacAction, RbacPolicy, Rules, StringMatcher};

/// Where Istio keeps the identity that a peer's certificate proved.
const PEER_PRINCIPAL: &str = "io.istio.peer_principal";

/// The HTTP filter.
pub(crate) fn http(cx: &mut Context<'_>, wire: &HttpRbac) -> Result<Rbac> {
    let HttpRbac {
        rules: wire_rules,
        rules_stat_prefix,
        matcher,
        shadow_rules,
        shadow_matcher,
        shadow_rules_stat_prefix,
        track_per_rule_stats,
    } = wire;
    refused!(cx; "requests would go unchecked; give rules"; matcher);
    ignored!(cx; shadow_matcher, track_per_rule_stats);
    Ok(Rbac {
        rules: optional_rules(cx, "rules", wire_rules.as_ref())?,
        shadow: optional_rules(cx, "shadow_rules", shadow_rules.as_ref())?,
        stat_prefix: rules_stat_prefix.as_str().into(),
        shadow_stat_prefix: shadow_rules_stat_prefix.as_str().into(),
    })
}

/// The network filter.
pub(crate) fn network(cx: &mut Context<'_>, wire: &NetworkRbac) -> Result<Rbac> {
    let NetworkRbac {
        rules: wire_rules,
        matcher,
        shadow_rules,
        shadow_matcher,
        shadow_rules_stat_prefix,
        stat_prefix,
        enforcement_type,
        delay_deny,
    } = wire;
    refused!(cx; "connections would go unchecked; give rules"; matcher);
    refused!(cx; "connections would be checked once only"; enforcement_type);
    ignored!(cx; shadow_matcher, delay_deny);
    Ok(Rbac {
        rules: optional_rules(cx, "rules", wire_rules.as_ref())?,
        shadow: optional_rules(cx, "shadow_rules", shadow_rules.as_ref())?,
        stat_prefix: stat_prefix.as_str().into(),
        shadow_stat_prefix: shadow_rules_stat_prefix.as_str().into(),
    })
}

fn optional_rules(cx: &mut Context<'_>, name: &str, wire: Option<&WireRules>) -> Result<Option<Rules>> {
    wire.map(|wire| cx.field(name, |cx| rules(cx, wire))).transpose()
}

fn rules(cx: &mut Context<'_>, wire: &WireRules) -> Result<Rules> {
    let WireRules { action, policies, audit_logging_options } = wire;
    ignored!(cx; audit_logging_options);
    let action = match scalar::known(cx, "action", *action)? {
        Action::Allow => RbacAction::Allow,
        Action::Deny => RbacAction::Deny,
        Action::Log => RbacAction::Log,
    };
    let mut sorted: Vec<_> = policies.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let policies = sorted.into_iter().map(|(name, wire)| cx.field(&format!("policies[{name:?}]"), |cx| policy(cx, name, wire)));
    Ok(Rules { action, policies: policies.collect::<Result<_>>()? })
}

fn policy(cx: &mut Context<'_>, name: &str, wire: &Policy) -> Result<RbacPolicy> {
    let Policy { permissions, principals, condition, checked_condition, cel_config } = wire;
    refused!(cx; "the policy would match without its condition"; condition, checked_condition);
    ignored!(cx; cel_config);
    Ok(RbacPolicy {
        name: name.into(),
        permissions: members(cx, "permissions", permissions, permission)?,
        principals: members(cx, "principals", principals, principal)?,
    })
}

/// Members of a list that must not be empty: an empty AND would match everything.
fn members<W, T>(cx: &mut Context<'_>, name: &str, wire: &[W], convert: fn(&mut Context<'_>, &W) -> Result<T>) -> Result<Vec<T>> {
    if wire.is_empty() {
        return Err(cx.refuse_field(name, "is empty"));
    }
    cx.each(name, wire, convert)
}

fn permission(cx: &mut Context<'_>, wire: &WirePermission) -> Result<Permission> {
    let WirePermission { rule } = wire;
    #[expect(deprecated, reason = "control planes still send the old form of metadata")]
    Ok(match rule {
        None => return Err(cx.refuse("is empty")),
        Some(Rule::Any(true)) => Permission::Any,
        Some(Rule::Any(false)) => return Err(cx.refuse_field("any", "must be true")),
        Some(Rule::AndRules(PermissionSet { rules })) => {
            Permission::And(cx.field("and_rules", |cx| members(cx, "rules", rules, permission))?)
        }
        Some(Rule::OrRules(PermissionSet { rules })) => Permission::Or(cx.field("or_rules", |cx| members(cx, "rules", rules, permission))?),
        Some(Rule::NotRule(wire)) => Permission::Not(Box::new(cx.field("not_rule", |cx| permission(cx, wire))?)),
        Some(Rule::Header(wire)) => Permission::Header(cx.field("header", |cx| text::header(cx, wire))?),
        Some(Rule::UrlPath(wire)) => Permission::Path(path(cx, wire)?),
        Some(Rule::DestinationIp(wire)) => Permission::DestinationIp(cx.field("destination_ip", |cx| address::range(cx, wire))?),
        Some(Rule::DestinationPort(port)) => {
            let port = u32::from(scalar::port(cx, "destination_port", *port)?);
            Permission::DestinationPorts(port..port + 1)
        }
        Some(Rule::DestinationPortRange(Int32Range { start, end })) => match (u32::try_from(*start), u32::try_from(*end)) {
            (Ok(start), Ok(end)) if start < end && end <= 65_536 => Permission::DestinationPorts(start..end),
            _ => return Err(cx.refuse_field("destination_port_range", "must be start (included) to end (not included), at most 65536")),
        },
        Some(Rule::Metadata(wire)) => Permission::Metadata(cx.field("metadata", |cx| metadata::matcher(cx, wire))?),
        Some(Rule::SourcedMetadata(wire)) => Permission::Metadata(cx.field("sourced_metadata", |cx| sourced(cx, wire))?),
        Some(Rule::RequestedServerName(wire)) => Permission::ServerName(cx.field("requested_server_name", |cx| text::string(cx, wire))?),
        Some(Rule::UriTemplate(wire)) => Permission::PathTemplate(cx.field("uri_template", |cx| uri_template(cx, wire))?),
        Some(Rule::Matcher(_)) => return Err(cx.refuse_field("matcher", "is not implemented: the rule would mean something else")),
    })
}

fn principal(cx: &mut Context<'_>, wire: &WirePrincipal) -> Result<Principal> {
    let WirePrincipal { identifier } = wire;
    #[expect(deprecated, reason = "control planes still send the old form of metadata")]
    Ok(match identifier {
        None => return Err(cx.refuse("is empty")),
        Some(Identifier::Any(true)) => Principal::Any,
        Some(Identifier::Any(false)) => return Err(cx.refuse_field("any", "must be true")),
        Some(Identifier::AndIds(PrincipalSet { ids })) => Principal::And(cx.field("and_ids", |cx| members(cx, "ids", ids, principal))?),
        Some(Identifier::OrIds(PrincipalSet { ids })) => Principal::Or(cx.field("or_ids", |cx| members(cx, "ids", ids, principal))?),
        Some(Identifier::NotId(wire)) => Principal::Not(Box::new(cx.field("not_id", |cx| principal(cx, wire))?)),
        Some(Identifier::Authenticated(Authenticated { principal_name })) => cx.field("authenticated.principal_name", |cx| {
            principal_name.as_ref().map(|wire| text::string(cx, wire)).transpose().map(Principal::Authenticated)
        })?,
        Some(Identifier::SourceIp(_)) => {
            return Err(cx.refuse_field("source_ip", "is not implemented; give direct_remote_ip or remote_ip"));
        }
        Some(Identifier::DirectRemoteIp(wire)) => Principal::DirectIp(cx.field("direct_remote_ip", |cx| address::range(cx, wire))?),
        Some(Identifier::RemoteIp(wire)) => Principal::RemoteIp(cx.field("remote_ip", |cx| address::range(cx, wire))?),
        Some(Identifier::Header(wire)) => Principal::Header(cx.field("header", |cx| text::header(cx, wire))?),
        Some(Identifier::UrlPath(wire)) => Principal::Path(path(cx, wire)?),
        Some(Identifier::Metadata(wire)) => Principal::Metadata(cx.field("metadata", |cx| metadata::matcher(cx, wire))?),
        Some(Identifier::SourcedMetadata(wire)) => Principal::Metadata(cx.field("sourced_metadata", |cx| sourced(cx, wire))?),
        Some(Identifier::FilterState(wire)) => cx.field("filter_state", |cx| filter_state(cx, wire))?,
        Some(Identifier::Custom(_)) => return Err(cx.refuse_field("custom", "is not implemented: the rule would mean something else")),
    })
}

/// The one filter state that is known: Istio's authenticated peer, which its proxies take from the certificate's URI.
fn filter_state(cx: &mut Context<'_>, wire: &FilterStateMatcher) -> Result<Principal> {
    let FilterStateMatcher { key, matcher } = wire;
    match matcher {
        Some(filter_state_matcher::Matcher::StringMatch(wire)) if key == PEER_PRINCIPAL => {
            let name = cx.field("string_match", |cx| text::string(cx, wire))?;
            Ok(Principal::Authenticated(Some(name)))
        }
        _ => Err(cx.refuse(format!("{key:?} is not implemented; only a string match on {PEER_PRINCIPAL} is"))),
    }
}

fn sourced(cx: &mut Context<'_>, wire: &SourcedMetadata) -> Result<crate::snapshot::MetadataMatcher> {
    let SourcedMetadata { metadata_matcher, metadata_source } = wire;
    if scalar::known::<MetadataSource>(cx, "metadata_source", *metadata_source)? != MetadataSource::Dynamic {
        return Err(cx.refuse_field("metadata_source", "only DYNAMIC is implemented"));
    }
    cx.field("metadata_matcher", |cx| metadata::matcher(cx, metadata_matcher.as_ref().ok_or_else(|| cx.refuse("is missing"))?))
}

fn path(cx: &mut Context<'_>, wire: &PathMatcher) -> Result<StringMatcher> {
    let PathMatcher { rule } = wire;
    cx.field("url_path.path", |cx| match rule {
        Some(path_matcher::Rule::Path(wire)) => text::string(cx, wire),
        None => Err(cx.refuse("is missing")),
    })
}

/// A URI template as an anchored regular expression.
pub(crate) fn uri_template(cx: &mut Context<'_>, wire: &TypedExtensionConfig) -> Result<::regex::Regex> {
    let TypedExtensionConfig { name: _, typed_config } = wire;
    cx.field("typed_config", |cx| {
        let typed = Typed::required(cx, typed_config.as_ref())?;
        if typed.name() != "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig" {
            return Err(cx.refuse(format!("{} is not implemented here; give a UriTemplateMatchConfig", typed.name())));
        }
        let UriTemplateMatchConfig { path_template } = typed.decode(cx)?;
        let pattern = template_pattern(&path_template)
            .ok_or_else(|| cx.refuse_field("path_template", format!("{path_template:?} is not a template such as /a/{{*}}/b/{{**}}")))?;
        regex::compile(cx, &pattern)
    })
}

/// `*` is one segment's text, `**` any text; either may have a name: `{id}`, `{id=*}`, `{rest=**}`. Characters as Envoy's matcher has them.
fn template_pattern(template: &str) -> Option<String> {
    const ONE: &str = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=]+";
    const ANY: &str = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=/]*";
    let glob = |inside: &str| match inside {
        "*" => Some(ONE),
        "**" => Some(ANY),
        _ => None,
    };
    let segments = template.strip_prefix('/')?.split('/');
    let mut pattern = String::from("^");
    for segment in segments {
        pattern.push('/');
        let mut rest = segment;
        while let Some((before, after)) = rest.split_once('{') {
            pattern.push_str(&::regex::escape(before));
            let (inside, after) = after.split_once('}')?;
            pattern.push_str(match inside.split_once('=') {
                Some((_, value)) => glob(value)?,
                None => glob(inside).or_else(|| inside.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_').then_some(ONE))?,
            });
            rest = after;
        }
        match glob(rest) {
            Some(glob) => pattern.push_str(glob),
            None if rest.contains(['*', '}']) => return None,
            None => pattern.push_str(&::regex::escape(rest)),
        }
    }
    pattern.push('$');
    Some(pattern)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn matches(template: &str, path: &str) -> bool {
        ::regex::Regex::new(&template_pattern(template).unwrap()).unwrap().is_match(path)
    }

    #[test]
    fn templates_match_by_segment() {
        assert!(matches("/a/{*}/c", "/a/b/c") && !matches("/a/{*}/c", "/a/b/b/c") && !matches("/a/{*}/c", "/a//c"));
        assert!(matches("/a/{**}", "/a/b/c") && matches("/a/{**}", "/a/"));
        assert!(matches("/u/{id}/x.{e=*}", "/u/7/x.json") && !matches("/u/{id}", "/u/7/8"));
        assert!(matches("/a.b", "/a.b") && !matches("/a.b", "/axb"));
        for bad in ["a", "/{", "/a*b", "/{x=y}", "/{a b}"] {
            assert!(template_pattern(bad).is_none(), "{bad}");
        }
    }
}
