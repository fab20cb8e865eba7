//! Rules that schemas cannot say.

#![allow(clippy::unwrap_used)]
//! Golden findings: what a broken rule looks like to the person who broke it.

use expect_test::{Expect, expect};

use crate::load;

/// Loads one object and prints `severity line:column path: message [remedy]` for each finding.
fn check(kind: &str, spec: &str, expected: Expect) {
    let group = if matches!(kind, "PeerAuthentication" | "AuthorizationPolicy") { "security" } else { "networking" };
    let spec = spec.replace('\n', "\n  ");
    let yaml = format!("apiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec:\n  {spec}\n");
    let loaded = load::documents("a.yaml", yaml.as_bytes());
    let lines = loaded.diagnostics.iter().map(|d| {
        let remedy = d.suggestion.as_deref().unwrap_or_default();
        format!("{} {}:{} {}: {} [{remedy}]\n", d.severity, d.line, d.column, d.field_path, d.message)
    });
    expected.assert_eq(&lines.collect::<String>());
    assert_eq!(loaded.objects.is_empty(), loaded.has_errors(), "an error refuses the object, a warning does not");
}

#[test]
fn routes() {
    check(
        "VirtualService",
        "hosts: [a, '*']
http:
- match:
  - uri: {regex: '['}
    port: 0
  route:
  - destination: {host: '*'}
    weight: -1
  - destination: {host: b, subset: v_1}
    weight: 1
  timeout: 0s
  retries: {attempts: 2, retryOn: 'gateway-eror,503'}
  fault: {abort: {httpStatus: 700, percentage: {value: 120}}}
- redirect: {uri: /, redirectCode: 200}
- route: [{destination: {host: b}}]
- route: [{destination: {host: c}}]",
        expect![[r#"
            error 5:14 spec.hosts[1]: wildcard host * is not allowed for virtual services bound to the mesh gateway (found `*`) [name the hosts, or bind it to a gateway only]
            error 8:20 spec.http[0].match[0].uri.regex: regex does not compile: error: unclosed character class (found `[`) [write it in RE2 syntax]
            error 11:27 spec.http[0].route[0].destination.host: invalid destination host * (found `*`) [name a service]
            error 13:38 spec.http[0].route[1].destination.subset: subset name is invalid (found `v_1`) [use letters, digits and inner dashes]
            error 12:15 spec.http[0].route[0].weight: weight -1 < 0 (found `-1`) [set 0 or more]
            error 11:7 spec.http[0].route: total destination weight = 0 [give one of the destinations a weight]
            error 17:58 spec.http[0].fault.abort.percentage.value: percentage 120 is not in range 0..100 (found `120`) [set 0 to 100]
            error 17:33 spec.http[0].fault.abort.httpStatus: HTTP status 700 is not in range 200-599 (found `700`) [use 200 to 599]
            error 16:37 spec.http[0].retries.retryOn: `gateway-eror` is not a valid retryOn policy (found `gateway-eror`) [did you mean `gateway-error`? Conditions are separated by commas, without spaces]
            error 15:14 spec.http[0].timeout: must be a valid duration greater than 1ms (found `0s`) [set 1ms or more, or leave the field out]
            error 18:38 spec.http[1].redirect.redirectCode: 200 is not a valid redirect code, must be 3xx (found `200`) [use 301, 302, 307 or 308]
            warning 19:5 spec.http[2]: never used: only the last rule can have no matches [move it up, remove it, or narrow what comes before]
            warning 20:5 spec.http[3]: never used: only the last rule can have no matches [move it up, remove it, or narrow what comes before]
        "#]],
    );
}

#[test]
fn a_whole_message() {
    let yaml = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - fault:
      abort:
        httpStatus: 503
        percentage: {value: 120}
    route:
    - destination: {host: reviews}
";
    let loaded = load::documents("shop/reviews.yaml", yaml.as_bytes());
    expect![[r#"
        error: percentage 120 is not in range 0..100 (found `120`)
          --> shop/reviews.yaml:10:29
           |
        10 |         percentage: {value: 120}
           |                             ^^^
           = field: spec.http[0].fault.abort.percentage.value of VirtualService shop/reviews
           = help: set 0 to 100"#]]
    .assert_eq(&loaded.diagnostics[0].to_string());
    assert_eq!(loaded.refused[0].1.to_string(), "shop/reviews");
}

#[test]
fn destination_policies() {
    check(
        "DestinationRule",
        "host: a
subsets:
- {name: v1}
- {name: v1, trafficPolicy: {connectionPool: {tcp: {maxConnections: -1, connectTimeout: 10us}}}}
trafficPolicy:
  loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 100}}}
  outlierDetection: {maxEjectionPercent: 101, consecutiveErrors: 1}
  tls: {mode: MUTUAL}",
        expect![[r#"
            error 11:44 spec.trafficPolicy.outlierDetection.maxEjectionPercent: percentage 101 is not in range 0..100 (found `101`) [set 0 to 100]
            warning 11:68 spec.trafficPolicy.outlierDetection.consecutiveErrors: outlier detection consecutive errors is deprecated (found `1`) [use consecutiveGatewayErrors or consecutive5xxErrors]
            error 10:76 spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize: tableSize must be a prime number for maglev (found `100`) [65537 is a good choice]
            error 12:10 spec.trafficPolicy.tls.clientCertificate: clientCertificate required for mutual tls [name a file, or use credentialName]
            error 12:10 spec.trafficPolicy.tls.privateKey: privateKey required for mutual tls [name a file, or use credentialName]
            error 8:12 spec.subsets[1].name: duplicate subset names (found `v1`) [give each its own]
            error 8:71 spec.subsets[1].trafficPolicy.connectionPool.tcp.maxConnections: maxConnections must be non-negative (found `-1`) [set 0 (the default) or more]
            error 8:91 spec.subsets[1].trafficPolicy.connectionPool.tcp.connectTimeout: must be a valid duration greater than 1ms (found `0.00001s`) [set 1ms or more, or leave the field out]
        "#]],
    );
}

#[test]
fn who_may_call() {
    check(
        "AuthorizationPolicy",
        "action: DENY
rules:
- from: [{source: {principals: [a], serviceAccounts: [b]}}]
  to: [{operation: {ports: ['http'], paths: ['/a/{**}/{*}']}}]
  when: [{key: 'request.header[x]', values: [a]}, {key: source.ip}]",
        expect![[r#"
            error 7:21 spec.rules[0].from[0].source: Cannot set serviceAccounts with namespaces or principals [keep serviceAccounts, or put the others into a source of their own]
            error 8:31 spec.rules[0].to[0].operation.ports[0]: not a port (found `http`) [write the number of a port, in quotes]
            error 8:48 spec.rules[0].to[0].operation.paths[0]: `{**}` must be the last template (found `/a/{**}/{*}`) [use `*` at one end, or `{*}` for a segment and `{**}` for the rest]
            error 9:18 spec.rules[0].when[0].key: unknown attribute (found `request.header[x]`) [did you mean `request.headers`?]
            error 9:53 spec.rules[0].when[1]: at least one of `values` or `notValues` must be set for key source.ip [add the values]
        "#]],
    );
    check(
        "AuthorizationPolicy",
        "action: CUSTOM\nrules: []",
        expect![[r#"
            error 6:10 spec.rules: CUSTOM action without `rules` is meaningless as it will never be triggered [add a rule; `rules: [{}]` matches everything]
        "#]],
    );
    check("AuthorizationPolicy", "action: ALLOW", expect![""]);
    check("AuthorizationPolicy", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: web}]\nrules: [{}]", expect![""]);
    check("AuthorizationPolicy", "action: DENY\ntargetRef: {kind: Service, name: web}\nrules: [{}]", expect![""]);
    check(
        "PeerAuthentication",
        "mtls: {mode: STRICT}\nportLevelMtls: {80: {mode: DISABLE}, 0: {mode: STRICT}}",
        expect![[r#"
            error 6:18 spec.portLevelMtls: port must be between 1-65535 [name each port by its number]
            error 5:3 spec: portLevelMtls requires selector [add selector.matchLabels: ports belong to workloads]
        "#]],
    );
}

#[test]
fn edges_and_what_is_outside() {
    check(
        "Gateway",
        "servers:
- {port: {number: 80, name: a, protocol: HTTP}, hosts: ['x/*a.b', short], tls: {mode: SIMPLE}}
- {port: {number: 443, name: a, protocol: HTTPS}, hosts: []}
- {port: {number: 8443, name: b, protocol: HTTPS}, hosts: ['*'], tls: {mode: MUTUAL, serverCertificate: c, privateKey: k}}",
        expect![[r#"
            error 6:59 spec.servers[0].hosts[0]: invalid domain name: partial wildcard not allowed (found `*a.b`) [write `*` or `*.domain`]
            error 6:69 spec.servers[0].hosts[1]: short names (non FQDN) are not allowed (found `short`) [write the whole DNS name]
            error 6:82 spec.servers[0].tls: server cannot have TLS settings for plain text HTTP ports [keep only httpsRedirect, or use protocol HTTPS]
            error 6:82 spec.servers[0].tls.serverCertificate: SIMPLE requires a server certificate [name a file, or use credentialName]
            error 6:82 spec.servers[0].tls.privateKey: SIMPLE requires a private key [name a file, or use credentialName]
            error 7:60 spec.servers[1].hosts: server config must contain at least one host [list hosts, or `*`]
            error 7:5 spec.servers[1].tls: server must have TLS settings for HTTPS/TLS protocols [add tls]
            error 8:73 spec.servers[2].tls.caCertificates: MUTUAL requires a client CA bundle [name the CA that signs clients, or a credentialName]
            error 7:32 spec.servers[1].port.name: port names in servers must be unique: duplicate name (found `a`) [give each its own]
        "#]],
    );
    check(
        "ServiceEntry",
        "hosts: ['*', a.b]
addresses: [10.0.0.0/8]
resolution: DNS
exportTo: ['*', '~', '.']
ports:
- {number: 80, name: a}
- {number: 80, name: a, protocol: HTTP}
endpoints: [{address: unix://x/, ports: {b: 1}}]",
        expect![[r#"
            error 12:25 spec.endpoints[0].address: UDS must be an absolute path or abstract socket (found `unix://x/`) [write unix:///path or unix://@name]
            error 12:25 spec.endpoints[0].address: UDS may not be a dir (found `unix://x/`) [name a socket, without a slash at the end]
            error 12:15 spec.endpoints[0]: UDS may not include ports [leave ports out, or give an IP address]
            error 5:11 spec.hosts[0]: hostname cannot be wildcard (found `*`) [name a host, or a domain as *.example.com]
            error 11:5 spec.ports[1]: Duplicate value: {name: "a"} [remove it, or rename it]
            error 10:5 spec.ports: port number cannot be duplicated [give each port its own number]
            error 5:3 spec: CIDR addresses are allowed only for NONE/STATIC resolution types [write single addresses, or set resolution: STATIC]
            error 5:10 spec.hosts: multiple hosts provided with non-HTTP, non-TLS ports (found `2`) [make an entry for each host, or declare the ports' protocol]
            error 12:25 spec.endpoints[0].address: endpoint address is not a valid FQDN or an IP address, as resolution DNS needs (found `unix://x/`) [name the endpoint, or set resolution: STATIC]
            error 12:43 spec.endpoints[0].ports: endpoint port b is not defined by the service entry (found `b`) [use the name of one of the entry's ports]
            error 8:13 spec.exportTo: cannot have both public (*) and non-public exportTo values for a resource [keep `*` alone, or leave it out]
            error 8:13 spec.exportTo: cannot export to no one (~) and someone [keep `~` alone, or leave it out]
        "#]],
    );
    check(
        "Sidecar",
        "workloadSelector: {labels: {}}
ingress: [{port: {number: 0, name: a, protocol: HTTP}, defaultEndpoint: '10.0.0.1:80'}]
egress:
- {hosts: ['a']}
- {hosts: ['./*', './*'], port: {number: 80, name: b}, bind: x}
outboundTrafficPolicy: {egressProxy: {host: a}}",
        expect![[r#"
            warning 5:21 spec.workloadSelector: workload selector specified without labels, will be applied to all services in namespace [add labels, or leave the selector out]
            error 6:29 spec.ingress[0].port.number: port must be between 1-65535 (found `0`) [set the number of a port]
            error 6:75 spec.ingress[0].defaultEndpoint: sidecar: defaultEndpoint must be of form 127.0.0.1:<port>, 0.0.0.0:<port>, [::1]:<port>, [::]:<port>, or unix:// (found `10.0.0.1:80`) [write 127.0.0.1 and the application's port]
            error 8:5 spec.egress[0]: sidecar: the egress listener with empty port should be the last listener in the list [move it to the end; there can be only one]
            error 8:14 spec.egress[0].hosts[0]: host must be of form namespace/dnsName (found `a`) [write ./name or */name]
            error 9:64 spec.egress[1].bind: not a valid IP address (found `x`) [leave it out to bind as the proxy does]
            warning 9:21 spec.egress[1].hosts[1]: duplicated egress host: ./* (found `./*`) [remove one of the entries that import it]
            error 10:40 spec.outboundTrafficPolicy.egressProxy: sidecar: egress_proxy must be set only with ALLOW_ANY outbound_traffic_policy mode [set mode: ALLOW_ANY, or remove it]
            error 10:40 spec.outboundTrafficPolicy.egressProxy.port: sidecar: egress_proxy port must be non-nil [set port.number]
        "#]],
    );
    check(
        "WorkloadEntry",
        "weight: 1\nports: {'@': 0}",
        expect![[r#"
            error 6:16 spec.ports["@"]: port must be between 1-65535 (found `0`) [set the number of a port]
            error 6:10 spec.ports: port name must be valid [use letters, digits and inner dashes, less than 63]
            error 5:3 spec: Address is required [set address, or the network that it is reached through]
        "#]],
    );
}
