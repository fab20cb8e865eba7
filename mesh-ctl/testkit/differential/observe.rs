//! What came of one request, as far as anyone outside the proxy can tell: the answer, and what reached the backends. Kept as facts, name and text, so that
//! comparing is comparing facts.

use std::{collections::BTreeMap, time::Duration};

/// Everything about one exchange.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) outcome: Outcome,
    /// Requests that reached backends, in order.
    pub(super) seen: Vec<Seen>,
    pub(super) elapsed: Duration,
}

/// What the client got.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Response(Box<Response>),
    /// The connection ended without an answer.
    Closed,
    /// No TLS session came about.
    TlsRefused,
    /// TCP: the bytes, and how it ended.
    Bytes {
        data: Vec<u8>,
        end: &'static str,
    },
    TimedOut,
}

/// An HTTP answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Response {
    pub(super) version: &'static str,
    pub(super) status: u16,
    pub(super) informational: Vec<u16>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// `complete`, or how the body was cut short.
    pub(super) end: &'static str,
    pub(super) trailers: Vec<(String, String)>,
    /// Whether the connection was closed after it, if that was looked for.
    pub(super) closed: Option<bool>,
    pub(super) tls: Option<Session>,
}

/// A TLS session.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// The peer's certificate, by our name for it.
    pub(super) certificate: String,
    pub(super) version: String,
    pub(super) alpn: String,
}

/// A request as a backend saw it.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) backend: String,
    pub(super) version: &'static str,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<(String, String)>,
    /// `certificate of the client, SNI, ALPN` under TLS.
    pub(super) tls: Option<String>,
}

impl Exchange {
    /// Name to text; what may differ from run to run is replaced by what it is.
    pub(super) fn facts(&self) -> BTreeMap<String, String> {
        let mut facts = BTreeMap::new();
        match &self.outcome {
            Outcome::Response(response) => response.facts(&mut facts),
            Outcome::Closed => drop(facts.insert("response".to_owned(), "connection closed without an answer".to_owned())),
            Outcome::TlsRefused => drop(facts.insert("response".to_owned(), "TLS handshake refused".to_owned())),
            Outcome::TimedOut => drop(facts.insert("response".to_owned(), "none in time".to_owned())),
            Outcome::Bytes { data, end } => {
                facts.insert("response.bytes".to_owned(), shown(data));
                facts.insert("response.end".to_owned(), (*end).to_owned());
            }
        }
        facts.insert("upstream".to_owned(), self.upstreams());
        for (n, seen) in self.seen.iter().enumerate() {
            let prefix = if self.seen.len() == 1 { "seen".to_owned() } else { format!("seen[{n}]") };
            seen.facts(&prefix, &mut facts);
        }
        facts
    }

    /// The backends reached, in order.
    pub(super) fn upstreams(&self) -> String {
        self.seen.iter().map(|seen| seen.backend.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Response {
    fn facts(&self, facts: &mut BTreeMap<String, String>) {
        facts.insert("response.version".to_owned(), self.version.to_owned());
        facts.insert("response.status".to_owned(), self.status.to_string());
        facts.insert("response.informational".to_owned(), format!("{:?}", self.informational));
        facts.insert("response.body".to_owned(), shown(&self.body));
        facts.insert("response.end".to_owned(), self.end.to_owned());
        headers("response.header", &self.headers, facts);
        headers("response.trailer", &self.trailers, facts);
        if let Some(closed) = self.closed {
            facts.insert("response.closed".to_owned(), closed.to_string());
        }
        if let Some(tls) = &self.tls {
            facts.insert("tls.certificate".to_owned(), tls.certificate.clone());
            facts.insert("tls.version".to_owned(), tls.version.clone());
            facts.insert("tls.alpn".to_owned(), tls.alpn.clone());
        }
    }
}

impl Seen {
    fn facts(&self, prefix: &str, facts: &mut BTreeMap<String, String>) {
        facts.insert(format!("{prefix}.version"), self.version.to_owned());
        facts.insert(format!("{prefix}.method"), self.method.clone());
        facts.insert(format!("{prefix}.target"), self.target.clone());
        facts.insert(format!("{prefix}.body"), shown(&self.body));
        headers(&format!("{prefix}.header"), &self.headers, facts);
        headers(&format!("{prefix}.trailer"), &self.trailers, facts);
        if let Some(tls) = &self.tls {
            facts.insert(format!("{prefix}.tls"), tls.clone());
        }
    }
}

/// One fact per name (names as written: Envoy writes small letters), with its values in order.
fn headers(prefix: &str, headers: &[(String, String)], facts: &mut BTreeMap<String, String>) {
    let mut values: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        values.entry(name).or_default().push(steady(name, value));
    }
    for (name, values) in values {
        facts.insert(format!("{prefix}.{name}"), values.join(" | "));
    }
}

/// Replaces what differs from run to run by what it is.
fn steady(name: &str, value: &str) -> String {
    let number = |value: &str| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match name.to_ascii_lowercase().as_str() {
        "date" if value.ends_with(" GMT") => "<date>".to_owned(),
        "x-envoy-upstream-service-time" if number(value) => "<ms>".to_owned(),
        // What is left of the time when a request is tried again.
        "x-envoy-expected-rq-timeout-ms" => value.parse().map_or_else(|_| value.to_owned(), |left: u64| rounded(left).to_string()),
        "x-request-id" if is_uuid(value) => "<uuid>".to_owned(),
        _ => value.to_owned(),
    }
}

/// Whole seconds, above two: what is left after retries depends on the back-off drawn.
fn rounded(ms: u64) -> u64 {
    if ms > 2000 { (ms + 500) / 1000 * 1000 } else { ms }
}

fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(n, byte)| if matches!(n, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

/// A body short enough to print, or its length and a check sum.
fn shown(bytes: &[u8]) -> String {
    if bytes.len() <= 512 {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{} bytes, FNV-1a {sum:016x}", bytes.len())
}
