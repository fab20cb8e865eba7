//! `ListenerSet`: more listeners for a Gateway, kept beside the team that needs them.

use schemars::{Schema, transform::Transform as _};

use super::{
    form,
    listener::{Listener, listeners},
    refs::{GROUP, targets},
};
use crate::{resource::spec::spec, schema::cel};

spec! {
    /// Listeners added to the parent, which must allow it.
    pub struct ListenerSet {
        required parent_ref: ParentGatewayRef,
        #[schemars(length(min = 1, max = 64), transform = added_listeners)]
        required listeners: Vec<Listener>,
    }

    /// The Gateway that the listeners are added to.
    pub struct ParentGatewayRef {
        /// Default: the Gateway API's group.
        #[schemars(with = "form::Group", extend("default" = GROUP))]
        group: Option<String>,
        /// Default: Gateway.
        #[schemars(with = "form::KindName", extend("default" = "Gateway"))]
        kind: Option<String>,
        #[schemars(with = "form::ObjectName")]
        required name: String,
        /// Absent: the ListenerSet's own.
        #[schemars(with = "form::Namespace")]
        namespace: Option<String>,
    }
}

targets! {
    ParentGatewayRef: GROUP, "Gateway";
}

fn added_listeners(schema: &mut Schema) {
    listeners(schema);
    let rule = "self.all(l1, !has(l1.port) || self.exists_one(l2, has(l2.port) && l1.port == l2.port && l1.protocol == l2.protocol && \
                (has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))";
    cel(rule, "Combination of port, protocol and hostname must be unique for each listener").transform(schema);
}
