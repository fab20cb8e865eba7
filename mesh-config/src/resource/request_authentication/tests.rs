//! Rules of `RequestAuthentication`, by what they say.

use expect_test::expect;

use crate::resource::{Kind, golden::check};

#[test]
fn rules_in_order() {
    check(
        Kind::RequestAuthentication,
        r#"jwtRules: [{issuer: a, jwks_uri: "https://[::1]:8443/keys", timeout: 5s, fromHeaders: [{name: x, prefix: "Bearer "}], outputClaimToHeaders: [{header: x-a, claim: sub}]}]"#,
        &expect![[r#""#]],
    );
    check(
        Kind::RequestAuthentication,
        r#"targetRefs: [{kind: Service, name: a}, {group: networking.istio.io, kind: ServiceEntry, name: b}]"#,
        &expect![[r#""#]],
    );
}

#[test]
fn targets() {
    check(
        Kind::RequestAuthentication,
        r#"selector: {}, targetRef: {kind: Gateway, name: a}"#,
        &expect![[r#"
            error spec: only one of targetRefs or selector can be set
            warning spec.selector: workload selector specified without labels, will be applied to all services in namespace
            error spec.targetRef: not a kind that a policy can attach to (found `Gateway`)
        "#]],
    );
    check(
        Kind::RequestAuthentication,
        r#"targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: a, namespace: b}]"#,
        &expect![[r#"
            error spec.targetRefs[0].namespace: cross namespace referencing is not currently supported (found `b`)
            error spec.targetRefs[0]: not a kind that a policy can attach to (found `gateway.networking.k8s.io/HTTPRoute`)
        "#]],
    );
}

#[test]
fn issuers_and_keys() {
    check(
        Kind::RequestAuthentication,
        r#"jwtRules: [{}, {issuer: a, jwksUri: "https://a:port/"}, {issuer: a, jwksUri: "ftp://a"}]"#,
        &expect![[r#"
            error spec.jwtRules[1].jwksUri: url must have scheme http:// or https:// (Error executing function 'url': `https://a:port/` is not a URL) (found `https://a:port/`)
            error spec.jwtRules[2].jwksUri: url must have scheme http:// or https:// (found `ftp://a`)
            error spec.jwtRules[0]: neither issuer nor jwksUri is set
        "#]],
    );
    check(
        Kind::RequestAuthentication,
        r#"jwtRules: [{issuer: a, jwksUri: "https://a", jwks: "{}"}]"#,
        &expect![[r#"
            error spec.jwtRules[0]: only one of jwks or jwksUri can be set
            error spec.jwtRules[0].jwks: not a JSON Web Key Set: it is neither a key set nor a key
        "#]],
    );
    check(
        Kind::RequestAuthentication,
        r#"jwtRules: [{issuer: a, jwks: foo}, {issuer: a, jwks: '{"keys": [{"kty": "oct", "k": "AQAB"}]}'}]"#,
        &expect![[r#"
            error spec.jwtRules[0].jwks: not a JSON Web Key Set: it is not JSON
            warning spec.jwtRules[1].jwks: key 0 contains private key material; only public keys are used for verification
        "#]],
    );
    check(
        Kind::RequestAuthentication,
        r#"jwtRules: [{issuer: a, jwksUri: "https://a", jwks_uri: "https://b"}]"#,
        &expect![[r#"
            error spec.jwtRules[0]: only one of jwks or jwksUri can be set
        "#]],
    );
}

#[test]
fn tokens() {
    check(
        Kind::RequestAuthentication,
        r#"jwtRules: [{issuer: a, audiences: [""], fromParams: [""], fromCookies: [""], fromHeaders: [{prefix: a}], outputClaimToHeaders: [{header: ":path", claim: ""}], timeout: 1us}]"#,
        &expect![[r#"
            error spec.jwtRules[0].fromHeaders[0].name: Required value: the field is missing
            error spec.jwtRules[0].audiences[0]: should be at least 1 chars long, found 0
            error spec.jwtRules[0].fromCookies[0]: should be at least 1 chars long, found 0
            error spec.jwtRules[0].fromParams[0]: should be at least 1 chars long, found 0
            error spec.jwtRules[0].outputClaimToHeaders[0].claim: should be at least 1 chars long, found 0
            error spec.jwtRules[0].outputClaimToHeaders[0].header: should match `^[-_A-Za-z0-9]+$` (found `:path`)
            error spec.jwtRules[0].timeout: must be a valid duration greater than 1ms (found `1us`)
        "#]],
    );
    check(
        Kind::RequestAuthentication,
        r#"jwtRules: [{issuer: a, timeout: 1.0005s}]"#,
        &expect![[r#"
            error spec.jwtRules[0].timeout: only durations to ms precision are supported (found `1.0005s`)
        "#]],
    );
    check(
        Kind::RequestAuthentication,
        r#"jwtRules: [null]"#,
        &expect![[r#"
            error spec.jwtRules[0]: must be a mapping (type object): found null
        "#]],
    );
}
