//! VirtualServices with their host names resolved and their delegates merged in.
//!
//! Source: Istio's `model/virtualservice.go`: a delegate's match is and-ed with the root's, and a delegate's route whose match contradicts it is left out.

use std::sync::Arc;

use mesh_config::{
    resource::{
        Key, Kind, Object, VirtualService, Visibility,
        selector::visible,
        virtual_service::{Destination, HttpAction, HttpMatch, HttpRoute},
    },
    snapshot::ConfigSnapshot,
};
use mesh_proto::id::Hostname;

use xxhash_rust::xxh3::Xxh3;

use super::{
    contents,
    hosts::{fqdn, hostname, provenance},
};

/// The gateway name that stands for all sidecars.
pub(crate) const MESH: &str = "mesh";

/// A VirtualService, ready to be looked up.
#[derive(Clone, Debug)]
pub struct RoutingRule {
    /// FQDNs and patterns.
    pub hosts: Vec<Hostname>,
    /// `namespace/name`, and `mesh`.
    pub gateways: Vec<String>,
    /// Delegates merged, hosts resolved.
    pub http: Vec<HttpRoute>,
    /// The resource itself, for TLS and TCP routes.
    pub object: Arc<Object<VirtualService>>,
    /// For `filter_metadata.istio.config`.
    pub provenance: String,
    content: u128,
}

/// Oldest first.
#[derive(Debug, Default)]
pub(super) struct Index(Vec<RoutingRule>);

impl Index {
    pub(super) fn build(snapshot: &ConfigSnapshot) -> Self {
        let objects = snapshot.by_precedence::<VirtualService>();
        let roots = objects.iter().filter(|object| !object.spec.hosts.is_empty());
        Self(roots.map(|object| RoutingRule::new(object, snapshot)).collect())
    }

    /// All that a proxy of this namespace may use, oldest first.
    pub(super) fn visible(&self, viewer: &str) -> Vec<&RoutingRule> {
        self.0.iter().filter(|rule| visible(rule.export_to(), rule.namespace(), viewer)).collect()
    }
}

impl RoutingRule {
    fn new(object: &Arc<Object<VirtualService>>, snapshot: &ConfigSnapshot) -> Self {
        let (meta, spec) = (&object.meta, &object.spec);
        let mut content = Xxh3::new();
        contents::object(snapshot, object, &mut content);
        let http = spec.http.iter().flat_map(|route| match &route.action {
            HttpAction::Delegate(delegate) => {
                let namespace = if delegate.namespace.is_empty() { &meta.namespace } else { &delegate.namespace };
                let found = snapshot.find::<VirtualService>(&Key::new(namespace.clone(), delegate.name.clone()));
                let usable =
                    found.filter(|child| child.spec.hosts.is_empty() && visible(&child.spec.export_to, namespace, &meta.namespace));
                usable.map_or_else(Vec::new, |child| {
                    contents::object(snapshot, child, &mut content);
                    delegated(route, child)
                })
            }
            _ => vec![resolved(route.clone(), &meta.namespace)],
        });
        let http = http.map(|route| with_gateways(route, &meta.namespace)).collect();
        Self {
            hosts: spec.hosts.iter().filter_map(|host| hostname(host, &meta.namespace)).collect(),
            gateways: gateways(&spec.gateways, &meta.namespace),
            http,
            content: content.digest128(),
            provenance: provenance(Kind::VirtualService, &meta.namespace, &meta.name),
            object: Arc::clone(object),
        }
    }

    /// A hash of the VirtualServices that it is made of.
    pub(super) fn content(&self) -> u128 {
        self.content
    }

    /// The namespace it is in.
    pub fn namespace(&self) -> &str {
        &self.object.meta.namespace
    }

    /// Whether it is bound to `gateway` (`mesh`, or `namespace/name`).
    pub fn bound_to(&self, gateway: &str) -> bool {
        self.gateways.iter().any(|name| name == gateway)
    }

    fn export_to(&self) -> &[Visibility] {
        &self.object.spec.export_to
    }
}

/// `name` → `namespace/name`; none → `mesh`.
pub(crate) fn gateways(names: &[String], namespace: &str) -> Vec<String> {
    if names.is_empty() {
        return vec![MESH.to_owned()];
    }
    let full = |name: &String| match name.as_str() {
        MESH => MESH.to_owned(),
        name if name.contains('/') => name.strip_prefix("./").map_or_else(|| name.to_owned(), |own| format!("{namespace}/{own}")),
        name => format!("{namespace}/{name}"),
    };
    names.iter().map(full).collect()
}

fn with_gateways(mut route: HttpRoute, namespace: &str) -> HttpRoute {
    for matcher in route.matches.iter_mut().filter(|matcher| !matcher.gateways.is_empty()) {
        matcher.gateways = gateways(&matcher.gateways, namespace);
    }
    route
}

/// Destinations' short names, read in the namespace of the resource that names them.
fn resolved(mut route: HttpRoute, namespace: &str) -> HttpRoute {
    let resolve = |destination: &mut Destination| destination.host = fqdn(&destination.host, namespace);
    if let HttpAction::Route(destinations) = &mut route.action {
        destinations.iter_mut().for_each(|weighted| resolve(&mut weighted.destination));
    }
    route.mirrors.iter_mut().for_each(|mirror| resolve(&mut mirror.destination));
    route
}

/// The delegate's routes under the root route: what the delegate leaves open comes from the root.
fn delegated(root: &HttpRoute, child: &Object<VirtualService>) -> Vec<HttpRoute> {
    let routes = child.spec.http.iter().filter(|route| !matches!(route.action, HttpAction::Delegate(_)));
    let merged = routes.filter_map(|route| {
        let mut route = resolved(route.clone(), &child.meta.namespace);
        route.matches = conjunction(&root.matches, &route.matches)?;
        route.name = match (root.name.is_empty(), route.name.is_empty()) {
            (false, false) => format!("{}-{}", root.name, route.name),
            (false, true) => root.name.clone(),
            (true, _) => route.name,
        };
        route.rewrite = route.rewrite.or_else(|| root.rewrite.clone());
        route.timeout = route.timeout.or(root.timeout);
        route.retries = route.retries.or_else(|| root.retries.clone());
        route.fault = route.fault.or_else(|| root.fault.clone());
        if route.mirrors.is_empty() {
            route.mirrors.clone_from(&root.mirrors);
        }
        route.cors_policy = route.cors_policy.or_else(|| root.cors_policy.clone());
        route.headers = route.headers.or_else(|| root.headers.clone());
        Some(route)
    });
    merged.collect()
}

/// Every root match with every match of the delegate; `None`: none is possible.
fn conjunction(root: &[HttpMatch], child: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    if root.is_empty() {
        return Some(child.to_vec());
    }
    if child.is_empty() {
        return Some(root.to_vec());
    }
    let pairs = root.iter().flat_map(|a| child.iter().filter_map(move |b| both(a, b)));
    let pairs: Vec<HttpMatch> = pairs.collect();
    (!pairs.is_empty()).then_some(pairs)
}

/// Both matches as one. Istio's rule: a part may be given by one of them only, save that the delegate's path may narrow the root's prefix.
fn both(root: &HttpMatch, child: &HttpMatch) -> Option<HttpMatch> {
    use mesh_config::resource::StringMatch::{Exact, Prefix};
    let uri = match (&root.uri, &child.uri) {
        (Some(Prefix(prefix)), Some(narrow @ (Exact(path) | Prefix(path)))) if path.starts_with(prefix.as_str()) => Some(narrow.clone()),
        (Some(a), Some(b)) if a != b => return None,
        (a, b) => b.clone().or_else(|| a.clone()),
    };
    let mut merged = child.clone();
    merged.uri = uri;
    merged.scheme = one(root.scheme.as_ref(), child.scheme.as_ref())?;
    merged.method = one(root.method.as_ref(), child.method.as_ref())?;
    merged.authority = one(root.authority.as_ref(), child.authority.as_ref())?;
    merged.port = one(root.port.as_ref(), child.port.as_ref())?;
    for (own, from) in [
        (&mut merged.headers, &root.headers),
        (&mut merged.without_headers, &root.without_headers),
        (&mut merged.query_params, &root.query_params),
    ] {
        for (name, value) in from {
            if own.insert(name.clone(), value.clone()).is_some_and(|before| before != *value) {
                return None;
            }
        }
    }
    for (label, value) in &root.source_labels {
        if merged.source_labels.insert(label.clone(), value.clone()).is_some_and(|before| before != *value) {
            return None;
        }
    }
    if merged.source_namespace.is_empty() {
        merged.source_namespace.clone_from(&root.source_namespace);
    } else if !root.source_namespace.is_empty() && merged.source_namespace != root.source_namespace {
        return None;
    }
    if merged.gateways.is_empty() {
        merged.gateways.clone_from(&root.gateways);
    }
    merged.ignore_uri_case |= root.ignore_uri_case;
    merged.name = match (root.name.is_empty(), child.name.is_empty()) {
        (false, false) => format!("{}-{}", root.name, child.name),
        (false, true) => root.name.clone(),
        _ => merged.name,
    };
    Some(merged)
}

/// `Some` of what either says; `None`: they contradict.
fn one<T: Clone + PartialEq>(root: Option<&T>, child: Option<&T>) -> Option<Option<T>> {
    match (root, child) {
        (Some(a), Some(b)) if a != b => None,
        (a, b) => Some(b.or(a).cloned()),
    }
}
