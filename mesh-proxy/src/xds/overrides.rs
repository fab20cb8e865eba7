//! What tables, virtual hosts, routes and parts of weighted clusters say for single filters (`typed_per_filter_config`).

use std::{collections::HashMap, sync::Arc};

use mesh_proto::{
    envoy::{
        config::route::v3::FilterConfig,
        extensions::filters::http::{
            cors::v3::CorsPolicy, fault::v3::HttpFault, header_mutation::v3::HeaderMutationPerRoute, rbac::v3::RbacPerRoute,
        },
    },
    google::protobuf::Any,
};

use super::{
    any::Typed,
    context::{Context, Result},
    fault, headers, rbac,
};
use crate::snapshot::FilterOverride;

/// Overrides by filter name, sorted.
pub(crate) type Overrides = Vec<(Arc<str>, FilterOverride)>;

/// One level's overrides.
pub(crate) fn overrides(cx: &mut Context<'_>, wire: &HashMap<String, Any>) -> Result<Overrides> {
    let mut sorted: Vec<_> = wire.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let mut overrides = Vec::with_capacity(sorted.len());
    for (name, any) in sorted {
        let converted = cx.field(&format!("typed_per_filter_config[{name:?}]"), |cx| level(cx, any))?;
        if let Some(converted) = converted {
            overrides.push((Arc::from(name.as_str()), converted));
        }
    }
    Ok(overrides)
}

/// `specific`, and of `general` what `specific` does not speak of.
pub(crate) fn fold(mut specific: Overrides, general: &Overrides) -> Overrides {
    for (name, converted) in general {
        if specific.iter().all(|(known, _)| known != name) {
            specific.push((name.clone(), converted.clone()));
        }
    }
    specific
}

fn level(cx: &mut Context<'_>, any: &Any) -> Result<Option<FilterOverride>> {
    let typed = Typed::open(cx, any)?;
    if typed.name() != "envoy.config.route.v3.FilterConfig" {
        return config(cx, &typed, false);
    }
    let FilterConfig { config: wire, is_optional, disabled } = typed.decode(cx)?;
    match wire {
        _ if disabled => Ok(Some(FilterOverride::Disabled)),
        None => Ok(Some(FilterOverride::Enabled)),
        Some(any) => cx.field("config", |cx| {
            let typed = Typed::open(cx, &any)?;
            // An empty message is Istio's way to switch a filter on.
            if typed.name() == "google.protobuf.Empty" { Ok(Some(FilterOverride::Enabled)) } else { config(cx, &typed, is_optional) }
        }),
    }
}

fn config(cx: &mut Context<'_>, typed: &Typed<'_>, is_optional: bool) -> Result<Option<FilterOverride>> {
    Ok(Some(match typed.name() {
        "envoy.extensions.filters.http.fault.v3.HTTPFault" => {
            let wire: HttpFault = typed.decode(cx)?;
            FilterOverride::Fault(Arc::new(fault::fault(cx, &wire)?))
        }
        "envoy.extensions.filters.http.rbac.v3.RBACPerRoute" => {
            let RbacPerRoute { rbac: wire } = typed.decode(cx)?;
            let policy = wire.map(|wire| cx.field("rbac", |cx| rbac::http(cx, &wire))).transpose()?;
            FilterOverride::Rbac(policy.map(Arc::new))
        }
        "envoy.extensions.filters.http.cors.v3.CorsPolicy" => {
            let wire: CorsPolicy = typed.decode(cx)?;
            fault::filter_cors(cx, &wire)?.map_or(FilterOverride::Disabled, |cors| FilterOverride::Cors(Arc::new(cors)))
        }
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute" => {
            let HeaderMutationPerRoute { mutations } = typed.decode(cx)?;
            let mutations = mutations.unwrap_or_default();
            let (request, response) = cx.field("mutations", |cx| headers::filter(cx, &mutations))?;
            FilterOverride::HeaderMutation { request: request.into(), response: response.into() }
        }
        // Of a filter that exists here, and not what it takes.
        name if !is_optional
            && ["fault", "rbac", "cors", "header_mutation"]
                .iter()
                .any(|filter| name.starts_with(&format!("envoy.extensions.filters.http.{filter}."))) =>
        {
            return Err(cx.refuse(format!("{name} is not what this filter takes for a route")));
        }
        // Of a filter that does not exist here: where it is in a chain, it answers 500 itself.
        _ => {
            cx.ignore("");
            return Ok(None);
        }
    }))
}
