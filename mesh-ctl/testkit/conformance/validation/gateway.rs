//! Functions over Gateways.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    Row::new("TestValidateGateway", "{apiVersion: networking.istio.io/v1, kind: '$type:in', spec: $in}"),
    Row::new("TestValidateServer", "{apiVersion: networking.istio.io/v1, kind: Gateway, spec: {servers: [$in]}}"),
    Row::new(
        "TestValidateServerPort",
        "{apiVersion: networking.istio.io/v1, kind: Gateway, spec: {servers: [{hosts: [a.example.com], port: $in, bind: $bind}]}}",
    ),
    Row::new(
        "TestValidateTlsOptions",
        "{apiVersion: networking.istio.io/v1, kind: Gateway, spec: {servers: [{hosts: [a.example.com], port: {number: 443, name: https, protocol: HTTPS}, tls: $in}]}}",
    ),
    Row::new(
        "TestValidationIPAddress",
        "{apiVersion: networking.istio.io/v1, kind: Gateway, spec: {servers: [{hosts: [a.example.com], port: {number: 80, name: http, protocol: HTTP}, bind: $addr}]}}",
    ),
];
