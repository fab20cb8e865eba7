//! Operators in header values (Envoy docs: "Custom request/response headers"): those that are known while a request is
//! under way. The rest print as nothing, as Envoy prints what is not there.

use std::fmt::Write as _;

use super::mutate::Context;
use crate::snapshot::{Format, FormatPart, LogHeader, Operator, SimpleOperator};

/// The text of `template`.
pub(super) fn format(template: &Format, context: &Context<'_>) -> String {
    let mut out = String::new();
    for part in &template.parts {
        match part {
            FormatPart::Text(text) => out.push_str(text),
            FormatPart::Operator { operator, max } => {
                let value = value(operator, context).unwrap_or_default();
                let end = max.map_or(value.len(), |max| floor(&value, max));
                out.push_str(&value[..end]);
            }
        }
    }
    out
}

fn floor(text: &str, max: usize) -> usize {
    (0..=max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn value(operator: &Operator, context: &Context<'_>) -> Option<String> {
    match operator {
        Operator::Request(first, second) => {
            let of = |header: &LogHeader| request_header(header, context);
            of(first).or_else(|| second.as_ref().and_then(of))
        }
        Operator::Response(first, second) => {
            let of = |header: &LogHeader| response_header(header, context);
            of(first).or_else(|| second.as_ref().and_then(of))
        }
        Operator::Constant(text) => Some(text.to_string()),
        Operator::Metadata(path) => {
            let key = path.last()?;
            context.info.metadata.iter().find(|(name, _)| *name == &**key).map(|(_, value)| value.to_string())
        }
        Operator::Simple(operator) => simple(*operator, context),
        Operator::StartTime(_) | Operator::Trailer(..) | Operator::FilterState(_) => None,
    }
}

fn request_header(header: &LogHeader, context: &Context<'_>) -> Option<String> {
    match header {
        LogHeader::Name(name) => Some(context.request.get(name)?.to_str().ok()?.to_owned()),
        LogHeader::Method => Some(context.info.method.to_string()),
        LogHeader::Path => Some(context.info.original_path.to_string()),
        LogHeader::Authority => Some(context.info.authority.to_string()),
        LogHeader::Scheme | LogHeader::Status => None,
    }
}

fn response_header(header: &LogHeader, context: &Context<'_>) -> Option<String> {
    match header {
        LogHeader::Name(name) => Some(context.response?.get(name)?.to_str().ok()?.to_owned()),
        LogHeader::Status => Some(context.info.status.to_string()),
        _ => None,
    }
}

fn simple(operator: SimpleOperator, context: &Context<'_>) -> Option<String> {
    use SimpleOperator as Op;
    let info = context.info;
    let connection = &info.connection;
    let tls = connection.tls.as_ref();
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match operator {
        Op::Protocol => crate::access_log::protocol(info.version).and_then(text),
        Op::ResponseCode => Some(info.status.to_string()),
        Op::ResponseCodeDetails => text(&info.details),
        Op::ResponseFlags if info.flags.is_empty() => text("-"),
        Op::ResponseFlags => text(&join(info.flags.short())),
        Op::ResponseFlagsLong => text(&join(info.flags.long())),
        Op::RouteName => info.route_name.as_deref().and_then(text),
        Op::UpstreamCluster | Op::UpstreamClusterRaw => info.cluster.as_deref().and_then(text),
        Op::UpstreamHost | Op::UpstreamRemoteAddress => info.upstream_address.as_ref().map(ToString::to_string),
        Op::UpstreamLocalAddress => info.upstream_local.map(|address| address.to_string()),
        Op::DownstreamLocalAddress => Some(connection.local.to_string()),
        Op::DownstreamLocalAddressWithoutPort => Some(connection.local.ip().to_string()),
        Op::DownstreamLocalPort => Some(connection.local.port().to_string()),
        Op::DownstreamRemoteAddress => Some(info.client.to_string()),
        Op::DownstreamRemoteAddressWithoutPort => Some(info.client.ip().to_string()),
        Op::DownstreamDirectRemoteAddress => Some(connection.direct_remote.to_string()),
        Op::DownstreamDirectRemoteAddressWithoutPort => Some(connection.direct_remote.ip().to_string()),
        Op::DownstreamPeerUriSan => Some(tls?.peer_uris.join(",")),
        Op::DownstreamPeerSubject => tls?.peer_subject.as_deref().and_then(text),
        Op::DownstreamLocalUriSan => tls?.local_uri.as_deref().and_then(text),
        Op::DownstreamTlsVersion => text(tls?.version),
        Op::DownstreamTlsCipher => text(tls?.cipher),
        Op::ConnectionId => Some(connection.id.to_string()),
        Op::RequestedServerName => connection.server_name.as_deref().and_then(text),
        Op::FilterChainName => text(&connection.filter_chain),
        Op::TraceId => info.trace.map(|trace| crate::tls::hex(&trace.trace_id)),
        _ => None,
    }
}

fn join<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for part in parts {
        let comma = if out.is_empty() { "" } else { "," };
        let _ = write!(out, "{comma}{part}");
    }
    out
}
