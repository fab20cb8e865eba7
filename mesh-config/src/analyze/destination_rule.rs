//! DestinationRules: TLS without anything to verify the server with, hosts that nobody serves, subsets without pods.

use std::collections::HashMap;

use super::{Analyzer, code, context::Context, hosts::Host};
use crate::resource::{
    DestinationRule, Kind, Labels, Node, Pod,
    destination_rule::{ClientTls, ClientTlsMode},
};

/// TLS that verifies nothing.
pub(super) static CA_CERTIFICATE: Analyzer = Analyzer {
    name: "destinationrule.CaCertificateAnalyzer",
    about: "Checks that DestinationRules with TLS mode SIMPLE or MUTUAL say how to verify the server",
    codes: &[&code::NO_SERVER_CERTIFICATE_VERIFICATION_DESTINATION_LEVEL, &code::NO_SERVER_CERTIFICATE_VERIFICATION_PORT_LEVEL],
    reads: &[Kind::DestinationRule],
    run: ca_certificates,
};

/// Hosts and subsets with nothing behind them.
pub(super) static SUBSET_SELECT_POD: Analyzer = Analyzer {
    name: "destinationrule.SubsetSelectPodAnalyzer",
    about: "Checks that DestinationRules are for known hosts and that their subsets select pods",
    codes: &[&code::UNKNOWN_DESTINATION_RULE_HOST, &code::DESTINATION_RULE_SUBSET_NOT_SELECT_PODS],
    reads: &[Kind::DestinationRule, Kind::Pod, Kind::Service, Kind::ServiceEntry, Kind::Node],
    run: subsets,
};

fn ca_certificates(cx: &mut Context<'_>) {
    for rule in cx.all::<DestinationRule>() {
        let Some(policy) = &rule.spec().traffic_policy else { continue };
        let (name, namespace, host) = (rule.key(), &rule.meta().namespace, &rule.spec().host);
        let selects = rule.spec().workload_selector.is_some();
        if let Some(mode) = unverified(policy.tls.as_ref(), selects) {
            let path = "spec.trafficPolicy.tls.mode";
            cx.report(&code::NO_SERVER_CERTIFICATE_VERIFICATION_DESTINATION_LEVEL, rule, path, &[&name, namespace, &mode, host]);
        }
        for (index, port) in policy.port_level_settings.iter().enumerate() {
            if let Some(mode) = unverified(port.tls.as_ref(), selects) {
                let number = port.port.as_ref().map_or(0, |port| port.number);
                let path = format_args!("spec.trafficPolicy.portLevelSettings[{index}].tls.mode");
                cx.report(&code::NO_SERVER_CERTIFICATE_VERIFICATION_PORT_LEVEL, rule, path, &[&name, namespace, &mode, host, &number]);
            }
        }
    }
}

/// The mode of TLS that is started with nothing to verify the server with. A credential counts only in rules that select their
/// workloads: others do not fetch it.
fn unverified(tls: Option<&ClientTls>, selects: bool) -> Option<ClientTlsMode> {
    let tls = tls?;
    let verified = !tls.ca_certificates.is_empty() || (!tls.credential_name.is_empty() && selects);
    (matches!(tls.mode, ClientTlsMode::Simple | ClientTlsMode::Mutual) && !verified).then_some(tls.mode)
}

fn subsets(cx: &mut Context<'_>) {
    let hosts = cx.hosts();
    let pods = Pods::of(cx);
    for rule in cx.all::<DestinationRule>() {
        let spec = rule.spec();
        let Some(host) = hosts.find(&rule.meta().namespace, &spec.export_to, &spec.host) else {
            cx.report(&code::UNKNOWN_DESTINATION_RULE_HOST, rule, "spec.host", &[&spec.host]);
            continue;
        };
        let own = match host {
            Host::Entry(entry) => entry.spec().workload_selector.as_ref().map(|selector| &selector.labels),
            Host::Service(_) => None,
        };
        for (index, subset) in spec.subsets.iter().enumerate() {
            // The subset's label wins over one of the same name.
            let inherited = own.into_iter().flatten().filter(|(key, _)| !subset.labels.contains_key(*key));
            if !pods.any(inherited.chain(&subset.labels).map(|(key, value)| (key.as_str(), value.as_str())).collect()) {
                cx.report(&code::DESTINATION_RULE_SUBSET_NOT_SELECT_PODS, rule, format_args!("spec.subsets[{index}]"), &[&subset.name]);
            }
        }
    }
}

/// The labels that a node gives to its pods' endpoints: the region, and the zone with its subzone.
const REGION: &str = "topology.kubernetes.io/region";
const ZONES: [&str; 2] = ["topology.kubernetes.io/zone", "topology.istio.io/subzone"];

/// The label with the node's name.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// Pods by label, with the labels that endpoints get from where the pods run.
struct Pods<'a> {
    labels: Vec<HashMap<&'a str, &'a str>>,
    by_label: HashMap<(&'a str, &'a str), Vec<usize>>,
}

impl<'a> Pods<'a> {
    fn of(cx: &Context<'a>) -> Self {
        let mut pods = Self { labels: Vec::new(), by_label: HashMap::new() };
        for pod in cx.all::<Pod>() {
            let mut labels: HashMap<&'a str, &'a str> =
                pod.meta().labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            if let Some(name) = pod.spec().spec.node_name.as_deref().filter(|name| !name.is_empty()) {
                labels.extend(cx.find::<Node>("", name).into_iter().flat_map(|node| locality(&node.meta().labels)));
                labels.insert(HOSTNAME, name);
            }
            for (key, value) in &labels {
                pods.by_label.entry((key, value)).or_default().push(pods.labels.len());
            }
            pods.labels.push(labels);
        }
        pods
    }

    /// Whether some pod has all these labels.
    fn any(&self, selector: Vec<(&str, &str)>) -> bool {
        let lists = selector.iter().map(|label| self.by_label.get(label).map_or(&[][..], Vec::as_slice));
        let Some(shortest) = lists.min_by_key(|list| list.len()) else { return !self.labels.is_empty() };
        let has_all = |labels: &HashMap<&str, &str>| selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        shortest.iter().filter_map(|index| self.labels.get(*index)).any(has_all)
    }
}

/// Region, zone and subzone, as far as they are said; a subzone without its zone is none.
fn locality<'n>(node: &'n Labels) -> impl Iterator<Item = (&'n str, &'n str)> {
    let said = |label: &'n str| node.get(label).filter(|value| !value.is_empty()).map(|value| (label, value.as_str()));
    said(REGION).into_iter().chain(ZONES.into_iter().map_while(said))
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    const RULE: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: db, namespace: shop}
spec:
  host: db
  SELECTOR
  trafficPolicy:
    tls:
      mode: MUTUAL
      TLS
    portLevelSettings:
    - port: {number: 5432}
      tls:
        mode: SIMPLE
        TLS
";

    #[test]
    fn tls_that_verifies_nobody_is_told() {
        let files = [&RULE.replace("SELECTOR", "").replace("TLS", "credentialName: db")[..]];
        let expected = [
            "IST0128 DestinationRule shop/db:9 spec.trafficPolicy.tls.mode",
            "IST0129 DestinationRule shop/db:14 spec.trafficPolicy.portLevelSettings[0].tls.mode",
        ];
        check("destinationrule.CaCertificateAnalyzer", &files, &expected);
    }

    #[test]
    fn a_bundle_or_a_credential_that_is_fetched_will_do() {
        let selector = "workloadSelector: {matchLabels: {app: web}}";
        check("destinationrule.CaCertificateAnalyzer", &[&RULE.replace("SELECTOR", "").replace("TLS", "caCertificates: /ca.pem")], &[]);
        check("destinationrule.CaCertificateAnalyzer", &[&RULE.replace("SELECTOR", selector).replace("TLS", "credentialName: db")], &[]);
    }

    const SHOP: &str = "apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-1}}
---
apiVersion: v1
kind: Pod
metadata: {name: cart-1, namespace: shop, labels: {app: cart, version: v1}}
spec: {nodeName: n1, containers: [{name: cart, image: cart}]}
";

    fn subsets(host: &str, labels: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: cart, namespace: shop}}
spec:
  host: {host}
  subsets:
  - name: one
    labels: {labels}
"
        )
    }

    #[test]
    fn what_nobody_is_behind_is_told() {
        let name = "destinationrule.SubsetSelectPodAnalyzer";
        check(name, &[SHOP, &subsets("crat", "{version: v1}")], &["IST0174 DestinationRule shop/cart:5 spec.host"]);
        check(name, &[SHOP, &subsets("cart", "{version: v2}")], &["IST0173 DestinationRule shop/cart:7 spec.subsets[0]"]);
        check(name, &[SHOP, &subsets("cart", "{topology.istio.io/subzone: ''}")], &["IST0173 DestinationRule shop/cart:7 spec.subsets[0]"]);
    }

    #[test]
    fn labels_of_the_pod_and_of_its_node_select_it() {
        let name = "destinationrule.SubsetSelectPodAnalyzer";
        check(name, &[SHOP, &subsets("cart", "{version: v1, topology.kubernetes.io/zone: eu-1, kubernetes.io/hostname: n1}")], &[]);
    }
}
