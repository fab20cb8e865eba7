//! Host names as users write them, and where a piece of configuration came from.

use mesh_config::resource::Kind;
use mesh_proto::id::Hostname;

/// The suffix of Kubernetes Services' host names.
const CLUSTER_DOMAIN: &str = "svc.cluster.local";

/// A host as written in a resource of `namespace`: a name without a dot is a service of that namespace, anything else is taken as it is (Istio's rule).
pub fn fqdn(host: &str, namespace: &str) -> String {
    if host.contains('.') || host.starts_with('*') {
        host.to_ascii_lowercase()
    } else {
        format!("{}.{namespace}.{CLUSTER_DOMAIN}", host.to_ascii_lowercase())
    }
}

/// `fqdn` as a host name; `None`: validation has reported it.
pub(crate) fn hostname(host: &str, namespace: &str) -> Option<Hostname> {
    fqdn(host, namespace).parse().ok()
}

/// Which resource made a piece of configuration, as Istio writes it into `filter_metadata.istio.config`.
pub fn provenance(kind: Kind, namespace: &str, name: &str) -> String {
    let mut dashed = String::with_capacity(24);
    for (index, c) in kind.as_str().char_indices() {
        if c.is_ascii_uppercase() && index > 0 {
            dashed.push('-');
        }
        dashed.push(c.to_ascii_lowercase());
    }
    format!("/apis/{}/namespaces/{namespace}/{dashed}/{name}", kind.api_version())
}

/// How well a pattern fits a host: exact names first, then the longest wildcard. `None`: not at all.
pub(crate) fn specificity(pattern: &Hostname, host: &Hostname) -> Option<usize> {
    if !pattern.covers(host) {
        return None;
    }
    Some(if pattern.is_wildcard() { pattern.as_str().len() } else { usize::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_belong_to_the_resources_namespace() {
        assert_eq!(fqdn("reviews", "shop"), "reviews.shop.svc.cluster.local");
        assert_eq!(fqdn("reviews.shop", "x"), "reviews.shop");
        assert_eq!(fqdn("*", "x"), "*");
    }

    #[test]
    fn provenance_is_istios() {
        assert_eq!(provenance(Kind::VirtualService, "shop", "ads"), "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/ads");
    }
}
