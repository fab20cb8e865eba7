//! DestinationRules: merged by namespace and host, found by client, service and root namespace.
//!
//! Source: Istio's `destination_rule.go`: the older rule's traffic policy and subsets win, subsets of new names are appended; rules with a workload selector
//! merge only with rules of an equal selector.

use std::{collections::BTreeMap, hash::Hash as _};

use mesh_config::{
    resource::{
        DestinationRule, Kind, Labels, Visibility,
        destination_rule::{Subset, TrafficPolicy},
        selector::{selects, visible},
    },
    snapshot::ConfigSnapshot,
};
use mesh_proto::id::Hostname;

use xxhash_rust::xxh3::Xxh3;

use super::{
    World, contents,
    hosts::{hostname, provenance, specificity},
};
use crate::scope::ProxyScope;

/// The rules of one namespace for one host, as one.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The host or pattern.
    pub host: Hostname,
    /// For all subsets and ports.
    pub policy: TrafficPolicy,
    /// By name, in order.
    pub subsets: Vec<Subset>,
    /// The oldest rule, for `filter_metadata.istio.config`.
    pub provenance: String,
    namespace: String,
    selector: Option<Labels>,
    export_to: Vec<Visibility>,
    content: u128,
}

/// By namespace.
#[derive(Debug, Default)]
pub(super) struct Index(BTreeMap<String, Vec<Rule>>);

impl Index {
    pub(super) fn build(snapshot: &ConfigSnapshot) -> Self {
        let mut index = Self::default();
        for object in snapshot.by_precedence::<DestinationRule>() {
            let (meta, spec) = (&object.meta, &object.spec);
            let Some(host) = hostname(&spec.host, &meta.namespace) else { continue };
            let selector = spec.workload_selector.as_ref().map(|selector| selector.match_labels.clone());
            let mut content = Xxh3::new();
            contents::object(snapshot, object, &mut content);
            let rules = index.0.entry(meta.namespace.clone()).or_default();
            match rules.iter_mut().find(|rule| rule.host == host && rule.selector == selector) {
                Some(rule) => {
                    rule.content.hash(&mut content);
                    rule.content = content.digest128();
                    rule.merge(spec);
                }
                None => rules.push(Rule {
                    host,
                    policy: spec.traffic_policy.clone().unwrap_or_default(),
                    subsets: spec.subsets.clone(),
                    provenance: provenance(Kind::DestinationRule, &meta.namespace, &meta.name),
                    namespace: meta.namespace.clone(),
                    selector,
                    export_to: spec.export_to.clone(),
                    content: content.digest128(),
                }),
            }
        }
        index
    }

    /// The rule for `host` as this client sees it: its own namespace's, then the service's, then the root namespace's.
    pub(super) fn find(&self, world: &World, scope: &ProxyScope, host: &Hostname, service_namespace: &str) -> Option<&Rule> {
        let root = world.settings.root_namespace.as_str();
        let client = scope.namespace.as_str();
        let mut namespaces = vec![client];
        namespaces.extend([service_namespace, root].into_iter().filter(|namespace| *namespace != client));
        namespaces.into_iter().find_map(|namespace| {
            let rules = self.0.get(namespace)?.iter();
            let seen = rules.filter(|rule| {
                let exported = namespace == client || visible(&rule.export_to, &rule.namespace, client);
                let selected = rule.selector.as_ref().is_none_or(|labels| namespace == client && selects(labels, world.labels(scope)));
                exported && selected
            });
            // The most specific host; on it, a rule that names this workload before one for all.
            seen.filter_map(|rule| Some(((specificity(&rule.host, host)?, rule.selector.is_some()), rule)))
                .reduce(|best, next| if next.0 > best.0 { next } else { best })
                .map(|(_, rule)| rule)
        })
    }
}

impl Rule {
    fn merge(&mut self, younger: &DestinationRule) {
        for subset in &younger.subsets {
            if self.subsets.iter().all(|known| known.name != subset.name) {
                self.subsets.push(subset.clone());
            }
        }
        if let Some(policy) = &younger.traffic_policy
            && self.policy == TrafficPolicy::default()
        {
            self.policy = policy.clone();
        }
    }

    /// A hash of the DestinationRules that it is made of.
    pub(super) fn content(&self) -> u128 {
        self.content
    }

    /// Whether it has a workload selector.
    pub fn is_selective(&self) -> bool {
        self.selector.is_some()
    }

    /// The subset of this name.
    pub fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == name)
    }

    /// What holds for one port: port-level settings replace the destination's, all of them at once (Istio: what a port leaves out is the default).
    pub fn policy_for(&self, subset: Option<&Subset>, port: u16) -> TrafficPolicy {
        let base = at_port(&self.policy, port);
        let Some(over) = subset.and_then(|subset| subset.traffic_policy.as_ref()) else { return base };
        let over = at_port(over, port);
        TrafficPolicy {
            load_balancer: over.load_balancer.or(base.load_balancer),
            connection_pool: over.connection_pool.or(base.connection_pool),
            outlier_detection: over.outlier_detection.or(base.outlier_detection),
            tls: over.tls.or(base.tls),
            port_level_settings: Vec::new(),
            tunnel: over.tunnel.or(base.tunnel),
            proxy_protocol: over.proxy_protocol.or(base.proxy_protocol),
            retry_budget: over.retry_budget.or(base.retry_budget),
        }
    }
}

fn at_port(policy: &TrafficPolicy, port: u16) -> TrafficPolicy {
    let own = policy.port_level_settings.iter().find(|setting| setting.port.as_ref().is_some_and(|selector| selector.number == port));
    match own {
        None => TrafficPolicy { port_level_settings: Vec::new(), ..policy.clone() },
        Some(own) => TrafficPolicy {
            load_balancer: own.load_balancer.clone(),
            connection_pool: own.connection_pool.clone(),
            outlier_detection: own.outlier_detection.clone(),
            tls: own.tls.clone(),
            port_level_settings: Vec::new(),
            tunnel: policy.tunnel.clone(),
            proxy_protocol: policy.proxy_protocol.clone(),
            retry_budget: policy.retry_budget.clone(),
        },
    }
}
