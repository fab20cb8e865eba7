//! `GatewayClass`: which controller serves the Gateways of a class.

use super::{form, refs::ObjectRef};
use crate::{resource::spec::spec, schema::cel};

spec! {
    /// A class of Gateways, for the whole cluster.
    pub struct GatewayClass {
        /// Such as `istio.io/gateway-controller`. Never changes.
        #[schemars(with = "form::ControllerName", transform = cel("self == oldSelf", "field is immutable"))]
        required controller_name: String,
        /// Settings of the controller's own.
        parameters_ref: Option<ObjectRef>,
        #[schemars(length(max = 64))]
        description: Option<String>,
    }
}
