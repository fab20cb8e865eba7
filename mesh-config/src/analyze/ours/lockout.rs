//! Policies that admit nobody who comes through the gateway: on the gateway itself, where clients from outside have no mesh identity; and behind it, where
//! the gateway's identity is not among those admitted.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    super::{
        Analyzer, code,
        context::{Context, Item},
    },
    gateway_key, gateways,
    workloads::Workloads,
};
use crate::resource::{
    AuthorizationPolicy, Gateway, Key, Kind, Labels, Service, VirtualService,
    authorization_policy::{Action, Source},
    gateway::ServerTlsMode,
    selector::selects,
    virtual_service::HttpAction,
};

/// Doors that are locked from inside.
pub(in super::super) static GATEWAY_LOCKOUT: Analyzer = Analyzer {
    name: "mesh.GatewayLockoutAnalyzer",
    about: "Checks that AuthorizationPolicies admit what comes through the gateways",
    codes: &[&code::POLICY_LOCKS_OUT_GATEWAY],
    reads: &[Kind::AuthorizationPolicy, Kind::Gateway, Kind::VirtualService, Kind::Service],
    run: lockouts,
};

fn lockouts(cx: &mut Context<'_>) {
    let mut policies: HashMap<&str, Vec<Item<'_, AuthorizationPolicy>>> = HashMap::new();
    for policy in cx.all::<AuthorizationPolicy>().filter(|policy| policy.spec().action == Action::Allow) {
        policies.entry(&policy.meta().namespace).or_default().push(policy);
    }
    if policies.is_empty() {
        return;
    }
    at_gateway(cx, &policies);
    behind_gateway(cx, &policies);
}

type Policies<'a> = HashMap<&'a str, Vec<Item<'a, AuthorizationPolicy>>>;

/// A policy on the gateway's own pods that asks for mesh identities, where no server asks clients for certificates.
fn at_gateway(cx: &mut Context<'_>, policies: &Policies<'_>) {
    let open: Vec<Item<'_, Gateway>> = cx.all::<Gateway>().filter(|gateway| !asks_for_certificates(gateway.spec())).collect();
    let mut by_labels: BTreeMap<&Labels, Item<'_, Gateway>> = BTreeMap::new();
    for gateway in open {
        by_labels.entry(&gateway.spec().selector).or_insert(gateway);
    }
    for policy in policies.values().flatten() {
        let Some(labels) = selector(policy).filter(|labels| !labels.is_empty()) else { continue };
        let Some(gateway) = by_labels.get(labels) else { continue };
        // Another policy for the same pods may admit them.
        let same = policies
            .get(policy.meta().namespace.as_str())
            .into_iter()
            .flatten()
            .filter(|other| selector(other).is_none_or(|other| selects(other, labels)));
        let mut rules = same.flat_map(|policy| &policy.spec().rules);
        if !policy.spec().rules.is_empty()
            && rules.all(|rule| !rule.from.is_empty() && rule.from.iter().all(|from| identified(&from.source)))
        {
            let reason =
                format!("clients of Gateway {} come from outside and have no mesh identity, which every rule asks for", gateway.key());
            cx.report(&code::POLICY_LOCKS_OUT_GATEWAY, policy, "spec.rules", &[&reason]);
        }
    }
}

/// Whether a source asks for a mesh identity.
fn identified(source: &Source) -> bool {
    !source.principals.is_empty() || !source.namespaces.is_empty() || !source.service_accounts.is_empty()
}

fn asks_for_certificates(gateway: &Gateway) -> bool {
    gateway.servers.iter().any(|server| {
        server.tls.as_ref().is_some_and(|tls| {
            matches!(
                tls.mode,
                ServerTlsMode::Mutual | ServerTlsMode::IstioMutual | ServerTlsMode::OptionalMutual | ServerTlsMode::AutoPassthrough
            )
        })
    })
}

/// Policies of services that a gateway routes to.
fn behind_gateway(cx: &mut Context<'_>, policies: &Policies<'_>) {
    let (hosts, workloads, root) = (cx.hosts(), Workloads::of(cx), cx.root_namespace());
    let mut seen: BTreeSet<(Key, Key)> = BTreeSet::new();
    for route in cx.all::<VirtualService>() {
        let namespace = &route.meta().namespace;
        let targets: Vec<Item<'_, Service>> =
            destinations(route.spec()).filter_map(|host| hosts.find(namespace, &route.spec().export_to, host)?.service()).collect();
        for gateway in gateways(route.spec()).into_iter().filter_map(|name| gateway_key(name, namespace)) {
            let Some(gateway) = cx.find::<Gateway>(&gateway.namespace, &gateway.name) else { continue };
            for service in &targets {
                if !seen.insert((gateway.key(), service.key())) || service.spec().selector.is_empty() {
                    continue;
                }
                let holding: Vec<&Item<'_, AuthorizationPolicy>> = holding(policies, service, root).collect();
                let identities = identities(cx, &workloads, &gateway, root);
                let admitted = holding.iter().flat_map(|policy| &policy.spec().rules).any(|rule| {
                    rule.from.is_empty()
                        || rule
                            .from
                            .iter()
                            .any(|from| identities.iter().any(|(namespace, account)| admits(&from.source, namespace, account.as_deref())))
                });
                if let Some(policy) = holding.first().filter(|_| !admitted) {
                    let (key, service) = (gateway.key(), service.key());
                    let reason = format!(
                        "Gateway {key} routes to {service} (VirtualService {}), and no rule admits the gateway's identity",
                        route.key()
                    );
                    cx.report(&code::POLICY_LOCKS_OUT_GATEWAY, **policy, "spec.rules", &[&reason]);
                }
            }
        }
    }
}

fn destinations(service: &VirtualService) -> impl Iterator<Item = &str> {
    service.http.iter().flat_map(|rule| match &rule.action {
        HttpAction::Route(routes) => routes.iter().map(|route| route.destination.host.as_str()).collect(),
        _ => Vec::new(),
    })
}

/// The ALLOW policies that surely hold for a service's workloads.
fn holding<'p, 'a>(
    policies: &'p Policies<'a>,
    service: &'p Item<'a, Service>,
    root: &'p str,
) -> impl Iterator<Item = &'p Item<'a, AuthorizationPolicy>> {
    let own = service.meta().namespace.as_str();
    let levels = [Some(own), Some(root).filter(|root| *root != own)];
    levels.into_iter().flatten().filter_map(|namespace| policies.get(namespace)).flatten().filter(|policy| {
        let by_reference = policy.spec().target_ref.is_some() || !policy.spec().target_refs.is_empty();
        !by_reference && selector(policy).is_none_or(|labels| selects(labels, &service.spec().selector))
    })
}

fn selector<'a>(policy: &Item<'a, AuthorizationPolicy>) -> Option<&'a Labels> {
    policy.spec().selector.as_ref().map(|selector| &selector.match_labels)
}

/// Who a gateway is: namespace and service account of its workloads; the account is unknown where no workload is known.
fn identities(cx: &Context<'_>, workloads: &Workloads<'_>, gateway: &Item<'_, Gateway>, root: &str) -> BTreeSet<(String, Option<String>)> {
    let mut identities = BTreeSet::new();
    let namespaces: BTreeSet<&str> = [gateway.meta().namespace.as_str(), root, cx.options().root_namespace.as_str()].into();
    for namespace in namespaces {
        let running = workloads.selected(namespace, &gateway.spec().selector);
        // The gateway that is assumed has the default account, which says nothing.
        let known =
            running.iter().map(|workload| (namespace.to_owned(), Some(workload.account.to_owned()).filter(|account| account != "default")));
        identities.extend(known);
    }
    if identities.is_empty() {
        identities.insert((root.to_owned(), None));
    }
    identities
}

/// Whether a source may be a workload of `namespace` with `account`; what is not known may be.
fn admits(source: &Source, namespace: &str, account: Option<&str>) -> bool {
    let principal = |pattern: &String| match account {
        Some(account) => {
            let local = format!("ns/{namespace}/sa/{account}");
            // Any trust domain: aliases are not looked into.
            let own = pattern.split_once('/').filter(|(domain, _)| !domain.contains('*')).map_or(pattern.as_str(), |(_, rest)| rest);
            matches(own, &local) || matches(pattern, &format!("cluster.local/{local}"))
        }
        None => pattern.contains('*') || pattern.contains(&format!("/ns/{namespace}/")),
    };
    let accounts = |name: &String| match (name.split_once('/'), account) {
        (Some((of, name)), Some(account)) => of == namespace && name == account,
        (Some((of, _)), None) => of == namespace,
        (None, _) => true,
    };
    (source.principals.is_empty() || source.principals.iter().any(principal))
        && (source.namespaces.is_empty() || source.namespaces.iter().any(|pattern| matches(pattern, namespace)))
        && (source.service_accounts.is_empty() || source.service_accounts.iter().any(accounts))
}

/// `*`, `prefix*`, `*suffix` or the text itself.
fn matches(pattern: &str, text: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(suffix), _) => text.ends_with(suffix),
        (None, Some(prefix)) => text.starts_with(prefix),
        (None, None) => pattern == text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::check::check;

    const NAME: &str = "mesh.GatewayLockoutAnalyzer";
    const WAY_IN: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: in, namespace: a}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: a}
spec:
  hosts: ['*']
  gateways: [in]
  http: [{route: [{destination: {host: shop}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: a}
spec: {selector: {app: shop}, ports: [{name: http, port: 80}]}
";

    fn policy(namespace: &str, selector: &str, source: &str) -> String {
        format!(
            "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: x, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{{selector}}}}}
  rules: [{{from: [{{source: {{{source}}}}}]}}]
"
        )
    }

    #[test]
    fn a_policy_behind_the_gateway_admits_the_gateway() {
        let expected = ["MESH0006 AuthorizationPolicy a/x:6 spec.rules"];
        check(NAME, &[WAY_IN, &policy("a", "app: shop", "principals: [cluster.local/ns/a/sa/cart]")], &expected);
        check(NAME, &[WAY_IN, &policy("a", "app: shop", "namespaces: [a]")], &expected);
        for source in ["principals: [cluster.local/ns/istio-system/sa/in]", "namespaces: [istio-*]", "ipBlocks: [10.0.0.0/8]"] {
            check(NAME, &[WAY_IN, &policy("a", "app: shop", source)], &[]);
        }
        check(NAME, &[WAY_IN, &policy("a", "app: cart", "namespaces: [a]")], &[]);
    }

    #[test]
    fn a_policy_on_the_gateway_asks_for_what_its_clients_have() {
        let expected = ["MESH0006 AuthorizationPolicy istio-system/x:6 spec.rules"];
        check(NAME, &[WAY_IN, &policy("istio-system", "istio: ingressgateway", "namespaces: [a]")], &expected);
        check(NAME, &[WAY_IN, &policy("istio-system", "istio: ingressgateway", "remoteIpBlocks: [10.0.0.0/8]")], &[]);
    }
}
