//! The HTTP connection manager.

use std::{sync::Arc, time::Duration};

use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, Rds,
    http_connection_manager::{
        CodecType, ForwardClientCertDetails, ForwardClientCertFormat, PathWithEscapedSlashesAction, RouteSpecifier,
        ServerHeaderTransformation, SetCurrentClientCertDetails, StripPortMode, UpgradeConfig,
    },
};

use super::{
    access_log, address,
    context::{Context, Result, ignored, refused},
    filter, http_options, route, scalar,
    source::{self, Source},
    text, tracing,
};
use crate::snapshot::{Codec, EscapedSlashes, Hcm, RouteSource, ServerHeader, StripPort, Xfcc, XfccMode};

/// `stream_idle_timeout`, if nothing else is said.
const STREAM_IDLE: Duration = Duration::from_secs(300);
/// `drain_timeout`, if nothing else is said.
const DRAIN: Duration = Duration::from_secs(5);
/// `delayed_close_timeout`, if nothing else is said.
const DELAYED_CLOSE: Duration = Duration::from_secs(1);

/// An `HttpConnectionManager`.
pub(crate) fn hcm(cx: &mut Context<'_>, wire: &HttpConnectionManager) -> Result<Hcm> {
    unimplemented_fields(cx, wire)?;
    let common = http_options::common(cx, "common_http_protocol_options", wire.common_http_protocol_options.as_ref())?;
    Ok(Hcm {
        stat_prefix: wire.stat_prefix.as_str().into(),
        codec: match scalar::known(cx, "codec_type", wire.codec_type)? {
            CodecType::Auto => Codec::Auto,
            CodecType::Http1 => Codec::Http1,
            CodecType::Http2 => Codec::Http2,
            CodecType::Http3 => return Err(cx.refuse_field("codec_type", "HTTP3 is not implemented")),
        },
        routes: routes(cx, wire.route_specifier.as_ref())?,
        filters: filter::chain(cx, "http_filters", &wire.http_filters)?,
        access_logs: access_log::logs(cx, "access_log", &wire.access_log)?,
        server_header: server_header(cx, wire)?,
        use_remote_address: scalar::flag(wire.use_remote_address.as_ref(), false),
        xff_trusted_hops: wire.xff_num_trusted_hops,
        internal_networks: match &wire.internal_address_config {
            Some(internal) => cx.field("internal_address_config", |cx| cx.each("cidr_ranges", &internal.cidr_ranges, address::range))?,
            None => Vec::new(),
        },
        skip_xff_append: wire.skip_xff_append,
        generate_request_id: scalar::flag(wire.generate_request_id.as_ref(), true),
        preserve_external_request_id: wire.preserve_external_request_id,
        request_id_in_response: wire.always_set_request_id_in_response,
        xfcc: xfcc(cx, wire.forward_client_cert_details, wire.set_current_client_cert_details.as_ref())?,
        normalize_path: scalar::flag(wire.normalize_path.as_ref(), false),
        merge_slashes: wire.merge_slashes,
        escaped_slashes: match scalar::known(cx, "path_with_escaped_slashes_action", wire.path_with_escaped_slashes_action)? {
            PathWithEscapedSlashesAction::ImplementationSpecificDefault | PathWithEscapedSlashesAction::KeepUnchanged => {
                EscapedSlashes::Keep
            }
            PathWithEscapedSlashesAction::RejectRequest => EscapedSlashes::Reject,
            PathWithEscapedSlashesAction::UnescapeAndRedirect => EscapedSlashes::UnescapeAndRedirect,
            PathWithEscapedSlashesAction::UnescapeAndForward => EscapedSlashes::UnescapeAndForward,
        },
        strip_host_port: match (&wire.strip_port_mode, wire.strip_matching_host_port) {
            (Some(StripPortMode::StripAnyHostPort(true)), true) => {
                return Err(cx.refuse_field("strip_any_host_port", "and strip_matching_host_port exclude each other"));
            }
            (Some(StripPortMode::StripAnyHostPort(true)), false) => StripPort::Any,
            (_, true) => StripPort::Matching,
            (_, false) => StripPort::No,
        },
        upgrades: cx.each("upgrade_configs", &wire.upgrade_configs, upgrade)?.into_iter().flatten().collect(),
        stream_idle_timeout: scalar::zero_is_off(cx, "stream_idle_timeout", wire.stream_idle_timeout.as_ref(), Some(STREAM_IDLE))?,
        request_timeout: scalar::zero_is_off(cx, "request_timeout", wire.request_timeout.as_ref(), None)?,
        request_headers_timeout: scalar::zero_is_off(cx, "request_headers_timeout", wire.request_headers_timeout.as_ref(), None)?,
        idle_timeout: common.idle_timeout,
        max_connection_duration: common.max_connection_duration,
        max_requests_per_connection: common.max_requests,
        max_header_bytes: match scalar::number(wire.max_request_headers_kb.as_ref(), 60) {
            kilobytes @ 1..=8192 => kilobytes as usize * 1024,
            _ => return Err(cx.refuse_field("max_request_headers_kb", "must be 1 to 8192")),
        },
        max_headers: common.max_headers,
        http2: http_options::http2(cx, "http2_protocol_options", wire.http2_protocol_options.as_ref())?,
        drain_timeout: scalar::optional(cx, "drain_timeout", wire.drain_timeout.as_ref())?.unwrap_or(DRAIN),
        delayed_close: scalar::optional(cx, "delayed_close_timeout", wire.delayed_close_timeout.as_ref())?.unwrap_or(DELAYED_CLOSE),
        tracing: wire.tracing.as_ref().map(|wire| cx.field("tracing", |cx| tracing::tracing(cx, wire))).transpose()?,
        via: text::optional(&wire.via),
        accept_http10: http_options::http1(cx, "http_protocol_options", wire.http_protocol_options.as_ref()),
    })
}

/// Names every field: those that [`hcm`] reads, and those that it does not.
fn unimplemented_fields(cx: &mut Context<'_>, wire: &HttpConnectionManager) -> Result<()> {
    #[expect(deprecated, reason = "every field is looked at")]
    let HttpConnectionManager {
        codec_type: _,
        stat_prefix: _,
        http_filters: _,
        add_user_agent,
        tracing: _,
        common_http_protocol_options: _,
        http1_safe_max_connection_duration,
        http_protocol_options: _,
        http2_protocol_options: _,
        http3_protocol_options,
        server_name: _,
        server_header_transformation: _,
        scheme_header_transformation,
        max_request_headers_kb: _,
        stream_idle_timeout: _,
        stream_flush_timeout,
        request_timeout: _,
        request_headers_timeout: _,
        drain_timeout: _,
        drain_timeout_jitter,
        delayed_close_timeout: _,
        access_log: _,
        access_log_flush_interval,
        flush_access_log_on_new_request,
        access_log_options,
        use_remote_address: _,
        xff_num_trusted_hops: _,
        original_ip_detection_extensions,
        early_header_mutation_extensions,
        internal_address_config: _,
        skip_xff_append: _,
        via: _,
        generate_request_id: _,
        preserve_external_request_id: _,
        always_set_request_id_in_response: _,
        forward_client_cert_details: _,
        set_current_client_cert_details: _,
        forward_client_cert_matcher,
        proxy_100_continue,
        represent_ipv4_remote_address_as_ipv4_mapped_ipv6,
        upgrade_configs: _,
        normalize_path: _,
        merge_slashes: _,
        path_with_escaped_slashes_action: _,
        request_id_extension,
        local_reply_config,
        strip_matching_host_port: _,
        stream_error_on_invalid_http_message,
        path_normalization_options,
        strip_trailing_host_dot,
        proxy_status_config,
        typed_header_validation_config,
        append_x_forwarded_port,
        append_local_overload,
        add_proxy_protocol_connection_state,
        forward_proto_config,
        route_specifier: _,
        strip_port_mode: _,
    } = wire;
    ignored!(cx; add_user_agent, http1_safe_max_connection_duration, http3_protocol_options, scheme_header_transformation, stream_flush_timeout,
        drain_timeout_jitter, access_log_flush_interval, flush_access_log_on_new_request, access_log_options,
        proxy_100_continue, represent_ipv4_remote_address_as_ipv4_mapped_ipv6, request_id_extension, local_reply_config,
        stream_error_on_invalid_http_message, strip_trailing_host_dot, proxy_status_config, append_x_forwarded_port, append_local_overload,
        add_proxy_protocol_connection_state, forward_proto_config);
    refused!(cx; "the client's address would be another; use xff_num_trusted_hops"; original_ip_detection_extensions);
    refused!(cx; "requests would be routed by other headers"; early_header_mutation_extensions);
    refused!(cx; "client certificates would be forwarded by another rule"; forward_client_cert_matcher);
    refused!(cx; "paths would be matched in another form; use normalize_path and merge_slashes"; path_normalization_options);
    refused!(cx; "headers would not be validated by it"; typed_header_validation_config);
    Ok(())
}

fn routes(cx: &mut Context<'_>, wire: Option<&RouteSpecifier>) -> Result<RouteSource> {
    match wire {
        None => Err(cx.refuse_field("route_config", "is missing; give route_config or rds")),
        Some(RouteSpecifier::RouteConfig(wire)) => {
            cx.field("route_config", |cx| route::table(cx, wire)).map(|table| RouteSource::Inline(Arc::new(table)))
        }
        Some(RouteSpecifier::Rds(Rds { config_source, route_config_name })) => cx.field("rds", |cx| {
            if source::source(cx, "config_source", config_source.as_ref())? != Source::Ads {
                return Err(cx.refuse_field("config_source", "only ads is implemented for routes"));
            }
            if route_config_name.is_empty() {
                return Err(cx.refuse_field("route_config_name", "is empty"));
            }
            Ok(RouteSource::Rds(cx.route_table(route_config_name)))
        }),
        Some(RouteSpecifier::ScopedRoutes(_)) => Err(cx.refuse_field("scoped_routes", "are not implemented; give route_config or rds")),
    }
}

fn server_header(cx: &mut Context<'_>, wire: &HttpConnectionManager) -> Result<ServerHeader> {
    let name = if wire.server_name.is_empty() { "envoy" } else { &wire.server_name };
    let name = text::header_value(cx, "server_name", name)?;
    Ok(match scalar::known(cx, "server_header_transformation", wire.server_header_transformation)? {
        ServerHeaderTransformation::Overwrite => ServerHeader::Overwrite(name),
        ServerHeaderTransformation::AppendIfAbsent => ServerHeader::AppendIfAbsent(name),
        ServerHeaderTransformation::PassThrough => ServerHeader::PassThrough,
    })
}

fn xfcc(cx: &mut Context<'_>, mode: i32, details: Option<&SetCurrentClientCertDetails>) -> Result<Xfcc> {
    let mode = match scalar::known(cx, "forward_client_cert_details", mode)? {
        ForwardClientCertDetails::Sanitize => XfccMode::Sanitize,
        ForwardClientCertDetails::ForwardOnly => XfccMode::ForwardOnly,
        ForwardClientCertDetails::AppendForward => XfccMode::AppendForward,
        ForwardClientCertDetails::SanitizeSet => XfccMode::SanitizeSet,
        ForwardClientCertDetails::AlwaysForwardOnly => XfccMode::AlwaysForwardOnly,
    };
    let Some(details) = details else { return Ok(Xfcc { mode, ..Xfcc::default() }) };
    let SetCurrentClientCertDetails { subject, cert, chain, dns, uri, issuer, format } = details;
    cx.field("set_current_client_cert_details", |cx| {
        ignored!(cx; issuer);
        if scalar::known::<ForwardClientCertFormat>(cx, "format", *format)? != ForwardClientCertFormat::Text {
            return Err(cx.refuse_field("format", "only TEXT is implemented"));
        }
        Ok(Xfcc { mode, subject: scalar::flag(subject.as_ref(), false), uri: *uri, dns: *dns, cert: *cert, chain: *chain })
    })
}

fn upgrade(cx: &mut Context<'_>, wire: &UpgradeConfig) -> Result<Option<Arc<str>>> {
    let UpgradeConfig { upgrade_type, filters, enabled } = wire;
    refused!(cx; "upgraded requests would go through other filters"; filters);
    if upgrade_type.is_empty() {
        return Err(cx.refuse_field("upgrade_type", "is empty"));
    }
    Ok(scalar::flag(enabled.as_ref(), true).then(|| upgrade_type.to_ascii_lowercase().into()))
}
