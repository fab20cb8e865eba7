//! Rules of `WorkloadEntry`; its spec is also an endpoint of a ServiceEntry.

use super::WorkloadEntry;
use crate::{
    resource::Object,
    schema::{AGE, Crd},
    validate::{Checks, Validate},
};

impl Validate for WorkloadEntry {
    const CRD: Option<Crd> =
        Some(Crd::of::<Self>().short_names(&["we"]).columns(&[AGE, ("Address", ".spec.address", "string")]).requires_spec());

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        endpoint(&object.spec, checks);
    }
}

/// The rules at the current field, beside those of the schema: what is no Unix socket is an IP address or a DNS name.
pub(crate) fn endpoint(entry: &WorkloadEntry, checks: &mut Checks) {
    if entry.address.is_empty() && !entry.network.is_empty() {
        checks.field("address", |checks| {
            checks.warning(None, "address is unset", "set it unless the network's gateway leads to the workload");
        });
    }
    if !entry.address.is_empty() && !entry.address.starts_with("unix://") {
        checks.host("address", &entry.address, false);
    }
    if entry.address == "unix://" {
        checks.field("address", |checks| checks.socket(""));
    }
    checks.labels("labels", &entry.labels);
}
