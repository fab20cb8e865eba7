//! Subsets that no DestinationRule defines.

use std::collections::HashSet;

use super::targets;
use crate::{
    analyze::{Analyzer, code, context::Context, hosts::CLUSTER_DOMAIN},
    resource::{DestinationRule, Kind, VirtualService},
};

/// Subsets that are not there.
pub(in crate::analyze) static DESTINATION_RULE: Analyzer = Analyzer {
    name: "virtualservice.DestinationRuleAnalyzer",
    about: "Checks that the subsets that VirtualServices route to are defined by DestinationRules",
    codes: &[&code::REFERENCED_RESOURCE_NOT_FOUND],
    reads: &[Kind::VirtualService, Kind::DestinationRule],
    run: subsets,
};

fn subsets(cx: &mut Context<'_>) {
    let mut defined: HashSet<(&str, &str, &str)> = HashSet::new();
    for rule in cx.all::<DestinationRule>() {
        let (namespace, name) = service_of(&rule.meta().namespace, &rule.spec().host);
        defined.extend(rule.spec().subsets.iter().map(|subset| (namespace, name, subset.name.as_str())));
    }
    for service in cx.all::<VirtualService>() {
        for target in targets(service.spec()) {
            let (host, subset) = (&target.destination.host, &target.destination.subset);
            let (namespace, name) = service_of(&service.meta().namespace, host);
            if !subset.is_empty() && !defined.contains(&(namespace, name, subset)) {
                let what = if target.mirror { "mirror+subset in destinationrule" } else { "host+subset in destinationrule" };
                let path = format_args!("{}.subset", target.path);
                cx.report(&code::REFERENCED_RESOURCE_NOT_FOUND, service, path, &[&what, &format_args!("{host}+{subset}")]);
            }
        }
    }
}

/// The namespace and name of the Kubernetes Service that a host means; what is not `name.namespace.svc.cluster.local` is a name in `namespace`.
fn service_of<'a>(namespace: &'a str, host: &'a str) -> (&'a str, &'a str) {
    let full = host.strip_suffix(CLUSTER_DOMAIN).and_then(|rest| rest.strip_suffix('.')).and_then(|rest| rest.rsplit_once('.'));
    full.filter(|(name, namespace)| !name.is_empty() && !namespace.is_empty())
        .map_or((namespace, host), |(name, namespace)| (namespace, name))
}

#[cfg(test)]
mod tests {
    use super::service_of;

    #[test]
    fn a_host_is_a_service_of_its_namespace_or_of_its_own() {
        assert_eq!(service_of("shop", "cart"), ("shop", "cart"));
        assert_eq!(service_of("shop", "cart.other.svc.cluster.local"), ("other", "cart"));
        assert_eq!(service_of("shop", "cart.svc.cluster.local"), ("shop", "cart.svc.cluster.local"));
        assert_eq!(service_of("shop", "example.com"), ("shop", "example.com"));
    }
}
