//! `PeerAuthentication` (`security.istio.io`): whether a workload takes plaintext, mutual TLS, or both.

mod validate;

use std::collections::BTreeMap;

use super::{
    selector::LabelSelector,
    spec::{names, spec},
};

spec! {
    /// Inbound mutual TLS for the selected workloads; without a selector, for the namespace or (in the root
    /// namespace) the mesh.
    pub struct PeerAuthentication {
        selector: Option<LabelSelector>,
        mtls: Option<MutualTls>,
        /// The workload's port → its own setting. Needs a selector.
        #[serde(deserialize_with = "some_ports")]
        port_level_mtls: BTreeMap<u16, MutualTls>,
    }

    /// The setting.
    pub struct MutualTls {
        mode: MutualTlsMode,
    }
}

names! {
    /// What a workload accepts.
    pub enum MutualTlsMode {
        /// As the parent (port → workload → namespace → mesh); PERMISSIVE at the top.
        #[default]
        Unset = "UNSET",
        /// Plaintext only.
        Disable = "DISABLE",
        /// Both.
        Permissive = "PERMISSIVE",
        /// Mutual TLS only.
        Strict = "STRICT",
    }
}

/// The map, where it is written, has an entry.
fn some_ports<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u16, MutualTls>, D::Error> {
    let ports = <BTreeMap<u16, MutualTls> as serde::Deserialize>::deserialize(deserializer)?;
    if ports.is_empty() {
        return Err(serde::de::Error::custom("spec.portLevelMtls in body should have at least 1 properties: add a port or leave it out"));
    }
    Ok(ports)
}
