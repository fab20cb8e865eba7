//! Settings and kinds that Istio has given up.

use super::{Analyzer, code, context::Context};
use crate::resource::{CustomResourceDefinition, Kind, Sidecar, VirtualService};

/// What is deprecated.
pub(super) static DEPRECATION: Analyzer = Analyzer {
    name: "deprecation.DeprecationAnalyzer",
    about: "Checks for deprecated fields and kinds",
    codes: &[&code::DEPRECATED],
    reads: &[Kind::VirtualService, Kind::Sidecar, Kind::CustomResourceDefinition],
    run: deprecations,
};

/// Kinds that no release serves any more.
const REMOVED: (&str, [&str; 4]) = ("rbac.istio.io", ["ClusterRbacConfig", "RbacConfig", "ServiceRole", "ServiceRoleBinding"]);

fn deprecations(cx: &mut Context<'_>) {
    for service in cx.all::<VirtualService>() {
        let delays = service.spec().http.iter().map(|route| route.fault.as_ref().and_then(|fault| fault.delay.as_ref()));
        if let Some(index) = delays.into_iter().position(|delay| delay.is_some_and(|delay| delay.percent > 0)) {
            let detail = "spec.http[].fault.delay.percent; use percentage, which takes fractions";
            cx.report(&code::DEPRECATED, service, format_args!("spec.http[{index}].fault.delay.percent"), &[&detail]);
        }
    }
    for sidecar in cx.all::<Sidecar>() {
        if sidecar.spec().outbound_traffic_policy.as_ref().is_some_and(|policy| policy.egress_proxy.is_some()) {
            cx.report(
                &code::DEPRECATED,
                sidecar,
                "spec.outboundTrafficPolicy.egressProxy",
                &[&"spec.outboundTrafficPolicy.egressProxy is ignored"],
            );
        }
    }
    for definition in cx.all::<CustomResourceDefinition>() {
        let (group, kind) = (&definition.spec().group, &definition.spec().names.kind);
        if group == REMOVED.0 && REMOVED.1.contains(&kind.as_str()) {
            cx.report(
                &code::DEPRECATED,
                definition,
                "spec.names.kind",
                &[&format_args!("custom resources of type {group} {kind} are no longer served")],
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    #[test]
    fn what_was_given_up_is_told() {
        let service = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http:
  - fault:
      delay:
        fixedDelay: 1s
        percent: 50
    route: [{destination: {host: cart}}]
";
        let sidecar = "apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: cart, namespace: shop}
spec:
  egress: [{hosts: [./*]}]
  outboundTrafficPolicy:
    egressProxy: {host: proxy, port: {number: 80}}
";
        let definition = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: serviceroles.rbac.istio.io}
spec:
  group: rbac.istio.io
  names: {plural: serviceroles, kind: ServiceRole}
";
        let expected = [
            "IST0002 VirtualService shop/cart:10 spec.http[0].fault.delay.percent",
            "IST0002 Sidecar shop/cart:7 spec.outboundTrafficPolicy.egressProxy",
            "IST0002 CustomResourceDefinition serviceroles.rbac.istio.io:6 spec.names.kind",
        ];
        check("deprecation.DeprecationAnalyzer", &[service], &expected[..1]);
        check("deprecation.DeprecationAnalyzer", &[sidecar], &expected[1..2]);
        check("deprecation.DeprecationAnalyzer", &[definition], &expected[2..]);
        check("deprecation.DeprecationAnalyzer", &[&service.replace("percent: 50", "percentage: {value: 50}")], &[]);
    }
}
