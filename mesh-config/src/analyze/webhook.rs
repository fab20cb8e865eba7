//! Webhooks: injectors that overlap or call nobody, and the addresses of an external control plane.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::admissionregistration::v1::WebhookClientConfig;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{
    Analyzer, code,
    code::List,
    context::{Context, Item},
    label_selector,
    mesh::{INJECT, INJECTION, REVISION},
    set::Id,
};
use crate::resource::{
    Kind, Labels, MutatingWebhookConfiguration, Service, ValidatingWebhookConfiguration, kubernetes::webhooks::MutatingWebhook,
};

/// Injectors: each pod is matched by one at most.
pub(super) static WEBHOOK: Analyzer = Analyzer {
    name: "webhook.Analyzer",
    about: "Checks that injection webhooks do not overlap and lead to a control plane",
    codes: &[&code::INVALID_WEBHOOK],
    reads: &[Kind::MutatingWebhookConfiguration, Kind::Service],
    run: webhooks,
};

/// Webhooks of a control plane that is outside the cluster.
pub(super) static EXTERNAL_CONTROL_PLANE: Analyzer = Analyzer {
    name: "externalcontrolplane.ExternalControlPlaneAnalyzer",
    about: "Checks the addresses by which webhooks reach an external control plane",
    codes: &[&code::INVALID_EXTERNAL_CONTROL_PLANE_CONFIG, &code::EXTERNAL_CONTROL_PLANE_ADDRESS_IS_NOT_A_HOSTNAME],
    reads: &[Kind::ValidatingWebhookConfiguration, Kind::MutatingWebhookConfiguration],
    run: external_control_plane,
};

fn webhooks(cx: &mut Context<'_>) {
    let mut hooks: Vec<(Item<'_, MutatingWebhookConfiguration>, usize, &MutatingWebhook)> = Vec::new();
    let mut revisions = BTreeSet::new();
    for configuration in cx.all::<MutatingWebhookConfiguration>() {
        let own = revisions_of(configuration);
        let webhooks = &configuration.spec().webhooks;
        if !own.is_empty() || webhooks.iter().any(|webhook| webhook.name.ends_with("istio.io")) {
            hooks.extend(webhooks.iter().enumerate().map(|(index, webhook)| (configuration, index, webhook)));
            revisions.extend(own);
        }
    }
    let name = |at: usize| hooks.get(at).map(|(configuration, _, webhook)| format!("{}/{}", configuration.meta().name, webhook.name));
    for (at, others) in overlaps(&hooks.iter().map(|(_, _, webhook)| *webhook).collect::<Vec<_>>(), &revisions) {
        let (Some((configuration, index, _)), others) = (hooks.get(at), others.into_iter().filter_map(name).collect::<Vec<_>>()) else {
            continue;
        };
        let error = format!("Webhook overlaps with others: {}. This may cause injection to occur twice.", List(&others));
        cx.report(&code::INVALID_WEBHOOK, *configuration, format_args!("webhooks[{index}]"), &[&error]);
    }
    for (configuration, index, webhook) in hooks {
        let Some(service) = &webhook.client_config.service else { continue };
        if cx.find::<Service>(&service.namespace, &service.name).is_none() {
            let error = format!("Injector refers to a control plane service that does not exist: {}/{}.", service.namespace, service.name);
            cx.report(&code::INVALID_WEBHOOK, configuration, format_args!("webhooks[{index}].clientConfig.service"), &[&error]);
        }
    }
}

/// For every set of labels that a namespace and a pod can have with regard to injection: which webhooks match together. By the webhook's index,
/// each distinct set of others once.
fn overlaps(hooks: &[&MutatingWebhook], revisions: &BTreeSet<String>) -> BTreeSet<(usize, Vec<usize>)> {
    let (namespaces, pods) =
        (permutations(INJECTION, ["enabled", "disabled"], revisions), permutations(INJECT, ["true", "false"], revisions));
    let mut found = BTreeSet::new();
    for namespace in &namespaces {
        // Whoever does not match the namespace matches none of its pods.
        let here = |hook: &MutatingWebhook| label_selector::matches(hook.namespace_selector.as_ref(), namespace);
        let candidates: Vec<usize> = hooks.iter().enumerate().filter(|(_, hook)| here(hook)).map(|(at, _)| at).collect();
        for pod in &pods {
            let matching = |at: &&usize| hooks.get(**at).is_some_and(|hook| label_selector::matches(hook.object_selector.as_ref(), pod));
            let matches: Vec<usize> = candidates.iter().filter(matching).copied().collect();
            if matches.len() > 1 {
                found.extend(matches.iter().map(|at| (*at, matches.iter().copied().filter(|other| other != at).collect())));
            }
        }
    }
    found
}

/// Unset, or one of two values; with each revision, and without one.
fn permutations(key: &str, values: [&str; 2], revisions: &BTreeSet<String>) -> Vec<Labels> {
    let settings = [None, Some(values[0]), Some(values[1])];
    let revisions: Vec<Option<&String>> = std::iter::once(None).chain(revisions.iter().map(Some)).collect();
    let labels = |value: Option<&str>, revision: Option<&String>| {
        let value = value.map(|value| (key.to_owned(), value.to_owned()));
        value.into_iter().chain(revision.map(|revision| (REVISION.to_owned(), revision.clone()))).collect()
    };
    revisions.iter().flat_map(|revision| settings.map(|value| labels(value, *revision))).collect()
}

/// The revisions that a configuration names: in its label, and in its webhooks' selectors.
fn revisions_of(configuration: Item<'_, MutatingWebhookConfiguration>) -> Vec<String> {
    let named = |selector: &LabelSelector| {
        let label = selector.match_labels.iter().flatten().filter(|(key, _)| *key == REVISION).map(|(_, value)| value.clone());
        let expressions = selector.match_expressions.iter().flatten().filter(|expression| expression.key == REVISION);
        label.chain(expressions.flat_map(|expression| expression.values.clone().unwrap_or_default())).collect::<Vec<_>>()
    };
    let own = configuration.meta().labels.get(REVISION).cloned();
    let selectors = configuration.spec().webhooks.iter().flat_map(|hook| [hook.namespace_selector.as_ref(), hook.object_selector.as_ref()]);
    own.into_iter().chain(selectors.flatten().flat_map(named)).collect()
}

fn external_control_plane(cx: &mut Context<'_>) {
    let mut clients: Vec<(Id, usize, &str, &WebhookClientConfig)> = Vec::new();
    for configuration in cx.all::<ValidatingWebhookConfiguration>() {
        let name = &configuration.meta().name;
        if name == "istiod-default-validator" || name.starts_with("istio-validator") {
            let hooks = configuration.spec().webhooks.iter().enumerate();
            clients.extend(hooks.map(|(index, hook)| (configuration.id(), index, hook.name.as_str(), &hook.client_config)));
        }
    }
    for configuration in cx.all::<MutatingWebhookConfiguration>().filter(|one| one.meta().name.starts_with("istio-sidecar-injector")) {
        let hooks = configuration.spec().webhooks.iter().enumerate();
        clients.extend(hooks.map(|(index, hook)| (configuration.id(), index, hook.name.as_str(), &hook.client_config)));
    }
    for (id, index, name, client) in clients {
        let path = format_args!("webhooks[{index}].clientConfig.url").to_string();
        match (&client.url, &client.service) {
            (Some(url), _) => match host(url) {
                None => {
                    cx.report(&code::INVALID_EXTERNAL_CONTROL_PLANE_CONFIG, id, path, &[url, &name, &"was provided in an invalid format"])
                }
                Some(host) if is_address(host) => {
                    cx.report(&code::EXTERNAL_CONTROL_PLANE_ADDRESS_IS_NOT_A_HOSTNAME, id, path, &[url, &name])
                }
                Some(_) => {}
            },
            (None, None) => cx.report(&code::INVALID_EXTERNAL_CONTROL_PLANE_CONFIG, id, path, &[&"", &name, &"is blank"]),
            (None, Some(_)) => {}
        }
    }
}

/// The host of a URL (RFC 3986 §3.2); none if the text is no URL.
fn host(url: &str) -> Option<&str> {
    let is_odd = |c: char| c.is_control() || c == ' ';
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if url.contains(is_odd)
        || scheme.contains(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c))
        || scheme.is_empty() && rest.contains(':')
    {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = match host.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
    };
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    is_port.then_some(name)
}

fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::{super::check::check, host};

    fn configuration(name: &str, client: &str, selector: &str) -> String {
        format!(
            "{{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {{name: {name}}}, webhooks: [{{name: injector.istio.io, admissionReviewVersions: [v1], sideEffects: None, clientConfig: {client}, namespaceSelector: {{matchLabels: {{{selector}}}}}}}]}}"
        )
    }

    #[test]
    fn one_injector_for_a_pod() {
        let analyzer = "webhook.Analyzer";
        let (one, two) = (
            configuration("a", "{url: 'https://a'}", "istio-injection: enabled"),
            configuration("b", "{url: 'https://a'}", "istio-injection: enabled"),
        );
        let said = ["IST0139 MutatingWebhookConfiguration a:1 webhooks[0]", "IST0139 MutatingWebhookConfiguration b:1 webhooks[0]"];
        check(analyzer, &[&one, &two], &said);
        check(
            analyzer,
            &[&one, &configuration("b", "{url: 'https://a'}", "istio.io/rev: b")],
            &["IST0139 MutatingWebhookConfiguration a:1 webhooks[0]", "IST0139 MutatingWebhookConfiguration b:1 webhooks[0]"],
        );
        check(analyzer, &[&one, &configuration("b", "{url: 'https://a'}", "istio-injection: disabled")], &[]);
    }

    #[test]
    fn an_injector_that_nobody_answers_for() {
        let hook = configuration("a", "{service: {name: pilot, namespace: mesh-system}}", "istio-injection: enabled");
        let service = "{apiVersion: v1, kind: Service, metadata: {name: pilot, namespace: mesh-system}, spec: {}}";
        check("webhook.Analyzer", &[&hook], &["IST0139 MutatingWebhookConfiguration a:1 webhooks[0].clientConfig.service"]);
        check("webhook.Analyzer", &[&hook, service], &[]);
    }

    #[test]
    fn addresses_of_an_external_control_plane() {
        let analyzer = "externalcontrolplane.ExternalControlPlaneAnalyzer";
        let hook = |url: &str| configuration("istio-sidecar-injector", &format!("{{url: '{url}'}}"), "a: b");
        check(
            analyzer,
            &[&hook("https://10.0.0.1:15017/inject")],
            &["IST0164 MutatingWebhookConfiguration istio-sidecar-injector:1 webhooks[0].clientConfig.url"],
        );
        check(
            analyzer,
            &[&hook("not a url:")],
            &["IST0163 MutatingWebhookConfiguration istio-sidecar-injector:1 webhooks[0].clientConfig.url"],
        );
        check(analyzer, &[&hook("https://pilot.example.com:15017/inject")], &[]);
    }

    #[test]
    fn hosts_of_urls() {
        for (url, expected) in [
            ("https://a.example:443/x?y", Some("a.example")),
            ("https://user@[::1]:443", Some("::1")),
            ("https://a:b", None),
            ("https://a b", None),
            ("a.example/x", Some("a.example")),
            ("10.0.0.1:80", None),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }
}
