//! Functions over DestinationRules and their parts.

use serde_json::{Map, Value};

use super::{Row, input::Input};

pub(super) const ROWS: &[Row] = &[
    Row::new("TestValidateDestinationRule", "{apiVersion: networking.istio.io/v1, kind: DestinationRule, spec: $in}"),
    Row::new("TestValidateTrafficPolicy", "{apiVersion: networking.istio.io/v1, kind: DestinationRule, spec: {host: a.example.com, trafficPolicy: $in}}"),
    Row::new(
        "TestValidateConnectionPool",
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, spec: {host: a.example.com, trafficPolicy: {connectionPool: $in}}}",
    ),
    Row::new(
        "TestValidateLoadBalancer",
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, spec: {host: a.example.com, trafficPolicy: {loadBalancer: $in}}}",
    ),
    Row::new(
        "TestValidateOutlierDetection",
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, spec: {host: a.example.com, trafficPolicy: {outlierDetection: $in}}}",
    ),
    Row::new("TestValidateTLS", "{apiVersion: networking.istio.io/v1, kind: DestinationRule, spec: {host: a.example.com, trafficPolicy: {tls: $tls}}}"),
    Row::new(
        "TestValidateLocalityLbSetting",
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, spec: {host: a.example.com, trafficPolicy:
          {loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: $in}, outlierDetection: $outlier}}}",
    ),
    Row::new(
        "TestValidateZoneAwareLbSetting",
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, spec: {host: a.example.com, trafficPolicy:
          {loadBalancer: {simple: ROUND_ROBIN, zoneAwareLbSetting: $in}, outlierDetection: $outlier}}}",
    ),
    Row::new(
        "TestValidateLocalities",
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, spec: {host: a.example.com, trafficPolicy:
          {loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: 'x/y/z', to: $localities}]}}, outlierDetection: {}}}}",
    )
    .prepare(shares),
    Row::new(
        "TestValidateFQDN",
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, spec: {host: a.example.com, trafficPolicy:
          {tunnel: {protocol: CONNECT, targetHost: $fqdn, targetPort: 443}}}}",
    ),
    Row::new("TestValidateWildcardDomain", "{apiVersion: networking.istio.io/v1, kind: DestinationRule, spec: {host: $in}}"),
    Row::new(
        "Test_validateExportTo",
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: case, namespace: $namespace}, spec:
          {host: a.example.com, exportTo: $exportTo, workloadSelector: {matchLabels: {app: a}}}}",
    )
    .when(|input| input.is("isDestinationRuleWithSelector")),
    Row::new(
        "Test_validateExportTo",
        "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: case, namespace: $namespace}, spec:
          {hosts: [a.example.com], exportTo: $exportTo, ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}}",
    )
    .when(|input| input.is("isServiceEntry")),
    Row::new(
        "Test_validateExportTo",
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: case, namespace: $namespace}, spec:
          {host: a.example.com, exportTo: $exportTo}}",
    ),
];

/// A list of localities as one distribution: shares that add up to 100.
fn shares(input: &mut Input) {
    let Some(localities) = input.field("localities").as_array().cloned() else { return };
    let count = localities.len().max(1);
    let shares = localities.iter().enumerate().map(|(index, locality)| {
        let share = 100 / count + if index == 0 { 100 % count } else { 0 };
        (locality.as_str().unwrap_or_default().to_owned(), Value::from(share))
    });
    let shares: Map<_, _> = shares.collect();
    input.put("localities", shares.into());
}
