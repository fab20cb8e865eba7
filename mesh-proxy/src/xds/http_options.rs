//! Protocol options that connection managers and clusters share.

use std::time::Duration;

use mesh_proto::envoy::config::core::v3::{
    Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions, KeepaliveSettings, http_protocol_options::HeadersWithUnderscoresAction,
};

use super::{
    context::{Context, Result, ignored},
    scalar,
};
use crate::snapshot::Http2Options;

/// Idle connections are closed after an hour, if nothing else is said.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// `HttpProtocolOptions`.
pub(crate) struct Common {
    /// `None`: never.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_connection_duration: Option<Duration>,
    /// Default 100.
    pub(crate) max_headers: usize,
    /// 0: unlimited.
    pub(crate) max_requests: u32,
}

/// `common_http_protocol_options`.
pub(crate) fn common(cx: &mut Context<'_>, name: &str, wire: Option<&HttpProtocolOptions>) -> Result<Common> {
    let none = HttpProtocolOptions::default();
    cx.field(name, |cx| {
        let HttpProtocolOptions {
            idle_timeout,
            max_connection_duration,
            max_connection_duration_jitter,
            max_headers_count,
            max_response_headers_kb,
            max_stream_duration,
            headers_with_underscores_action,
            max_requests_per_connection,
        } = wire.unwrap_or(&none);
        ignored!(cx; max_connection_duration_jitter, max_response_headers_kb, max_stream_duration);
        let underscores: HeadersWithUnderscoresAction =
            scalar::known(cx, "headers_with_underscores_action", *headers_with_underscores_action)?;
        if underscores != HeadersWithUnderscoresAction::Allow {
            return Err(cx.refuse_field("headers_with_underscores_action", "only ALLOW is implemented: such headers would get through"));
        }
        Ok(Common {
            idle_timeout: scalar::zero_is_off(cx, "idle_timeout", idle_timeout.as_ref(), Some(IDLE_TIMEOUT))?,
            max_connection_duration: scalar::zero_is_off(cx, "max_connection_duration", max_connection_duration.as_ref(), None)?,
            max_headers: scalar::number(max_headers_count.as_ref(), 100) as usize,
            max_requests: scalar::number(max_requests_per_connection.as_ref(), 0),
        })
    })
}

/// `http_protocol_options`. Returns whether HTTP/1.0 is accepted.
pub(crate) fn http1(cx: &mut Context<'_>, name: &str, wire: Option<&Http1ProtocolOptions>) -> bool {
    let Some(wire) = wire else { return false };
    #[expect(deprecated, reason = "every field is looked at")]
    let Http1ProtocolOptions {
        allow_absolute_url,
        accept_http_10,
        default_host_for_http_10,
        header_key_format,
        enable_trailers,
        allow_chunked_length,
        override_stream_error_on_invalid_http_message,
        send_fully_qualified_url,
        use_balsa_parser,
        allow_custom_methods,
        ignore_http_11_upgrade,
    } = wire;
    // How messages are written, and relaxations of what is read.
    cx.field(name, |cx| {
        ignored!(cx; allow_absolute_url, default_host_for_http_10, header_key_format, enable_trailers, allow_chunked_length,
            override_stream_error_on_invalid_http_message, send_fully_qualified_url, use_balsa_parser, allow_custom_methods,
            ignore_http_11_upgrade);
    });
    *accept_http_10
}

/// What holds when nothing is said of HTTP/2 (Envoy 1.40).
pub(crate) fn http2_default() -> Http2Options {
    Http2Options {
        max_concurrent_streams: 1024,
        stream_window: 16 * 1024 * 1024,
        connection_window: 24 * 1024 * 1024,
        keepalive: None,
        allow_connect: false,
    }
}

/// `http2_protocol_options`.
pub(crate) fn http2(cx: &mut Context<'_>, name: &str, wire: Option<&Http2ProtocolOptions>) -> Result<Http2Options> {
    let default = http2_default();
    let Some(wire) = wire else { return Ok(default) };
    #[expect(deprecated, reason = "every field is looked at")]
    let Http2ProtocolOptions {
        hpack_table_size,
        max_concurrent_streams,
        initial_stream_window_size,
        initial_connection_window_size,
        allow_connect,
        allow_metadata,
        max_outbound_frames,
        max_outbound_control_frames,
        max_consecutive_inbound_frames_with_empty_payload,
        max_inbound_priority_frames_per_stream,
        max_inbound_window_update_frames_per_data_frame_sent,
        stream_error_on_invalid_http_messaging,
        override_stream_error_on_invalid_http_message,
        custom_settings_parameters,
        connection_keepalive,
        use_oghttp2_codec,
        max_metadata_size,
        enable_huffman_encoding,
        max_header_field_size_kb,
        disallow_obs_text,
        stream_reset_burst,
        stream_reset_rate,
    } = wire;
    cx.field(name, |cx| {
        // Tuning, and bounds on floods, for which the codec has its own.
        ignored!(cx; hpack_table_size, allow_metadata, max_outbound_frames, max_outbound_control_frames,
            max_consecutive_inbound_frames_with_empty_payload, max_inbound_priority_frames_per_stream,
            max_inbound_window_update_frames_per_data_frame_sent, stream_error_on_invalid_http_messaging,
            override_stream_error_on_invalid_http_message, custom_settings_parameters, use_oghttp2_codec, max_metadata_size,
            enable_huffman_encoding, max_header_field_size_kb, disallow_obs_text, stream_reset_burst, stream_reset_rate);
        let keepalive = match connection_keepalive {
            Some(wire) => cx.field("connection_keepalive", |cx| keepalive(cx, wire))?,
            None => None,
        };
        let streams = scalar::number(max_concurrent_streams.as_ref(), default.max_concurrent_streams);
        if streams == 0 || streams > i32::MAX.unsigned_abs() {
            return Err(cx.refuse_field("max_concurrent_streams", "must be 1 to 2147483647"));
        }
        let window = |name: &str, wire: Option<u32>, default: u32| match wire.unwrap_or(default) {
            size @ 65_535..=0x7fff_ffff => Ok(size),
            _ => Err(cx.refuse_field(name, "must be 65535 to 2147483647")),
        };
        Ok(Http2Options {
            max_concurrent_streams: streams,
            stream_window: window(
                "initial_stream_window_size",
                initial_stream_window_size.as_ref().map(|size| size.value),
                default.stream_window,
            )?,
            connection_window: window(
                "initial_connection_window_size",
                initial_connection_window_size.as_ref().map(|size| size.value),
                default.connection_window,
            )?,
            keepalive,
            allow_connect: *allow_connect,
        })
    })
}

fn keepalive(cx: &mut Context<'_>, wire: &KeepaliveSettings) -> Result<Option<(Duration, Duration)>> {
    let KeepaliveSettings { interval, timeout, interval_jitter, connection_idle_interval } = wire;
    ignored!(cx; interval_jitter, connection_idle_interval);
    let Some(interval) = scalar::optional(cx, "interval", interval.as_ref())? else { return Ok(None) };
    let timeout = scalar::optional(cx, "timeout", timeout.as_ref())?.ok_or_else(|| cx.refuse_field("timeout", "is missing"))?;
    if interval.is_zero() || timeout.is_zero() {
        return Err(cx.refuse("interval and timeout must be more than zero"));
    }
    Ok(Some((interval, timeout)))
}
