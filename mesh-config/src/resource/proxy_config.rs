//! `ProxyConfig` (`networking.istio.io`): settings of sidecars that take effect when they start.
//!
//! MeshConfig's `defaultConfig` is another type of that name: see `mesh_config`.

use super::{
    Object,
    selector::{LabelSelector, Labels},
    spec::spec,
};
use crate::{
    schema::{Crd, max_length, nullable, values},
    validate::{Checks, Validate},
};

spec! {
    /// Overrides MeshConfig's `defaultConfig`, field by field, for the selected workloads; without a selector, for the
    /// namespace or (in the root namespace) the mesh.
    pub struct ProxyConfig {
        selector: Option<LabelSelector>,
        /// Worker threads; 0: one a core, absent: by the container's CPU limit.
        #[schemars(range(min = 0), transform = nullable)]
        concurrency: Option<i32>,
        /// Added to the proxy's environment; names that begin with `ISTIO_META_` become node metadata.
        #[schemars(transform = values(max_length(2048)))]
        environment_variables: Labels,
        image: Option<ProxyImage>,
    }

    /// Which image of the proxy to use.
    pub struct ProxyImage {
        /// `default`, `debug` or `distroless`.
        image_type: String,
    }
}

impl Validate for ProxyConfig {
    const CRD: Option<Crd> = Some(Crd::of::<Self>());

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        if let Some(selector) = &object.spec.selector {
            checks.selects_nothing_special("selector", &selector.match_labels);
        }
    }
}

#[cfg(test)]
mod tests;
