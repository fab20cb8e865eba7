//! Rules of `ProxyConfig`, by what they say.

use expect_test::expect;

use crate::resource::{Kind, golden::check};

#[test]
fn settings_of_sidecars() {
    check(
        Kind::ProxyConfig,
        r#"concurrency: 0, environmentVariables: {A: b}, image: {imageType: distroless}, selector: {matchLabels: {a: b}}"#,
        &expect![[r#""#]],
    );
    check(Kind::ProxyConfig, r#"concurrency: null"#, &expect![[r#""#]]);
    check(
        Kind::ProxyConfig,
        r#"concurrency: -1, selector: {}"#,
        &expect![[r#"
            error spec.concurrency: should be greater than or equal to 0 (found `-1`)
            warning spec.selector: workload selector specified without labels, will be applied to all services in namespace
        "#]],
    );
    check(
        Kind::ProxyConfig,
        r#"selector: {matchLabels: {"": a, "b*": "c*"}}"#,
        &expect![[r#"
            error spec.selector.matchLabels["b*"]: wildcard not allowed in label value match (found `c*`)
            error spec.selector.matchLabels: wildcard not allowed in label key match
            error spec.selector.matchLabels: key must not be empty
        "#]],
    );
}
