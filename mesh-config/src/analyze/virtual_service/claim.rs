//! Routes by the claims of a token, at gateways where nothing reads tokens.

use std::collections::HashMap;

use super::MESH;
use crate::{
    analyze::{Analyzer, code, context::Context},
    resource::{Gateway, Key, Kind, Labels, Pod, RequestAuthentication, VirtualService, selector::selects},
};

/// Claims that nobody reads.
pub(in crate::analyze) static JWT_CLAIM_ROUTE: Analyzer = Analyzer {
    name: "virtualservice.JWTClaimRouteAnalyzer",
    about: "Checks that gateways whose routes ask for claims have a RequestAuthentication",
    codes: &[&code::JWT_CLAIM_BASED_ROUTING_WITHOUT_REQUEST_AUTHN],
    reads: &[Kind::VirtualService, Kind::RequestAuthentication, Kind::Gateway, Kind::Pod],
    run: claims,
};

/// Selects every workload.
static EVERY: Labels = Labels::new();

fn claims(cx: &mut Context<'_>) {
    let mut readers: HashMap<&str, Vec<&Labels>> = HashMap::new();
    for policy in cx.all::<RequestAuthentication>() {
        let selector = policy.spec().selector.as_ref().map_or(&EVERY, |selector| &selector.match_labels);
        readers.entry(&policy.meta().namespace).or_default().push(selector);
    }
    let root = cx.root_namespace();
    for service in cx.all::<VirtualService>() {
        let Some((path, key)) = first_claim(service.spec()) else { continue };
        for name in service.spec().gateways.iter().filter(|name| *name != MESH) {
            let gateway = super::gateway::named(&service.meta().namespace, name);
            // One that does not exist is told by another analyzer.
            let Some(found) = cx.find::<Gateway>(&gateway.namespace, &gateway.name) else { continue };
            for pod in cx.selected_anywhere::<Pod>(&found.spec().selector) {
                let meta = pod.meta();
                let mut selectors = [root, meta.namespace.as_str()].into_iter().filter_map(|namespace| readers.get(namespace)).flatten();
                if !selectors.any(|selector| selects(selector, &meta.labels)) {
                    let arguments: [&dyn std::fmt::Display; 3] = [&key, &gateway as &Key, &meta.name];
                    cx.report(&code::JWT_CLAIM_BASED_ROUTING_WITHOUT_REQUEST_AUTHN, service, path.as_str(), &arguments);
                }
            }
        }
    }
}

/// The first match on a claim, and where it is.
fn first_claim(service: &VirtualService) -> Option<(String, &str)> {
    for (rule, http) in service.http.iter().enumerate() {
        for (index, alternative) in http.matches.iter().enumerate() {
            for (field, headers) in [("headers", &alternative.headers), ("withoutHeaders", &alternative.without_headers)] {
                if let Some(key) = headers.keys().find(|key| is_claim(key)) {
                    return Some((format!("spec.http[{rule}].match[{index}].{field}"), key));
                }
            }
        }
    }
    None
}

/// The name that stands for the claims of the request's token, before `.claim` or `[claim]`.
const CLAIMS: &str = "@request.auth.claims";

fn is_claim(key: &str) -> bool {
    let Some((prefix, claim)) = key.split_at_checked(CLAIMS.len()) else { return false };
    let named = claim.strip_prefix('.').or_else(|| claim.strip_prefix('[')?.strip_suffix(']'));
    prefix.eq_ignore_ascii_case(CLAIMS) && named.is_some_and(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::is_claim;

    #[test]
    fn claims_are_named_in_two_ways() {
        assert!(["@request.auth.claims.sub", "@Request.Auth.Claims.a.b", "@request.auth.claims[a.b][c]"].into_iter().all(is_claim));
        assert!(!["@request.auth.claims", "@request.auth.claims.", "@request.auth.claims[]", "x-claim"].into_iter().any(is_claim));
    }
}
