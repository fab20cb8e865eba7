//! Rules of `RequestAuthentication`.

use super::{JwtRule, RequestAuthentication, jwks};
use crate::{
    resource::{Object, attachment::attachment},
    schema::Crd,
    validate::{Checks, Validate},
};

impl Validate for RequestAuthentication {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().short_names(&["ra"]));

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        attachment(spec.selector.as_ref(), spec.target_ref.as_ref(), &spec.target_refs, checks);
        checks.each("jwtRules", &spec.jwt_rules, |checks, rule| jwt_rule(rule, checks));
    }
}

fn jwt_rule(rule: &JwtRule, checks: &mut Checks) {
    if rule.issuer.is_empty() && rule.jwks_uri.is_empty() {
        checks.error(None, "neither issuer nor jwksUri is set", "name the issuer of the tokens");
    }
    if !rule.jwks.is_empty() {
        checks.field("jwks", |checks| inline_keys(&rule.jwks, checks));
    }
    checks.duration("timeout", rule.timeout);
}

/// Keys are never shown, not even public ones: the field may hold private material.
fn inline_keys(text: &str, checks: &mut Checks) {
    match jwks::private_keys(text) {
        Ok(private) => {
            for index in private {
                let rule = format!("key {index} contains private key material; only public keys are used for verification");
                checks.warning(None, rule, "remove it from the configuration, and make a new key: this one has been published");
            }
        }
        Err(error) => {
            let remedy = "write a JSON Web Key Set: {\"keys\": [{\"kty\": \"RSA\", \"n\": …, \"e\": …}]}";
            checks.error(None, format!("not a JSON Web Key Set: {error}"), remedy);
        }
    }
}
