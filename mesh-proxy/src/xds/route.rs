//! Route tables, virtual hosts and routes. What a table or virtual host says for all its routes is folded into each.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use mesh_proto::{
    canonical,
    envoy::config::route::v3::{
        CorsPolicy, Decorator, RetryPolicy as WireRetry, Route as WireRoute, RouteConfiguration, VirtualHost as WireHost,
        route::Action as WireAction, route_action::RequestMirrorPolicy, virtual_host::TlsRequirementType,
    },
};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    action,
    context::{Context, Result, ignored, refused},
    fault, headers, metadata,
    overrides::{self, Overrides},
    retry, route_match, scalar, text,
};
use crate::snapshot::{Action, Cors, HostIndex, RetryPolicy, Route, RouteTable, VirtualHost};

/// The longest body of a direct response, if nothing else is said.
const MAX_DIRECT_BODY: u32 = 4096;

/// What routes inherit.
pub(crate) struct Inherited<'a> {
    /// `max_direct_response_body_size_bytes`.
    pub(crate) max_direct_body: usize,
    /// The virtual host's retry policy.
    pub(crate) retry: Option<Arc<RetryPolicy>>,
    /// The virtual host's CORS policy.
    pub(crate) cors: Option<Arc<Cors>>,
    /// The virtual host's mirrors, or the table's.
    pub(crate) mirrors: &'a [RequestMirrorPolicy],
    /// The virtual host's overrides, and the table's.
    overrides: Overrides,
}

/// A route table.
pub(crate) fn table(cx: &mut Context<'_>, wire: &RouteConfiguration) -> Result<RouteTable> {
    let RouteConfiguration {
        name,
        virtual_hosts,
        vhds,
        internal_only_headers,
        response_headers_to_add,
        response_headers_to_remove,
        request_headers_to_add,
        request_headers_to_remove,
        most_specific_header_mutations_wins,
        validate_clusters,
        max_direct_response_body_size_bytes,
        cluster_specifier_plugins,
        request_mirror_policies,
        ignore_port_in_host_matching,
        vhost_header,
        ignore_path_parameters_in_path_matching,
        typed_per_filter_config,
        metadata: wire_metadata,
        route_specifiers,
    } = wire;
    // Plugins are refused where a route uses them.
    ignored!(cx; validate_clusters, cluster_specifier_plugins, wire_metadata);
    refused!(cx; "requests would be misrouted"; vhds, vhost_header, ignore_path_parameters_in_path_matching, route_specifiers);
    let edits = headers::Wire {
        request_add: request_headers_to_add,
        request_remove: request_headers_to_remove,
        response_add: response_headers_to_add,
        response_remove: response_headers_to_remove,
    };
    let edits = headers::mutations(cx, &edits)?;
    let inherited = Inherited {
        max_direct_body: scalar::number(max_direct_response_body_size_bytes.as_ref(), MAX_DIRECT_BODY) as usize,
        retry: None,
        cors: None,
        mirrors: request_mirror_policies,
        overrides: overrides::overrides(cx, typed_per_filter_config)?,
    };
    Ok(RouteTable {
        name: name.as_str().into(),
        hosts: host_index(cx, virtual_hosts)?,
        virtual_hosts: cx.each("virtual_hosts", virtual_hosts, |cx, wire| virtual_host(cx, wire, &inherited).map(Arc::new))?,
        headers: edits,
        most_specific_wins: *most_specific_header_mutations_wins,
        ignore_port: *ignore_port_in_host_matching,
        internal_only_headers: cx.each("internal_only_headers", internal_only_headers, |cx, name| text::header_name(cx, "", name))?,
        hash: xxh3_64(&canonical::encode(wire)),
    })
}

/// Domains must be unique over all virtual hosts, as must their names.
fn host_index(cx: &mut Context<'_>, hosts: &[WireHost]) -> Result<HostIndex> {
    let mut index = HostIndex::default();
    let (mut suffixes, mut prefixes): (HashMap<Arc<str>, usize>, HashMap<Arc<str>, usize>) = Default::default();
    let mut names = HashSet::new();
    cx.each("virtual_hosts", hosts.iter().enumerate(), |cx, (position, host)| {
        if !names.insert(host.name.as_str()) {
            return Err(cx.refuse_field("name", format!("{:?} is the name of another virtual host, too", host.name)));
        }
        if host.domains.is_empty() {
            return Err(cx.refuse_field("domains", "is empty"));
        }
        cx.each("domains", &host.domains, |cx, domain| {
            let domain = domain.to_ascii_lowercase();
            let before = if domain == "*" {
                index.any.replace(position)
            } else if let Some(suffix) = domain.strip_prefix('*') {
                suffixes.insert(suffix.into(), position)
            } else if let Some(prefix) = domain.strip_suffix('*') {
                prefixes.insert(prefix.into(), position)
            } else if domain.is_empty() {
                return Err(cx.refuse("is empty"));
            } else {
                index.exact.insert(domain.as_str().into(), position)
            };
            match before {
                None => Ok(()),
                Some(other) => Err(cx.refuse(format!("{domain:?} is a domain of virtual host {:?}, too", hosts[other].name))),
            }
        })
        .map(drop)
    })?;
    let longest_first = |map: HashMap<Arc<str>, usize>| {
        let mut list: Vec<_> = map.into_iter().collect();
        list.sort_unstable_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        list
    };
    index.suffix = longest_first(suffixes);
    index.prefix = longest_first(prefixes);
    Ok(index)
}

fn virtual_host(cx: &mut Context<'_>, wire: &WireHost, table: &Inherited<'_>) -> Result<VirtualHost> {
    #[expect(deprecated, reason = "every field is looked at, and control planes still send cors")]
    let WireHost {
        name,
        domains: _,
        routes,
        matcher,
        require_tls,
        virtual_clusters,
        rate_limits,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        cors: wire_cors,
        typed_per_filter_config,
        include_request_attempt_count,
        include_attempt_count_in_response,
        retry_policy,
        retry_policy_typed_config,
        hedge_policy,
        include_is_timeout_retry_header,
        per_request_buffer_limit_bytes,
        request_body_buffer_limit,
        request_mirror_policies,
        metadata: wire_metadata,
        route_specifiers,
    } = wire;
    ignored!(cx; virtual_clusters, rate_limits, hedge_policy,
        include_is_timeout_retry_header, per_request_buffer_limit_bytes, request_body_buffer_limit, wire_metadata);
    refused!(cx; "requests would be misrouted"; matcher, route_specifiers);
    refused!(cx; "requests would be retried by another rule; use retry_policy"; retry_policy_typed_config);
    let require_tls = match scalar::known(cx, "require_tls", *require_tls)? {
        TlsRequirementType::None => false,
        TlsRequirementType::All => true,
        TlsRequirementType::ExternalOnly => {
            return Err(cx.refuse_field("require_tls", "EXTERNAL_ONLY is not implemented: plaintext would be let through; use ALL"));
        }
    };
    let edits = headers::Wire {
        request_add: request_headers_to_add,
        request_remove: request_headers_to_remove,
        response_add: response_headers_to_add,
        response_remove: response_headers_to_remove,
    };
    let edits = headers::mutations(cx, &edits)?;
    let inherited = Inherited {
        max_direct_body: table.max_direct_body,
        retry: retry_of(cx, retry_policy.as_ref())?,
        cors: cors_of(cx, wire_cors.as_ref())?,
        mirrors: if request_mirror_policies.is_empty() { table.mirrors } else { request_mirror_policies },
        overrides: overrides::fold(overrides::overrides(cx, typed_per_filter_config)?, &table.overrides),
    };
    Ok(VirtualHost {
        name: name.as_str().into(),
        routes: cx.each("routes", routes, |cx, wire| route(cx, wire, &inherited).map(Arc::new))?,
        require_tls,
        headers: edits,
        attempt_count_in_request: *include_request_attempt_count,
        attempt_count_in_response: *include_attempt_count_in_response,
    })
}

/// A level's own retry policy.
pub(crate) fn retry_of(cx: &mut Context<'_>, wire: Option<&WireRetry>) -> Result<Option<Arc<RetryPolicy>>> {
    wire.map(|wire| cx.field("retry_policy", |cx| retry::policy(cx, wire)).map(Arc::new)).transpose()
}

/// A level's own CORS policy.
pub(crate) fn cors_of(cx: &mut Context<'_>, wire: Option<&CorsPolicy>) -> Result<Option<Arc<Cors>>> {
    match wire {
        None => Ok(None),
        Some(wire) => Ok(cx.field("cors", |cx| fault::route_cors(cx, wire))?.map(Arc::new)),
    }
}

fn route(cx: &mut Context<'_>, wire: &WireRoute, inherited: &Inherited<'_>) -> Result<Route> {
    #[expect(deprecated, reason = "every field is looked at")]
    let WireRoute {
        name,
        r#match,
        metadata: wire_metadata,
        decorator,
        typed_per_filter_config,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        tracing,
        per_request_buffer_limit_bytes,
        stat_prefix,
        request_body_buffer_limit,
        route_specifiers,
        action: wire_action,
    } = wire;
    ignored!(cx; tracing, per_request_buffer_limit_bytes, request_body_buffer_limit);
    refused!(cx; "requests would be misrouted"; route_specifiers);
    let edits = headers::Wire {
        request_add: request_headers_to_add,
        request_remove: request_headers_to_remove,
        response_add: response_headers_to_add,
        response_remove: response_headers_to_remove,
    };
    let matcher = cx.field("match", |cx| {
        let wire = r#match.as_ref().ok_or_else(|| cx.refuse("is missing"))?;
        route_match::route_match(cx, wire)
    })?;
    let operation = decorator.as_ref().and_then(|Decorator { operation, propagate }| {
        if propagate.is_some() {
            cx.ignore("decorator.propagate");
        }
        text::optional(operation)
    });
    Ok(Route {
        name: name.as_str().into(),
        provenance: metadata::provenance(wire_metadata.as_ref()),
        matcher,
        action: route_action(cx, wire_action.as_ref(), inherited)?,
        headers: headers::mutations(cx, &edits)?,
        overrides: overrides::fold(overrides::overrides(cx, typed_per_filter_config)?, &inherited.overrides),
        operation,
        stat_prefix: text::optional(stat_prefix),
    })
}

fn route_action(cx: &mut Context<'_>, wire: Option<&WireAction>, inherited: &Inherited<'_>) -> Result<Action> {
    match wire {
        None => Err(cx.refuse("has no action; give route, redirect or direct_response")),
        Some(WireAction::Route(wire)) => cx.field("route", |cx| action::forward(cx, wire, inherited)),
        Some(WireAction::Redirect(wire)) => cx.field("redirect", |cx| action::redirect(cx, wire)).map(Action::Redirect),
        Some(WireAction::DirectResponse(wire)) => cx.field("direct_response", |cx| action::direct(cx, wire, inherited.max_direct_body)),
        Some(WireAction::FilterAction(_)) => Ok(action::refuse(cx, "filter_action is not implemented")),
        Some(WireAction::NonForwardingAction(_)) => Ok(action::refuse(cx, "non_forwarding_action is not implemented")),
    }
}
