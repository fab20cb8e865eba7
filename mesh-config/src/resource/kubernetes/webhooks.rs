//! Webhook configurations (admissionregistration.k8s.io/v1): who injects and validates.

pub use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, ValidatingWebhook};

use super::flat;
use crate::{
    resource::Object,
    validate::{Checks, Validate},
};

flat! {
    /// Who may change objects before they are stored.
    pub struct MutatingWebhookConfiguration {
        webhooks: Vec<MutatingWebhook>,
    }

    /// Who may refuse objects.
    pub struct ValidatingWebhookConfiguration {
        webhooks: Vec<ValidatingWebhook>,
    }
}

impl Validate for MutatingWebhookConfiguration {
    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let hooks = object.spec.webhooks.iter().map(|hook| (hook.client_config.service.is_some(), hook.client_config.url.is_some()));
        one_client(hooks, checks);
    }
}

impl Validate for ValidatingWebhookConfiguration {
    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let hooks = object.spec.webhooks.iter().map(|hook| (hook.client_config.service.is_some(), hook.client_config.url.is_some()));
        one_client(hooks, checks);
    }
}

/// A webhook is a service or a URL.
fn one_client(hooks: impl Iterator<Item = (bool, bool)>, checks: &mut Checks) {
    for (index, (service, url)) in hooks.enumerate() {
        if service == url {
            checks.root(|checks| {
                checks.field(&format!("webhooks[{index}].clientConfig"), |checks| {
                    checks.error(None, "exactly one of url or service is required", "set one of the two");
                });
            });
        }
    }
}
