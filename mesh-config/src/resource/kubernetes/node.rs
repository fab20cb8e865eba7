//! `Node` (v1): where pods run, and so in which region and zone.

use k8s_openapi::api::core::v1::{NodeSpec, NodeStatus};

use super::flat;
use crate::{
    registry::Locality,
    resource::{Labels, Object},
    validate::{Checks, Validate},
};

flat! {
    /// A machine of the cluster.
    pub struct Node {
        spec: Option<NodeSpec>,
        status: Option<NodeStatus>,
    }
}

impl Object<Node> {
    /// Where it stands, by its labels; the older `failure-domain` labels count where the newer are absent.
    pub fn locality(&self) -> Locality {
        let label = |names: &[&str]| first(&self.meta.labels, names);
        Locality {
            region: label(&["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"]),
            zone: label(&["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"]),
            subzone: label(&["topology.istio.io/subzone"]),
        }
    }

    /// Its addresses of a type: `InternalIP`, `ExternalIP`, `Hostname`, …
    pub fn addresses<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        let addresses = self.spec.status.iter().filter_map(|status| status.addresses.as_ref()).flatten();
        addresses.filter(move |address| address.type_ == kind).map(|address| address.address.as_str())
    }
}

fn first(labels: &Labels, names: &[&str]) -> String {
    names.iter().find_map(|name| labels.get(*name)).cloned().unwrap_or_default()
}

impl Validate for Node {
    fn validate(_: &Object<Self>, _: &mut Checks) {}
}
