//! `Pod` (v1): what runs.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{PodSpec, PodStatus};

use super::flat;
use crate::{
    resource::Object,
    validate::{Checks, Validate},
};

flat! {
    /// A pod: what it is to run, and how it fares.
    pub struct Pod {
        spec: PodSpec,
        status: Option<PodStatus>,
    }
}

impl Pod {
    /// Its addresses, the primary one first; what is no address is left out.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let Some(status) = &self.status else { return Vec::new() };
        let all = status.pod_ip.iter().map(String::as_str).chain(status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()));
        let mut addresses = Vec::new();
        for address in all.filter_map(|text| text.parse().ok()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    /// Whether its readiness probes succeed: the condition `Ready`.
    pub fn is_ready(&self) -> bool {
        let conditions = self.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    }

    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`; empty if it does not say.
    pub fn phase(&self) -> &str {
        self.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
    }

    /// Whether it has run to its end.
    pub fn is_over(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }
}

impl Validate for Pod {
    fn validate(object: &Object<Self>, checks: &mut Checks) {
        if object.spec.spec.containers.is_empty() {
            checks.field("containers", |checks| checks.error(None, "Required value", "a pod has at least one container"));
        }
    }
}
