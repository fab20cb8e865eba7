//! Subsets that none of a service's workloads is in, where Istio does not look: workloads that are not pods, and endpoints written in a ServiceEntry.

use super::{
    super::{Analyzer, code, context::Context, hosts::Host},
    workloads::Workloads,
};
use crate::resource::{DestinationRule, Kind, Labels, selector::selects};

/// Subsets without endpoints.
pub(in super::super) static ENDPOINTS: Analyzer = Analyzer {
    name: "mesh.SubsetEndpointsAnalyzer",
    about: "Checks that subsets have endpoints among Deployments, WorkloadEntries and the endpoints of ServiceEntries",
    codes: &[&code::SUBSET_WITHOUT_ENDPOINTS],
    reads: &[Kind::DestinationRule, Kind::Service, Kind::ServiceEntry, Kind::WorkloadEntry, Kind::Deployment],
    run: subsets,
};

fn subsets(cx: &mut Context<'_>) {
    let hosts = cx.hosts();
    let workloads = Workloads::of(cx);
    for rule in cx.all::<DestinationRule>().filter(|rule| !rule.spec().subsets.is_empty()) {
        let spec = rule.spec();
        let Some(host) = hosts.find(&rule.meta().namespace, &spec.export_to, &spec.host) else { continue };
        let known: Vec<&Labels> = match &host {
            Host::Service(service) => {
                let selected = workloads.selected(&service.meta().namespace, &service.spec().selector);
                // Where there are pods, Istio's analyzer judges by them.
                if selected.iter().any(|workload| workload.pod) {
                    continue;
                }
                selected.into_iter().map(|workload| &*workload.labels).collect()
            }
            Host::Entry(entry) => match &entry.spec().workload_selector {
                Some(selector) => {
                    workloads.selected(&entry.meta().namespace, &selector.labels).into_iter().map(|workload| &*workload.labels).collect()
                }
                None => entry.spec().endpoints.iter().map(|endpoint| &endpoint.labels).collect(),
            },
        };
        // Nobody at all: they may be elsewhere, or be found by name.
        if known.is_empty() {
            continue;
        }
        for (index, subset) in spec.subsets.iter().enumerate() {
            if !subset.labels.is_empty() && !known.iter().any(|labels| selects(&subset.labels, labels)) {
                let labels = subset.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
                let path = format_args!("spec.subsets[{index}].labels");
                cx.report(&code::SUBSET_WITHOUT_ENDPOINTS, rule, path, &[&subset.name, &spec.host, &known.len(), &labels]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::check::check;

    const NAME: &str = "mesh.SubsetEndpointsAnalyzer";
    const SHOP: &str = "apiVersion: v1
kind: Service
metadata: {name: cart, namespace: a}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: a}
spec:
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart, version: v1}}
    spec: {containers: [{name: cart, image: cart}]}
";
    const ENTRY: &str = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart, namespace: a}
spec:
  hosts: [cart.a.svc.cluster.local]
  resolution: STATIC
  ports: [{name: http, number: 80, protocol: HTTP}]
  endpoints: [{address: 10.0.0.1, labels: {version: v1}}]
";

    fn rule(labels: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: cart, namespace: a}}
spec:
  host: cart.a.svc.cluster.local
  subsets:
  - name: one
    labels: {labels}
"
        )
    }

    #[test]
    fn a_subset_that_nobody_is_in_is_told() {
        let expected = ["MESH0005 DestinationRule a/cart:8 spec.subsets[0].labels"];
        check(NAME, &[SHOP, &rule("{version: v2}")], &expected);
        check(NAME, &[ENTRY, &rule("{version: v2}")], &expected);
    }

    #[test]
    fn one_with_endpoints_or_of_an_unknown_service_is_not() {
        check(NAME, &[SHOP, &rule("{version: v1}")], &[]);
        check(NAME, &[ENTRY, &rule("{version: v1}")], &[]);
        check(NAME, &[&rule("{version: v2}")], &[]);
    }
}
