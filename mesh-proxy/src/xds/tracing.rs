//! Tracing of a connection manager. What is missing here costs spans, never requests.

use std::sync::Arc;

use mesh_proto::envoy::{
    config::{
        core::v3::GrpcService,
        trace::v3::{
            OpenTelemetryConfig,
            tracing::{Http, http::ConfigType},
        },
    },
    extensions::filters::network::http_connection_manager::v3::http_connection_manager::Tracing as WireTracing,
    r#type::{
        tracing::v3::{
            CustomTag,
            custom_tag::{Environment, Header, Literal, Type},
        },
        v3::Percent as WirePercent,
    },
};

use super::{
    any::Typed,
    context::{Context, Result, ignored},
    scalar, source, text,
};
use crate::snapshot::{Direction, OtlpTarget, Percent, SpanTag, Tracing};

/// `HttpConnectionManager.Tracing`.
pub(crate) fn tracing(cx: &mut Context<'_>, wire: &WireTracing) -> Result<Tracing> {
    let WireTracing {
        client_sampling,
        random_sampling,
        overall_sampling,
        verbose,
        max_path_tag_length,
        custom_tags,
        provider: wire_provider,
        spawn_upstream_span,
        operation,
        upstream_operation,
        no_context_propagation,
    } = wire;
    ignored!(cx; verbose, max_path_tag_length, spawn_upstream_span, operation, upstream_operation, no_context_propagation);
    let mut share = |name: &str, wire: Option<&WirePercent>| match wire {
        None => Ok(Percent::ALWAYS),
        Some(WirePercent { value }) => scalar::percent(cx, name, *value),
    };
    let client_sampling = share("client_sampling", client_sampling.as_ref())?;
    let random_sampling = share("random_sampling", random_sampling.as_ref())?;
    let overall_sampling = share("overall_sampling", overall_sampling.as_ref())?;
    let otlp = match wire_provider {
        Some(wire) => cx.field("provider", |cx| provider(cx, wire))?,
        None => None,
    };
    Ok(Tracing {
        random_sampling,
        overall_sampling,
        client_sampling,
        otlp,
        tags: cx.each("custom_tags", custom_tags, tag)?.into_iter().flatten().collect(),
        egress: cx.direction == Direction::Outbound,
    })
}

fn provider(cx: &mut Context<'_>, wire: &Http) -> Result<Option<OtlpTarget>> {
    let Http { name: _, config_type } = wire;
    let Some(ConfigType::TypedConfig(any)) = config_type else {
        cx.ignore("");
        return Ok(None);
    };
    cx.field("typed_config", |cx| {
        let typed = Typed::open(cx, any)?;
        if typed.name() != "envoy.config.trace.v3.OpenTelemetryConfig" {
            cx.ignore("");
            return Ok(None);
        }
        let OpenTelemetryConfig {
            grpc_service,
            http_service,
            exporter,
            service_name,
            resource_detectors,
            sampler,
            max_cache_size,
            set_telemetry_sdk_resource_attributes,
            set_service_name_resource_attribute,
            set_instrumentation_scope,
        } = typed.decode(cx)?;
        ignored!(cx; http_service, exporter, resource_detectors, sampler, max_cache_size, set_telemetry_sdk_resource_attributes,
            set_service_name_resource_attribute, set_instrumentation_scope);
        let service_name: Arc<str> = if service_name.is_empty() { "unknown_service:envoy".into() } else { service_name.into() };
        grpc_service.as_ref().map_or(Ok(None), |wire| target(cx, wire, service_name))
    })
}

fn target(cx: &mut Context<'_>, wire: &GrpcService, service_name: Arc<str>) -> Result<Option<OtlpTarget>> {
    cx.field("grpc_service", |cx| match source::service(cx, wire)? {
        (source::Target::Cluster(cluster), _) => {
            cx.cluster(&cluster)?;
            Ok(Some(OtlpTarget { cluster, service_name }))
        }
        (source::Target::Uri(_), _) => {
            cx.ignore("google_grpc");
            Ok(None)
        }
    })
}

fn tag(cx: &mut Context<'_>, wire: &CustomTag) -> Result<Option<SpanTag>> {
    let CustomTag { tag, r#type } = wire;
    if tag.is_empty() {
        return Err(cx.refuse_field("tag", "is empty"));
    }
    let tag: Arc<str> = tag.as_str().into();
    Ok(match r#type {
        Some(Type::Literal(Literal { value })) => Some(SpanTag::Literal { tag, value: value.as_str().into() }),
        Some(Type::Environment(Environment { name, default_value })) => {
            let value = std::env::var(name).unwrap_or_else(|_| default_value.clone());
            (!value.is_empty()).then(|| SpanTag::Literal { tag, value: value.into() })
        }
        Some(Type::RequestHeader(Header { name, default_value })) => {
            let name = text::header_name(cx, "request_header.name", name)?;
            Some(SpanTag::RequestHeader { tag, name, default: text::optional(default_value) })
        }
        Some(Type::Value(value)) if !value.contains('%') => Some(SpanTag::Literal { tag, value: value.as_str().into() }),
        Some(Type::Metadata(_) | Type::Value(_)) | None => {
            cx.ignore("");
            None
        }
    })
}
