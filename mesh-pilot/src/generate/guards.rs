//! RequestAuthentications as Envoy's `jwt_authn`, and what stands in for plugins that are not run.
//!
//! Source: Istio's `security/authn/policy_applier.go`: a bad token is refused, a missing one passes. Keys that are not given in the resource itself would have to be
//! fetched, which Pilot does not do yet: their issuer gets a key that nobody has, so none of its tokens is good. A proxy without the filter must refuse everything.

use std::collections::HashMap;

use mesh_config::resource::request_authentication::JwtRule;
use mesh_proto::{
    envoy::{
        config::{
            core::v3::{DataSource, data_source::Specifier},
            listener::v3::Filter,
            rbac::v3::{Permission, Policy, Principal, Rbac, permission, principal, rbac},
        },
        extensions::filters::{
            http::{
                jwt_authn::v3::{
                    JwtAuthentication, JwtClaimToHeader, JwtHeader, JwtProvider, JwtRequirement, JwtRequirementAndList,
                    JwtRequirementOrList, RequirementRule, jwt_provider, jwt_requirement::RequiresType, requirement_rule::RequirementType,
                },
                rbac::v3::Rbac as HttpRbac,
            },
            network::{http_connection_manager::v3::HttpFilter, rbac::v3::Rbac as TcpRbac},
        },
    },
    google::protobuf::Empty,
};

use super::{
    filters::{Direction, RBAC},
    route::everything,
    wire::{http_filter, network_filter},
};
use crate::{
    scope::ProxyScope,
    world::{Plugin, World},
};

const JWT: &str = "envoy.filters.http.jwt_authn";
/// Where policies look for claims.
const PAYLOAD: &str = "payload";
/// Claims that are lists, written as one text.
const SPACED: [&str; 2] = ["scope", "permission"];

/// The point of P-256 whose x is SHA-256("mesh: a key that nobody has 5"), the first such one on the curve: its private key would be a discrete logarithm.
const NOBODYS_KEY: &str = concat!(
    r#"{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"not-fetched","#,
    r#""x":"eiD4J_fcc4VTbxe_aK3CUeyt1flhWpEOMBjSG2jRnaw","y":"5P8yLhLYiXVmDiUyRBzPgmCm-358JjtBmNwjEsqEAKM"}]}"#
);

/// The filter for tokens, if the workload understands any.
pub(crate) fn tokens(world: &World, scope: &ProxyScope) -> Option<HttpFilter> {
    let rules = world.tokens(scope);
    if rules.is_empty() {
        return None;
    }
    let names: Vec<String> = (0..rules.len()).map(|index| format!("origins-{index}")).collect();
    let providers: HashMap<String, JwtProvider> = names.iter().cloned().zip(rules.into_iter().map(provider)).collect();
    let named = |name: &String| requirement(RequiresType::ProviderName(name.clone()));
    let missing = || requirement(RequiresType::AllowMissing(Empty {}));
    let mut each: Vec<JwtRequirement> = names.iter().map(|name| any(vec![named(name), missing()])).collect();
    let requires = if each.len() == 1 {
        each.pop()
    } else {
        // One of them, or of each a good token or none: two issuers may look for tokens at the same place.
        let mut list: Vec<JwtRequirement> = names.iter().map(named).collect();
        list.push(requirement(RequiresType::RequiresAll(JwtRequirementAndList { requirements: each })));
        Some(any(list))
    };
    let rule = RequirementRule { r#match: Some(everything()), requirement_type: requires.map(RequirementType::Requires) };
    let config = JwtAuthentication { providers, rules: vec![rule], bypass_cors_preflight: true, ..Default::default() };
    Some(http_filter(JWT, &config))
}

fn requirement(of: RequiresType) -> JwtRequirement {
    JwtRequirement { requires_type: Some(of) }
}

fn any(requirements: Vec<JwtRequirement>) -> JwtRequirement {
    requirement(RequiresType::RequiresAny(JwtRequirementOrList { requirements }))
}

fn provider(rule: &JwtRule) -> JwtProvider {
    let keys = if rule.jwks.is_empty() { NOBODYS_KEY } else { rule.jwks.as_str() };
    let keys = DataSource { specifier: Some(Specifier::InlineString(keys.to_owned())), ..Default::default() };
    let spaced = SPACED.iter().map(|claim| (*claim).to_owned()).chain(rule.space_delimited_claims.iter().cloned());
    JwtProvider {
        issuer: rule.issuer.clone(),
        audiences: rule.audiences.clone(),
        forward: rule.forward_original_token,
        forward_payload_header: rule.output_payload_to_header.clone(),
        payload_in_metadata: PAYLOAD.into(),
        normalize_payload_in_metadata: Some(jwt_provider::NormalizePayload { space_delimited_claims: spaced.collect() }),
        from_headers: rule
            .from_headers
            .iter()
            .map(|header| JwtHeader { name: header.name.clone(), value_prefix: header.prefix.clone() })
            .collect(),
        from_params: rule.from_params.clone(),
        from_cookies: rule.from_cookies.clone(),
        claim_to_headers: rule
            .output_claim_to_headers
            .iter()
            .map(|pair| JwtClaimToHeader { header_name: pair.header.clone(), claim_name: pair.claim.clone(), ..Default::default() })
            .collect(),
        jwks_source_specifier: Some(jwt_provider::JwksSourceSpecifier::LocalJwks(keys)),
        ..Default::default()
    }
}

/// Instead of plugins that must not be missing: everything is denied, under a name that says why.
pub(crate) fn http_denials(world: &World, scope: &ProxyScope, direction: Direction) -> Option<HttpFilter> {
    let rules = denial(world.plugins(scope).filter(|plugin| meant(plugin, direction)))?;
    Some(http_filter(RBAC, &HttpRbac { rules: Some(rules), ..Default::default() }))
}

/// The same for bytes.
pub(crate) fn network_denials(world: &World, scope: &ProxyScope, direction: Direction) -> Option<Filter> {
    let rules = denial(world.plugins(scope).filter(|plugin| plugin.network && meant(plugin, direction)))?;
    let config = TcpRbac { rules: Some(rules), stat_prefix: "tcp.".into(), ..Default::default() };
    Some(network_filter("envoy.filters.network.rbac", &config))
}

fn meant(plugin: &Plugin, direction: Direction) -> bool {
    match direction {
        Direction::Inbound => plugin.inbound,
        Direction::Outbound | Direction::Gateway => plugin.outbound,
    }
}

fn denial<'w>(plugins: impl Iterator<Item = &'w Plugin>) -> Option<Rbac> {
    let any = Policy {
        permissions: vec![Permission { rule: Some(permission::Rule::Any(true)) }],
        principals: vec![Principal { identifier: Some(principal::Identifier::Any(true)) }],
        ..Default::default()
    };
    let name = |plugin: &Plugin| format!("ns[{}]-{}[{}]-is-not-run-and-does-not-fail-open", plugin.namespace, plugin.kind, plugin.name);
    let policies: HashMap<String, Policy> = plugins.map(|plugin| (name(plugin), any.clone())).collect();
    (!policies.is_empty()).then(|| Rbac { action: rbac::Action::Deny.into(), policies, ..Default::default() })
}
