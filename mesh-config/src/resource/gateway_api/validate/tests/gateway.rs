//! Gateways, their classes and listeners, grants, TLS policies.

use super::table;

#[test]
fn a_gateway_is_taken_as_the_api_server_takes_it() {
    table(
        "Gateway",
        &[
            (
                "v1",
                "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: c}]}}]}",
                &[],
            ),
            ("v1", "{gatewayClassName: istio, listeners: []}", &["spec.listeners: should have at least 1"]),
            (
                "v1",
                "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, protocol: HTTP}]}",
                &["spec.listeners[1]: Duplicate value", "spec.listeners: Listener name must be unique"],
            ),
            (
                "v1",
                "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}]}",
                &["spec.listeners: Combination of port, protocol and hostname must be unique"],
            ),
            (
                "v1",
                "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: TLS}]}",
                &["spec.listeners: tls mode must be set for protocol TLS"],
            ),
            (
                "v1",
                "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTPS, tls: {}}]}",
                &["spec.listeners[0].tls: certificateRefs or options must be specified"],
            ),
            (
                "v1",
                "{gatewayClassName: istio, addresses: [{value: 10.0.0.1}, {type: Hostname, value: a.example}], listeners: [{name: a, port: 80, protocol: HTTP}]}",
                &[],
            ),
            (
                "v1",
                "{gatewayClassName: istio, addresses: [{value: 10.0.0.1}, {value: 10.0.0.1}], listeners: [{name: a, port: 80, protocol: HTTP}]}",
                &["spec.addresses: IPAddress values must be unique"],
            ),
            (
                "v1",
                "{gatewayClassName: istio, addresses: [{value: a.example}, {value: '::1'}], listeners: [{name: a, port: 80, protocol: HTTP}]}",
                &["spec.addresses[0].value: must be an IPv4 address"],
            ),
            (
                "v1",
                "{gatewayClassName: istio, infrastructure: {labels: {'a b': c}}, listeners: [{name: a, port: 80, protocol: HTTP}]}",
                &["spec.infrastructure.labels: Label keys must be in the form"],
            ),
            (
                "v1",
                "{gatewayClassName: istio, tls: {frontend: {default: {}, perPort: [{port: 1, tls: {}}, {port: 1, tls: {}}]}}, listeners: [{name: a, port: 80, protocol: HTTP}]}",
                &["spec.tls.frontend.perPort[1]: Duplicate value", "spec.tls.frontend.perPort: Port for TLS configuration must be unique"],
            ),
        ],
    );
    table(
        "ListenerSet",
        &[
            ("v1", "{parentRef: {name: gw}, listeners: [{name: a, port: 80, protocol: HTTP}]}", &[]),
            (
                "v1",
                "{listeners: [{name: a, port: 80, protocol: UDP, hostname: a.example}]}",
                &["spec.parentRef: Required value", "spec.listeners: hostname must not be specified"],
            ),
        ],
    );
}

#[test]
fn a_listener_that_takes_no_traffic_is_warned_of() {
    table(
        "Gateway",
        &[
            (
                "v1",
                "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTPS}]}",
                &["spec.listeners[0].tls: takes no traffic"],
            ),
            (
                "v1",
                "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTPS}]}",
                &["spec.listeners[0].protocol: is not known"],
            ),
            ("v1", "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: example.com/MQTT}]}", &[]),
            (
                "v1",
                "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: TLS, tls: {mode: Passthrough, certificateRefs: [{name: c}]}}]}",
                &["spec.listeners[0].tls.certificateRefs: are not used"],
            ),
            (
                "v1",
                "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: TCP, allowedRoutes: {kinds: [{kind: HTTPRoute}], namespaces: {from: Selector}}}]}",
                &[
                    "spec.listeners[0].allowedRoutes.kinds[0]: carries no such routes",
                    "spec.listeners[0].allowedRoutes.namespaces.selector: there is no selector",
                ],
            ),
            (
                "v1",
                "{gatewayClassName: istio, allowedListeners: {namespaces: {from: Selector, selector: {matchExpressions: [{key: a, operator: in, values: [b]}]}}}, listeners: [{name: a, port: 80, protocol: HTTP}]}",
                &["spec.allowedListeners.namespaces.selector.matchExpressions[0].operator: is not known"],
            ),
            (
                "v1",
                "{gatewayClassName: istio, tls: {frontend: {default: {validation: {mode: AllowInsecureFallback, caCertificateRefs: [{group: '', kind: ConfigMap, name: c}]}}}}, listeners: [{name: a, port: 80, protocol: HTTP}]}",
                &["spec.tls.frontend.default.validation.mode: are let in"],
            ),
        ],
    );
}

#[test]
fn classes_grants_and_tls_policies_are_taken_as_the_api_server_takes_them() {
    table(
        "GatewayClass",
        &[
            ("v1", "{controllerName: istio.io/gateway-controller}", &[]),
            ("v1", "{controllerName: istio}", &["spec.controllerName: should match"]),
        ],
    );
    table(
        "ReferenceGrant",
        &[
            (
                "v1beta1",
                "{from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}], to: [{group: '', kind: Service}]}",
                &[],
            ),
            (
                "v1",
                "{from: [{group: '', kind: HTTPRoute, namespace: a}], to: [{group: gateway.networking.k8s.io, kind: Service}]}",
                &["spec.from[0].group: has no kind HTTPRoute", "spec.to[0].group: has no kind Service"],
            ),
            (
                "v1",
                "{from: [{group: gateway.networking.k8s.io, kind: HTTPRoute}], to: []}",
                &["spec.from[0].namespace: Required value", "spec.to: should have at least 1"],
            ),
        ],
    );
    let target = "targetRefs: [{group: '', kind: Service, name: s}]";
    for (validation, expected) in [
        ("{hostname: a.example, wellKnownCACertificates: System}", &[][..]),
        ("{hostname: a.example, wellKnownCACertificates: example.com/mine}", &["spec.validation.wellKnownCACertificates: is not known"]),
        ("{hostname: a.example}", &["spec.validation: must specify either"]),
        ("{hostname: '*.example', wellKnownCACertificates: System}", &["spec.validation.hostname: should match"]),
        (
            "{hostname: a.example, wellKnownCACertificates: System, subjectAltNames: [{type: URI, hostname: a.example}]}",
            &["spec.validation.subjectAltNames[0]: must not contain Hostname", "spec.validation.subjectAltNames[0]: must contain URI"],
        ),
    ] {
        table("BackendTLSPolicy", &[("v1", String::leak(format!("{{{target}, validation: {validation}}}")), expected)]);
    }
}

#[test]
fn experimental_kinds_are_taken_as_the_api_server_takes_them() {
    table(
        "XBackend",
        &[
            (
                "v1alpha1",
                "{type: ExternalHostname, port: {port: 443}, externalHostname: {hostname: a.example}, tls: {mode: ServerOnly}}",
                &[],
            ),
            (
                "v1alpha1",
                "{type: ExternalHostname, port: {port: 443, name: A b}}",
                &["spec: externalHostname must be set", "spec.port.name: Name must be a valid DNS label"],
            ),
            (
                "v1alpha1",
                "{type: ExternalHostname, port: {port: 443}, externalHostname: {hostname: a.svc.cluster.local}, tls: {mode: ClientAndServer}}",
                &["spec.externalHostname.hostname: must not be an IP address or end with", "spec.tls: clientCertificateRef must be set"],
            ),
            (
                "v1alpha1",
                "{type: ExternalHostname, port: {port: 443}, externalHostname: {hostname: 1.2.3.4}}",
                &["spec.externalHostname.hostname: is no hostname"],
            ),
        ],
    );
    let target = "targetRefs: [{group: '', kind: Service, name: s}]";
    for (rest, expected) in [
        ("retryConstraint: {budget: {percent: 10}}", &[][..]),
        ("retryConstraint: {budget: {interval: 2h}}", &["spec.retryConstraint.budget.interval: cannot be greater than one hour"]),
        (
            "retryConstraint: {minRetryRate: {interval: 0s}}",
            &["spec.retryConstraint.minRetryRate.interval: cannot be greater than one hour"],
        ),
        ("sessionPersistence: {type: Header}", &["spec.sessionPersistence: header must be specified"]),
    ] {
        table("XBackendTrafficPolicy", &[("v1alpha1", String::leak(format!("{{{target}, {rest}}}")), expected)]);
    }
    table(
        "XBackendTrafficPolicy",
        &[(
            "v1alpha1",
            "{targetRefs: [{group: '', kind: Service, name: s}, {group: '', kind: Service, name: s}]}",
            &["spec.targetRefs[1]: Duplicate value"],
        )],
    );
}
