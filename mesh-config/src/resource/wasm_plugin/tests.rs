//! Rules of `WasmPlugin`, by what they say.

use expect_test::expect;

use crate::resource::{Kind, golden::check};

#[test]
fn in_order() {
    check(
        Kind::WasmPlugin,
        r#"url: "ghcr.io/a/b:v1", sha256: 1ef0c9a92b0420cf25f7fe5d481b231464bc88f486ca3b9c83ed5cc21d2f6210, imagePullPolicy: IfNotPresent, pluginConfig: {a: null, b: [1, {c: 2.5}]}, phase: AUTHN, priority: null, failStrategy: FAIL_OPEN, vmConfig: {env: [{name: A, valueFrom: HOST}, {name: B, value: b}]}, match: [{mode: CLIENT, ports: [{number: 80}]}], type: HTTP"#,
        &expect![[r#""#]],
    );
}

#[test]
fn modules() {
    check(
        Kind::WasmPlugin,
        r#"phase: AUTHN"#,
        &expect![[r#"
            error spec.url: Required value: the field is missing
        "#]],
    );
    check(
        Kind::WasmPlugin,
        r#"url: "ftp://a/b""#,
        &expect![[r#"
            error spec.url: url must have schema one of [http, https, file, oci] (found `ftp://a/b`)
        "#]],
    );
    check(
        Kind::WasmPlugin,
        r#"url: a, sha256: foo, imagePullPolicy: ALWAYS"#,
        &expect![[r#"
            error spec.imagePullPolicy: Unsupported value: "ALWAYS"
            error spec.sha256: should match `(^$|^[a-f0-9]{64}$)` (found `foo`)
        "#]],
    );
    check(
        Kind::WasmPlugin,
        r#"url: a, imagePullSecret: "", pluginName: """#,
        &expect![[r#"
            error spec.imagePullSecret: should be at least 1 chars long, found 0
            error spec.pluginName: should be at least 1 chars long, found 0
        "#]],
    );
    check(
        Kind::WasmPlugin,
        r#"url: a, targetRef: {kind: Pod, name: b}, selector: {matchLabels: {a: "*"}}"#,
        &expect![[r#"
            error spec.selector.matchLabels.a: wildcard not allowed in label value match (found `*`)
            error spec: only one of targetRefs or selector can be set
            error spec.targetRef: not a kind that a policy can attach to (found `Pod`)
        "#]],
    );
}

#[test]
fn environment_and_traffic() {
    check(
        Kind::WasmPlugin,
        r#"url: a, vmConfig: {env: [{name: A}, {name: A}, {name: ""}, {name: B, value: b, valueFrom: HOST}]}"#,
        &expect![[r#"
            error spec.vmConfig.env[1]: Duplicate value: {name: "A"}
            error spec.vmConfig.env[2].name: should be at least 1 chars long, found 0
            error spec.vmConfig.env[3]: value may only be set when valueFrom is INLINE
        "#]],
    );
    check(
        Kind::WasmPlugin,
        r#"url: a, match: [{ports: [{}, {number: 0}, {number: 80}, {number: 80}]}]"#,
        &expect![[r#"
            error spec.match[0].ports[0].number: Required value: the field is missing
            error spec.match[0].ports[3]: Duplicate value: {number: 80}
            error spec.match[0].ports[1].number: should be greater than or equal to 1 (found `0`)
        "#]],
    );
}
