//! `RequestAuthentication` (`security.istio.io`): which tokens a workload understands.
//!
//! It refuses requests whose token is bad; a request without a token passes, with no identity. What an identity may do
//! is said by AuthorizationPolicy.

mod jwks;
mod validate;

use super::{
    duration::Duration,
    selector::{LabelSelector, TargetRef},
    spec::spec,
};
use crate::schema::{alias, cel, positive_duration};

spec! {
    /// The rules for the selected workloads.
    #[schemars(transform = cel(
        "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
        "only one of targetRefs or selector can be set"
    ))]
    pub struct RequestAuthentication {
        selector: Option<LabelSelector>,
        /// Deprecated in favour of `target_refs`.
        target_ref: Option<TargetRef>,
        #[schemars(length(max = 16))]
        target_refs: Vec<TargetRef>,
        /// A token is good if the rule of its issuer says so; a request with two tokens is refused.
        #[schemars(length(max = 4096))]
        jwt_rules: Vec<JwtRule>,
    }

    /// One issuer: where its tokens are found, and with which keys they are checked.
    #[schemars(transform = alias("jwksUri", "jwks_uri"))]
    #[schemars(transform = cel(
        "(has(self.jwksUri) ? 1 : 0) + (has(self.jwks_uri) ? 1 : 0) + (has(self.jwks) ? 1 : 0) <= 1",
        "only one of jwks or jwksUri can be set"
    ))]
    pub struct JwtRule {
        /// The token's `iss`.
        #[schemars(length(min = 1))]
        issuer: String,
        /// The token's `aud` must have one of them; empty: any.
        #[schemars(inner(length(min = 1)))]
        audiences: Vec<String>,
        /// Where the keys are; absent (and no `jwks`): by OpenID discovery at the issuer.
        #[schemars(length(min = 1, max = 2048))]
        #[schemars(transform = cel("url(self).getScheme() in [\"http\", \"https\"]", "url must have scheme http:// or https://"))]
        #[serde(alias = "jwks_uri")]
        jwks_uri: String,
        /// The keys themselves, a JSON Web Key Set.
        jwks: String,
        /// Where the token may be; without any of the three lists: `Authorization: Bearer` and the parameter `access_token`.
        from_headers: Vec<JwtHeader>,
        #[schemars(inner(length(min = 1)))]
        from_params: Vec<String>,
        /// The token's payload is passed on in this header, in base64url.
        output_payload_to_header: String,
        /// Pass the token on to the workload.
        forward_original_token: bool,
        /// Claims that are passed on in headers.
        output_claim_to_headers: Vec<ClaimToHeader>,
        /// For fetching the keys; 5 s if absent.
        #[schemars(transform = positive_duration())]
        timeout: Option<Duration>,
        #[schemars(inner(length(min = 1)))]
        from_cookies: Vec<String>,
        /// Claims that are lists written as one text, beside `scope` and `permission`.
        #[schemars(length(max = 64), inner(length(min = 1)))]
        space_delimited_claims: Vec<String>,
    }

    /// A header with a token.
    pub struct JwtHeader {
        #[schemars(length(min = 1))]
        required name: String,
        /// What stands before the token, such as `Bearer `.
        prefix: String,
    }

    /// A claim that is passed on.
    pub struct ClaimToHeader {
        #[schemars(length(min = 1), regex(pattern = r"^[-_A-Za-z0-9]+$"))]
        required header: String,
        #[schemars(length(min = 1))]
        required claim: String,
    }
}

#[cfg(test)]
mod tests;
