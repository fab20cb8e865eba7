//! `Endpoints` (v1): the older form of EndpointSlices. Kubernetes mirrors it into slices, which the registry reads;
//! here it is only known.

pub use k8s_openapi::api::core::v1::EndpointSubset;

use super::flat;
use crate::{
    resource::Object,
    validate::{Checks, Validate},
};

flat! {
    /// The endpoints of the Service of the same name.
    pub struct Endpoints {
        subsets: Vec<EndpointSubset>,
    }
}

impl Validate for Endpoints {
    fn validate(_: &Object<Self>, _: &mut Checks) {}
}
