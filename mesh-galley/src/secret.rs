//! What of Kubernetes' Secrets is the mesh's: TLS material that is in order, and of that what a Gateway or a DestinationRule refers to.
//!
//! Everything else in a Secret (passwords, tokens, keys of other programs) is let go at once: it is not held, not kept over restarts, and never served.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mesh_config::{
    resource::{
        DestinationRule, Gateway, Key, Meta, Object, Resource, Visibility,
        destination_rule::ClientTls,
        gateway::ServerTls,
        kubernetes::{
            Secret,
            secret::{Ca, Tls, tls},
        },
        selector::visible,
    },
    snapshot::ConfigSnapshot,
};
use mesh_runtime::tls::material::{Unusable, check_bundle, check_pair, check_revocations};

/// What becomes of a resource that was read.
pub(crate) enum Admission {
    /// It is in order; of a Secret only what TLS needs is left.
    Take(Resource),
    /// A Secret without TLS material: nothing of ours.
    Pass,
    /// A Secret whose TLS material cannot be used, and why. Nothing of a key is in it.
    Refuse(String),
}

/// Names under which TLS material is in a Secret.
const NAMES: [&str; 8] = ["cert", "key", "cacert", "crl", "tls.crt", "tls.key", "ca.crt", "ca.crl"];

/// Looks at a Secret; any other resource is taken.
pub(crate) fn admit(resource: Resource) -> Admission {
    let Resource::Secret(object) = &resource else { return Admission::Take(resource) };
    let secret = &object.spec;
    match check(secret) {
        Ok(false) => Admission::Pass,
        Ok(true) => Admission::Take(Resource::Secret(Arc::new(Object { meta: named(&object.meta), spec: reduced(secret) }))),
        Err(reason) => Admission::Refuse(reason),
    }
}

/// Only who it is: annotations may repeat the whole content (`kubectl.kubernetes.io/last-applied-configuration`).
fn named(meta: &Meta) -> Meta {
    Meta { creation_timestamp: meta.creation_timestamp.clone(), ..Meta::new(meta.namespace.clone(), meta.name.clone()) }
}

/// Whether there is TLS material. The same rules that the proxies have, so that what is taken here works there.
fn check(secret: &Secret) -> Result<bool, String> {
    let unusable = |error: Unusable| error.to_string();
    let pair = present(Tls::of(secret))?;
    let bundle = present(Ca::of(secret))?;
    if let Some(pair) = &pair {
        check_pair(pair.chain.expose(), pair.key.expose()).map_err(unusable)?;
    }
    if let Some(bundle) = &bundle {
        check_bundle(bundle.bundle.expose()).map_err(unusable)?;
        bundle.crl.as_ref().map_or(Ok(()), |crl| check_revocations(crl.expose()).map_err(unusable))?;
    }
    Ok(pair.is_some() || bundle.is_some())
}

fn present<T>(found: Result<T, tls::Error>) -> Result<Option<T>, String> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(tls::Error::MissingKeys { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Only what TLS needs.
fn reduced(secret: &Secret) -> Secret {
    let kept = secret.data.iter().filter(|(name, _)| NAMES.contains(&name.as_str()));
    Secret {
        kind: secret.kind.clone(),
        data: kept.map(|(name, bytes)| (name.clone(), bytes.clone())).collect(),
        immutable: secret.immutable,
    }
}

/// Which Secrets Gateways and DestinationRules refer to. A name without a namespace means one of the proxy's own (Istio's rule): which proxies those are is for Pilot
/// to know, who gives each only what is of its namespace.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// Of Gateways: a workload of any namespace may be selected.
    anywhere: BTreeSet<String>,
    /// By full key.
    exact: BTreeSet<Key>,
    /// Of DestinationRules: wherever the rule is visible.
    rules: BTreeMap<String, Vec<(String, Vec<Visibility>)>>,
}

/// The suffix of a CA bundle's SDS name; a Secret may have it in its own.
const BUNDLE: &str = "-cacert";

impl References {
    pub(crate) fn of(snapshot: &ConfigSnapshot) -> Self {
        let mut found = Self::default();
        for object in snapshot.list::<Gateway>() {
            for tls in object.spec.servers.iter().filter_map(|server| server.tls.as_ref()) {
                for name in of_server(tls) {
                    found.add(name, |found, name| {
                        found.anywhere.insert(name);
                    });
                }
            }
        }
        for object in snapshot.list::<DestinationRule>() {
            for name in of_rule(&object.spec).into_iter().map(|tls| tls.credential_name.as_str()).filter(|name| !name.is_empty()) {
                let rule = (object.meta.namespace.clone(), object.spec.export_to.clone());
                found.add(name, |found, name| found.rules.entry(name).or_default().push(rule.clone()));
            }
        }
        found
    }

    /// Whether something refers to the Secret.
    pub(crate) fn wants(&self, key: &Key) -> bool {
        let stem = key.name.strip_suffix(BUNDLE);
        let of_rule = |name: &str| {
            let rules = self.rules.get(name).into_iter().flatten();
            rules.into_iter().any(|(owner, export_to)| visible(export_to, owner, &key.namespace))
        };
        let named =
            |name: &str| self.anywhere.contains(name) || self.exact.contains(&Key::new(key.namespace.clone(), name)) || of_rule(name);
        named(&key.name) || stem.is_some_and(named)
    }

    /// `name`, `kubernetes://[namespace/]name`, `kubernetes-gateway://namespace/name`; others mean no Secret.
    fn add(&mut self, text: &str, unqualified: impl FnOnce(&mut Self, String)) {
        let path = ["kubernetes://", "kubernetes-gateway://"].iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
        if path.contains("://") {
            return;
        }
        match path.split_once('/') {
            Some((namespace, name)) => {
                self.exact.insert(Key::new(namespace, name));
            }
            None => unqualified(self, path.to_owned()),
        }
    }
}

fn of_server(tls: &ServerTls) -> impl Iterator<Item = &str> {
    let all = [&tls.credential_name, &tls.ca_cert_credential_name].into_iter().chain(&tls.credential_names);
    all.map(String::as_str).filter(|name| !name.is_empty())
}

fn of_rule(rule: &DestinationRule) -> Vec<&ClientTls> {
    let policies = rule.traffic_policy.iter().chain(rule.subsets.iter().filter_map(|subset| subset.traffic_policy.as_ref()));
    policies.flat_map(|policy| policy.tls.iter().chain(policy.port_level_settings.iter().filter_map(|port| port.tls.as_ref()))).collect()
}

#[cfg(test)]
mod tests;
