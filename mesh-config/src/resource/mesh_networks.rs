//! `MeshNetworks` (`istio.mesh.v1alpha1`): which endpoints are in which network, and how to reach those of another.
//! A document of its own, or the key `meshNetworks` of the ConfigMap `istio`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    settings::{self, Read, Settings},
    spec::spec,
};
use crate::{
    diagnostic::Diagnostic,
    validate::{
        Checks, Finding,
        rules::{is_block, is_label, key, shown},
    },
};

spec! {
    /// The networks of the mesh.
    pub struct MeshNetworks {
        /// By name.
        networks: BTreeMap<String, Network>,
    }

    /// Endpoints that reach each other directly.
    pub struct Network {
        endpoints: Vec<NetworkEndpoints>,
        /// How endpoints of other networks come in.
        gateways: Vec<NetworkGateway>,
    }

    /// Endpoints of a network: one of the two.
    pub struct NetworkEndpoints {
        /// By their addresses.
        from_cidr: String,
        /// All of a cluster, by the name of its registry.
        from_registry: String,
    }

    /// A gateway of a network: one of `registry_service_name` and `address`.
    pub struct NetworkGateway {
        /// A service's FQDN.
        registry_service_name: String,
        /// An address that other networks can reach.
        address: String,
        port: u32,
        locality: String,
    }
}

impl MeshNetworks {
    /// Reads a YAML or JSON text: the document, or a ConfigMap with the key `meshNetworks`.
    ///
    /// # Errors
    /// With what is wrong, if it must not be used.
    pub fn parse(file: &str, text: &str) -> Result<Read<Self>, Vec<Diagnostic>> {
        settings::parse(file, text)
    }

    /// Reads JSON; with errors among the findings, it must not be used.
    pub fn check(json: &Value) -> (Option<Self>, Vec<Finding>) {
        settings::check(json)
    }

    /// The registries that networks name.
    pub fn registries(&self) -> impl Iterator<Item = &str> {
        let endpoints = self.networks.values().flat_map(|network| &network.endpoints);
        endpoints.map(|endpoints| endpoints.from_registry.as_str()).filter(|name| !name.is_empty())
    }
}

impl Settings for MeshNetworks {
    const KEY: &'static str = "meshNetworks";

    fn rules(&self, checks: &mut Checks) {
        for (name, network) in &self.networks {
            checks.field(&format!("networks{}", key(name)), |checks| {
                checks.each("endpoints", &network.endpoints, |checks, item| endpoints(item, checks));
                checks.each("gateways", &network.gateways, |checks, item| gateway(item, checks));
            });
        }
    }
}

fn endpoints(item: &NetworkEndpoints, checks: &mut Checks) {
    if !item.from_cidr.is_empty() && !item.from_registry.is_empty() {
        checks.error(None, "only one of fromCidr and fromRegistry can be set", "write two entries");
    }
    if !item.from_cidr.is_empty() && !is_block(&item.from_cidr) {
        checks.field("fromCidr", |checks| {
            checks.error(shown(&item.from_cidr), "not an IP address or CIDR block", "write 10.0.0.1 or 10.0.0.0/16");
        });
    }
    if !item.from_registry.is_empty() && !is_label(&item.from_registry) {
        checks.field("fromRegistry", |checks| {
            checks.error(
                shown(&item.from_registry),
                "invalid registry name",
                "write the name of a cluster: letters, digits and inner dashes",
            );
        });
    }
}

fn gateway(item: &NetworkGateway, checks: &mut Checks) {
    if !item.registry_service_name.is_empty() && !item.address.is_empty() {
        checks.error(None, "only one of registryServiceName and address can be set", "keep one");
    }
    if !item.registry_service_name.is_empty() {
        checks.domain("registryServiceName", &item.registry_service_name, false);
    }
    if !item.address.is_empty() {
        checks.host("address", &item.address, false);
    }
    if !(1..=65535).contains(&item.port) {
        checks.field("port", |checks| checks.error(shown(item.port), "port must be between 1-65535", "set the number of a port"));
    }
}
