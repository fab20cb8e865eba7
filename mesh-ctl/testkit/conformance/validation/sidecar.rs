//! Functions over Sidecars.

use super::Row;

pub(super) const ROWS: &[Row] = &[Row::new("TestValidateSidecar", "{apiVersion: networking.istio.io/v1, kind: Sidecar, spec: $in}")];
