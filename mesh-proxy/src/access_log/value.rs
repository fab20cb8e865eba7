//! What each operator reads (Envoy docs: "Access logging", command operators).

use std::{borrow::Cow, fmt::Write as _, sync::OnceLock, time::Instant};

use http::Version;

use super::{floor, time};
use crate::{
    info::{PeerTls, RequestInfo},
    snapshot::{FormatPart, LogHeader, Operator, SimpleOperator},
};

/// An operator's value: numbers stay numbers in JSON.
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(u64),
}

/// Appends a part of a text format.
pub(super) fn append(part: &FormatPart, info: &RequestInfo, omit_empty: bool, out: &mut String) {
    let (operator, max) = match part {
        FormatPart::Text(text) => return out.push_str(text),
        FormatPart::Operator { operator, max } => (operator, *max),
    };
    match of(operator, info) {
        Some(Value::Text(text)) => escape(&text[..max.map_or(text.len(), |max| floor(&text, max))], out),
        Some(Value::Number(number)) => {
            let _ = write!(out, "{number}");
        }
        None if omit_empty => {}
        None => out.push('-'),
    }
}

/// The operator's value; `None` when it is missing or empty.
pub(super) fn of<'a>(operator: &'a Operator, info: &'a RequestInfo) -> Option<Value<'a>> {
    match operator {
        Operator::StartTime(format) => Some(Value::Text(time::format(info.start_time, format.as_deref()).into())),
        Operator::Request(first, second) => either(first, second.as_ref(), |header| request_header(header, info)),
        Operator::Response(first, second) => either(first, second.as_ref(), |header| response_header(header, info)),
        Operator::Trailer(first, second) => either(first, second.as_ref(), |header| match header {
            LogHeader::Name(name) => joined(&info.response_trailers, name),
            _ => None,
        }),
        Operator::Metadata(path) => {
            let key = path.last()?;
            let (_, value) = info.metadata.iter().find(|(name, _)| *name == &**key)?;
            Some(Value::Text(Cow::Borrowed(value)))
        }
        Operator::FilterState(_) => None,
        Operator::Constant(constant) => text(constant),
        Operator::Simple(operator) => simple(*operator, info),
    }
}

fn either<'a>(
    first: &'a LogHeader,
    second: Option<&'a LogHeader>,
    read: impl Fn(&'a LogHeader) -> Option<Cow<'a, str>>,
) -> Option<Value<'a>> {
    read(first).or_else(|| second.and_then(&read)).map(Value::Text)
}

fn request_header<'a>(header: &LogHeader, info: &'a RequestInfo) -> Option<Cow<'a, str>> {
    if info.is_tcp() {
        return None;
    }
    let some = |text: &'a str| (!text.is_empty()).then_some(Cow::Borrowed(text));
    match header {
        LogHeader::Name(name) => joined(&info.request_headers, name),
        LogHeader::Method => some(info.method.as_str()),
        LogHeader::Path => some(&info.original_path),
        LogHeader::Authority => some(&info.authority),
        LogHeader::Scheme => some(if info.connection.tls.is_some() { "https" } else { "http" }),
        LogHeader::Status => None,
    }
}

fn response_header<'a>(header: &LogHeader, info: &'a RequestInfo) -> Option<Cow<'a, str>> {
    match header {
        LogHeader::Name(name) => joined(&info.response_headers, name),
        LogHeader::Status if info.status != 0 => Some(info.status.to_string().into()),
        _ => None,
    }
}

/// All values of a field, as Envoy's header map joins them.
fn joined<'a>(headers: &'a http::HeaderMap, name: &http::HeaderName) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = values.next()?;
    let Some(second) = values.next() else { return Some(first) };
    let mut all = first.into_owned();
    for value in std::iter::once(second).chain(values) {
        all.push(',');
        all.push_str(&value);
    }
    Some(all.into())
}

fn simple(operator: SimpleOperator, info: &RequestInfo) -> Option<Value<'_>> {
    use SimpleOperator as Op;
    let connection = &info.connection;
    match operator {
        Op::Protocol => text(protocol(info.version)?),
        Op::ResponseCode => Some(Value::Number(info.status.into())),
        Op::ResponseCodeDetails | Op::ConnectionTerminationDetails if info.is_tcp() != (operator == Op::ConnectionTerminationDetails) => {
            None
        }
        Op::ResponseCodeDetails | Op::ConnectionTerminationDetails => text(&info.details),
        Op::ResponseFlags => list(info.flags.short()),
        Op::ResponseFlagsLong => list(info.flags.long()),
        Op::UpstreamTransportFailureReason => text(info.upstream_failure.as_deref()?),
        Op::DownstreamTransportFailureReason | Op::StreamId | Op::VirtualClusterName => None,
        Op::UpstreamProtocol | Op::RequestHeadersBytes | Op::ResponseHeadersBytes => None,
        Op::BytesReceived => Some(Value::Number(info.bytes_received)),
        Op::BytesSent => Some(Value::Number(info.bytes_sent)),
        Op::Duration => millis(info.start, info.end?),
        Op::RequestDuration => millis(info.start, info.request_complete?),
        Op::ResponseDuration => millis(info.start, info.first_upstream_byte?),
        Op::ResponseTxDuration => millis(info.first_upstream_byte?, info.end?),
        Op::UpstreamHost | Op::UpstreamRemoteAddress => Some(Value::Text(info.upstream_address.as_ref()?.to_string().into())),
        Op::UpstreamCluster | Op::UpstreamClusterRaw => text(info.cluster.as_deref()?),
        Op::UpstreamLocalAddress => Some(Value::Text(info.upstream_local?.to_string().into())),
        Op::UpstreamRequestAttemptCount => Some(Value::Number(info.attempts.into())),
        Op::UpstreamPeerUriSan => list(info.upstream_tls.as_ref()?.peer_uris.iter().map(|uri| &**uri)),
        Op::DownstreamLocalAddress => Some(Value::Text(connection.local.to_string().into())),
        Op::DownstreamLocalAddressWithoutPort => Some(Value::Text(connection.local.ip().to_string().into())),
        Op::DownstreamLocalPort => Some(Value::Number(connection.local.port().into())),
        Op::DownstreamRemoteAddress => Some(Value::Text(info.client.to_string().into())),
        Op::DownstreamRemoteAddressWithoutPort => Some(Value::Text(info.client.ip().to_string().into())),
        Op::DownstreamDirectRemoteAddress => Some(Value::Text(connection.direct_remote.to_string().into())),
        Op::DownstreamDirectRemoteAddressWithoutPort => Some(Value::Text(connection.direct_remote.ip().to_string().into())),
        Op::ConnectionId => Some(Value::Number(connection.id)),
        Op::RequestedServerName => Some(Value::Text(server_name(connection.server_name.as_deref()?).into())),
        Op::RouteName => text(info.route_name.as_deref()?),
        Op::FilterChainName => text(&connection.filter_chain),
        Op::GrpcStatus => text(grpc_name(info.grpc_status?)).or_else(|| info.grpc_status.map(|code| Value::Number(code.into()))),
        Op::GrpcStatusNumber => Some(Value::Number(info.grpc_status?.into())),
        Op::TraceId => Some(Value::Text(crate::tls::hex(&info.trace?.trace_id).into())),
        Op::Hostname => text(hostname()?),
        _ => tls(operator, connection.tls.as_ref()?),
    }
}

fn tls(operator: SimpleOperator, tls: &PeerTls) -> Option<Value<'_>> {
    use SimpleOperator as Op;
    match operator {
        Op::DownstreamPeerUriSan => list(tls.peer_uris.iter().map(|uri| &**uri)),
        Op::DownstreamPeerSubject => text(tls.peer_subject.as_deref()?),
        Op::DownstreamLocalUriSan => text(tls.local_uri.as_deref()?),
        Op::DownstreamTlsVersion => text(tls.version),
        Op::DownstreamTlsCipher => text(tls.cipher),
        // The PEM has line breaks: Envoy prints it URL-encoded.
        Op::DownstreamPeerCertificate => {
            let der = rustls_pki_types::CertificateDer::from(tls.peer_certificate.as_deref()?);
            Some(Value::Text(url_encoded(&mesh_runtime::svid::certificates_pem(&[der])).into()))
        }
        _ => None,
    }
}

/// As Envoy prints protocols.
pub(crate) fn protocol(version: Version) -> Option<&'static str> {
    Some(match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => return None,
    })
}

fn text(text: &str) -> Option<Value<'_>> {
    (!text.is_empty()).then_some(Value::Text(Cow::Borrowed(text)))
}

fn list<'a>(mut parts: impl Iterator<Item = &'a str>) -> Option<Value<'a>> {
    let first = parts.next()?;
    let Some(second) = parts.next() else { return text(first) };
    let mut all = format!("{first},{second}");
    for part in parts {
        all.push(',');
        all.push_str(part);
    }
    Some(Value::Text(all.into()))
}

fn millis<'a>(from: Instant, to: Instant) -> Option<Value<'a>> {
    u64::try_from(to.saturating_duration_since(from).as_millis()).ok().map(Value::Number)
}

/// Envoy replaces what cannot be in a host name.
fn server_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '*') { c } else { '_' }).collect()
}

fn url_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

fn escape(text: &str, out: &mut String) {
    if !text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return out.push_str(text);
    }
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

fn hostname() -> Option<&'static str> {
    static NAME: OnceLock<Option<String>> = OnceLock::new();
    let read = || Some(std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_owned());
    NAME.get_or_init(read).as_deref()
}

/// Names of gRPC status codes, as Envoy prints them by default.
fn grpc_name(code: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    usize::try_from(code).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or_default()
}
