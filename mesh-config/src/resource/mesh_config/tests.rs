//! MeshConfig and MeshNetworks, by what is said about them.

#![allow(clippy::unwrap_used)]

use expect_test::{Expect, expect};
use serde_json::json;

use super::{IngressControllerMode, LabelSelector, MeshConfig, OutboundTrafficMode, ProxyConfig};
use crate::{
    diagnostic::Diagnostic,
    resource::{MeshNetworks, settings::Read},
};

/// Prints `severity file:line:column path: message [remedy]` for each finding.
fn said<T>(read: Result<Read<T>, Vec<Diagnostic>>) -> String {
    let (diagnostics, refused) = match read {
        Ok(read) => (read.warnings, false),
        Err(diagnostics) => (diagnostics, true),
    };
    assert_eq!(refused, diagnostics.iter().any(Diagnostic::is_error));
    let line = |d: &Diagnostic| {
        let remedy = d.suggestion.as_deref().unwrap_or_default();
        format!("{} {}:{}:{} {}: {} [{remedy}]\n", d.severity, d.file, d.line, d.column, d.field_path, d.message)
    };
    diagnostics.iter().map(line).collect()
}

fn mesh(text: &str, expected: &Expect) {
    expected.assert_eq(&said(MeshConfig::parse("mesh.yaml", text)));
}

#[test]
fn nothing_written_is_istios_defaults() {
    let config = MeshConfig::parse("mesh.yaml", "").unwrap().value;
    assert_eq!((config.root_namespace(), config.trust_domain()), ("istio-system", "cluster.local"));
    assert_eq!(config.ingress_controller_mode(), IngressControllerMode::Strict);
    assert_eq!(config.outbound_traffic_mode(), OutboundTrafficMode::AllowAny);
    assert!(config.enable_auto_mtls() && config.enable_tracing() && config.enable_prometheus_merge());
    assert_eq!(config.providers().iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["prometheus", "stackdriver", "envoy"]);
}

#[test]
fn what_is_written_counts() {
    let text = "
rootNamespace: mesh-system
trustDomain: example.org
outboundTrafficPolicy: {}
enableAutoMtls: false
meshMTLS: {minProtocolVersion: TLSV1_3}
defaultConfig:
  proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}
  tracing: {sampling: 5, zipkin: {address: '$(HOST_IP):9411'}}
  holdApplicationUntilProxyStarts: true
extensionProviders:
- name: envoy
  envoyFileAccessLog: {path: /tmp/log, logFormat: {labels: {a: '%PROTOCOL%'}}}
- name: zipkin
  zipkin: {service: zipkin.istio-system.svc.cluster.local, port: 9411, enable64bitTraceId: true}
discoverySelectors:
- matchLabels: {mesh: 'on'}
- matchExpressions: [{key: a, operator: In, values: [b]}]
";
    let config = MeshConfig::parse("mesh.yaml", text).unwrap().value;
    assert_eq!((config.root_namespace(), config.trust_domain()), ("mesh-system", "example.org"));
    assert_eq!(config.outbound_traffic_mode(), OutboundTrafficMode::RegistryOnly);
    assert!(!config.enable_auto_mtls());
    assert_eq!(config.proxy_metadata("ISTIO_META_DNS_CAPTURE"), Some("true"));
    assert_eq!(config.provider("envoy").unwrap().envoy_file_access_log.unwrap().path, "/tmp/log");
    assert_eq!(config.provider("zipkin").unwrap().kinds(), ["zipkin"]);
    assert_eq!(config.providers().len(), 4);
    let labels = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    assert!(config.discovers(&labels("mesh", "on")) && config.discovers(&labels("a", "b")) && !config.discovers(&labels("a", "c")));
    let again = MeshConfig::check(&serde_json::to_value(&config).unwrap());
    assert_eq!(again, (Some(config), vec![]));
}

#[test]
fn an_annotation_is_a_proxy_config() {
    let config = ProxyConfig::parse("annotation", "image: {imageType: distroless}\nconcurrency: 2").unwrap().value;
    assert_eq!((config.image.unwrap().image_type.as_str(), config.concurrency), ("distroless", Some(2)));
    assert!(ProxyConfig::parse("annotation", "statusPort: 0").is_err());
}

#[test]
fn operators_of_selectors() {
    let selector = |operator: &str, values: &[&str]| {
        let json = json!({ "matchExpressions": [{ "key": "a", "operator": operator, "values": values }] });
        serde_json::from_value::<LabelSelector>(json).unwrap()
    };
    let (with, without) = ([("a".to_owned(), "b".to_owned())].into(), [].into());
    for (operator, values, selected) in [
        ("In", &["b"][..], (true, false)),
        ("In", &["c"], (false, false)),
        ("NotIn", &["b"], (false, true)),
        ("Exists", &[], (true, false)),
        ("DoesNotExist", &[], (false, true)),
        ("Equals", &["b"], (false, false)),
    ] {
        let selector = selector(operator, values);
        assert_eq!((selector.selects(&with), selector.selects(&without)), selected, "{operator} {values:?}");
    }
}

#[test]
fn a_config_map_is_opened() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata:\n  mesh: |\n    rootNamespace: a\n    accesLogFile: b\n  meshNetworks: 'networks: {}'\n";
    expect![[r#"
        error cm.yaml (data.mesh):2:1 accesLogFile: unknown field `accesLogFile` [did you mean `accessLogFile`?]
    "#]]
    .assert_eq(&said(MeshConfig::parse("cm.yaml", text)));
    assert_eq!(said(MeshNetworks::parse("cm.yaml", text)), "");
    expect![[r#"
        error cm.yaml:1:1 : the ConfigMap has no text under `data.mesh` []
    "#]]
    .assert_eq(&said(MeshConfig::parse("cm.yaml", "kind: ConfigMap\ndata: {}")));
}

#[test]
fn traffic_and_identity() {
    mesh(
        "proxyListenPort: 0
connectTimeout: 2h
protocolDetectionTimeout: 1us
trustDomain: -a
trustDomainAliases: ['', b.c.]
caCertificates: [{}]
serviceSettings: [{hosts: ['a b', '*.c']}]
meshMTLS: {ecdhCurves: [P-256]}
tlsDefaults: {ecdhCurves: [P-256, P-256, P-0]}
discoverySelectors: [{matchExpressions: [{key: '', operator: Equals}]}]
localityLbSetting: {failover: [{from: a, to: a}]}
zoneAwareLbSetting: {failoverPriority: [topology.kubernetes.io/zone]}
defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: -1}}, outlierDetection: {maxEjectionPercent: 101}}
defaultInboundHttpRetryPolicy: {attempts: 0, backoff: 1s, retryIgnorePreviousHosts: true}
",
        &expect![[r#"
            error mesh.yaml:1:18 proxyListenPort: port must be between 1-65535 (found `0`) [set the number of a port, or leave it out]
            error mesh.yaml:2:17 connectTimeout: longer than an hour (found `7200s`) [set 1h or less]
            error mesh.yaml:3:27 protocolDetectionTimeout: must be a valid duration greater than 1ms (found `0.000001s`) [set 1ms or more, or leave the field out]
            error mesh.yaml:11:32 localityLbSetting.failover[0]: locality lb failover settings must specify different regions (found `a`) [name another region in `to`]
            error mesh.yaml:12:41 zoneAwareLbSetting.failoverPriority[0]: the locality's own label cannot be a failover priority here (found `topology.kubernetes.io/zone`) [remove it, or the setting that orders localities]
            error mesh.yaml:13:63 defaultTrafficPolicy.connectionPool.tcp.maxConnections: maxConnections must be non-negative (found `-1`) [set 0 (the default) or more]
            error mesh.yaml:13:108 defaultTrafficPolicy.outlierDetection.maxEjectionPercent: percentage 101 is not in range 0..100 (found `101`) [set 0 to 100]
            error mesh.yaml:14:55 defaultInboundHttpRetryPolicy.backoff: backoff without attempts: retries are off [set attempts, or remove it]
            warning mesh.yaml:14:85 defaultInboundHttpRetryPolicy.retryIgnorePreviousHosts: has no effect on inbound retries [remove it]
            error mesh.yaml:4:14 trustDomain: not a trust domain (found `-a`) [write labels of letters, digits and inner dashes, with dots between]
            error mesh.yaml:5:22 trustDomainAliases[0]: the trust domain is empty (found ``) [write labels of letters, digits and inner dashes, with dots between]
            error mesh.yaml:6:18 caCertificates[0]: exactly one of pem and spiffeBundleUrl must be set [write the certificate, or where it is]
            error mesh.yaml:8:24 meshMTLS.ecdhCurves: curves of the mesh's own TLS cannot be chosen [remove it, or set it in tlsDefaults]
            warning mesh.yaml:9:35 tlsDefaults.ecdhCurves[1]: the curve is listed twice (found `P-256`) [remove one]
            warning mesh.yaml:9:42 tlsDefaults.ecdhCurves[2]: unrecognized ECDH curve (found `P-0`) [use one of P-224, P-256, P-384, P-521, X25519, X25519Kyber768Draft00, X25519MLKEM768]
            error mesh.yaml:7:28 serviceSettings[0].hosts[0]: invalid domain name (found `a b`) [use a DNS name; a wildcard only as or at the start of the first label]
            error mesh.yaml:10:62 discoverySelectors[0].matchExpressions[0].operator: not an operator (found `Equals`) [use In, NotIn, Exists or DoesNotExist]
            error mesh.yaml:10:48 discoverySelectors[0].matchExpressions[0].key: a condition without a label [name the label]
        "#]],
    );
    mesh(
        "rootNamespaces: a",
        &expect![[r#"
        error mesh.yaml:1:1 rootNamespaces: unknown field `rootNamespaces` [did you mean `rootNamespace`?]
    "#]],
    );
    mesh(
        "enableTracing: 'yes'",
        &expect![[r#"
        error mesh.yaml:1:16 enableTracing: found the string "yes" []
    "#]],
    );
    mesh(
        "a: [",
        &expect![[r#"
        error mesh.yaml:1:5 : not YAML: while parsing a node, did not find expected node content []
    "#]],
    );
}

#[test]
fn proxies() {
    mesh(
        "defaultConfig:
  configPath: ''
  serviceCluster: a
  tracingServiceName: CANONICAL_NAME_ONLY
  drainDuration: 1.5s
  discoveryAddress: istiod
  statsdUdpAddress: '[::1]:8125'
  envoyAccessLogService: {address: 'a:0'}
  envoyMetricsService: {address: 'a_b:1'}
  statusPort: 65536
  controlPlaneAuthPolicy: INHERIT
  proxyMetadata: {ISTIO_META_DNS_AUTO_ALLOCATE: 'true'}
  tracing:
    zipkin: {address: a}
    lightstep: {address: 'a:1'}
    customTags: {a: {literal: {value: b}, header: {name: c}}}
    tlsSettings: {mode: MUTUAL}
  privateKeyProvider: {qat: {pollDelay: 0s}}
  readinessProbe: {}
  connectionSettings: {httpMaxConcurrentStreams: 0, http2InitialStreamWindowSize: 1}
",
        &expect![[r#"
            error mesh.yaml:2:15 defaultConfig.configPath: must not be empty [set it, or leave it out]
            error mesh.yaml:2:3 defaultConfig: these fields exclude each other (found `serviceCluster, tracingServiceName`) [keep one]
            error mesh.yaml:5:18 defaultConfig.drainDuration: whole seconds only (found `1.5s`) [round it]
            error mesh.yaml:6:21 defaultConfig.discoveryAddress: not `host:port` (found `istiod`) [write a DNS name or an IP address, and a port]
            error mesh.yaml:9:34 defaultConfig.envoyMetricsService.address: invalid domain name (found `a_b`) [use a DNS name; a wildcard only as or at the start of the first label]
            error mesh.yaml:8:36 defaultConfig.envoyAccessLogService.address: the port is not a number from 1 to 65535 (found `a:0`) [write a DNS name or an IP address, and a port]
            error mesh.yaml:10:15 defaultConfig.statusPort: port must be between 1-65535 (found `65536`) [set the number of a port, or leave it out]
            error mesh.yaml:11:27 defaultConfig.controlPlaneAuthPolicy: not a policy of proxies (found `INHERIT`) [use MUTUAL_TLS]
            warning mesh.yaml:12:49 defaultConfig.proxyMetadata.ISTIO_META_DNS_AUTO_ALLOCATE: deprecated [remove it: ServiceEntries are given addresses without it]
            error mesh.yaml:14:5 defaultConfig.tracing: these fields exclude each other (found `zipkin, lightstep`) [keep one]
            error mesh.yaml:14:23 defaultConfig.tracing.zipkin.address: not `host:port` (found `a`) [write a DNS name or an IP address, and a port]
            error mesh.yaml:15:16 defaultConfig.tracing.lightstep.accessToken: an access token is required [set it]
            error mesh.yaml:16:21 defaultConfig.tracing.customTags.a: these fields exclude each other (found `literal, header`) [keep one]
            error mesh.yaml:17:18 defaultConfig.tracing.tlsSettings.clientCertificate: clientCertificate required for mutual tls [name a file, or use credentialName]
            error mesh.yaml:17:18 defaultConfig.tracing.tlsSettings.privateKey: privateKey required for mutual tls [name a file, or use credentialName]
            error mesh.yaml:18:41 defaultConfig.privateKeyProvider.qat.pollDelay: a delay that is not zero is required [set it, for example 10ms]
            error mesh.yaml:19:19 defaultConfig.readinessProbe: the probe has no method [set one of httpGet, tcpSocket, exec and grpc]
            error mesh.yaml:20:50 defaultConfig.connectionSettings.httpMaxConcurrentStreams: must be 1 or more (found `0`) [set it so, or leave it out]
            error mesh.yaml:20:83 defaultConfig.connectionSettings.http2InitialStreamWindowSize: must be 65535 or more (found `1`) [set it so, or leave it out]
        "#]],
    );
    mesh(
        "defaultConfig: {privateKeyProvider: {}, connectionSettings: {httpIdleTimeout: -1s}}",
        &expect![[r#"
        error mesh.yaml:1:79 defaultConfig.connectionSettings.httpIdleTimeout: `-1s` is not a duration: write a number and a unit (ns, us, ms, s, m, h), such as `5s`, `1.5s` or `100ms` []
    "#]],
    );
}

#[test]
fn providers_are_warned_of() {
    mesh(
        "extensionProviders:
- {name: '', prometheus: {}}
- {name: a, zipkin: {service: 'a/b/c.d', port: 0}}
- {name: a, lightstep: {service: 'ns/a.b', port: 1}}
- {name: b, envoyExtAuthzHttp: {service: 'a:80', port: 80, statusOnError: '299', pathPrefix: a}}
- {name: c}
- {name: d, opentelemetry: {service: 10.0.0.1, port: 4317, http: {path: /}, grpc: {}}, datadog: {service: a.b, port: 1}}
",
        &expect![[r#"
            warning mesh.yaml:2:10 extensionProviders[0].name: a provider without a name [name it]
            warning mesh.yaml:3:48 extensionProviders[1].zipkin.port: port must be between 1-65535 (found `0`) [set the number of a port]
            warning mesh.yaml:3:31 extensionProviders[1].zipkin.service: invalid domain name (found `b/c.d`) [use a DNS name; a wildcard only as or at the start of the first label]
            warning mesh.yaml:4:10 extensionProviders[2].name: two providers have this name (found `a`) [give each its own]
            warning mesh.yaml:4:24 extensionProviders[2].lightstep.accessToken: an access token is required [set it]
            warning mesh.yaml:5:42 extensionProviders[3].envoyExtAuthzHttp.service: invalid domain name (found `a:80`) [use a DNS name; a wildcard only as or at the start of the first label]
            warning mesh.yaml:5:75 extensionProviders[3].envoyExtAuthzHttp.statusOnError: not a status code that Envoy can answer with (found `299`) [use 403 or 503]
            warning mesh.yaml:5:94 extensionProviders[3].envoyExtAuthzHttp.pathPrefix: a path begins with `/` (found `a`) [put a `/` before it]
            warning mesh.yaml:6:3 extensionProviders[4]: the provider is of no kind [set one, such as opentelemetry]
            warning mesh.yaml:7:3 extensionProviders[5]: a provider is of one kind (found `datadog, opentelemetry`) [keep one]
            warning mesh.yaml:7:28 extensionProviders[5].opentelemetry: these fields exclude each other (found `http, grpc`) [keep one]
        "#]],
    );
    let provider: super::ExtensionProvider = serde_json::from_value(json!({ "name": "a" })).unwrap();
    assert_eq!(provider.findings().len(), 1);
}

#[test]
fn tokens_are_not_printed() {
    let json = json!({ "extensionProviders": [{ "name": "a", "lightstep": { "service": "a.b", "port": 1, "accessToken": "sesame" } }] });
    let (config, _) = MeshConfig::check(&json);
    assert!(!format!("{config:?}").contains("sesame"));
}

#[test]
fn networks() {
    let text = "networks:
  n1:
    endpoints: [{fromRegistry: Kubernetes}, {fromCidr: 10.0.0.0/33}, {fromRegistry: cluster.local}, {fromCidr: 10.0.0.1, fromRegistry: a}]
    gateways: [{address: 1nv@lid, port: 80}, {registryServiceName: a.b, port: 0}, {address: 1.2.3.4, registryServiceName: a.b, port: 1}]
";
    expect![[r#"
        error networks.yaml:3:56 networks.n1.endpoints[1].fromCidr: not an IP address or CIDR block (found `10.0.0.0/33`) [write 10.0.0.1 or 10.0.0.0/16]
        error networks.yaml:3:85 networks.n1.endpoints[2].fromRegistry: invalid registry name (found `cluster.local`) [write the name of a cluster: letters, digits and inner dashes]
        error networks.yaml:3:101 networks.n1.endpoints[3]: only one of fromCidr and fromRegistry can be set [write two entries]
        error networks.yaml:4:26 networks.n1.gateways[0].address: invalid domain name (found `1nv@lid`) [use a DNS name; a wildcard only as or at the start of the first label]
        error networks.yaml:4:79 networks.n1.gateways[1].port: port must be between 1-65535 (found `0`) [set the number of a port]
        error networks.yaml:4:83 networks.n1.gateways[2]: only one of registryServiceName and address can be set [keep one]
    "#]].assert_eq(&said(MeshNetworks::parse("networks.yaml", text)));
    let read = MeshNetworks::parse(
        "networks.yaml",
        "networks: {a: {endpoints: [{fromRegistry: b}], gateways: [{address: example.com, port: 1}]}}",
    );
    assert_eq!(read.unwrap().value.registries().collect::<Vec<_>>(), ["b"]);
}
