//! Clients that are told to speak something else than mutual TLS to workloads that take nothing else.

use std::collections::HashMap;

use super::super::{
    Analyzer, code,
    context::{Context, Item},
    hosts::Host,
};
use crate::resource::{
    DestinationRule, Kind, Labels, PeerAuthentication, Service,
    destination_rule::{ClientTls, ClientTlsMode},
    peer_authentication::MutualTlsMode,
    selector::selects,
    service::TargetPort,
};

/// STRICT on one side and not mutual TLS on the other.
pub(in super::super) static STRICT: Analyzer = Analyzer {
    name: "mesh.StrictMtlsAnalyzer",
    about: "Checks that DestinationRules do not turn mutual TLS off towards workloads that insist on it",
    codes: &[&code::STRICT_MTLS_CONTRADICTED],
    reads: &[Kind::DestinationRule, Kind::PeerAuthentication, Kind::Service],
    run: strict,
};

/// PeerAuthentications by namespace.
type Policies<'a> = HashMap<&'a str, Vec<Item<'a, PeerAuthentication>>>;

fn strict(cx: &mut Context<'_>) {
    let mut policies = Policies::new();
    for policy in cx.all::<PeerAuthentication>() {
        policies.entry(&policy.meta().namespace).or_default().push(policy);
    }
    if policies.is_empty() {
        return;
    }
    let hosts = cx.hosts();
    for rule in cx.all::<DestinationRule>() {
        let Some(traffic) = &rule.spec().traffic_policy else { continue };
        let Some(Host::Service(service)) = hosts.find(&rule.meta().namespace, &rule.spec().export_to, &rule.spec().host) else { continue };
        for port in &service.spec().ports {
            let Some(policy) = strict_policy(cx, &policies, &service, port) else { continue };
            let own = traffic.port_level_settings.iter().position(|own| own.port.as_ref().is_some_and(|own| own.number == port.port));
            let (tls, path) = match own {
                Some(index) => (
                    traffic.port_level_settings.get(index).and_then(|own| own.tls.as_ref()),
                    format!("spec.trafficPolicy.portLevelSettings[{index}].tls.mode"),
                ),
                None => (traffic.tls.as_ref(), "spec.trafficPolicy.tls.mode".to_owned()),
            };
            if let Some(mode) = wrong(tls) {
                cx.report(&code::STRICT_MTLS_CONTRADICTED, rule, path, &[&mode, &rule.spec().host, &policy.key()]);
            }
        }
    }
}

fn wrong(tls: Option<&ClientTls>) -> Option<ClientTlsMode> {
    tls.map(|tls| tls.mode).filter(|mode| *mode != ClientTlsMode::IstioMutual)
}

/// The policy that makes a port of a service strict: the workload's before the namespace's before the mesh's; UNSET leaves it to the next.
fn strict_policy<'a>(
    cx: &Context<'a>,
    policies: &Policies<'a>,
    service: &Item<'a, Service>,
    port: &crate::resource::service::Port,
) -> Option<Item<'a, PeerAuthentication>> {
    let (namespace, root) = (service.meta().namespace.as_str(), cx.root_namespace());
    let of = |namespace: &str| policies.get(namespace).map(Vec::as_slice).unwrap_or_default();
    let labels = |policy: &Item<'a, PeerAuthentication>| -> Option<&'a Labels> {
        policy.spec().selector.as_ref().map(|selector| &selector.match_labels).filter(|labels| !labels.is_empty())
    };
    let target = match &port.target_port {
        Some(TargetPort::Number(number)) => Some(*number),
        Some(TargetPort::Name(_)) => None,
        None => Some(port.port),
    };
    let own = of(namespace).iter().filter(|policy| labels(policy).is_some_and(|labels| selects(labels, &service.spec().selector)));
    let whole = |namespace: &str| of(namespace).iter().filter(|policy| labels(policy).is_none());
    let mode = |policy: &Item<'a, PeerAuthentication>| {
        let port = target.and_then(|target| policy.spec().port_level_mtls.get(&target)).map(|mtls| mtls.mode);
        let all = policy.spec().mtls.as_ref().map(|mtls| mtls.mode);
        port.filter(|mode| *mode != MutualTlsMode::Unset).or(all).unwrap_or_default()
    };
    let first = own.chain(whole(namespace)).chain(whole(root)).find(|policy| mode(policy) != MutualTlsMode::Unset)?;
    (mode(first) == MutualTlsMode::Strict).then_some(*first)
}

#[cfg(test)]
mod tests {
    use super::super::super::check::check;

    const NAME: &str = "mesh.StrictMtlsAnalyzer";

    fn files(namespace: &str, mode: &str, spec: &str) -> String {
        format!(
            "apiVersion: v1
kind: Service
metadata: {{name: cart, namespace: a}}
spec: {{selector: {{app: cart}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: cart, namespace: a}}
spec:
  host: cart
  trafficPolicy: {{tls: {{mode: {mode}}}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: {namespace}}}
spec: {spec}
"
        )
    }

    #[test]
    fn plaintext_to_strict_workloads_is_told() {
        let expected = ["MESH0011 DestinationRule a/cart:11 spec.trafficPolicy.tls.mode"];
        check(NAME, &[&files("a", "DISABLE", "{mtls: {mode: STRICT}}")], &expected);
        check(NAME, &[&files("istio-system", "SIMPLE", "{mtls: {mode: STRICT}}")], &expected);
        check(NAME, &[&files("a", "DISABLE", "{selector: {matchLabels: {app: cart}}, mtls: {mode: STRICT}}")], &expected);
    }

    #[test]
    fn mutual_tls_and_permissive_workloads_are_not() {
        check(NAME, &[&files("a", "ISTIO_MUTUAL", "{mtls: {mode: STRICT}}")], &[]);
        check(NAME, &[&files("a", "DISABLE", "{mtls: {mode: PERMISSIVE}}")], &[]);
        check(NAME, &[&files("b", "DISABLE", "{mtls: {mode: STRICT}}")], &[]);
        let port = "{selector: {matchLabels: {app: cart}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}";
        check(NAME, &[&files("a", "DISABLE", port)], &[]);
    }
}
