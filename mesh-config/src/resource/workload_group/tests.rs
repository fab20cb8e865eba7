//! Rules of `WorkloadGroup`, by what they say.

use expect_test::expect;

use crate::resource::{Kind, golden::check};

#[test]
fn a_group_in_order() {
    check(
        Kind::WorkloadGroup,
        r#"metadata: {labels: {app: a}, annotations: {a: b}}, template: {ports: {http: 80}, serviceAccount: sa, network: net}, probe: {httpGet: {port: 80, httpHeaders: [{name: X-A, value: b}]}, periodSeconds: 5}"#,
        &expect![""],
    );
    check(Kind::WorkloadGroup, r#"template: {}, probe: {grpc: {port: 1}}"#, &expect![[r#""#]]);
}

#[test]
fn templates_and_probes() {
    check(
        Kind::WorkloadGroup,
        r#"probe: {}"#,
        &expect![[r#"
            error spec.template: Required value: the field is missing
        "#]],
    );
    check(
        Kind::WorkloadGroup,
        r#"template: {}, probe: {}"#,
        &expect![[r#"
            error spec.probe: the probe has no method
        "#]],
    );
    check(
        Kind::WorkloadGroup,
        r#"template: {address: "unix://a/"}, probe: {httpGet: {port: 0, scheme: FTP, httpHeaders: [{value: a}, {name: "a b"}]}}"#,
        &expect![[r#"
            error spec.probe.httpGet.httpHeaders[1].name: should match `^[-_A-Za-z0-9]+$` (found `a b`)
            error spec.probe.httpGet.port: port must be between 1-65535 (found `0`)
            error spec.probe.httpGet.scheme: scheme must be one of [HTTP, HTTPS] (found `FTP`)
            error spec.template.address: UDS must be an absolute path or abstract socket (found `unix://a/`)
            error spec.template.address: UDS may not be a dir (found `unix://a/`)
            error spec.probe.httpGet.httpHeaders[0].name: a header without a name
        "#]],
    );
    check(
        Kind::WorkloadGroup,
        r#"template: {}, probe: {tcpSocket: {port: 65536}, exec: {command: []}, failureThreshold: -1}"#,
        &expect![[r#"
            error spec.probe.failureThreshold: should be greater than or equal to 0 (found `-1`)
            error spec.probe.tcpSocket.port: port must be between 1-65535 (found `65536`)
            error spec.probe: only one of exec, grpc, httpGet, tcpSocket can be set, found exec and tcpSocket
            error spec.probe.exec.command: there is no command
        "#]],
    );
    check(
        Kind::WorkloadGroup,
        r#"template: {}, probe: {tcpSocket: {}, grpc: {}}"#,
        &expect![[r#"
            error spec.probe.tcpSocket.port: Required value: the field is missing
            error spec.probe: only one of exec, grpc, httpGet, tcpSocket can be set, found grpc and tcpSocket
        "#]],
    );
    check(
        Kind::WorkloadGroup,
        r#"metadata: {labels: {"a b": c}}, template: {labels: {a: b}, weigth: 1}"#,
        &expect![[r#"
            error spec.template.weigth: unknown field `weigth`
        "#]],
    );
}
