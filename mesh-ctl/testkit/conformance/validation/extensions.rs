//! Functions over Telemetry, ProxyConfig and extensions.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    Row::new("TestValidateTelemetry", "{apiVersion: telemetry.istio.io/v1, kind: '$type:in', spec: $in}"),
    Row::new(
        "TestValidateTelemetryFilter",
        "{apiVersion: telemetry.istio.io/v1, kind: Telemetry, spec: {accessLogging: [{filter: $filter}]}}",
    ),
    Row::new("TestValidateProxyConfig", "{apiVersion: networking.istio.io/v1beta1, kind: ProxyConfig, spec: $in}"),
    Row::new("TestValidateWasmPlugin", "{apiVersion: extensions.istio.io/v1alpha1, kind: '$type:in', spec: $in}"),
    Row::new("TestValidateTrafficExtension", "{apiVersion: extensions.istio.io/v1alpha1, kind: '$type:in', spec: $in}"),
];
