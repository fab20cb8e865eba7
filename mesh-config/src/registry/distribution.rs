//! Which endpoints of a service a client prefers: the field of the Service, else an annotation of it, else one of its
//! namespace (Istio, `pilot/pkg/model/service.go`).

use serde::{Deserialize, Serialize};

use crate::resource::Labels;

/// The annotation, on a Service, ServiceEntry or Namespace.
pub const TRAFFIC_DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";

/// A preference for near endpoints; farther ones take over where the near ones fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TrafficDistribution {
    /// None.
    #[default]
    Any,
    /// The same zone, then region (`PreferSameZone`, `PreferClose`).
    PreferSameZone,
    /// The same node, then subzone, zone, region (`PreferSameNode`).
    PreferSameNode,
}

impl TrafficDistribution {
    /// What a service's field and annotations, and its namespace's annotations, ask for. A field that is not known says
    /// nothing; an annotation that is not known says `Any`.
    pub(super) fn of(field: Option<&str>, own: &Labels, namespace: Option<&Labels>) -> Self {
        let field = match field {
            Some("PreferSameZone" | "PreferClose") => Some(Self::PreferSameZone),
            Some("PreferSameNode") => Some(Self::PreferSameNode),
            _ => None,
        };
        let annotation = |annotations: &Labels| {
            let text = annotations.get(TRAFFIC_DISTRIBUTION).filter(|text| !text.is_empty())?;
            Some(match text.to_ascii_lowercase().as_str() {
                "preferclose" | "prefersamezone" => Self::PreferSameZone,
                "prefersamenode" => Self::PreferSameNode,
                _ => Self::Any,
            })
        };
        field.or_else(|| annotation(own)).or_else(|| namespace.and_then(annotation)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(value: &str) -> Labels {
        [(TRAFFIC_DISTRIBUTION.to_owned(), value.to_owned())].into()
    }

    #[test]
    fn the_nearest_statement_counts() {
        use TrafficDistribution::{Any, PreferSameNode, PreferSameZone};
        let (none, zone, node, odd) = (Labels::new(), annotated("PreferClose"), annotated("prefersamenode"), annotated("x"));
        for (field, own, namespace, expected) in [
            (None, &none, None, Any),
            (Some("PreferSameNode"), &zone, None, PreferSameNode),
            (Some("Anything"), &zone, Some(&node), PreferSameZone),
            (None, &none, Some(&node), PreferSameNode),
            (None, &odd, Some(&node), Any),
        ] {
            assert_eq!(TrafficDistribution::of(field, own, namespace), expected, "{field:?} {own:?} {namespace:?}");
        }
    }
}
