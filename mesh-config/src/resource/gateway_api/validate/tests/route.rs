//! Routes.

use super::table;

/// A rule with a backend and what is given.
macro_rules! http {
    ($rule:literal) => {
        concat!("{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: s, port: 80}], ", $rule, "}]}")
    };
}

#[test]
fn an_http_route_is_taken_as_the_api_server_takes_it() {
    table(
        "HTTPRoute",
        &[
            ("v1", "{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: s, port: 80}]}]}", &[]),
            ("v1beta1", http!("name: first, timeouts: {request: 10s, backendRequest: 500ms}"), &[]),
            (
                "v1",
                http!("timeouts: {request: 1s, backendRequest: 2s}"),
                &["spec.rules[0].timeouts: backendRequest timeout cannot be longer"],
            ),
            ("v1", http!("timeouts: {request: 1.5s}"), &["spec.rules[0].timeouts.request: should match"]),
            ("v1", http!("matches: [{path: {value: /a}}, {path: {type: Exact, value: /b}, method: GET}]"), &[]),
            ("v1", http!("matches: [{path: {value: a}}]"), &["spec.rules[0].matches[0].path: must be an absolute path"]),
            ("v1", http!("matches: [{path: {value: '/a/../b'}}]"), &["spec.rules[0].matches[0].path: must not contain '/../'"]),
            ("v1", http!("matches: [{path: {type: RegularExpression, value: 'a//b'}}]"), &[]),
            (
                "v1",
                http!("matches: [{headers: [{name: x, value: '1'}, {name: x, value: '2'}]}]"),
                &["spec.rules[0].matches[0].headers[1]: Duplicate value"],
            ),
            ("v1", http!("matches: [{method: get}]"), &["spec.rules[0].matches[0].method: Unsupported value"]),
            (
                "v1",
                http!("filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]"),
                &["spec.rules[0]: RequestRedirect filter must not be used together with backendRefs"],
            ),
            (
                "v1",
                "{parentRefs: [{name: gw}], rules: [{filters: [{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}]}]}",
                &[],
            ),
            (
                "v1",
                "{parentRefs: [{name: gw}], rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 300}}]}]}",
                &["spec.rules[0].filters[0].requestRedirect.statusCode: Unsupported value"],
            ),
            ("v1", http!("filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]"), &[]),
            (
                "v1",
                http!(
                    "matches: [{path: {type: Exact, value: /}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]"
                ),
                &[
                    "spec.rules[0]: When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
                ],
            ),
            (
                "v1",
                http!("filters: [{type: CORS, cors: {allowOrigins: ['*', 'https://a.example']}}]"),
                &["spec.rules[0].filters[0].cors.allowOrigins: cannot contain '*' alongside"],
            ),
            ("v1", http!("filters: [{type: CORS}]"), &["spec.rules[0].filters[0]: filter.cors must be specified for CORS filter.type"]),
            (
                "v1",
                http!("filters: [{type: CORS, cors: {}, requestMirror: {backendRef: {name: s, port: 1}}}]"),
                &["spec.rules[0].filters[0]: filter.requestMirror must be nil"],
            ),
            (
                "v1",
                http!(
                    "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: s, port: 1}, fraction: {numerator: 2, denominator: 1}}}]"
                ),
                &["spec.rules[0].filters[0].requestMirror.fraction: numerator must be less than or equal to denominator"],
            ),
            (
                "v1",
                http!("sessionPersistence: {cookie: {lifetimeType: Permanent}}"),
                &["spec.rules[0].sessionPersistence: AbsoluteTimeout must be specified"],
            ),
            ("v1", http!("retry: {codes: [399]}"), &["spec.rules[0].retry.codes[0]: should be greater than or equal to 400"]),
            ("v1", http!("retries: {}"), &["spec.rules[0].retries: unknown field `retries`"]),
            ("v1", "{parentRefs: [{name: gw}], rules: []}", &["spec.rules: should have at least 1"]),
            (
                "v1",
                "{parentRefs: [{name: gw}, {name: gw}], rules: [{backendRefs: [{name: s, port: 80}]}]}",
                &["spec.parentRefs: sectionName or port must be unique"],
            ),
            ("v1", "{parentRefs: [{name: gw, port: 80}, {name: gw, port: 81}], rules: [{backendRefs: [{name: s, port: 80}]}]}", &[]),
            (
                "v1",
                "{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: s}]}]}",
                &["spec.rules[0].backendRefs[0]: Must have port for Service"],
            ),
            ("v1alpha2", http!("name: first"), &["apiVersion: v1alpha2"]),
        ],
    );
}

#[test]
fn an_http_route_that_does_nothing_or_not_what_it_says_is_warned_of() {
    table(
        "HTTPRoute",
        &[
            ("v1", "{rules: [{backendRefs: [{name: s, port: 80}]}]}", &["spec.parentRefs: attaches to nothing"]),
            ("v1", "{useDefaultGateways: All, rules: [{backendRefs: [{name: s, port: 80}]}]}", &[]),
            ("v1", "{parentRefs: [{name: gw}]}", &["spec.rules[0].backendRefs: there is no backend"]),
            (
                "v1",
                "{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: s, port: 80, weight: 0}]}]}",
                &["spec.rules[0].backendRefs: every weight is 0"],
            ),
            (
                "v1",
                "{parentRefs: [{name: gw, group: ''}], rules: [{backendRefs: [{name: s, port: 80}]}]}",
                &["spec.parentRefs[0].group: has no kind Gateway"],
            ),
            (
                "v1",
                "{parentRefs: [{name: gw}], hostnames: [10.0.0.1], rules: [{backendRefs: [{name: s, kind: Deployment, port: 80}]}]}",
                &["spec.hostnames[0]: an IP address is no hostname", "spec.rules[0].backendRefs[0].kind: only a Service can be a backend"],
            ),
            (
                "v1",
                http!("filters: [{type: ExtensionRef, extensionRef: {group: example.com, kind: Filter, name: f}}]"),
                &["spec.rules[0].filters[0].type: does not implement"],
            ),
            (
                "v1",
                http!("matches: [{path: {type: RegularExpression, value: '['}, headers: [{name: a, value: b}, {name: A, value: c}]}]"),
                &["spec.rules[0].matches[0].path.value: does not compile", "spec.rules[0].matches[0].headers[1].name: this one is ignored"],
            ),
        ],
    );
}

#[test]
fn a_grpc_route_names_methods_as_protobuf_does() {
    table(
        "GRPCRoute",
        &[
            (
                "v1",
                "{parentRefs: [{name: gw}], rules: [{matches: [{method: {service: a.B, method: C}}], backendRefs: [{name: s, port: 80}]}]}",
                &[],
            ),
            (
                "v1",
                "{parentRefs: [{name: gw}], rules: [{matches: [{method: {service: a/B}}], backendRefs: [{name: s, port: 80}]}]}",
                &["spec.rules[0].matches[0].method: service must only contain valid characters"],
            ),
            (
                "v1",
                "{parentRefs: [{name: gw}], rules: [{matches: [{method: {}}], backendRefs: [{name: s, port: 80}]}]}",
                &["spec.rules[0].matches[0].method: One or both of 'service' or 'method' must be specified"],
            ),
            (
                "v1",
                "{parentRefs: [{name: gw}], rules: [{name: a, backendRefs: [{name: s, port: 80}]}, {name: a, backendRefs: [{name: s, port: 80}]}]}",
                &["spec.rules: Rule name must be unique"],
            ),
            ("v1", "{parentRefs: [{name: gw}], rules: [{}]}", &["spec.rules[0].backendRefs: UNAVAILABLE"]),
        ],
    );
}

#[test]
fn routes_of_streams_differ_between_versions() {
    let backend = "rules: [{backendRefs: [{name: s, port: 80}]}]";
    let two = "rules: [{backendRefs: [{name: s, port: 80}]}, {backendRefs: [{name: s, port: 80}]}]";
    let case = |kind: &str, version: &'static str, spec: String, expected: &'static [&'static str]| {
        table(kind, &[(version, String::leak(spec), expected)]);
    };
    let names = "parentRefs: [{name: gw}], hostnames: [a.example]";
    case("TLSRoute", "v1", format!("{{{names}, {backend}}}"), &[]);
    case("TLSRoute", "v1", format!("{{parentRefs: [{{name: gw}}], {backend}}}"), &["spec.hostnames: Required value"]);
    case(
        "TLSRoute",
        "v1",
        format!("{{parentRefs: [{{name: gw}}], hostnames: [1.2.3.4], {backend}}}"),
        &["spec.hostnames: cannot contain an IP"],
    );
    case("TLSRoute", "v1", format!("{{{names}, {two}}}"), &["spec.rules: at most 1"]);
    case("TLSRoute", "v1alpha2", format!("{{parentRefs: [{{name: gw}}], {two}}}"), &["apiVersion: deprecated"]);
    case(
        "TLSRoute",
        "v1alpha3",
        format!("{{parentRefs: [{{name: gw}}], {backend}}}"),
        &["apiVersion: deprecated", "spec.hostnames: Required"],
    );
    case("TCPRoute", "v1", format!("{{parentRefs: [{{name: gw}}], {two}}}"), &["spec.rules: at most 1"]);
    case("TCPRoute", "v1alpha2", format!("{{parentRefs: [{{name: gw}}], {two}}}"), &["apiVersion: deprecated"]);
    case("UDPRoute", "v1", format!("{{parentRefs: [{{name: gw}}], {backend}}}"), &["spec: carries no datagrams"]);
}
