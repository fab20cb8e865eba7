//! Doubtful settings of routes.

use std::collections::BTreeMap;

use super::{attached, backends, hostname, regex, stream_backends};
use crate::{
    resource::{
        Object,
        gateway_api::{
            GrpcRoute, HttpRoute, TcpRoute, TlsRoute, UdpRoute,
            gateway::DefaultScope,
            grpc::{GrpcFilterType, GrpcRule},
            http::{
                HttpRule,
                filter::HttpFilterType,
                matches::{PathMatchType, ValueMatchType},
            },
            stream::{v1alpha2, v1alpha2_tls},
        },
    },
    schema::Crd,
    validate::{Checks, Validate, rules::shown},
};

impl Validate for HttpRoute {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().requires_spec());

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        attached(checks, &spec.parent_refs, spec.use_default_gateways == Some(DefaultScope::All));
        checks.each("hostnames", &spec.hostnames, |checks, name| hostname(checks, name));
        checks.each("rules", &spec.rules, |checks, rule| http_rule(rule, checks));
    }
}

impl Validate for GrpcRoute {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().requires_spec());

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        attached(checks, &spec.parent_refs, spec.use_default_gateways == Some(DefaultScope::All));
        checks.each("hostnames", &spec.hostnames, |checks, name| hostname(checks, name));
        checks.each("rules", &spec.rules, |checks, rule| grpc_rule(rule, checks));
    }
}

impl Validate for TlsRoute {
    const CRD: Option<Crd> =
        Some(Crd::of::<Self>().requires_spec().deprecated(&["v1alpha2", "v1alpha3"]).variants(&[("v1alpha2", v1alpha2_tls)]));

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        attached(checks, &spec.parent_refs, spec.use_default_gateways == Some(DefaultScope::All));
        checks.each("rules", &spec.rules, |checks, rule| stream_backends(checks, &rule.backend_refs));
    }
}

impl Validate for TcpRoute {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().requires_spec().deprecated(&["v1alpha2"]).variants(&[("v1alpha2", v1alpha2)]));

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        attached(checks, &spec.parent_refs, spec.use_default_gateways == Some(DefaultScope::All));
        checks.each("rules", &spec.rules, |checks, rule| stream_backends(checks, &rule.backend_refs));
    }
}

impl Validate for UdpRoute {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().requires_spec().deprecated(&["v1alpha2"]).variants(&[("v1alpha2", v1alpha2)]));

    fn validate(_: &Object<Self>, checks: &mut Checks) {
        checks.warning(None, "the mesh carries no datagrams: a UDPRoute has no effect", "send them to the Service directly");
    }
}

fn http_rule(rule: &HttpRule, checks: &mut Checks) {
    checks.each("matches", &rule.matches, |checks, found| {
        if found.path.r#type == PathMatchType::RegularExpression {
            regex(checks, "path.value", found.path.value());
        }
        let mut names = BTreeMap::new();
        checks.each("headers", &found.headers, |checks, header| {
            if header.r#type == ValueMatchType::RegularExpression {
                regex(checks, "value", &header.value);
            }
            once(checks, &mut names, &header.name);
        });
        checks.each("queryParams", &found.query_params, |checks, parameter| {
            if parameter.r#type == ValueMatchType::RegularExpression {
                regex(checks, "value", &parameter.value);
            }
        });
    });
    let unknown = |kind| matches!(kind, HttpFilterType::ExtensionRef | HttpFilterType::ExternalAuth);
    checks.each("filters", &rule.filters, |checks, filter| {
        if unknown(filter.r#type) {
            not_implemented(checks, filter.r#type.as_str());
        }
    });
    for (index, backend) in rule.backend_refs.iter().enumerate() {
        checks.each(&format!("backendRefs[{index}].filters"), &backend.filters, |checks, filter| {
            if unknown(filter.r#type) {
                not_implemented(checks, filter.r#type.as_str());
            }
        });
    }
    let answer = "requests that match are answered with 500";
    let answered = rule.filters.iter().any(|filter| filter.r#type == HttpFilterType::RequestRedirect || unknown(filter.r#type));
    if rule.backend_refs.is_empty() && !answered {
        no_backend(checks, answer, "add a backend, or a RequestRedirect filter");
    }
    backends(checks, rule.backend_refs.iter().map(|backend| (backend.target(), backend.weight())), answer);
}

fn grpc_rule(rule: &GrpcRule, checks: &mut Checks) {
    checks.each("matches", &rule.matches, |checks, found| {
        if let Some(method) = found.method.as_ref().filter(|method| method.r#type == ValueMatchType::RegularExpression) {
            for (field, pattern) in [("method.service", &method.service), ("method.method", &method.method)] {
                if let Some(pattern) = pattern {
                    regex(checks, field, pattern);
                }
            }
        }
        let mut names = BTreeMap::new();
        checks.each("headers", &found.headers, |checks, header| {
            if header.r#type == ValueMatchType::RegularExpression {
                regex(checks, "value", &header.value);
            }
            once(checks, &mut names, &header.name);
        });
    });
    checks.each("filters", &rule.filters, |checks, filter| {
        if filter.r#type == GrpcFilterType::ExtensionRef {
            not_implemented(checks, filter.r#type.as_str());
        }
    });
    for (index, backend) in rule.backend_refs.iter().enumerate() {
        checks.each(&format!("backendRefs[{index}].filters"), &backend.filters, |checks, filter| {
            if filter.r#type == GrpcFilterType::ExtensionRef {
                not_implemented(checks, filter.r#type.as_str());
            }
        });
    }
    let answer = "calls that match are answered with UNAVAILABLE";
    if rule.backend_refs.is_empty() && !rule.filters.iter().any(|filter| filter.r#type == GrpcFilterType::ExtensionRef) {
        no_backend(checks, answer, "add a backend");
    }
    backends(checks, rule.backend_refs.iter().map(|backend| (backend.target(), backend.weight())), answer);
}

/// Of two conditions on one header the first counts; the API server tells them apart by case.
fn once(checks: &mut Checks, names: &mut BTreeMap<String, String>, name: &str) {
    // The very same name twice is refused by the schema.
    if names.insert(name.to_ascii_lowercase(), name.to_owned()).is_some_and(|other| other != name) {
        checks.field("name", |checks| {
            let rule = "the header has a condition already (case does not matter): this one is ignored";
            checks.warning(shown(name), rule, "put both into one regular expression, or remove one");
        });
    }
}

fn no_backend(checks: &mut Checks, answer: &str, remedy: &str) {
    checks.field("backendRefs", |checks| checks.warning(None, format!("there is no backend: {answer}"), remedy));
}

fn not_implemented(checks: &mut Checks, kind: &str) {
    checks.field("type", |checks| {
        let rule = "this mesh does not implement the filter: requests that match are answered with 500";
        checks.warning(shown(kind), rule, "remove the filter, or use the mesh's own policies");
    });
}
