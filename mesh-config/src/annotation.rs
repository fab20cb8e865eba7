//! Istio's annotations: what they are called, on what they belong, what they may say.
//!
//! Facts of istio.io's reference of resource annotations. Analysis tells about unknown, misplaced and wrong ones; injection reads them.

mod form;

use Form::{Bool, Count, InterceptionMode, Interfaces, Port, Ports, PortsOrAll, ProxyConfig, Quantity, Ranges, RangesOrAll, Text};
use Stability::{Alpha, Beta, Stable};
pub use form::Form;

/// An annotation that Istio defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// The key.
    pub name: &'static str,
    /// How settled it is.
    pub stability: Stability,
    /// Something else should be used.
    pub deprecated: bool,
    /// The kinds that it belongs on; empty: any.
    pub kinds: &'static [&'static str],
    /// What its value must look like.
    pub form: Form,
}

/// How settled an annotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// May change; also what nothing is said about.
    Alpha,
    /// Will hardly change.
    Beta,
    /// Does not change.
    Stable,
}

/// The annotation with this key.
pub fn find(name: &str) -> Option<&'static Annotation> {
    ALL.binary_search_by(|annotation| annotation.name.cmp(name)).ok().and_then(|index| ALL.get(index))
}

/// Whether a key is in Istio's name space, or an annotation of Kubernetes' that Istio documents.
pub fn is_istios(name: &str) -> bool {
    name == "kubernetes.io/ingress.class" || name.split('/').next().is_some_and(|prefix| prefix.ends_with("istio.io"))
}

/// Every known key.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|annotation| annotation.name)
}

const fn annotation(name: &'static str, stability: Stability, deprecated: bool, kinds: &'static [&'static str], form: Form) -> Annotation {
    Annotation { name, stability, deprecated, kinds, form }
}

/// In order of their keys.
#[rustfmt::skip]
static ALL: &[Annotation] = &[
    annotation("alpha.istio.io/canonical-serviceaccounts", Alpha, true, &["Service"], Text),
    annotation("alpha.istio.io/kubernetes-serviceaccounts", Alpha, true, &["Service"], Text),
    annotation("ambient.istio.io/bypass-inbound-capture", Alpha, false, &["Pod"], Text),
    annotation("ambient.istio.io/dns-capture", Alpha, false, &["Pod"], Text),
    annotation("ambient.istio.io/redirection", Beta, false, &["Pod"], Text),
    annotation("ambient.istio.io/waypoint-inbound-binding", Alpha, false, &["GatewayClass", "Gateway"], Text),
    annotation("galley.istio.io/analyze-suppress", Alpha, false, &[], Text),
    annotation("gateway.istio.io/controller-version", Alpha, false, &[], Text),
    annotation("gateway.istio.io/name-override", Alpha, false, &["Gateway"], Text),
    annotation("gateway.istio.io/service-account", Alpha, false, &["Gateway"], Text),
    annotation("inject.istio.io/templates", Alpha, false, &["Pod"], Text),
    annotation("istio.io/autoRegistrationGroup", Alpha, false, &["WorkloadEntry"], Text),
    annotation("istio.io/connectedAt", Alpha, false, &["WorkloadEntry"], Text),
    annotation("istio.io/disconnectedAt", Alpha, false, &["WorkloadEntry"], Text),
    annotation("istio.io/dry-run", Alpha, false, &["AuthorizationPolicy"], Text),
    annotation("istio.io/reroute-virtual-interfaces", Alpha, false, &["Pod"], Interfaces),
    annotation("istio.io/rev", Alpha, false, &["Pod"], Text),
    annotation("istio.io/use-waypoint-canary-weight", Alpha, false, &["Service", "ServiceEntry", "Namespace"], Text),
    annotation("istio.io/workloadController", Alpha, false, &["WorkloadEntry"], Text),
    annotation("kubernetes.io/ingress.class", Stable, false, &["Ingress"], Text),
    annotation("networking.istio.io/exportTo", Alpha, false, &["Service"], Text),
    annotation("networking.istio.io/service-type", Alpha, false, &["Gateway"], Text),
    annotation("networking.istio.io/traffic-distribution", Alpha, false, &["Namespace", "Service", "ServiceEntry"], Text),
    annotation("prometheus.istio.io/merge-metrics", Alpha, false, &["Pod"], Bool),
    annotation("proxy.istio.io/config", Beta, false, &["Pod"], ProxyConfig),
    annotation("proxy.istio.io/overrides", Alpha, false, &["Pod"], Text),
    annotation("readiness.status.sidecar.istio.io/applicationPorts", Alpha, false, &["Pod"], Text),
    annotation("readiness.status.sidecar.istio.io/failureThreshold", Alpha, false, &["Pod"], Count),
    annotation("readiness.status.sidecar.istio.io/initialDelaySeconds", Alpha, false, &["Pod"], Count),
    annotation("readiness.status.sidecar.istio.io/periodSeconds", Alpha, false, &["Pod"], Count),
    annotation("sidecar.istio.io/agentLogLevel", Alpha, false, &["Pod"], Text),
    annotation("sidecar.istio.io/bootstrapOverride", Alpha, false, &["Pod"], Text),
    annotation("sidecar.istio.io/componentLogLevel", Alpha, false, &["Pod"], Text),
    annotation("sidecar.istio.io/discoveryAddress", Alpha, true, &["Pod"], Text),
    annotation("sidecar.istio.io/extraStatTags", Alpha, true, &["Pod"], Text),
    annotation("sidecar.istio.io/inject", Beta, true, &["Pod"], Text),
    annotation("sidecar.istio.io/interceptionMode", Alpha, false, &["Pod"], InterceptionMode),
    annotation("sidecar.istio.io/logLevel", Alpha, false, &["Pod"], Text),
    annotation("sidecar.istio.io/nativeSidecar", Alpha, false, &["Pod"], Text),
    annotation("sidecar.istio.io/proxyCPU", Alpha, false, &["Pod"], Quantity),
    annotation("sidecar.istio.io/proxyCPULimit", Alpha, false, &["Pod"], Quantity),
    annotation("sidecar.istio.io/proxyImage", Alpha, false, &["Pod"], Text),
    annotation("sidecar.istio.io/proxyImageType", Alpha, false, &["Pod"], Text),
    annotation("sidecar.istio.io/proxyMemory", Alpha, false, &["Pod"], Quantity),
    annotation("sidecar.istio.io/proxyMemoryLimit", Alpha, false, &["Pod"], Quantity),
    annotation("sidecar.istio.io/rewriteAppHTTPProbers", Alpha, false, &["Pod"], Text),
    annotation("sidecar.istio.io/statsCompression", Alpha, true, &["Pod"], Text),
    annotation("sidecar.istio.io/statsEvictionInterval", Alpha, false, &["Pod"], Text),
    annotation("sidecar.istio.io/statsFlushInterval", Alpha, false, &["Pod"], Text),
    annotation("sidecar.istio.io/statsHistogramBins", Alpha, false, &["Pod"], Text),
    annotation("sidecar.istio.io/statsHistogramBuckets", Alpha, false, &["Pod"], Text),
    annotation("sidecar.istio.io/statsInclusionPrefixes", Alpha, true, &["Pod"], Text),
    annotation("sidecar.istio.io/statsInclusionRegexps", Alpha, true, &["Pod"], Text),
    annotation("sidecar.istio.io/statsInclusionSuffixes", Alpha, true, &["Pod"], Text),
    annotation("sidecar.istio.io/status", Alpha, false, &["Pod"], Text),
    annotation("sidecar.istio.io/userVolume", Alpha, false, &["Pod"], Text),
    annotation("sidecar.istio.io/userVolumeMount", Alpha, false, &["Pod"], Text),
    annotation("status.sidecar.istio.io/port", Alpha, false, &["Pod"], Port),
    annotation("topology.istio.io/controlPlaneClusters", Alpha, false, &["Namespace"], Text),
    annotation("traffic.istio.io/nodeSelector", Stable, false, &["Service"], Text),
    annotation("traffic.sidecar.istio.io/excludeInboundPorts", Alpha, false, &["Pod"], Ports),
    annotation("traffic.sidecar.istio.io/excludeInterfaces", Alpha, false, &["Pod"], Interfaces),
    annotation("traffic.sidecar.istio.io/excludeOutboundIPRanges", Alpha, false, &["Pod"], Ranges),
    annotation("traffic.sidecar.istio.io/excludeOutboundPorts", Alpha, false, &["Pod"], Ports),
    annotation("traffic.sidecar.istio.io/includeInboundPorts", Alpha, false, &["Pod"], PortsOrAll),
    annotation("traffic.sidecar.istio.io/includeOutboundIPRanges", Alpha, false, &["Pod"], RangesOrAll),
    annotation("traffic.sidecar.istio.io/includeOutboundPorts", Alpha, false, &["Pod"], Text),
    annotation("traffic.sidecar.istio.io/kubevirtInterfaces", Alpha, true, &["Pod"], Interfaces),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_key_is_found() {
        assert!(ALL.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(ALL.iter().all(|annotation| find(annotation.name) == Some(annotation) && is_istios(annotation.name)));
        assert_eq!(find("sidecar.istio.io/injekt"), None);
        assert!(find("sidecar.istio.io/inject").unwrap().deprecated);
    }

    #[test]
    fn istios_name_space() {
        assert!(is_istios("traffic.sidecar.istio.io/anything"));
        assert!(is_istios("istio.io/rev"));
        assert!(!is_istios("kubectl.kubernetes.io/last-applied-configuration"));
        assert!(!is_istios("example.com/istio.io"));
    }
}
