//! Rules of `PeerAuthentication`.

use super::PeerAuthentication;
use crate::{
    resource::Object,
    validate::{Checks, Validate},
};

impl Validate for PeerAuthentication {
    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        if let Some(selector) = &spec.selector {
            checks.selector("selector.matchLabels", &selector.match_labels);
            checks.selects_nothing_special("selector", &selector.match_labels);
        }
        let selects = spec.selector.as_ref().is_some_and(|selector| !selector.match_labels.is_empty());
        if !spec.port_level_mtls.is_empty() && !selects {
            checks.field("portLevelMtls", |checks| {
                let remedy = "add selector.matchLabels: ports belong to workloads";
                checks.error(None, "portLevelMtls requires selector", remedy);
            });
        }
        for port in spec.port_level_mtls.keys() {
            checks.port(&format!("portLevelMtls.{port}"), *port);
        }
    }
}
