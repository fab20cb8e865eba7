//! Rules of `WorkloadGroup`.

use super::{ReadinessProbe, WorkloadGroup};
use crate::{
    resource::Object,
    schema::{AGE, Crd},
    validate::{Checks, Validate},
};

impl Validate for WorkloadGroup {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().requires_spec().short_names(&["wg"]).columns(&[AGE]));

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        if let Some(metadata) = &object.spec.metadata {
            checks.labels("metadata.labels", &metadata.labels);
        }
        if let Some(probe) = &object.spec.probe {
            checks.field("probe", |checks| readiness_probe(probe, checks));
        }
    }
}

/// The rules at the current field; also for MeshConfig's `readinessProbe`.
pub(in crate::resource) fn readiness_probe(probe: &ReadinessProbe, checks: &mut Checks) {
    if probe.http_get.is_none() && probe.tcp_socket.is_none() && probe.exec.is_none() && probe.grpc.is_none() {
        checks.error(None, "the probe has no method", "set one of httpGet, tcpSocket, exec and grpc");
    }
    if let Some(http) = &probe.http_get {
        checks.each("httpGet.httpHeaders", &http.http_headers, |checks, header| {
            if header.name.is_empty() {
                checks.field("name", |checks| checks.error(None, "a header without a name", "name it, or remove it"));
            }
        });
    }
    if probe.exec.as_ref().is_some_and(|exec| exec.command.is_empty()) {
        checks.field("exec.command", |checks| checks.error(None, "there is no command", "write the program and its arguments"));
    }
    // An absent port passes the schema, which does not require it.
    if probe.grpc.as_ref().is_some_and(|grpc| grpc.port == 0) {
        checks.field("grpc.port", |checks| checks.error(None, "a gRPC probe needs a port", "set 1 to 65535"));
    }
}
