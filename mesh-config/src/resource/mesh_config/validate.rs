//! Rules of `MeshConfig`. It has no schema of a CRD: what its types do not say is all here.

mod provider;
mod proxy;

use serde_json::Value;

use super::{LabelSelector, MeshConfig, ProxyConfig};
use crate::{
    diagnostic::Diagnostic,
    resource::{
        Duration,
        destination_rule::{
            LoadBalancer,
            validate::{self as destination_rule, balance},
        },
        settings::{self, Read, Settings},
        virtual_service::validate::policy::retries,
    },
    validate::{
        Checks, Finding, document,
        rules::{is_label, shown},
    },
};

/// A connection takes no longer.
const LONGEST_CONNECT_TIMEOUT: Duration = Duration::from_secs(3600);

/// Curves that Envoy's TLS knows.
const CURVES: &[&str] = &["P-224", "P-256", "P-384", "P-521", "X25519", "X25519Kyber768Draft00", "X25519MLKEM768"];

impl MeshConfig {
    /// Reads a YAML or JSON text: the document, or a ConfigMap with the key `mesh`.
    ///
    /// # Errors
    /// With what is wrong, if it must not be used.
    pub fn parse(file: &str, text: &str) -> Result<Read<Self>, Vec<Diagnostic>> {
        settings::parse(file, text)
    }

    /// Reads JSON; with errors among the findings, it must not be used.
    pub fn check(json: &Value) -> (Option<Self>, Vec<Finding>) {
        settings::check(json)
    }
}

impl ProxyConfig {
    /// Reads a YAML or JSON text: the annotation `proxy.istio.io/config`, or `defaultConfig` by itself.
    ///
    /// # Errors
    /// With what is wrong, if it must not be used.
    pub fn parse(file: &str, text: &str) -> Result<Read<Self>, Vec<Diagnostic>> {
        settings::parse(file, text)
    }
}

impl Settings for ProxyConfig {
    const KEY: &'static str = "defaultConfig";

    fn rules(&self, checks: &mut Checks) {
        proxy::proxy_config(self, checks);
    }
}

impl super::ExtensionProvider {
    /// What is wrong with this provider by itself. In a MeshConfig these are warnings: a provider that nobody names does no harm.
    pub fn findings(&self) -> Vec<Finding> {
        document(|checks| provider::provider(self, checks))
    }
}

impl Settings for MeshConfig {
    const KEY: &'static str = "mesh";

    fn rules(&self, checks: &mut Checks) {
        traffic(self, checks);
        if let Some(proxy) = &self.default_config {
            checks.field("defaultConfig", |checks| proxy::proxy_config(proxy, checks));
        }
        identity(self, checks);
        tls(self, checks);
        checks.each("serviceSettings", &self.service_settings, |checks, item| {
            checks.each("hosts", &item.hosts, |checks, host| checks.domain("", host, true));
        });
        checks.each("discoverySelectors", &self.discovery_selectors, |checks, selector| label_selector(selector, checks));
        provider::providers(&self.extension_providers, checks);
    }
}

fn traffic(config: &MeshConfig, checks: &mut Checks) {
    for (field, number) in [("proxyListenPort", config.proxy_listen_port), ("proxyInboundListenPort", config.proxy_inbound_listen_port)] {
        port(field, number, checks);
    }
    checks.duration("connectTimeout", config.connect_timeout);
    if config.connect_timeout.is_some_and(|timeout| timeout > LONGEST_CONNECT_TIMEOUT) {
        checks.field("connectTimeout", |checks| {
            checks.error(config.connect_timeout.map(|timeout| timeout.to_string()), "longer than an hour", "set 1h or less");
        });
    }
    // 0s turns it off.
    checks.duration("protocolDetectionTimeout", config.protocol_detection_timeout.filter(|timeout| !timeout.get().is_zero()));
    if let Some(setting) = &config.locality_lb_setting {
        checks.field("localityLbSetting", |checks| balance::locality(setting, true, checks));
    }
    // Unlike in a DestinationRule, both may be written: the second comes first.
    let zone_aware = LoadBalancer { zone_aware: config.zone_aware_lb_setting.clone(), ..LoadBalancer::default() };
    balance::load_balancer(&zone_aware, true, checks);
    if let Some(policy) = &config.default_traffic_policy {
        checks.field("defaultTrafficPolicy", |checks| {
            if let Some(pool) = &policy.connection_pool {
                checks.field("connectionPool", |checks| destination_rule::connection_pool(pool, checks));
            }
            if let Some(outlier) = &policy.outlier_detection {
                checks.field("outlierDetection", |checks| destination_rule::outlier_detection(outlier, checks));
            }
        });
    }
    if let Some(retry) = &config.default_http_retry_policy {
        checks.field("defaultHttpRetryPolicy", |checks| retries(retry, checks));
    }
    inbound_retries(config, checks);
}

/// The sidecar has one place to send to: only how often, on what, and after how long has a meaning.
fn inbound_retries(config: &MeshConfig, checks: &mut Checks) {
    let Some(retry) = &config.default_inbound_http_retry_policy else { return };
    checks.field("defaultInboundHttpRetryPolicy", |checks| {
        retries(retry, checks);
        if retry.attempts == 0 && retry.backoff.is_some() {
            checks.field("backoff", |checks| checks.error(None, "backoff without attempts: retries are off", "set attempts, or remove it"));
        }
        let ignored = [
            ("perTryTimeout", retry.per_try_timeout.is_some()),
            ("retryRemoteLocalities", retry.retry_remote_localities.is_some()),
            ("retryIgnorePreviousHosts", retry.retry_ignore_previous_hosts.is_some()),
        ];
        for (field, _) in ignored.into_iter().filter(|(_, set)| *set) {
            checks.field(field, |checks| checks.warning(None, "has no effect on inbound retries", "remove it"));
        }
    });
}

fn identity(config: &MeshConfig, checks: &mut Checks) {
    if let Some(domain) = &config.trust_domain {
        checks.field("trustDomain", |checks| trust_domain(domain, checks));
    }
    checks.each("trustDomainAliases", &config.trust_domain_aliases, |checks, domain| trust_domain(domain, checks));
    checks.each("caCertificates", &config.ca_certificates, |checks, certificate| {
        if certificate.pem.is_empty() == certificate.spiffe_bundle_url.is_empty() {
            checks.error(None, "exactly one of pem and spiffeBundleUrl must be set", "write the certificate, or where it is");
        }
    });
}

fn trust_domain(domain: &str, checks: &mut Checks) {
    let labels = domain.strip_suffix('.').unwrap_or(domain);
    if !labels.split('.').all(is_label) {
        let rule = if domain.is_empty() { "the trust domain is empty" } else { "not a trust domain" };
        checks.error(shown(domain), rule, "write labels of letters, digits and inner dashes, with dots between");
    }
}

fn tls(config: &MeshConfig, checks: &mut Checks) {
    if config.mesh_mtls.as_ref().is_some_and(|tls| !tls.ecdh_curves.is_empty()) {
        checks.field("meshMTLS.ecdhCurves", |checks| {
            checks.error(None, "curves of the mesh's own TLS cannot be chosen", "remove it, or set it in tlsDefaults");
        });
    }
    let Some(defaults) = &config.tls_defaults else { return };
    let mut seen = std::collections::BTreeSet::new();
    for (index, curve) in defaults.ecdh_curves.iter().enumerate() {
        checks.field(&format!("tlsDefaults.ecdhCurves[{index}]"), |checks| {
            if !CURVES.contains(&curve.as_str()) {
                checks.warning(shown(curve), "unrecognized ECDH curve", format!("use one of {}", CURVES.join(", ")));
            } else if !seen.insert(curve) {
                checks.warning(shown(curve), "the curve is listed twice", "remove one");
            }
        });
    }
}

/// As Kubernetes' API judges selectors.
fn label_selector(selector: &LabelSelector, checks: &mut Checks) {
    checks.labels("matchLabels", &selector.match_labels);
    checks.each("matchExpressions", &selector.match_expressions, |checks, item| {
        let problem = match (item.operator.as_str(), item.values.is_empty()) {
            ("In" | "NotIn", false) | ("Exists" | "DoesNotExist", true) => None,
            ("In" | "NotIn", true) => Some("In and NotIn need values"),
            ("Exists" | "DoesNotExist", false) => Some("Exists and DoesNotExist take no values"),
            _ => Some("not an operator"),
        };
        if let Some(rule) = problem {
            checks.field("operator", |checks| checks.error(shown(&item.operator), rule, "use In, NotIn, Exists or DoesNotExist"));
        }
        if item.key.is_empty() {
            checks.field("key", |checks| checks.error(None, "a condition without a label", "name the label"));
        }
    });
}

/// A port, where one is written.
fn port(field: &str, number: Option<i32>, checks: &mut Checks) {
    if let Some(number) = number.filter(|number| !(1..=65535).contains(number)) {
        checks.field(field, |checks| {
            checks.error(shown(number), "port must be between 1-65535", "set the number of a port, or leave it out")
        });
    }
}

/// At most one of the fields is set: a choice of protobuf's.
fn at_most_one(fields: &[(&str, bool)], checks: &mut Checks) {
    let set: Vec<&str> = fields.iter().filter(|(_, set)| *set).map(|(field, _)| *field).collect();
    if set.len() > 1 {
        checks.error(shown(set.join(", ")), "these fields exclude each other", "keep one");
    }
}

/// The findings of `rules`, as warnings.
fn as_warnings(rules: impl FnOnce(&mut Checks), checks: &mut Checks) {
    for finding in document(rules) {
        checks.field(&finding.path, |checks| checks.warning(finding.value, finding.rule, finding.remedy));
    }
}
