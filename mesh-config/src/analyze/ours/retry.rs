//! Retries that cannot happen, that multiply, or that outlast the request.

use std::collections::HashMap;

use super::{
    super::{
        Analyzer, code,
        context::{Context, Item},
    },
    MESH, gateway_key, gateways, rule_name,
};
use crate::resource::{
    Gateway, Key, Kind, VirtualService,
    selector::selects,
    virtual_service::{HttpAction, HttpRetry, HttpRoute},
};

/// Retries that do more harm than good.
pub(in super::super) static RETRIES: Analyzer = Analyzer {
    name: "mesh.RetryAnalyzer",
    about: "Checks that retries fit into the timeout and do not multiply the load",
    codes: &[&code::RETRY_STORM, &code::TIMEOUT_SHORTER_THAN_TRY],
    reads: &[Kind::VirtualService, Kind::Gateway, Kind::Service],
    run: retries,
};

/// So many tries of one request are no help to anybody.
const TOO_MANY: i32 = 10;

fn retries(cx: &mut Context<'_>) {
    let second = second_hops(cx);
    for service in cx.all::<VirtualService>() {
        for (index, rule) in service.spec().http.iter().enumerate() {
            let Some(retries) = rule.retries.as_ref().filter(|retries| retries.attempts > 0) else { continue };
            one_hop(cx, &service, index, rule, retries);
            if gateways(service.spec()).contains(&MESH)
                && let Some(reason) = two_hops(cx, &service, rule, retries, &second)
            {
                let path = format_args!("spec.http[{index}].retries.attempts");
                cx.report(&code::RETRY_STORM, service, path, &[&rule_name(&rule.name, index), &reason]);
            }
        }
    }
}

fn one_hop(cx: &mut Context<'_>, service: &Item<'_, VirtualService>, index: usize, rule: &HttpRoute, retries: &HttpRetry) {
    let name = rule_name(&rule.name, index);
    let tries = u32::try_from(retries.attempts).unwrap_or_default().saturating_add(1);
    if let (Some(timeout), Some(per_try)) = (rule.timeout.filter(|timeout| !timeout.get().is_zero()), retries.per_try_timeout) {
        let all = per_try.get().saturating_mul(tries);
        if per_try > timeout {
            let path = format_args!("spec.http[{index}].retries.perTryTimeout");
            cx.report(&code::TIMEOUT_SHORTER_THAN_TRY, service, path, &[&timeout, &name, &per_try]);
        } else if all > timeout.get() {
            let reason =
                format!("{tries} tries of {per_try} do not fit into the timeout of {timeout}, so the last ones are load without an answer");
            cx.report(&code::RETRY_STORM, service, format_args!("spec.http[{index}].retries.attempts"), &[&name, &reason]);
        }
    }
    if retries.attempts >= TOO_MANY {
        let reason = format!("each request may become {tries} when its service is in trouble");
        cx.report(&code::RETRY_STORM, service, format_args!("spec.http[{index}].retries.attempts"), &[&name, &reason]);
    }
}

/// Hosts that a gateway routes with retries, by host: the gateway and the most retries.
type SecondHops<'a> = HashMap<&'a str, Vec<(Key, i32)>>;

fn second_hops<'a>(cx: &Context<'a>) -> SecondHops<'a> {
    let mut hops = SecondHops::new();
    for service in cx.all::<VirtualService>() {
        let most =
            service.spec().http.iter().filter_map(|rule| rule.retries.as_ref()).map(|retries| retries.attempts).max().unwrap_or_default();
        if most == 0 {
            continue;
        }
        for gateway in gateways(service.spec()).into_iter().filter_map(|name| gateway_key(name, &service.meta().namespace)) {
            for host in &service.spec().hosts {
                hops.entry(host).or_default().push((gateway.clone(), most));
            }
        }
    }
    hops
}

/// A sidecar's retries towards a gateway that retries too, for the same host: the two multiply.
fn two_hops(
    cx: &Context<'_>,
    service: &Item<'_, VirtualService>,
    rule: &HttpRoute,
    retries: &HttpRetry,
    second: &SecondHops<'_>,
) -> Option<String> {
    let HttpAction::Route(routes) = &rule.action else { return None };
    let candidates: Vec<&(Key, i32)> = service.spec().hosts.iter().filter_map(|host| second.get(host.as_str())).flatten().collect();
    if candidates.is_empty() {
        return None;
    }
    let hosts = cx.hosts();
    let namespace = &service.meta().namespace;
    let behind = routes.iter().filter_map(|route| hosts.find(namespace, &service.spec().export_to, &route.destination.host)?.service());
    for target in behind.filter(|target| !target.spec().selector.is_empty()) {
        for (key, again) in &candidates {
            let gateway = cx.find::<Gateway>(&key.namespace, &key.name);
            if gateway
                .is_some_and(|gateway| !gateway.spec().selector.is_empty() && selects(&gateway.spec().selector, &target.spec().selector))
            {
                let all = i64::from(retries.attempts + 1) * i64::from(again + 1);
                return Some(format!("the gateway {key} that it leads to retries too, so one request may become {all}"));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::super::check::check;

    const NAME: &str = "mesh.RetryAnalyzer";

    fn service(timeout: &str, retries: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop, namespace: a}}
spec:
  hosts: [shop]
  http:
  - timeout: {timeout}
    retries: {{{retries}}}
    route: [{{destination: {{host: shop}}}}]
"
        )
    }

    #[test]
    fn tries_fit_into_the_timeout() {
        check(NAME, &[&service("10s", "attempts: 2, perTryTimeout: 3s")], &[]);
        check(NAME, &[&service("10s", "attempts: 0, perTryTimeout: 30s")], &[]);
        check(
            NAME,
            &[&service("5s", "attempts: 2, perTryTimeout: 3s")],
            &["MESH0003 VirtualService a/shop:8 spec.http[0].retries.attempts"],
        );
        check(
            NAME,
            &[&service("1s", "attempts: 2, perTryTimeout: 3s")],
            &["MESH0004 VirtualService a/shop:8 spec.http[0].retries.perTryTimeout"],
        );
        check(NAME, &[&service("60s", "attempts: 20")], &["MESH0003 VirtualService a/shop:8 spec.http[0].retries.attempts"]);
    }

    const EGRESS: &str = "apiVersion: v1
kind: Service
metadata: {name: egress, namespace: istio-system}
spec: {selector: {istio: egressgateway}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: out, namespace: a}
spec:
  selector: {istio: egressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [api.example.com]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: there, namespace: a}
spec:
  hosts: [api.example.com]
  http:
  - retries: {attempts: 3}
    route: [{destination: {host: egress.istio-system.svc.cluster.local}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: out, namespace: a}
spec:
  hosts: [api.example.com]
  gateways: [out]
  http:
  - retries: {attempts: AGAIN}
    route: [{destination: {host: api.example.com}}]
";

    #[test]
    fn retries_of_two_hops_multiply() {
        check(NAME, &[&EGRESS.replace("AGAIN", "4")], &["MESH0003 VirtualService a/there:19 spec.http[0].retries.attempts"]);
        check(NAME, &[&EGRESS.replace("AGAIN", "0")], &[]);
    }
}
