//! Functions over the mesh's own settings: MeshConfig, MeshNetworks, and extension providers, which a MeshConfig only warns of.

use mesh_config::{
    resource::{MeshConfig, MeshNetworks, mesh_config::ExtensionProvider},
    validate::{Finding, Severity},
};
use serde_json::Value;

use super::Row;

pub(super) const ROWS: &[Row] = &[
    Row::new("TestValidateMeshConfigProxyConfig", "{defaultConfig: $in}").judge(mesh_config),
    Row::new("TestValidateControlPlaneAuthPolicy", "{defaultConfig: {controlPlaneAuthPolicy: $policy}}").judge(mesh_config),
    Row::new("TestValidateConnectionSettings", "{defaultConfig: {connectionSettings: $cs}}").judge(mesh_config),
    Row::new("TestValidateTrustDomain", "{trustDomain: $in}").judge(mesh_config),
    Row::new("TestValidateMeshConfigDefaultTrafficPolicy", "{defaultTrafficPolicy: $dtp}").judge(mesh_config),
    Row::new("TestValidateMeshConfigDefaultInboundHTTPRetryPolicy", "{defaultInboundHttpRetryPolicy: $retry}").judge(mesh_config),
    Row::new("TestServiceSettings", "{serviceSettings: [{hosts: $hosts}]}").judge(mesh_config),
    Row::new("TestValidateMeshNetworks", "$mn").judge(mesh_networks),
    Row::new("TestValidateExtensionProviderService", "{name: a, zipkin: {service: $service, port: 9411}}").judge(provider),
    Row::new("TestValidateExtensionProviderTracingZipkin", "{name: a, zipkin: $config}").judge(provider),
    Row::new("TestValidateExtensionProviderTracingLightstep", "{name: a, lightstep: $config}").judge(provider),
    Row::new("TestValidateExtensionProviderTracingDatadog", "{name: a, datadog: $config}").judge(provider),
    Row::new("TestValidateExtensionProviderTracingOpenCensusAgent", "{name: a, opencensus: $config}").judge(provider),
    Row::new("TestValidateExtensionProviderTracingOpentelemetry", "{name: a, opentelemetry: $provider}").judge(provider),
    Row::new("TestValidateExtensionProviderEnvoyOtelAls", "{name: a, envoyOtelAls: $provider}").judge(provider),
    Row::new("TestValidateExtensionProviderEnvoyHTTPAls", "{name: a, envoyHttpAls: $provider}").judge(provider),
    Row::new("TestValidateExtensionProviderEnvoyTCPAls", "{name: a, envoyTcpAls: $provider}").judge(provider),
];

fn mesh_config(document: &Value) -> Vec<Finding> {
    MeshConfig::check(document).1
}

fn mesh_networks(document: &Value) -> Vec<Finding> {
    MeshNetworks::check(document).1
}

fn provider(document: &Value) -> Vec<Finding> {
    match serde_json::from_value::<ExtensionProvider>(document.clone()) {
        Ok(provider) => provider.findings(),
        Err(error) => {
            vec![Finding { severity: Severity::Error, path: String::new(), value: None, rule: error.to_string(), remedy: String::new() }]
        }
    }
}
