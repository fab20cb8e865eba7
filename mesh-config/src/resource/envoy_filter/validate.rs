//! Rules of `EnvoyFilter`: whether target, match and patch go together. What a patch says is judged in `value`.

use super::{ApplyTo, ConfigPatch, EnvoyFilter, FilterMatch, ObjectMatch, Operation, PatchContext, deprecated, value};
use crate::{
    resource::Object,
    schema::Crd,
    validate::{
        Checks, Validate,
        rules::{regex_problem, shown},
    },
};

/// A longer regex is not compiled: Istio passes over it.
const MAX_VERSION_REGEX: usize = 1024;

/// The filter whose sub-filters are HTTP filters, under its name and its old one.
const CONNECTION_MANAGER: &[&str] = &["envoy.filters.network.http_connection_manager", "envoy.http_connection_manager"];

impl Validate for EnvoyFilter {
    const CRD: Option<Crd> = Some(Crd::of::<Self>());

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        if let Some(selector) = &spec.workload_selector {
            checks.selects_nothing_special("workloadSelector", &selector.labels);
            if selector.labels.contains_key("") || selector.labels.keys().any(|key| key.contains('*')) {
                checks.field("workloadSelector.labels", |checks| {
                    checks.error(None, "label keys must be whole and not empty", "name a label, or remove the selector");
                });
            }
        }
        checks.each("configPatches", &spec.config_patches, |checks, patch| config_patch(patch, checks));
    }
}

fn config_patch(config: &ConfigPatch, checks: &mut Checks) {
    // Istio judges nothing of what is meant for waypoints.
    if config.r#match.as_ref().is_some_and(|item| item.context == PatchContext::Waypoint) {
        return;
    }
    if config.apply_to == ApplyTo::Invalid {
        return checks.field("applyTo", |checks| {
            checks.error(None, "it is not said what the patch applies to", "set applyTo, for example HTTP_FILTER");
        });
    }
    let Some(patch) = &config.patch else {
        return checks.field("patch", |checks| checks.error(None, "there is no patch", "set operation and value"));
    };
    match (patch.operation, &patch.value) {
        (Operation::Invalid, _) => {
            return checks.field("patch.operation", |checks| {
                checks.error(None, "it is not said what to do", "set operation, for example MERGE or INSERT_BEFORE");
            });
        }
        (Operation::Remove, _) | (_, Some(_)) => {}
        (operation, None) => {
            return checks.field("patch.value", |checks| {
                checks.error(None, format!("{operation} needs a value"), "write the part of the Envoy object, or use REMOVE");
            });
        }
    }
    if let Some(item) = &config.r#match {
        checks.field("match", |checks| object_match(item, config.apply_to, checks));
    }
    if let Some(value) = &patch.value {
        checks.field("patch.value", |checks| value::check(config.apply_to, value, checks));
    }
}

fn object_match(item: &ObjectMatch, apply_to: ApplyTo, checks: &mut Checks) {
    if let Some(proxy) = &item.proxy {
        checks.field("proxy.proxyVersion", |checks| proxy_version(&proxy.proxy_version, checks));
    }
    let given = [
        ("listener", item.listener.is_some()),
        ("routeConfiguration", item.route_configuration.is_some()),
        ("cluster", item.cluster.is_some()),
    ];
    let wanted = match apply_to {
        ApplyTo::Listener | ApplyTo::FilterChain | ApplyTo::NetworkFilter | ApplyTo::HttpFilter => "listener",
        ApplyTo::RouteConfiguration | ApplyTo::VirtualHost | ApplyTo::HttpRoute => "routeConfiguration",
        ApplyTo::Cluster => "cluster",
        ApplyTo::Invalid | ApplyTo::ExtensionConfig | ApplyTo::Bootstrap | ApplyTo::ListenerFilter => return,
    };
    for (field, _) in given.into_iter().filter(|(field, given)| *given && *field != wanted) {
        checks.field(field, |checks| {
            let rule = format!("{apply_to} objects cannot be matched by {field}");
            checks.error(None, rule, format!("match by {wanted}, or remove the match"));
        });
    }
    let chain = item.listener.as_ref().and_then(|listener| listener.filter_chain.as_ref());
    if let Some(filter) = chain.and_then(|chain| chain.filter.as_ref())
        && wanted == "listener"
    {
        checks.field("listener.filterChain.filter", |checks| filter_match(filter, apply_to, checks));
    }
}

fn proxy_version(regex: &str, checks: &mut Checks) {
    if regex.len() > MAX_VERSION_REGEX {
        let rule = format!("proxyVersion match exceeds {MAX_VERSION_REGEX} characters and will be ignored");
        checks.warning(shown(regex), rule, "write a shorter regex");
    } else if let Some(problem) = regex_problem(regex) {
        let remedy = "write it in RE2 syntax, such as `^1\\.30.*`";
        checks.error(shown(regex), format!("invalid regex for proxy version: {problem}"), remedy);
    }
}

fn filter_match(filter: &FilterMatch, apply_to: ApplyTo, checks: &mut Checks) {
    if matches!(apply_to, ApplyTo::Listener | ApplyTo::FilterChain) {
        checks.warning(None, format!("filter match has no effect when used with {apply_to}"), "remove it");
    }
    if filter.name.is_empty() {
        return checks.field("name", |checks| {
            checks.error(None, "filter match has no name to match on", "name the network filter");
        });
    }
    let mut ok = true;
    if let Some(sub) = &filter.sub_filter {
        checks.field("subFilter", |checks| {
            let problem = if apply_to != ApplyTo::HttpFilter {
                Some(("subfilter match can be used with applyTo HTTP_FILTER only", "remove it"))
            } else if !CONNECTION_MANAGER.contains(&filter.name.as_str()) {
                Some(("subfilter match requires filter match with the HTTP connection manager", "name that filter"))
            } else if sub.name.is_empty() {
                Some(("subfilter match has no name to match on", "name the HTTP filter"))
            } else {
                None
            };
            if let Some((rule, remedy)) = problem {
                ok = false;
                checks.error(None, rule, remedy);
            }
        });
    }
    if !ok {
        return;
    }
    let names = [("name", Some(&filter.name)), ("subFilter.name", filter.sub_filter.as_ref().map(|sub| &sub.name))];
    for (field, name) in names {
        if let Some(name) = name
            && let Some(current) = deprecated::current_name(name)
        {
            checks.field(field, |checks| {
                checks.warning(shown(name), "deprecated filter name", format!("write `{current}`"));
            });
        }
    }
}
