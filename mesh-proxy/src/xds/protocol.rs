//! Which HTTP a cluster's endpoints speak: `HttpProtocolOptions`, and the fields of the cluster itself that came before it.

use std::time::Duration;

use mesh_proto::envoy::{
    config::{
        cluster::v3::{Cluster as WireCluster, cluster::ClusterProtocolSelection},
        core::v3::UpstreamHttpProtocolOptions,
    },
    extensions::upstreams::http::v3::{
        HttpProtocolOptions,
        http_protocol_options::{
            AutoHttpConfig, ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig, explicit_http_config::ProtocolConfig,
        },
    },
};

use super::{
    any::Typed,
    context::{Context, Result, ignored, refused},
    filter, http_options, scalar,
};
use crate::snapshot::{Http2Options, UpstreamProtocol};

/// Key of the options among `typed_extension_protocol_options`.
const KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// How endpoints are spoken to.
pub(crate) struct Protocol {
    pub(crate) protocol: UpstreamProtocol,
    pub(crate) http2: Http2Options,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_connection_duration: Option<Duration>,
    pub(crate) max_requests: u32,
    /// `auto_sni` or `auto_san_validation`: TLS takes names from requests.
    pub(crate) from_host: bool,
}

/// A cluster's protocol.
pub(crate) fn protocol(cx: &mut Context<'_>, wire: &WireCluster) -> Result<Protocol> {
    for key in wire.typed_extension_protocol_options.keys().filter(|key| *key != KEY) {
        cx.ignore(&format!("typed_extension_protocol_options[{key:?}]"));
    }
    match wire.typed_extension_protocol_options.get(KEY) {
        Some(any) => cx.field(&format!("typed_extension_protocol_options[{KEY:?}]"), |cx| {
            let typed = Typed::open(cx, any)?;
            if typed.name() != KEY {
                return Err(cx.refuse(format!("is a {}, not what its key says", typed.name())));
            }
            let options: HttpProtocolOptions = typed.decode(cx)?;
            typed_options(cx, &options)
        }),
        None => old_options(cx, wire),
    }
}

fn typed_options(cx: &mut Context<'_>, wire: &HttpProtocolOptions) -> Result<Protocol> {
    let HttpProtocolOptions {
        common_http_protocol_options,
        upstream_http_protocol_options,
        http_filters,
        header_validation_config,
        outlier_detection,
        request_mirror_policies,
        hash_policy,
        retry_policy,
        upstream_protocol_options,
    } = wire;
    ignored!(cx; outlier_detection, request_mirror_policies, retry_policy);
    refused!(cx; "responses would not be validated by it"; header_validation_config);
    refused!(cx; "requests would be spread by another rule; use the route's"; hash_policy);
    filter::upstream_filters(cx, "http_filters", http_filters)?;
    let common = http_options::common(cx, "common_http_protocol_options", common_http_protocol_options.as_ref())?;
    let (protocol, http2) = match upstream_protocol_options {
        None => {
            return Err(cx.refuse("says nothing of the protocol; give explicit_http_config, use_downstream_protocol_config or auto_config"));
        }
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config })) => {
            cx.field("explicit_http_config", |cx| explicit(cx, protocol_config.as_ref()))?
        }
        Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(wire)) => cx.field("use_downstream_protocol_config", |cx| {
            let UseDownstreamHttpConfig { http_protocol_options, http2_protocol_options, http3_protocol_options } = wire;
            ignored!(cx; http3_protocol_options);
            http_options::http1(cx, "http_protocol_options", http_protocol_options.as_ref());
            let http2 = http_options::http2(cx, "http2_protocol_options", http2_protocol_options.as_ref())?;
            Ok((UpstreamProtocol::Downstream, http2))
        })?,
        Some(UpstreamProtocolOptions::AutoConfig(wire)) => {
            cx.field("auto_config", |cx| {
                let AutoHttpConfig {
                    http_protocol_options,
                    http2_protocol_options,
                    http3_protocol_options,
                    alternate_protocols_cache_options,
                } = wire;
                ignored!(cx; http3_protocol_options, alternate_protocols_cache_options);
                http_options::http1(cx, "http_protocol_options", http_protocol_options.as_ref());
                let http2 = http_options::http2(cx, "http2_protocol_options", http2_protocol_options.as_ref())?;
                Ok((UpstreamProtocol::Auto, http2))
            })?
        }
    };
    Ok(Protocol {
        protocol,
        http2,
        idle_timeout: common.idle_timeout,
        max_connection_duration: common.max_connection_duration,
        max_requests: common.max_requests,
        from_host: from_host(cx, upstream_http_protocol_options.as_ref()),
    })
}

fn explicit(cx: &mut Context<'_>, wire: Option<&ProtocolConfig>) -> Result<(UpstreamProtocol, Http2Options)> {
    match wire {
        None => Err(cx.refuse("is empty")),
        Some(ProtocolConfig::HttpProtocolOptions(wire)) => {
            http_options::http1(cx, "http_protocol_options", Some(wire));
            Ok((UpstreamProtocol::Http1, http_options::http2_default()))
        }
        Some(ProtocolConfig::Http2ProtocolOptions(wire)) => {
            Ok((UpstreamProtocol::Http2, http_options::http2(cx, "http2_protocol_options", Some(wire))?))
        }
        Some(ProtocolConfig::Http3ProtocolOptions(_)) => Err(cx.refuse_field("http3_protocol_options", "HTTP/3 is not implemented")),
    }
}

#[expect(deprecated, reason = "static configurations still have the old fields")]
fn old_options(cx: &mut Context<'_>, wire: &WireCluster) -> Result<Protocol> {
    let common = http_options::common(cx, "common_http_protocol_options", wire.common_http_protocol_options.as_ref())?;
    http_options::http1(cx, "http_protocol_options", wire.http_protocol_options.as_ref());
    let selection = scalar::known(cx, "protocol_selection", wire.protocol_selection)?;
    let protocol = match (selection, &wire.http2_protocol_options) {
        (ClusterProtocolSelection::UseDownstreamProtocol, _) => UpstreamProtocol::Downstream,
        (ClusterProtocolSelection::UseConfiguredProtocol, Some(_)) => UpstreamProtocol::Http2,
        (ClusterProtocolSelection::UseConfiguredProtocol, None) => UpstreamProtocol::Http1,
    };
    Ok(Protocol {
        protocol,
        http2: http_options::http2(cx, "http2_protocol_options", wire.http2_protocol_options.as_ref())?,
        idle_timeout: common.idle_timeout,
        max_connection_duration: common.max_connection_duration,
        max_requests: wire.max_requests_per_connection.as_ref().map_or(common.max_requests, |requests| requests.value),
        from_host: from_host(cx, wire.upstream_http_protocol_options.as_ref()),
    })
}

fn from_host(cx: &mut Context<'_>, wire: Option<&UpstreamHttpProtocolOptions>) -> bool {
    let Some(UpstreamHttpProtocolOptions { auto_sni, auto_san_validation, override_auto_sni_header }) = wire else { return false };
    cx.field("upstream_http_protocol_options", |cx| ignored!(cx; override_auto_sni_header));
    *auto_sni || *auto_san_validation
}
