//! Rules of `DestinationRule`, and of connection pools wherever they are.

pub(crate) mod balance;

use std::collections::BTreeSet;

use super::{
    ClientTls, ClientTlsMode, ConnectionPool, DestinationRule, H2UpgradePolicy, OutlierDetection, PortTrafficPolicy, TrafficPolicy,
};
use crate::{
    resource::{Object, Visibility},
    schema::{AGE, Crd},
    validate::{
        Checks, Validate,
        rules::{is_label, shown},
    },
};

impl Validate for DestinationRule {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().short_names(&["dr"]).columns(&[("Host", ".spec.host", "string"), AGE]));

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        let own = object.meta.namespace.as_str();
        checks.domain("host", &spec.host, true);
        if let Some(policy) = &spec.traffic_policy {
            checks.field("trafficPolicy", |checks| traffic_policy(policy, own, checks));
        }
        let mut names = BTreeSet::new();
        for (index, subset) in spec.subsets.iter().enumerate() {
            checks.field(&format!("subsets[{index}]"), |checks| {
                if !is_label(&subset.name) {
                    let rule = if subset.name.is_empty() { "subset name cannot be empty" } else { "subset name is invalid" };
                    checks.field("name", |checks| {
                        checks.error(shown(&subset.name), rule, "use letters, digits and inner dashes");
                    });
                }
                checks.unique("name", &mut names, subset.name.as_str(), "duplicate subset names");
                checks.labels("labels", &subset.labels);
                if let Some(policy) = &subset.traffic_policy {
                    checks.field("trafficPolicy", |checks| traffic_policy(policy, own, checks));
                }
            });
        }
        checks.export_to(&spec.export_to, &object.meta.namespace, false);
        if let Some(selector) = &spec.workload_selector {
            checks.selects_nothing_special("workloadSelector", &selector.match_labels);
            let private =
                |entry: &Visibility| *entry == Visibility::Private || *entry == Visibility::Namespace(object.meta.namespace.clone());
            if spec.export_to.len() > 1 || !spec.export_to.iter().all(private) {
                checks.field("exportTo", |checks| {
                    let rule = "destination rule with workload selector cannot have exportTo beyond current namespace";
                    checks.error(None, rule, "set exportTo: [\".\"], or leave it out");
                });
            }
        }
    }
}

fn traffic_policy(policy: &TrafficPolicy, own: &str, checks: &mut Checks) {
    if *policy == TrafficPolicy::default() {
        checks.error(None, "traffic policy must have at least one field", "set one, or remove trafficPolicy");
    }
    settings(
        &PortTrafficPolicy {
            port: None,
            load_balancer: policy.load_balancer.clone(),
            connection_pool: policy.connection_pool.clone(),
            outlier_detection: policy.outlier_detection.clone(),
            tls: policy.tls.clone(),
        },
        own,
        checks,
    );
    checks.each("portLevelSettings", &policy.port_level_settings, |checks, item| {
        match &item.port {
            Some(port) => checks.port("port.number", port.number),
            None => checks.field("port", |checks| {
                checks.error(None, "portTrafficPolicy must have valid port", "say which port it is for");
            }),
        }
        if (PortTrafficPolicy { port: item.port.clone(), ..PortTrafficPolicy::default() }) == *item {
            checks.error(None, "port traffic policy must have at least one field", "set one, or remove the port");
        }
        settings(item, own, checks);
    });
    if let Some(tunnel) = &policy.tunnel {
        if policy.proxy_protocol.is_some() {
            checks.error(None, "tunnel and proxyProtocol must not be set together", "keep one");
        }
        checks.field("tunnel", |checks| {
            if !matches!(tunnel.protocol.as_str(), "" | "CONNECT" | "POST") {
                checks.field("protocol", |checks| {
                    let rule = "tunnel protocol must be \"CONNECT\" or \"POST\"";
                    checks.error(shown(&tunnel.protocol), rule, "use CONNECT");
                });
            }
            checks.host("targetHost", &tunnel.target_host, false);
            checks.port("targetPort", tunnel.target_port);
        });
    }
    if let Some(budget) = &policy.retry_budget {
        checks.field("retryBudget", |checks| {
            checks.duration("budgetInterval", budget.budget_interval);
        });
    }
}

/// What a policy and a port's policy have in common.
fn settings(policy: &PortTrafficPolicy, own: &str, checks: &mut Checks) {
    if let Some(pool) = &policy.connection_pool {
        checks.field("connectionPool", |checks| connection_pool(pool, checks));
    }
    if let Some(outlier) = &policy.outlier_detection {
        checks.field("outlierDetection", |checks| outlier_detection(outlier, checks));
    }
    if let Some(balancer) = &policy.load_balancer {
        let has_outlier_detection = policy.outlier_detection.is_some();
        checks.field("loadBalancer", |checks| balance::load_balancer(balancer, has_outlier_detection, checks));
    }
    if let Some(tls) = &policy.tls {
        checks.field("tls", |checks| client_tls(tls, own, checks));
    }
}

pub(crate) fn connection_pool(pool: &ConnectionPool, checks: &mut Checks) {
    if pool.tcp.is_none() && pool.http.is_none() {
        checks.error(None, "connection pool must have at least one field", "set tcp or http");
    }
    if let Some(tcp) = &pool.tcp {
        checks.field("tcp", |checks| {
            checks.non_negative("maxConnections", tcp.max_connections);
            checks.duration("connectTimeout", tcp.connect_timeout);
            checks.duration("maxConnectionDuration", tcp.max_connection_duration);
            // 0s turns it off.
            checks.duration("idleTimeout", tcp.idle_timeout.filter(|timeout| timeout.get().as_millis() != 0));
            if let Some(keepalive) = &tcp.tcp_keepalive {
                checks.duration("tcpKeepalive.time", keepalive.time);
                checks.duration("tcpKeepalive.interval", keepalive.interval);
            }
        });
    }
    let Some(http) = &pool.http else { return };
    checks.field("http", |checks| {
        checks.non_negative("http1MaxPendingRequests", http.http1_max_pending_requests);
        checks.non_negative("http2MaxRequests", http.http2_max_requests);
        checks.non_negative("maxRequestsPerConnection", http.max_requests_per_connection);
        checks.non_negative("maxRetries", http.max_retries);
        checks.non_negative("maxConcurrentStreams", http.max_concurrent_streams);
        checks.duration("idleTimeout", http.idle_timeout);
        if http.use_client_protocol && http.h2_upgrade_policy == H2UpgradePolicy::Upgrade {
            checks.field("useClientProtocol", |checks| {
                let rule = "use client protocol must not be true when H2UpgradePolicy is UPGRADE";
                checks.error(shown(true), rule, "keep one of them");
            });
        }
        if let Some(ping) = &http.http2_keep_alive {
            for (field, duration) in [("interval", ping.interval), ("timeout", ping.timeout)] {
                checks.duration(&format!("http2KeepAlive.{field}"), duration);
                if duration.is_none() {
                    checks.field(&format!("http2KeepAlive.{field}"), |checks| {
                        checks.error(None, format!("http2 keepalive {field} is required"), "set it");
                    });
                }
            }
        }
    });
}

pub(crate) fn outlier_detection(outlier: &OutlierDetection, checks: &mut Checks) {
    checks.duration("interval", outlier.interval);
    checks.duration("baseEjectionTime", outlier.base_ejection_time);
    checks.percent("maxEjectionPercent", Some(f64::from(outlier.max_ejection_percent)));
    checks.percent("minHealthPercent", Some(f64::from(outlier.min_health_percent)));
    if outlier.consecutive_errors != 0 {
        checks.field("consecutiveErrors", |checks| {
            let rule = "outlier detection consecutive errors is deprecated";
            checks.warning(shown(outlier.consecutive_errors), rule, "use consecutiveGatewayErrors or consecutive5xxErrors");
        });
    }
    if outlier.consecutive_local_origin_failures.is_some_and(|count| count > 0) && !outlier.split_external_local_origin_errors {
        checks.field("consecutiveLocalOriginFailures", |checks| {
            let rule =
                "outlier detection consecutive local origin failures is specified, but split external local origin errors is set to false";
            checks.error(None, rule, "set splitExternalLocalOriginErrors: true");
        });
    }
}

pub(crate) fn client_tls(tls: &ClientTls, own: &str, checks: &mut Checks) {
    let files = [
        ("clientCertificate", &tls.client_certificate),
        ("privateKey", &tls.private_key),
        ("caCertificates", &tls.ca_certificates),
        ("caCrl", &tls.ca_crl),
    ];
    let external = matches!(tls.mode, ClientTlsMode::Simple | ClientTlsMode::Mutual);
    // A MUTUAL credential is needed for the client's own certificate.
    let authority = !tls.ca_certificates.is_empty() || tls.mode == ClientTlsMode::Simple && !tls.credential_name.is_empty();
    if external && tls.insecure_skip_verify == Some(true) && (authority || !tls.subject_alt_names.is_empty()) {
        checks.field("insecureSkipVerify", |checks| {
            let rule = "cannot specify CaCertificates, CredentialName (SIMPLE) or SubjectAltNames when InsecureSkipVerify is set true";
            checks.error(shown(true), rule, "verify, or remove what would be verified against");
        });
    }
    if let Some((namespace, _)) = tls.credential_name.strip_prefix("configmap://").and_then(|name| name.split_once('/'))
        && namespace != own
    {
        checks.field("credentialName", |checks| {
            let rule = "invalid configmap:// credentialName: it must be in the rule's own namespace";
            checks.error(shown(&tls.credential_name), rule, "write configmap://name");
        });
    }
    if external && !tls.credential_name.is_empty() {
        for (field, _) in files.iter().filter(|(_, value)| !value.is_empty()) {
            checks.field(field, |checks| {
                let rule = format!("cannot specify {field} when credentialName is set");
                checks.error(None, rule, "keep credentialName, or the files");
            });
        }
    } else if tls.mode == ClientTlsMode::Mutual {
        for (field, value) in &files[..2] {
            if value.is_empty() {
                checks.field(field, |checks| {
                    checks.error(None, format!("{field} required for mutual tls"), "name a file, or use credentialName");
                });
            }
        }
    }
    if tls.mode == ClientTlsMode::IstioMutual {
        for (field, _) in files.iter().filter(|(_, value)| !value.is_empty()) {
            checks.field(field, |checks| {
                checks.warning(None, format!("{field} is ignored with ISTIO_MUTUAL"), "remove it");
            });
        }
    }
    checks.each("subjectAltNames", &tls.subject_alt_names, |checks, name| {
        if name.is_empty() {
            checks.error(None, "subject alt name cannot be empty", "remove it");
        }
    });
}
