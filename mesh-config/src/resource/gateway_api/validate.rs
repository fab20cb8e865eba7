//! What the Gateway API's CRDs cannot say. Nothing here refuses: the API server takes such objects, and a controller
//! tells of them in their status, which offline nobody sees.

mod gateway;
mod route;

use super::{
    BackendTlsPolicy, GROUP, GatewayClass, ReferenceGrant, XBackend, XBackendTrafficPolicy,
    refs::{BackendRef, ParentRef, Target},
};
use crate::{
    resource::Object,
    schema::Crd,
    validate::{Checks, Validate, rules::shown},
};

impl Validate for GatewayClass {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().requires_spec());

    fn validate(_: &Object<Self>, _: &mut Checks) {}
}

impl Validate for ReferenceGrant {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().requires_spec());

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        checks.each("from", &object.spec.from, |checks, from| group_of_kind(checks, &from.group, &from.kind));
        checks.each("to", &object.spec.to, |checks, to| group_of_kind(checks, &to.group, &to.kind));
    }
}

impl Validate for BackendTlsPolicy {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().requires_spec().deprecated(&["v1alpha3"]));

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        checks.each("targetRefs", &spec.target_refs, |checks, target| group_of_kind(checks, &target.group, &target.kind));
        if let Some(cas) = spec.validation.well_known_ca_certificates.as_deref().filter(|cas| *cas != "System") {
            checks.field("validation.wellKnownCACertificates", |checks| {
                let rule = "this set of CAs is not known: the policy is not accepted";
                checks.warning(shown(cas), rule, "use `System`, or caCertificateRefs");
            });
        }
    }
}

impl Validate for XBackend {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().requires_spec());

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        if let Some(host) = &object.spec.external_hostname {
            checks.field("externalHostname.hostname", |checks| hostname(checks, &host.hostname));
        }
    }
}

impl Validate for XBackendTrafficPolicy {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().requires_spec());

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        checks.each("targetRefs", &object.spec.target_refs, |checks, target| group_of_kind(checks, &target.group, &target.kind));
    }
}

/// A kind that is written with a group that does not have it: the reference finds nothing.
fn group_of_kind(checks: &mut Checks, group: &str, kind: &str) {
    const OF_GATEWAYS: &[&str] = &[
        "HTTPRoute",
        "GRPCRoute",
        "TLSRoute",
        "TCPRoute",
        "UDPRoute",
        "ListenerSet",
        "GatewayClass",
        "ReferenceGrant",
        "BackendTLSPolicy",
    ];
    const OF_CORE: &[&str] = &["Service", "Secret", "ConfigMap", "Namespace", "Pod", "ServiceAccount"];
    let meant = match group {
        "" if OF_GATEWAYS.contains(&kind) || kind == "Gateway" => GROUP,
        GROUP if OF_CORE.contains(&kind) => "",
        _ => return,
    };
    checks.field("group", |checks| {
        let rule = format!("the group `{group}` has no kind {kind}: nothing is meant by this");
        checks.warning(shown(group), rule, format!("write `group: \"{meant}\"`"));
    });
}

/// Names that look like IP addresses: no request's host and no SNI is compared with those.
fn hostname(checks: &mut Checks, hostname: &str) {
    if hostname.parse::<std::net::IpAddr>().is_ok() {
        let rule = "an IP address is no hostname: nothing matches it";
        checks.warning(shown(hostname), rule, "use a DNS name, or leave the hostname out to take every host");
    }
}

/// A route without parents serves nobody.
fn attached(checks: &mut Checks, parents: &[ParentRef], default_gateways: bool) {
    if parents.is_empty() && !default_gateways {
        checks.field("parentRefs", |checks| {
            let rule = "the route attaches to nothing, so that it has no effect";
            checks.warning(None, rule, "name a Gateway, a ListenerSet, or a Service of the mesh");
        });
    }
    checks.each("parentRefs", parents, |checks, parent| {
        let target = parent.target();
        group_of_kind(checks, target.group, target.kind);
    });
}

/// Backends of a rule: what each is, its share, and what is said of them if no traffic goes anywhere.
fn backends<'a>(checks: &mut Checks, backends: impl Iterator<Item = (Target<'a>, u32)>, answer: &str) {
    let (mut count, mut sum) = (0_usize, 0_u64);
    for (index, (target, weight)) in backends.enumerate() {
        count += 1;
        sum += u64::from(weight);
        checks.field(&format!("backendRefs[{index}]"), |checks| {
            if target.group.is_empty() && target.kind != "Service" {
                checks.field("kind", |checks| {
                    let rule = "only a Service can be a backend of the core group: its share of the traffic fails";
                    checks.warning(shown(target.kind), rule, "refer to a Service, or write the kind's group");
                });
            } else {
                group_of_kind(checks, target.group, target.kind);
            }
        });
    }
    if count > 0 && sum == 0 {
        checks.field("backendRefs", |checks| {
            checks.warning(None, format!("every weight is 0: {answer}"), "give a backend a weight of 1 or more");
        });
    }
}

/// Backends of a rule that carries connections.
fn stream_backends(checks: &mut Checks, refs: &[BackendRef]) {
    backends(checks, refs.iter().map(|backend| (backend.target(), backend.weight())), "connections are closed");
}

/// RE2 that compiles; one that does not never matches.
fn regex(checks: &mut Checks, field: &str, pattern: &str) {
    if let Err(error) = regex::Regex::new(pattern) {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim().to_owned();
        checks.field(field, |checks| {
            checks.warning(
                shown(pattern),
                format!("the regex does not compile, so that nothing matches: {reason}"),
                "write it in RE2 syntax",
            );
        });
    }
}

#[cfg(test)]
mod tests;
