//! What Istio assumes where MeshConfig says nothing.

use super::{
    ExtensionProvider, FileAccessLogProvider, IngressControllerMode, LabelSelector, LabelSelectorRequirement, MeshConfig,
    OutboundTrafficMode, PrometheusProvider, StackdriverProvider,
};
use crate::resource::{Duration, Labels, selector::selects};

impl MeshConfig {
    /// The namespace whose policies are the mesh's.
    pub fn root_namespace(&self) -> &str {
        written(self.root_namespace.as_deref(), "istio-system")
    }

    /// The trust domain of the mesh's identities.
    pub fn trust_domain(&self) -> &str {
        written(self.trust_domain.as_deref(), "cluster.local")
    }

    /// The class of Ingresses that are ours.
    pub fn ingress_class(&self) -> &str {
        written(self.ingress_class.as_deref(), "istio")
    }

    /// The Service whose address Ingresses are given.
    pub fn ingress_service(&self) -> &str {
        written(self.ingress_service.as_deref(), "istio-ingressgateway")
    }

    /// The label `istio` of the gateway that serves Ingresses.
    pub fn ingress_selector(&self) -> &str {
        written(self.ingress_selector.as_deref(), "ingressgateway")
    }

    /// Which Ingresses are served; never `Unspecified`.
    pub fn ingress_controller_mode(&self) -> IngressControllerMode {
        match self.ingress_controller_mode {
            IngressControllerMode::Unspecified => IngressControllerMode::Strict,
            mode => mode,
        }
    }

    /// Whether clients use mutual TLS towards workloads that have it, without being told.
    pub fn enable_auto_mtls(&self) -> bool {
        self.enable_auto_mtls.unwrap_or(true)
    }

    /// Whether requests are traced.
    pub fn enable_tracing(&self) -> bool {
        self.enable_tracing.unwrap_or(true)
    }

    /// Whether sidecars answer for the application's metrics too.
    pub fn enable_prometheus_merge(&self) -> bool {
        self.enable_prometheus_merge.unwrap_or(true)
    }

    /// What becomes of outbound traffic to unknown hosts.
    pub fn outbound_traffic_mode(&self) -> OutboundTrafficMode {
        // A policy that is written without a mode has protobuf's first one, which is not Istio's default.
        self.outbound_traffic_policy.as_ref().map_or(OutboundTrafficMode::AllowAny, |policy| policy.mode)
    }

    /// How long to wait for a connection to an endpoint.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout.unwrap_or(Duration::from_secs(10))
    }

    /// When a DNS lookup that failed is repeated.
    pub fn dns_refresh_rate(&self) -> Duration {
        self.dns_refresh_rate.unwrap_or(Duration::from_secs(60))
    }

    /// Whether the control plane looks at a namespace with these labels.
    pub fn discovers(&self, namespace: &Labels) -> bool {
        self.discovery_selectors.is_empty() || self.discovery_selectors.iter().any(|selector| selector.selects(namespace))
    }

    /// A variable of the proxies' environment that `defaultConfig` sets.
    pub fn proxy_metadata(&self, name: &str) -> Option<&str> {
        self.default_config.as_ref().and_then(|config| config.proxy_metadata.get(name)).map(String::as_str)
    }

    /// Every provider that can be named: Istio's own three, unless one of the same name is written, and those written.
    pub fn providers(&self) -> Vec<ExtensionProvider> {
        let mut providers = own_providers();
        providers.retain(|own| self.extension_providers.iter().all(|provider| provider.name != own.name));
        providers.extend(self.extension_providers.iter().cloned());
        providers
    }

    /// The provider of this name.
    pub fn provider(&self, name: &str) -> Option<ExtensionProvider> {
        let written = self.extension_providers.iter().find(|provider| provider.name == name).cloned();
        written.or_else(|| own_providers().into_iter().find(|provider| provider.name == name))
    }
}

impl LabelSelector {
    /// Whether an object with these labels is selected, as Kubernetes selects. An operator that is none selects nothing.
    pub fn selects(&self, labels: &Labels) -> bool {
        selects(&self.match_labels, labels) && self.match_expressions.iter().all(|condition| condition.holds(labels))
    }
}

impl LabelSelectorRequirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    }
}

/// The text, unless it is empty.
fn written<'a>(text: Option<&'a str>, default: &'a str) -> &'a str {
    text.filter(|text| !text.is_empty()).unwrap_or(default)
}

fn own_providers() -> Vec<ExtensionProvider> {
    let named = |name: &str| ExtensionProvider { name: name.to_owned(), ..ExtensionProvider::default() };
    let stdout = FileAccessLogProvider { path: "/dev/stdout".to_owned(), ..FileAccessLogProvider::default() };
    vec![
        ExtensionProvider { prometheus: Some(PrometheusProvider {}), ..named("prometheus") },
        ExtensionProvider { stackdriver: Some(StackdriverProvider::default()), ..named("stackdriver") },
        ExtensionProvider { envoy_file_access_log: Some(stdout), ..named("envoy") },
    ]
}
