//! Functions over the security kinds.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "TestValidateAuthorizationPolicy",
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: case, namespace: default, annotations: $annotations}, spec: $in}",
    )
    .about(&["metadata", "spec"]),
    Row::new(
        "TestValidateRequestAuthentication",
        "{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: $configName, namespace: default}, spec: $in}",
    ),
    Row::new(
        "TestValidatePeerAuthentication",
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: $configName, namespace: default}, spec: $in}",
    ),
    // The one field whose header name is judged strictly.
    Row::new(
        "TestStrictValidateHTTPHeaderName",
        "{apiVersion: security.istio.io/v1, kind: RequestAuthentication, spec: {jwtRules: [
          {issuer: a.example.com, jwksUri: 'https://a.example.com/keys', outputClaimToHeaders: [{header: $case, claim: sub}]}]}}",
    ),
];
