//! Rules of `TrafficExtension`, by what they say.

use expect_test::expect;

use crate::resource::{Kind, golden::check};

#[test]
fn in_order() {
    check(
        Kind::TrafficExtension,
        r#"lua: {inlineCode: "function envoy_on_request(handle) end"}, phase: STATS, priority: 3, match: [{mode: SERVER}]"#,
        &expect![[r#""#]],
    );
    check(
        Kind::TrafficExtension,
        r#"wasm: {url: "oci://a/b", pluginConfig: {}}, targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: a}]"#,
        &expect![[r#""#]],
    );
}

#[test]
fn one_extension() {
    check(
        Kind::TrafficExtension,
        r#"phase: AUTHZ"#,
        &expect![[r#"
            error spec: exactly one of wasm or lua must be set
        "#]],
    );
    check(
        Kind::TrafficExtension,
        r#"wasm: {url: a}, lua: {inlineCode: b}"#,
        &expect![[r#"
            error spec: only one of lua, wasm can be set, found lua and wasm
            error spec: exactly one of wasm or lua must be set
        "#]],
    );
    check(
        Kind::TrafficExtension,
        r#"lua: {inlineCode: ""}, selector: {}"#,
        &expect![[r#"
            error spec.lua.inlineCode: should be at least 1 chars long, found 0
            warning spec.selector: workload selector specified without labels, will be applied to all services in namespace
        "#]],
    );
    check(
        Kind::TrafficExtension,
        r#"wasm: {url: "ftp://a", vmConfig: {env: [{name: A}, {name: A}]}}, match: [{ports: [{number: 65536}]}]"#,
        &expect![[r#"
            error spec.match[0].ports[0].number: should be less than or equal to 65535 (found `65536`)
            error spec.wasm.url: url must have schema one of [http, https, file, oci] (found `ftp://a`)
            error spec.wasm.vmConfig.env[1]: Duplicate value: {name: "A"}
        "#]],
    );
}
