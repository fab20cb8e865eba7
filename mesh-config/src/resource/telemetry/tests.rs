//! Rules of `Telemetry`, by what they say.

use expect_test::expect;

use crate::resource::{Kind, golden::check};

#[test]
fn in_order() {
    check(
        Kind::Telemetry,
        r#"tracing: [{providers: [{name: a}], randomSamplingPercentage: 12.5, match: {mode: CLIENT}, customTags: {a: {literal: {value: b}}, c: {header: {name: d, defaultValue: e}}}, disableSpanReporting: null}], metrics: [{providers: [{name: prometheus}], overrides: [{match: {metric: REQUEST_COUNT, mode: SERVER}, tagOverrides: {a: {value: "request.host"}, b: {operation: REMOVE}}}], reportingInterval: 5s}], accessLogging: [{filter: {expression: "response.code >= 400 && connection.mtls"}}]"#,
        &expect![[r#""#]],
    );
}

#[test]
fn tracing() {
    check(
        Kind::Telemetry,
        r#"tracing: [{providers: [{name: a}, {name: ""}], randomSamplingPercentage: 101}, {}]"#,
        &expect![[r#"
            error spec.tracing[0].providers[1].name: should be at least 1 chars long, found 0
            error spec.tracing[0].randomSamplingPercentage: should be less than or equal to 100 (found `101`)
            warning spec.tracing[1]: multiple tracing is not currently supported
            warning spec.tracing[0].providers[1]: multiple providers is not currently supported
        "#]],
    );
    check(
        Kind::Telemetry,
        r#"tracing: [{customTags: {"": {literal: {value: a}}, a: {literal: {value: b}, header: {name: c}}, d: {environment: {}}}}]"#,
        &expect![[r#"
            error spec.tracing[0].customTags.d.environment.name: Required value: the field is missing
            error spec.tracing[0].customTags.a: only one of environment, formatter, header, literal can be set, found header and literal
        "#]],
    );
    check(
        Kind::Telemetry,
        r#"tracing: [{customTags: {a: null}}]"#,
        &expect![[r#"
            error spec.tracing[0].customTags.a: must be a mapping (type object): found null
        "#]],
    );
}

#[test]
fn metrics() {
    check(
        Kind::Telemetry,
        r#"metrics: [{overrides: [{match: {metric: REQUEST_COUNT, customMetric: a}, tagOverrides: {a: {}, b: {operation: UPSERT, value: ""}, c: {operation: REMOVE, value: a}, "": {value: "1 +"}}}], reportingInterval: 0s}]"#,
        &expect![[r#"
            error spec.metrics[0].overrides[0].match: only one of customMetric, metric can be set, found customMetric and metric
            error spec.metrics[0].overrides[0].tagOverrides.c: value must not be set when operation is REMOVE
            warning spec.metrics[0].overrides[0].tagOverrides: a tag without a name has no effect
            warning spec.metrics[0].overrides[0].tagOverrides[""].value: not a CEL expression: 1:4: Syntax error: mismatched input '<EOF>' (found `1 +`)
            error spec.metrics[0].overrides[0].tagOverrides.a: value must be set when operation is UPSERT
            error spec.metrics[0].overrides[0].tagOverrides.b: value must be set when operation is UPSERT
            error spec.metrics[0].reportingInterval: must be a valid duration greater than 1ms (found `0s`)
        "#]],
    );
    check(
        Kind::Telemetry,
        r#"metrics: [{overrides: [{match: {metric: REQUESTS}}]}]"#,
        &expect![[r#"
            error spec.metrics[0].overrides[0].match.metric: Unsupported value: "REQUESTS"
        "#]],
    );
}

#[test]
fn access_logs() {
    check(
        Kind::Telemetry,
        r#"accessLogging: [{filter: {expression: ")++++"}}, {filter: {}}]"#,
        &expect![[r#"
            error spec.accessLogging[0].filter.expression: must be a valid CEL expression: 1:1: Syntax error: mismatched input ')' (found `)++++`)
            error spec.accessLogging[1].filter.expression: must be a valid CEL expression: it is empty (found ``)
        "#]],
    );
}
