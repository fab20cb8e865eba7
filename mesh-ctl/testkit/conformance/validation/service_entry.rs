//! Functions over ServiceEntries, WorkloadEntries and WorkloadGroups.

use super::{Row, input::without_empty_lists};

pub(super) const ROWS: &[Row] = &[
    Row::new("TestValidateServiceEntries", "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, spec: $in}")
        .prepare(|input| input.put("in", without_empty_lists(input.field("in").clone()))),
    Row::new("TestValidateWorkloadEntry", "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, spec: $in}"),
    Row::new("TestValidateWorkloadGroup", "{apiVersion: networking.istio.io/v1, kind: WorkloadGroup, spec: $in}"),
    Row::new(
        "TestValidatePortName",
        "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, spec:
          {hosts: [a.example.com], ports: [{number: 80, name: $case, protocol: HTTP}], resolution: DNS}}",
    ),
    Row::new(
        "TestValidationIPSubnet",
        "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, spec:
          {hosts: [a.example.com], addresses: [$subnet], ports: [{number: 80, name: http, protocol: HTTP}], resolution: NONE}}",
    ),
];
