//! Rules of `PeerAuthentication`, beside those that its schema has.

use super::PeerAuthentication;
use crate::{
    resource::Object,
    schema::{AGE, Crd},
    validate::{Checks, Validate},
};

impl Validate for PeerAuthentication {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().short_names(&["pa"]).columns(&[("Mode", ".spec.mtls.mode", "string"), AGE]));

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        if let Some(selector) = &object.spec.selector {
            checks.selects_nothing_special("selector", &selector.match_labels);
        }
    }
}
