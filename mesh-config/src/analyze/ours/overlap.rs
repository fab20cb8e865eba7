//! ServiceEntries that take the host of a Kubernetes Service.

use super::super::{
    Analyzer, code,
    context::Context,
    hosts::{CLUSTER_DOMAIN, full_name},
};
use crate::resource::{Kind, Service, ServiceEntry};

/// One host, two services.
pub(in super::super) static SERVICE_ENTRY: Analyzer = Analyzer {
    name: "mesh.ServiceEntryOverlapAnalyzer",
    about: "Checks that ServiceEntries do not take the hosts of Services",
    codes: &[&code::SERVICE_ENTRY_OVERLAPS_SERVICE],
    reads: &[Kind::ServiceEntry, Kind::Service],
    run: overlaps,
};

fn overlaps(cx: &mut Context<'_>) {
    for entry in cx.all::<ServiceEntry>() {
        for (index, host) in entry.spec().hosts.iter().enumerate() {
            let path = format_args!("spec.hosts[{index}]");
            if let Some(suffix) = host.strip_prefix('*') {
                let below =
                    || cx.all::<Service>().find(|service| full_name(&service.meta().name, &service.meta().namespace).ends_with(suffix));
                // Only a wildcard over the cluster's own names can.
                let cluster = CLUSTER_DOMAIN.ends_with(suffix.trim_start_matches('.')) || suffix.ends_with(CLUSTER_DOMAIN);
                if let Some(service) = cluster.then(below).flatten() {
                    cx.report(&code::SERVICE_ENTRY_OVERLAPS_SERVICE, entry, path, &[host, &service.key()]);
                }
            } else if let Some(service) = named(cx, host) {
                cx.report(&code::SERVICE_ENTRY_OVERLAPS_SERVICE, entry, path, &[host, &service]);
            }
        }
    }
}

/// The Service of a full name.
fn named(cx: &Context<'_>, host: &str) -> Option<String> {
    let (name, namespace) = host.strip_suffix(CLUSTER_DOMAIN)?.strip_suffix('.')?.split_once('.')?;
    cx.find::<Service>(namespace, name).map(|service| service.key().to_string())
}

#[cfg(test)]
mod tests {
    use super::super::super::check::check;

    const NAME: &str = "mesh.ServiceEntryOverlapAnalyzer";

    fn files(host: &str) -> String {
        format!(
            "apiVersion: v1
kind: Service
metadata: {{name: cart, namespace: a}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: cart, namespace: b}}
spec:
  hosts: ['{host}']
  resolution: DNS
  ports: [{{name: http, number: 80, protocol: HTTP}}]
"
        )
    }

    #[test]
    fn a_services_host_is_told() {
        let expected = ["MESH0013 ServiceEntry b/cart:10 spec.hosts[0]"];
        check(NAME, &[&files("cart.a.svc.cluster.local")], &expected);
        check(NAME, &[&files("*.a.svc.cluster.local")], &expected);
    }

    #[test]
    fn a_host_of_its_own_is_not() {
        check(NAME, &[&files("cart.example.com")], &[]);
        check(NAME, &[&files("*.b.svc.cluster.local")], &[]);
    }
}
