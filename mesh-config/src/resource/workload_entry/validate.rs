//! Rules of `WorkloadEntry`; its spec is also an endpoint of a ServiceEntry.

use super::WorkloadEntry;
use crate::{
    resource::Object,
    validate::{
        Checks, Validate,
        rules::{key, shown},
    },
};

impl Validate for WorkloadEntry {
    fn validate(object: &Object<Self>, checks: &mut Checks) {
        endpoint(&object.spec, checks);
    }
}

/// The rules at the current field.
pub(crate) fn endpoint(entry: &WorkloadEntry, checks: &mut Checks) {
    match entry.address.strip_prefix("unix://") {
        Some(path) => unix(entry, path, checks),
        None if entry.address.is_empty() && entry.network.is_empty() => checks.field("address", |checks| {
            checks.error(None, "Address is required", "set an IP address, a DNS name or unix:///path, or a network");
        }),
        None if entry.address.is_empty() => checks.field("address", |checks| {
            checks.warning(None, "address is unset", "set it unless the network's gateway leads to the workload");
        }),
        None => checks.host("address", &entry.address, false),
    }
    for (name, port) in &entry.ports {
        checks.field("ports", |checks| {
            let valid = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if name.is_empty() || name.len() >= 63 || !name.chars().all(valid) || name.starts_with('-') || name.ends_with('-') {
                let remedy = "use letters, digits and inner dashes, fewer than 63";
                checks.error(shown(name), "Invalid value: port name must be valid", remedy);
            }
        });
        checks.port(&format!("ports{}", key(name)), *port);
    }
    checks.labels("labels", &entry.labels);
}

fn unix(entry: &WorkloadEntry, path: &str, checks: &mut Checks) {
    checks.field("address", |checks| {
        if !path.starts_with(['/', '@']) {
            let rule = "UDS must be an absolute path or abstract socket";
            checks.error(shown(&entry.address), rule, "write unix:///path or unix://@name");
        }
        if path.ends_with('/') {
            checks.error(shown(&entry.address), "UDS may not be a dir", "name the socket's file");
        }
    });
    if !entry.ports.is_empty() {
        checks.field("ports", |checks| checks.error(None, "UDS may not include ports", "remove the ports"));
    }
}
