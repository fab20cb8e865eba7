//! `EndpointSlice` (discovery.k8s.io/v1): some of the endpoints of a Service.

use std::net::IpAddr;

pub use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};

use super::flat;
use crate::{
    resource::{Key, Object},
    validate::{Checks, Validate, rules::shown},
};

/// The label that names the Service a slice belongs to.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

flat! {
    /// Endpoints of one address type with the same ports.
    pub struct EndpointSlice {
        /// `IPv4`, `IPv6` or `FQDN`.
        address_type: String,
        endpoints: Vec<Endpoint>,
        ports: Vec<EndpointPort>,
    }
}

impl Object<EndpointSlice> {
    /// The Service it belongs to, by its label.
    pub fn service(&self) -> Option<Key> {
        let name = self.meta.labels.get(SERVICE_NAME).filter(|name| !name.is_empty())?;
        Some(Key::new(self.meta.namespace.clone(), name.clone()))
    }
}

impl Validate for EndpointSlice {
    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        checks.root(|checks| {
            if !matches!(spec.address_type.as_str(), "IPv4" | "IPv6" | "FQDN") {
                checks.field("addressType", |checks| {
                    checks.error(shown(&spec.address_type), "Unsupported value", "use one of IPv4, IPv6, FQDN");
                });
            }
            checks.each("endpoints", &spec.endpoints, |checks, endpoint| {
                if endpoint.addresses.is_empty() {
                    checks.field("addresses", |checks| checks.error(None, "Required value", "give the endpoint an address"));
                }
                checks.each("addresses", &endpoint.addresses, |checks, address| check_address(spec, address, checks));
            });
            checks.each("ports", &spec.ports, |checks, port| {
                if let Some(number) = port.port.filter(|number| u16::try_from(*number).is_err()) {
                    checks.field("port", |checks| checks.error(shown(number), "must be between 1 and 65535", "use a port number"));
                }
            });
        });
    }
}

fn check_address(spec: &EndpointSlice, address: &String, checks: &mut Checks) {
    let right = match spec.address_type.as_str() {
        "IPv4" => address.parse().is_ok_and(|address: IpAddr| address.is_ipv4()),
        "IPv6" => address.parse().is_ok_and(|address: IpAddr| address.is_ipv6()),
        _ => !address.is_empty(),
    };
    if !right {
        checks.error(shown(address), format!("not an address of type {}", spec.address_type), "correct the address or addressType");
    }
}
