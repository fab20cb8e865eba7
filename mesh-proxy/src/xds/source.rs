//! Where a dynamic resource comes from: `ConfigSource`.

use std::sync::Arc;

use mesh_proto::envoy::config::core::v3::{
    ApiConfigSource, ApiVersion, ConfigSource, GrpcService, PathConfigSource,
    api_config_source::ApiType,
    config_source::ConfigSourceSpecifier,
    grpc_service::{EnvoyGrpc, GoogleGrpc, TargetSpecifier},
};

use super::context::{Context, Result, ignored, refused};
use super::scalar;

/// Where a resource comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The ADS stream.
    Ads,
    /// A gRPC service of its own.
    Grpc(Target),
    /// A file.
    Path(Arc<str>),
    /// The bootstrap's own resources.
    Static,
}

/// A gRPC service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A cluster of ours (`envoy_grpc`).
    Cluster(Arc<str>),
    /// A URI, such as `unix:/run/sds.sock` or `host:port` (`google_grpc`).
    Uri(Arc<str>),
}

/// A source that must be there.
pub(crate) fn source(cx: &mut Context<'_>, name: &str, wire: Option<&ConfigSource>) -> Result<Source> {
    cx.field(name, |cx| {
        let wire = wire.ok_or_else(|| cx.refuse("is missing"))?;
        let ConfigSource { authorities, initial_fetch_timeout, resource_api_version, config_source_specifier } = wire;
        refused!(cx; "the resource would be another"; authorities);
        ignored!(cx; initial_fetch_timeout);
        version(cx, "resource_api_version", *resource_api_version)?;
        #[expect(deprecated, reason = "path is still common in static configurations")]
        match config_source_specifier {
            None => Err(cx.refuse("is empty; give ads or api_config_source")),
            Some(ConfigSourceSpecifier::Ads(_) | ConfigSourceSpecifier::Self_(_)) => Ok(Source::Ads),
            Some(ConfigSourceSpecifier::Path(path)) => Ok(Source::Path(path.as_str().into())),
            Some(ConfigSourceSpecifier::PathConfigSource(PathConfigSource { path, watched_directory, poll_interval })) => {
                ignored!(cx; watched_directory, poll_interval);
                Ok(Source::Path(path.as_str().into()))
            }
            Some(ConfigSourceSpecifier::ApiConfigSource(wire)) => cx.field("api_config_source", |cx| {
                let api = api(cx, wire)?;
                Ok(if api.aggregated { Source::Ads } else { Source::Grpc(api.target) })
            }),
        }
    })
}

/// Keys and values of gRPC metadata.
pub(crate) type Metadata = Vec<(Arc<str>, Arc<str>)>;

/// An `ApiConfigSource`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Api {
    /// Delta, not state of the world.
    pub(crate) delta: bool,
    /// `AGGREGATED_*`: by the ADS stream.
    pub(crate) aggregated: bool,
    /// The first service.
    pub(crate) target: Target,
    /// Metadata of the stream.
    pub(crate) metadata: Metadata,
}

/// A gRPC API.
pub(crate) fn api(cx: &mut Context<'_>, wire: &ApiConfigSource) -> Result<Api> {
    let ApiConfigSource {
        api_type,
        transport_api_version,
        cluster_names,
        grpc_services,
        refresh_delay,
        request_timeout,
        rate_limit_settings,
        set_node_on_first_message_only,
        config_validators,
    } = wire;
    ignored!(cx; cluster_names, refresh_delay, request_timeout, rate_limit_settings, set_node_on_first_message_only);
    refused!(cx; "configuration would not be validated"; config_validators);
    version(cx, "transport_api_version", *transport_api_version)?;
    let (delta, aggregated) = match scalar::known(cx, "api_type", *api_type)? {
        ApiType::Grpc => (false, false),
        ApiType::DeltaGrpc => (true, false),
        ApiType::AggregatedGrpc => (false, true),
        ApiType::AggregatedDeltaGrpc => (true, true),
        _ => return Err(cx.refuse_field("api_type", "only GRPC and DELTA_GRPC are implemented")),
    };
    if aggregated && grpc_services.is_empty() {
        return Ok(Api { delta, aggregated, target: Target::Cluster("".into()), metadata: Vec::new() });
    }
    if grpc_services.len() > 1 {
        cx.ignore("grpc_services[1]");
    }
    cx.field("grpc_services[0]", |cx| {
        let wire = grpc_services.first().ok_or_else(|| cx.refuse("is missing"))?;
        let (target, metadata) = service(cx, wire)?;
        Ok(Api { delta, aggregated, target, metadata })
    })
}

/// A gRPC service, and the metadata to send with its calls.
pub(crate) fn service(cx: &mut Context<'_>, wire: &GrpcService) -> Result<(Target, Metadata)> {
    let GrpcService { timeout, initial_metadata, retry_policy, target_specifier } = wire;
    ignored!(cx; timeout, retry_policy);
    let metadata = initial_metadata.iter().map(|header| (Arc::from(header.key.as_str()), Arc::from(header.value.as_str()))).collect();
    let target = match target_specifier {
        None => return Err(cx.refuse("names no service; give envoy_grpc or google_grpc")),
        Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
            cluster_name,
            authority,
            retry_policy,
            max_receive_message_length,
            skip_envoy_headers,
        })) => {
            cx.field("envoy_grpc", |cx| {
                ignored!(cx; authority, retry_policy, max_receive_message_length, skip_envoy_headers);
                if cluster_name.is_empty() { Err(cx.refuse_field("cluster_name", "is empty")) } else { Ok(()) }
            })?;
            Target::Cluster(cluster_name.as_str().into())
        }
        Some(TargetSpecifier::GoogleGrpc(wire)) => cx.field("google_grpc", |cx| google(cx, wire))?,
    };
    Ok((target, metadata))
}

fn google(cx: &mut Context<'_>, wire: &GoogleGrpc) -> Result<Target> {
    let GoogleGrpc {
        target_uri,
        channel_credentials,
        channel_credentials_plugin,
        call_credentials,
        call_credentials_plugin,
        stat_prefix,
        credentials_factory_name,
        config,
        per_stream_buffer_limit_bytes,
        channel_args,
    } = wire;
    ignored!(cx; stat_prefix, config, per_stream_buffer_limit_bytes, channel_args, credentials_factory_name);
    refused!(cx; "the service would be spoken to without them; use envoy_grpc with a cluster that has a transport_socket";
        channel_credentials, channel_credentials_plugin, call_credentials, call_credentials_plugin);
    if target_uri.is_empty() {
        return Err(cx.refuse_field("target_uri", "is empty"));
    }
    Ok(Target::Uri(target_uri.as_str().into()))
}

fn version(cx: &mut Context<'_>, name: &str, wire: i32) -> Result<()> {
    match scalar::known(cx, name, wire)? {
        ApiVersion::Auto | ApiVersion::V3 => Ok(()),
        _ => Err(cx.refuse_field(name, "must be V3")),
    }
}
