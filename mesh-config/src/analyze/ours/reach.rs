//! Routes that can never take a request, where Istio's own check (equal matches, prefixes) does not see it: an exact path below an earlier prefix, a match for
//! a gateway that the VirtualService is not bound to, a port on which none of its gateways listens.

use std::collections::BTreeSet;

use super::{
    super::{
        Analyzer, code,
        context::{Context, Item},
    },
    MESH, gateway_key, gateways, matches_all, rule_name,
};
use crate::resource::{
    Gateway, HeaderMatch, Key, Kind, StringMatch, VirtualService,
    virtual_service::{HttpMatch, reach::unreachable},
};

/// Routes that match nothing.
pub(in super::super) static ROUTE_REACH: Analyzer = Analyzer {
    name: "mesh.RouteReachAnalyzer",
    about: "Checks that rules can match in front of their gateways and after the rules before them",
    codes: &[&code::ROUTE_NEVER_MATCHES],
    reads: &[Kind::VirtualService, Kind::Gateway],
    run: reach,
};

/// Beyond this many matches in one VirtualService they are not compared with each other.
const COMPARED: usize = 512;

fn reach(cx: &mut Context<'_>) {
    for service in cx.all::<VirtualService>() {
        let bound: Vec<&str> = gateways(service.spec());
        let ports = ports(cx, &service, &bound);
        let delegate = service.spec().hosts.is_empty();
        let mut told = BTreeSet::new();
        for (index, rule) in service.spec().http.iter().enumerate().filter(|(_, rule)| !rule.matches.is_empty()) {
            let reasons: Vec<Option<String>> =
                rule.matches.iter().map(|item| nowhere(item, &service, &bound, ports.as_ref(), delegate)).collect();
            if let Some(reason) = reasons.iter().flatten().next().filter(|_| reasons.iter().all(Option::is_some)) {
                told.insert(index);
                cx.report(
                    &code::ROUTE_NEVER_MATCHES,
                    service,
                    format_args!("spec.http[{index}].match"),
                    &[&rule_name(&rule.name, index), reason],
                );
            }
        }
        shadowed(cx, &service, &told);
    }
}

/// The ports on which its gateways listen, if it is for gateways only and all of them are known.
fn ports(cx: &Context<'_>, service: &Item<'_, VirtualService>, bound: &[&str]) -> Option<BTreeSet<u16>> {
    let mut ports = BTreeSet::new();
    for name in bound {
        let key = gateway_key(name, &service.meta().namespace)?;
        let gateway = cx.find::<Gateway>(&key.namespace, &key.name)?;
        ports.extend(gateway.spec().servers.iter().map(|server| server.port.number));
    }
    Some(ports)
}

/// Why a match is never looked at.
fn nowhere(
    item: &HttpMatch,
    service: &Item<'_, VirtualService>,
    bound: &[&str],
    ports: Option<&BTreeSet<u16>>,
    delegate: bool,
) -> Option<String> {
    let key = |name: &str| gateway_key(name, &service.meta().namespace).unwrap_or(Key::new("", MESH));
    if !delegate && !item.gateways.is_empty() && !item.gateways.iter().any(|name| bound.iter().any(|bound| key(bound) == key(name))) {
        return Some(format!(
            "it is for gateway {}, to which the VirtualService is not bound (it is to {})",
            item.gateways.join(", "),
            bound.join(", ")
        ));
    }
    let port = item.port?;
    let open = ports.filter(|ports| !delegate && !ports.contains(&port))?;
    let open: Vec<String> = open.iter().map(u16::to_string).collect();
    Some(format!("it is for port {port}, and its gateways listen on {}", open.join(", ")))
}

/// Reports rules whose every match is covered by one of an earlier rule.
fn shadowed(cx: &mut Context<'_>, service: &Item<'_, VirtualService>, told: &BTreeSet<usize>) {
    let http = &service.spec().http;
    let count: usize = http.iter().map(|rule| rule.matches.len()).sum();
    if !(2..=COMPARED).contains(&count) {
        return;
    }
    // What has an Istio code already.
    let known: BTreeSet<usize> =
        unreachable(service.spec()).into_iter().filter(|found| found.list == "http").map(|found| found.rule).collect();
    let mut earlier: Vec<(usize, &HttpMatch)> = Vec::new();
    for (index, rule) in http.iter().enumerate() {
        let by: Vec<Option<usize>> =
            rule.matches.iter().map(|item| earlier.iter().find(|(_, wide)| covers(wide, item)).map(|(by, _)| *by)).collect();
        if let Some(by) = by.first().copied().flatten().filter(|_| by.iter().all(Option::is_some))
            && !known.contains(&index)
            && !told.contains(&index)
        {
            let first = http.get(by).map(|rule| rule_name(&rule.name, by)).unwrap_or_default();
            let reason = format!("rule {first} before it takes all that it would match");
            cx.report(
                &code::ROUTE_NEVER_MATCHES,
                service,
                format_args!("spec.http[{index}].match"),
                &[&rule_name(&rule.name, index), &reason],
            );
        }
        if !told.contains(&index) {
            earlier.extend(rule.matches.iter().map(|item| (index, item)));
        }
    }
}

/// Whether every request that `narrow` matches is matched by `wide`. Says no where it is not certain.
fn covers(wide: &HttpMatch, narrow: &HttpMatch) -> bool {
    if matches_all(wide) {
        return true;
    }
    let gateways =
        wide.gateways.is_empty() || !narrow.gateways.is_empty() && narrow.gateways.iter().all(|name| wide.gateways.contains(name));
    gateways
        && uri(wide, narrow)
        && text(wide.scheme.as_ref(), narrow.scheme.as_ref())
        && text(wide.method.as_ref(), narrow.method.as_ref())
        && text(wide.authority.as_ref(), narrow.authority.as_ref())
        && wide.headers.iter().all(|(name, value)| narrow.headers.get(name).is_some_and(|narrow| value_covers(value, narrow)))
        && wide.query_params.iter().all(|(name, value)| narrow.query_params.get(name).is_some_and(|narrow| value_covers(value, narrow)))
        && wide.without_headers.iter().all(|(name, value)| narrow.without_headers.get(name) == Some(value))
        && (wide.port.is_none() || wide.port == narrow.port)
        && (wide.source_namespace.is_empty() || wide.source_namespace == narrow.source_namespace)
        && wide.source_labels.iter().all(|(key, value)| narrow.source_labels.get(key) == Some(value))
}

fn uri(wide: &HttpMatch, narrow: &HttpMatch) -> bool {
    let Some(pattern) = &wide.uri else { return true };
    let Some(path) = &narrow.uri else { return matches!(pattern, StringMatch::Prefix(prefix) if prefix == "/") };
    let folds = wide.ignore_uri_case && !matches!(pattern, StringMatch::Regex(_)) && !matches!(path, StringMatch::Regex(_));
    if folds {
        let lower = |text: &StringMatch| match text {
            StringMatch::Exact(text) => StringMatch::Exact(text.to_lowercase()),
            StringMatch::Prefix(text) => StringMatch::Prefix(text.to_lowercase()),
            StringMatch::Regex(text) => StringMatch::Regex(text.clone()),
        };
        return text(Some(&lower(pattern)), Some(&lower(path)));
    }
    // The narrow one takes other cases too.
    let wider = narrow.ignore_uri_case && pattern.text().chars().any(char::is_alphabetic);
    !wider && (text(Some(pattern), Some(path)) || matches!(pattern, StringMatch::Prefix(prefix) if prefix == "/"))
}

fn text(wide: Option<&StringMatch>, narrow: Option<&StringMatch>) -> bool {
    use StringMatch::{Exact, Prefix, Regex};
    match (wide, narrow) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(Exact(wide)), Some(Exact(narrow))) | (Some(Regex(wide)), Some(Regex(narrow))) => wide == narrow,
        (Some(Prefix(wide)), Some(Exact(narrow) | Prefix(narrow))) => narrow.starts_with(wide.as_str()),
        (Some(Regex(wide)), Some(_)) => wide == ".*",
        (Some(Exact(_)), Some(_)) | (Some(Prefix(_)), Some(Regex(_))) => false,
    }
}

fn value_covers(wide: &HeaderMatch, narrow: &HeaderMatch) -> bool {
    match (wide, narrow) {
        (HeaderMatch::Present, _) => true,
        (HeaderMatch::Value(_), HeaderMatch::Present) => false,
        (HeaderMatch::Value(wide), HeaderMatch::Value(narrow)) => text(Some(wide), Some(narrow)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::check::check;

    const NAME: &str = "mesh.RouteReachAnalyzer";

    fn service(gateways: &str, first: &str, second: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop, namespace: a}}
spec:
  hosts: [shop.example.com]
  gateways: [{gateways}]
  http:
  - match: [{first}]
    route: [{{destination: {{host: a}}}}]
  - match: [{second}]
    route: [{{destination: {{host: b}}}}]
"
        )
    }

    #[test]
    fn a_narrower_rule_after_a_wider_one_is_told() {
        let expected = ["MESH0002 VirtualService a/shop:10 spec.http[1].match"];
        for (first, second) in [
            ("{uri: {prefix: /cart}}", "{uri: {exact: /cart/items}}"),
            ("{uri: {prefix: /Cart}, ignoreUriCase: true}", "{uri: {exact: /cart}}"),
            ("{headers: {x-user: {}}}", "{uri: {prefix: /a}, headers: {x-user: {exact: tester}}}"),
            ("{method: {exact: GET}}", "{method: {exact: GET}, uri: {regex: '/a.*'}}"),
        ] {
            check(NAME, &[&service("mesh", first, second)], &expected);
        }
    }

    #[test]
    fn what_an_earlier_rule_leaves_is_not() {
        for (first, second) in [
            ("{uri: {exact: /cart}}", "{uri: {prefix: /cart}}"),
            ("{uri: {prefix: /Cart}}", "{uri: {exact: /cart}, ignoreUriCase: true}"),
            ("{headers: {x-user: {exact: a}}}", "{headers: {x-user: {}}}"),
            ("{uri: {prefix: /a}, port: 80}", "{uri: {prefix: /a/b}}"),
            ("{uri: {prefix: /a}, sourceLabels: {app: x}}", "{uri: {exact: /a/b}}"),
        ] {
            check(NAME, &[&service("mesh", first, second)], &[]);
        }
    }

    #[test]
    fn a_match_is_for_gateways_and_ports_that_there_are() {
        let gateway = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: in, namespace: a}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
";
        let fine = "{uri: {exact: /a}, port: 80}";
        check(NAME, &[gateway, &service("in", fine, "{uri: {exact: /b}, gateways: [a/in]}")], &[]);
        let expected = ["MESH0002 VirtualService a/shop:10 spec.http[1].match"];
        check(NAME, &[gateway, &service("in", fine, "{uri: {exact: /b}, port: 8080}")], &expected);
        check(NAME, &[gateway, &service("in", fine, "{uri: {exact: /b}, gateways: [mesh]}")], &expected);
    }
}
