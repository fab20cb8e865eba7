//! The parts of a bootstrap.

use std::sync::Arc;

use mesh_proto::envoy::config::{
    bootstrap::v3::{Admin as WireAdmin, Bootstrap, ClusterManager},
    core::v3::ConfigSource,
    metrics::v3::{StatsConfig, TagSpecifier, tag_specifier::TagValue},
};

use super::Admin;
use crate::xds::{Context, Result, Source, convert_address, convert_logs, ignored, refused, source};

/// Names every field: those that [`super::load`] reads, and those that it does not.
pub(super) fn unimplemented_fields(cx: &mut Context<'_>, wire: &Bootstrap) -> Result<()> {
    #[expect(deprecated, reason = "every field is looked at")]
    let Bootstrap {
        node: _,
        node_context_params,
        static_resources: _,
        dynamic_resources: _,
        cluster_manager: _,
        hds_config,
        flags_path,
        stats_sinks,
        deferred_stat_options,
        stats_config: _,
        stats_flush_interval,
        watchdog,
        watchdogs,
        tracing,
        layered_runtime,
        admin: _,
        overload_manager,
        enable_dispatcher_stats,
        header_prefix,
        stats_server_version_override,
        use_tcp_for_dns_lookups,
        dns_resolution_config,
        typed_dns_resolver_config,
        bootstrap_extensions,
        fatal_actions,
        config_sources,
        default_config_source,
        default_socket_interface,
        certificate_provider_instances,
        inline_headers,
        perf_tracing_file_path,
        default_regex_engine,
        xds_delegate_extension,
        xds_config_tracker_extension,
        listener_manager,
        application_log_config,
        grpc_async_client_manager_config,
        memory_allocator_manager,
        enable_worker_cpu_affinity,
        stats_flush,
        stats_eviction,
    } = wire;
    ignored!(cx; node_context_params, hds_config, flags_path, stats_sinks, deferred_stat_options, stats_flush_interval, watchdog, watchdogs,
        tracing, layered_runtime, overload_manager, enable_dispatcher_stats, stats_server_version_override, use_tcp_for_dns_lookups,
        typed_dns_resolver_config, bootstrap_extensions, fatal_actions, config_sources, default_socket_interface,
        certificate_provider_instances, inline_headers, perf_tracing_file_path, default_regex_engine, xds_config_tracker_extension,
        listener_manager, application_log_config, grpc_async_client_manager_config, memory_allocator_manager, enable_worker_cpu_affinity,
        stats_flush, stats_eviction);
    refused!(cx; "internal headers would have other names"; header_prefix);
    refused!(cx; "another resolver might give other addresses"; dns_resolution_config);
    refused!(cx; "resources would come from elsewhere"; default_config_source, xds_delegate_extension);
    Ok(())
}

pub(super) fn admin(cx: &mut Context<'_>, wire: Option<&WireAdmin>) -> Result<Option<Admin>> {
    let Some(wire) = wire else { return Ok(None) };
    #[expect(deprecated, reason = "every field is looked at")]
    let WireAdmin { access_log, access_log_path, profile_path, address, socket_options, ignore_global_conn_limit, allow_paths } = wire;
    ignored!(cx; access_log_path, profile_path, socket_options, ignore_global_conn_limit);
    refused!(cx; "other paths would be served, too"; allow_paths);
    let access_logs = convert_logs(cx, "access_log", access_log)?;
    let Some(address) = address else { return Ok(None) };
    let address = cx.field("address", |cx| convert_address(cx, Some(address)))?;
    Ok(Some(Admin { address, access_logs }))
}

/// Where all resources of a type come from.
pub(super) fn collection(cx: &mut Context<'_>, name: &str, wire: Option<&ConfigSource>) -> Result<Option<Source>> {
    wire.map(|wire| source(cx, name, Some(wire))).transpose()
}

pub(super) fn stats_tags(cx: &mut Context<'_>, wire: Option<&StatsConfig>) -> Result<Vec<(Arc<str>, Arc<str>)>> {
    let Some(wire) = wire else { return Ok(Vec::new()) };
    let StatsConfig { stats_tags, use_all_default_tags, stats_matcher, histogram_bucket_settings, allow_default_tag_overrides } = wire;
    ignored!(cx; use_all_default_tags, stats_matcher, histogram_bucket_settings, allow_default_tag_overrides);
    let tags = cx.each("stats_tags", stats_tags, |cx, TagSpecifier { tag_name, tag_value }| {
        Ok(match tag_value {
            Some(TagValue::FixedValue(value)) => Some((Arc::from(tag_name.as_str()), Arc::from(value.as_str()))),
            _ => {
                cx.ignore("");
                None
            }
        })
    })?;
    Ok(tags.into_iter().flatten().collect())
}

pub(super) fn cluster_manager(cx: &mut Context<'_>, wire: Option<ClusterManager>) -> Result<Option<Arc<str>>> {
    let Some(wire) = wire else { return Ok(None) };
    let ClusterManager { local_cluster_name, outlier_detection, upstream_bind_config, load_stats_config, enable_deferred_cluster_creation } =
        wire;
    ignored!(cx; outlier_detection, load_stats_config, enable_deferred_cluster_creation);
    refused!(cx; "connections would come from another address; set it on each cluster"; upstream_bind_config);
    Ok((!local_cluster_name.is_empty()).then(|| local_cluster_name.into()))
}
