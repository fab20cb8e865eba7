//! Lines as Envoy writes them.

#![allow(clippy::unwrap_used)]

use std::{
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use http::{HeaderValue, Version};
use serde_json::json;

use super::*;
use crate::{
    info::{ConnectionInfo, Flags},
    snapshot::{Address, Comparison, Direction, FormatPart, JsonFormat, LogFilter, LogHeader, Operator, SimpleOperator},
};

fn request() -> RequestInfo {
    let connection = ConnectionInfo {
        id: 7,
        accepted: Instant::now(),
        direct_remote: "127.0.0.9:1234".parse().unwrap(),
        remote: "10.0.0.1:1234".parse().unwrap(),
        local: "127.0.0.1:80".parse().unwrap(),
        direction: Direction::Inbound,
        filter_chain: "chain".into(),
        tls: None,
        server_name: Some("a\nb.example".into()),
    };
    let start = Instant::now();
    let mut info = RequestInfo::new(Arc::new(connection), start, UNIX_EPOCH + Duration::from_millis(1_500));
    info.version = Version::HTTP_2;
    info.original_path = "/a?b=c".into();
    info.authority = "example.com".into();
    info.status = 503;
    info.flags.insert(Flags::UPSTREAM_CONNECTION_FAILURE);
    info.flags.insert(Flags::RETRY_LIMIT_EXCEEDED);
    info.bytes_sent = 12;
    info.end = Some(start + Duration::from_millis(25));
    info.cluster = Some("outbound|80||a".into());
    info.upstream_address = Some(Address::Socket("10.0.0.2:8080".parse().unwrap()));
    info.request_headers.insert("user-agent", HeaderValue::from_static("curl"));
    info.request_headers.insert("evil", HeaderValue::from_bytes(b"a\tb").unwrap());
    info
}

fn operator(operator: SimpleOperator) -> FormatPart {
    FormatPart::Operator { operator: Operator::Simple(operator), max: None }
}

fn header(name: &'static str, max: Option<usize>) -> FormatPart {
    let operator = Operator::Request(
        LogHeader::Name(http::HeaderName::from_static("absent")),
        Some(LogHeader::Name(http::HeaderName::from_static(name))),
    );
    FormatPart::Operator { operator, max }
}

fn rendered(parts: Vec<FormatPart>) -> String {
    let separated = parts.into_iter().flat_map(|part| [part, FormatPart::Text(" ".into())]).collect();
    text(&Format { parts: separated, omit_empty: false }, &request())
}

#[test]
fn text_lines() {
    use SimpleOperator as Op;
    let line = rendered(vec![
        FormatPart::Operator { operator: Operator::StartTime(None), max: None },
        FormatPart::Operator { operator: Operator::Request(LogHeader::Method, None), max: None },
        FormatPart::Operator { operator: Operator::Request(LogHeader::Path, None), max: Some(2) },
        operator(Op::Protocol),
        operator(Op::ResponseCode),
        operator(Op::ResponseFlags),
        operator(Op::ResponseFlagsLong),
        operator(Op::Duration),
        operator(Op::UpstreamHost),
        operator(Op::UpstreamClusterRaw),
        operator(Op::DownstreamRemoteAddressWithoutPort),
        operator(Op::RequestedServerName),
        operator(Op::RouteName),
        operator(Op::DownstreamPeerUriSan),
        header("user-agent", Some(3)),
        header("evil", None),
    ]);
    let expected = "1970-01-01T00:00:01.500Z GET /a HTTP/2 503 UF,URX UpstreamConnectionFailure,UpstreamRetryLimitExceeded 25 \
                    10.0.0.2:8080 outbound|80||a 10.0.0.1 a_b.example - - cur a\\tb ";
    assert_eq!(line, expected);
}

#[test]
fn json_keeps_types() {
    let value = |part: FormatPart| JsonFormat::Value(Arc::new(Format { parts: vec![part], omit_empty: false }));
    let object = JsonFormat::Object(vec![
        ("status".into(), value(operator(SimpleOperator::ResponseCode))),
        ("route".into(), value(operator(SimpleOperator::RouteName))),
        ("agent".into(), value(header("user-agent", None))),
        ("nested".into(), JsonFormat::List(vec![JsonFormat::Constant(json!(true))])),
    ]);
    let line = line(&LogFormat::Json(object), &request());
    assert!(line.ends_with('\n'));
    let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(parsed, json!({"status": 503, "route": null, "agent": "curl", "nested": [true]}));
}

#[test]
fn filters() {
    let info = request();
    let cases = [
        (LogFilter::Status(Comparison::AtLeast(500)), true),
        (LogFilter::Status(Comparison::Equal(500)), false),
        (LogFilter::Duration(Comparison::AtMost(24)), false),
        (LogFilter::Flags(vec![]), true),
        (LogFilter::Flags(vec!["UF".into()]), true),
        (LogFilter::Flags(vec!["NR".into()]), false),
        (LogFilter::And(vec![LogFilter::NotHealthCheck, LogFilter::Flags(vec!["NR".into()])]), false),
        (LogFilter::Or(vec![LogFilter::NotHealthCheck, LogFilter::Flags(vec!["NR".into()])]), true),
    ];
    for (filter, expected) in cases {
        assert_eq!(filter::passes(&filter, &info), expected, "{filter:?}");
    }
}

#[test]
fn lines_reach_the_file_and_survive_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog {
        sink: LogSink::File(path.clone()),
        format: LogFormat::Text(Arc::new(Format {
            parts: vec![operator(SimpleOperator::ResponseCode), FormatPart::Text("\n".into())],
            omit_empty: false,
        })),
        filter: None,
    };
    let logs = [Arc::new(log)];
    let sinks = Arc::new(Sinks::default());
    let logger = Logger::new(sinks.clone());
    logger.log(&request(), &logs);
    let until = Instant::now() + Duration::from_secs(5);
    while sinks.written().written < 1 && Instant::now() < until {
        std::thread::yield_now();
    }
    std::fs::rename(&path, folder.path().join("old")).unwrap();
    sinks.reopen();
    logger.log(&request(), &logs);
    drop(logger);
    drop(sinks);
    assert_eq!(std::fs::read_to_string(folder.path().join("old")).unwrap(), "503\n");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "503\n");
}
