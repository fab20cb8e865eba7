//! `PeerAuthentication` (`security.istio.io`): whether a workload takes plaintext, mutual TLS, or both.

mod validate;

use std::collections::BTreeMap;

use super::{
    selector::LabelSelector,
    spec::{names, spec},
};
use crate::schema::cel;

spec! {
    /// Inbound mutual TLS for the selected workloads; without a selector, for the namespace or (in the root
    /// namespace) the mesh.
    #[schemars(transform = cel("has(self.portLevelMtls) ? (((has(self.selector) && has(self.selector.matchLabels)) ? self.selector.matchLabels : {}).size() > 0) : true", "portLevelMtls requires selector").remedy("add selector.matchLabels: ports belong to workloads"))]
    pub struct PeerAuthentication {
        selector: Option<LabelSelector>,
        mtls: Option<MutualTls>,
        /// The workload's port → its own setting. Needs a selector.
        #[schemars(extend("minProperties" = 1))]
        #[schemars(transform = cel("self.all(key, 0 < int(key) && int(key) <= 65535)", "port must be between 1-65535").remedy("name each port by its number"))]
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
