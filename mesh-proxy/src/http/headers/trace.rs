//! Trace context: read from W3C `traceparent` or B3, and passed on with our own span in it.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{info::TraceContext, snapshot::Tracing, tls::hex};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Begins our span: the child of the one that came in, or the first of a new trace. Its context goes on in the headers.
pub(crate) fn begin_span(headers: &mut HeaderMap, tracing: &Tracing) -> TraceContext {
    let incoming = read(headers);
    let context = match incoming {
        Some(parent) => TraceContext { parent_id: Some(parent.span_id), span_id: rand::random(), ..parent },
        None => {
            let sampled = tracing.random_sampling.hits(rand::random()) && tracing.overall_sampling.hits(rand::random());
            TraceContext { trace_id: rand::random(), span_id: rand::random(), parent_id: None, sampled }
        }
    };
    let (trace, span) = (hex(&context.trace_id), hex(&context.span_id));
    let flag = if context.sampled { "01" } else { "00" };
    if let Ok(value) = HeaderValue::try_from(format!("00-{trace}-{span}-{flag}")) {
        headers.insert(TRACEPARENT, value);
    }
    if headers.contains_key("x-b3-traceid") {
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set("x-b3-traceid", &trace);
        set("x-b3-spanid", &span);
        set("x-b3-sampled", &flag[1..]);
        if let Some(parent) = context.parent_id {
            set("x-b3-parentspanid", &hex(&parent));
        }
    }
    mark_request_id(headers, context.sampled);
    context
}

/// Envoy notes in the request id that the request is traced: the version digit 4 becomes 9.
fn mark_request_id(headers: &mut HeaderMap, sampled: bool) {
    let Some(id) = headers.get(REQUEST_ID) else { return };
    let mut id = id.as_bytes().to_vec();
    if !sampled || id.len() != 36 || id[14] != b'4' {
        return;
    }
    id[14] = b'9';
    if let Ok(id) = HeaderValue::from_bytes(&id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// The context that came in.
fn read(headers: &HeaderMap) -> Option<TraceContext> {
    w3c(headers).or_else(|| b3(headers))
}

/// W3C Trace Context §3.2.
fn w3c(headers: &HeaderMap) -> Option<TraceContext> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let mut parts = text.split('-');
    let version: [u8; 1] = bytes(parts.next()?)?;
    let trace_id: [u8; 16] = bytes(parts.next()?)?;
    let span_id: [u8; 8] = bytes(parts.next()?)?;
    let flags: [u8; 1] = bytes(parts.next()?)?;
    let valid = version != [0xff] && trace_id != [0; 16] && span_id != [0; 8];
    valid.then_some(TraceContext { trace_id, span_id, parent_id: None, sampled: flags[0] & 1 == 1 })
}

/// B3, one header each.
fn b3(headers: &HeaderMap) -> Option<TraceContext> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let trace = text("x-b3-traceid")?;
    let trace_id = if trace.len() == 16 { bytes(&format!("{:0>32}", trace))? } else { bytes(trace)? };
    let span_id = bytes(text("x-b3-spanid")?)?;
    let sampled = matches!(text("x-b3-sampled"), Some("1" | "true")) || text("x-b3-flags") == Some("1");
    Some(TraceContext { trace_id, span_id, parent_id: None, sampled })
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut out = [0; N];
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(out)
}
