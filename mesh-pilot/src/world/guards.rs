//! What stands before a workload's traffic besides AuthorizationPolicies: the tokens it understands, and plugins that must run or stop the traffic.
//!
//! Source: Istio's `model/authentication.go` and `model/extensions.go`: of the root namespace for all, else of the workload's namespace, by selector.

use std::{collections::BTreeMap, sync::Arc};

use mesh_config::{
    resource::{
        Labels, Object, RequestAuthentication, TrafficExtension, WasmPlugin,
        request_authentication::JwtRule,
        selector::{LabelSelector, selects},
        wasm_plugin::{FailStrategy, PluginType, TrafficMode, TrafficSelector},
    },
    snapshot::ConfigSnapshot,
};

/// By namespace, by name.
#[derive(Debug, Default)]
pub(super) struct Index {
    root: String,
    tokens: BTreeMap<String, Vec<Arc<Object<RequestAuthentication>>>>,
    plugins: BTreeMap<String, Vec<(Option<LabelSelector>, Plugin)>>,
}

/// A plugin that is not run, and without which traffic must not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// `wasm-plugin` or `traffic-extension`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// It is for bytes, not only for HTTP.
    pub network: bool,
    /// It is for what the workload receives.
    pub inbound: bool,
    /// It is for what leaves the workload, or goes through a gateway.
    pub outbound: bool,
}

impl Index {
    pub(super) fn build(snapshot: &ConfigSnapshot, root: &str) -> Self {
        let mut index = Self { root: root.to_owned(), ..Self::default() };
        for object in snapshot.list::<RequestAuthentication>() {
            index.tokens.entry(object.meta.namespace.clone()).or_default().push(Arc::clone(object));
        }
        for object in snapshot.list::<WasmPlugin>() {
            let spec = &object.spec;
            let (kind, matches) = ("wasm-plugin", spec.r#match.as_slice());
            index.plugin(object, kind, spec.selector.as_ref(), (spec.fail_strategy, spec.r#type), matches);
        }
        for object in snapshot.list::<TrafficExtension>() {
            let spec = &object.spec;
            if let Some(wasm) = &spec.wasm {
                let (kind, matches) = ("traffic-extension", spec.r#match.as_slice());
                index.plugin(object, kind, spec.selector.as_ref(), (wasm.fail_strategy, wasm.r#type), matches);
            }
            if spec.lua.is_some() {
                // A script has no failStrategy to say that traffic may pass without it. It is a filter for HTTP.
                let (kind, matches) = ("traffic-extension", spec.r#match.as_slice());
                index.plugin(object, kind, spec.selector.as_ref(), (FailStrategy::FailClose, PluginType::Http), matches);
            }
        }
        index
    }

    fn plugin<T>(
        &mut self,
        object: &Object<T>,
        kind: &'static str,
        selector: Option<&LabelSelector>,
        (strategy, of): (FailStrategy, PluginType),
        matches: &[TrafficSelector],
    ) {
        if strategy == FailStrategy::FailOpen {
            return;
        }
        let (namespace, name) = (object.meta.namespace.clone(), object.meta.name.clone());
        // Ports are not looked at: where it is not known whether the plugin is meant, it is.
        let side = |other: TrafficMode| matches.is_empty() || matches.iter().any(|selector| selector.mode != other);
        let plugin = Plugin {
            kind,
            namespace: namespace.clone(),
            name,
            network: of == PluginType::Network,
            inbound: side(TrafficMode::Client),
            outbound: side(TrafficMode::Server),
        };
        self.plugins.entry(namespace).or_default().push((selector.cloned(), plugin));
    }

    /// The rules for tokens that hold for a workload, by issuer.
    pub(super) fn tokens(&self, namespace: &str, labels: &Labels) -> Vec<&JwtRule> {
        let objects = self.levels(namespace).filter_map(|level| self.tokens.get(level)).flatten();
        let selecting = objects.filter(|object| holds(object.spec.selector.as_ref(), labels));
        let mut rules: Vec<&JwtRule> = selecting.flat_map(|object| &object.spec.jwt_rules).collect();
        rules.sort_by(|a, b| a.issuer.cmp(&b.issuer));
        rules
    }

    /// The plugins that ought to run for a workload.
    pub(super) fn plugins<'a>(&'a self, namespace: &'a str, labels: &'a Labels) -> impl Iterator<Item = &'a Plugin> {
        let all = self.levels(namespace).filter_map(|level| self.plugins.get(level)).flatten();
        all.filter(move |(selector, _)| holds(selector.as_ref(), labels)).map(|(_, plugin)| plugin)
    }

    fn levels<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a str> {
        std::iter::once(self.root.as_str()).chain(Some(namespace).filter(|namespace| *namespace != self.root))
    }
}

fn holds(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    selector.is_none_or(|selector| selects(&selector.match_labels, labels))
}
