//! Whether a failed try is tried again, and after how long. Envoy's `retry_on` words ("x-envoy-retry-on" in the router
//! filter's documentation), back-off with full jitter. Pure: counting is the caller's.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode, header::HeaderName};

use crate::{
    plan::facts::{Repeated, RequestFacts, Values, header_matches},
    snapshot::{HeaderKey, RetryOn, RetryPolicy},
};

/// Headers by which a request adds to its route's policy; taken off before it is forwarded. The edge removes them from external requests.
pub const REQUEST_HEADERS: [&str; 5] = [
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
    "x-envoy-max-retries",
    "x-envoy-retriable-status-codes",
    "x-envoy-retriable-header-names",
];

/// How a try failed, or what it answered.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// Response headers came.
    Response {
        /// Status.
        status: StatusCode,
        /// All fields; `grpc-status` here is a trailers-only answer.
        headers: &'a HeaderMap,
    },
    /// No connection could be made: refused, unreachable, timed out, TLS failed.
    ConnectFailure,
    /// The peer refused the stream (`REFUSED_STREAM`).
    RefusedStream,
    /// The exchange broke before response headers.
    Reset {
        /// Some of the request had been sent.
        request_sent: bool,
    },
    /// `per_try_timeout` ran out.
    PerTryTimeout,
    /// A circuit breaker is open: never retried.
    Overflow,
}

/// A request's retry policy: its route's, with what its headers add.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Which failures.
    pub on: RetryOn,
    /// Retries at most.
    pub retries: u32,
    policy: Option<Arc<RetryPolicy>>,
    status_codes: Vec<StatusCode>,
    header_names: Vec<HeaderName>,
}

impl Retry {
    /// The policy for `request`; `None` if nothing is ever to be retried.
    pub fn of(policy: Option<&Arc<RetryPolicy>>, request: &RequestFacts<'_>) -> Option<Self> {
        let given = |name: &'static str| Values::of(request.headers, &HeaderName::from_static(name));
        let mut on = policy.map(|policy| policy.on).unwrap_or_default();
        for word in words(&given("x-envoy-retry-on")).iter().chain(&words(&given("x-envoy-retry-grpc-on"))) {
            parse_word(word, &mut on);
        }
        let limits = policy.map_or(&[][..], |policy| &policy.request_headers);
        let limited =
            !limits.is_empty() && !limits.iter().any(|header| header_matches(header, &request.values(&header.name), Repeated::AnyStrict));
        if limited || on == RetryOn::default() {
            return None;
        }
        let asked = words(&given("x-envoy-max-retries")).first().and_then(|text| text.parse().ok());
        let retries = asked.unwrap_or_else(|| policy.map_or(1, |policy| policy.retries));
        let status_codes = words(&given("x-envoy-retriable-status-codes")).iter().filter_map(|code| code.parse().ok()).collect();
        let header_names = words(&given("x-envoy-retriable-header-names")).iter().filter_map(|name| name.parse().ok()).collect();
        (retries > 0).then(|| Self { on, retries, policy: policy.cloned(), status_codes, header_names })
    }

    /// Whether `outcome` is one to try again after. How many tries are left is the caller's to count.
    pub fn should_retry(&self, outcome: &Outcome<'_>) -> bool {
        let policy = self.policy.as_deref();
        match outcome {
            Outcome::Response { status, headers } => {
                let answered = answer(self.on, policy, *status, headers);
                let by_code = self.on.status_codes && self.status_codes.contains(status);
                let by_name = self.on.headers && self.header_names.iter().any(|name| headers.contains_key(name));
                answered || ((by_code || by_name) && !headers.contains_key("x-envoy-ratelimited"))
            }
            other => broken(self.on, other),
        }
    }

    /// How long to wait before retry `number` (1 is the first).
    pub fn backoff(&self, number: u32, draw: u64) -> Duration {
        let (base, longest) =
            self.policy.as_ref().map_or((Duration::from_millis(25), Duration::from_millis(250)), |p| (p.base_interval, p.max_interval));
        backoff(base, longest, number, draw)
    }
}

/// Whether `policy`, without what request headers add, retries after `outcome`.
pub fn should_retry(policy: &RetryPolicy, outcome: &Outcome<'_>) -> bool {
    match outcome {
        Outcome::Response { status, headers } => answer(policy.on, Some(policy), *status, headers),
        other => broken(policy.on, other),
    }
}

/// Uniform in [0, base × 2^(number − 1)), the upper end at most `longest`: Envoy's jittered exponential back-off, in milliseconds.
pub fn backoff(base: Duration, longest: Duration, number: u32, draw: u64) -> Duration {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1);
    let doubled = millis(base).saturating_mul(1u64.checked_shl(number.saturating_sub(1)).unwrap_or(u64::MAX));
    let upper = doubled.min(millis(longest).max(millis(base)));
    Duration::from_millis(draw % upper)
}

/// The words of `retry_on`, parsed; and those that are none of Envoy's, for a report.
pub fn parse_retry_on(text: &str) -> (RetryOn, Vec<&str>) {
    let mut on = RetryOn::default();
    let unknown = text.split(',').map(str::trim).filter(|word| !word.is_empty() && !parse_word(word, &mut on)).collect();
    (on, unknown)
}

fn answer(on: RetryOn, policy: Option<&RetryPolicy>, status: StatusCode, headers: &HeaderMap) -> bool {
    // From an upstream proxy that limits rates: only if asked for.
    if headers.contains_key("x-envoy-ratelimited") {
        return on.rate_limited;
    }
    let code = status.as_u16();
    let by_policy = policy.is_some_and(|policy| {
        (on.status_codes && policy.status_codes.contains(&status))
            || (on.headers
                && policy.headers.iter().any(|matcher| match &matcher.name {
                    HeaderKey::Name(name) => header_matches(matcher, &Values::of(headers, name), Repeated::AnyStrict),
                    _ => false,
                }))
    });
    (on.server_error && (500..600).contains(&code))
        || (on.gateway_error && (502..=504).contains(&code))
        || (on.retriable_4xx && code == 409)
        || by_policy
        || grpc(on, headers)
}

/// By gRPC status: 1 cancelled, 4 deadline exceeded, 8 resource exhausted, 13 internal, 14 unavailable.
fn grpc(on: RetryOn, headers: &HeaderMap) -> bool {
    let status = headers.get("grpc-status").and_then(|value| value.to_str().ok()?.trim().parse::<u32>().ok());
    match status {
        Some(1) => on.cancelled,
        Some(4) => on.deadline_exceeded,
        Some(8) => on.resource_exhausted,
        Some(13) => on.internal,
        Some(14) => on.unavailable,
        _ => false,
    }
}

/// A try without an answer counts as a 5xx, as Envoy answers it with one.
fn broken(on: RetryOn, outcome: &Outcome<'_>) -> bool {
    let any = on.reset || on.server_error || on.gateway_error;
    match outcome {
        Outcome::Overflow | Outcome::Response { .. } => false,
        Outcome::ConnectFailure => any || on.connect_failure || on.reset_before_request,
        Outcome::RefusedStream => any || on.refused_stream,
        Outcome::Reset { request_sent } => any || (on.reset_before_request && !request_sent),
        Outcome::PerTryTimeout => any,
    }
}

fn words(values: &Values<'_>) -> Vec<String> {
    let joined = values.joined().unwrap_or_default();
    joined.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn parse_word(word: &str, on: &mut RetryOn) -> bool {
    let flag = match word {
        "5xx" => &mut on.server_error,
        "gateway-error" => &mut on.gateway_error,
        "reset" => &mut on.reset,
        "reset-before-request" => &mut on.reset_before_request,
        "connect-failure" => &mut on.connect_failure,
        "envoy-ratelimited" => &mut on.rate_limited,
        "retriable-4xx" => &mut on.retriable_4xx,
        "refused-stream" => &mut on.refused_stream,
        "retriable-status-codes" => &mut on.status_codes,
        "retriable-headers" => &mut on.headers,
        "http3-post-connect-failure" => &mut on.http3,
        "cancelled" => &mut on.cancelled,
        "deadline-exceeded" => &mut on.deadline_exceeded,
        "internal" => &mut on.internal,
        "resource-exhausted" => &mut on.resource_exhausted,
        "unavailable" => &mut on.unavailable,
        _ => return false,
    };
    *flag = true;
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http::{HeaderValue, Method};
    use proptest::prelude::*;

    use super::*;

    fn policy(words: &str) -> Arc<RetryPolicy> {
        let (on, unknown) = parse_retry_on(words);
        assert!(unknown.is_empty(), "{unknown:?}");
        Arc::new(RetryPolicy {
            on,
            status_codes: vec![StatusCode::IM_A_TEAPOT],
            headers: Vec::new(),
            request_headers: Vec::new(),
            retries: 2,
            per_try_timeout: None,
            per_try_idle_timeout: None,
            avoid_previous_hosts: false,
            host_attempts: 1,
            base_interval: Duration::from_millis(25),
            max_interval: Duration::from_millis(250),
        })
    }

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn retry(policy: Option<&Arc<RetryPolicy>>, given: &[(&'static str, &'static str)]) -> Option<Retry> {
        let headers = headers(given);
        let request = RequestFacts { method: &Method::GET, scheme: "http", authority: "a", path: "/", headers: &headers, tls: None };
        Retry::of(policy, &request)
    }

    #[test]
    fn answers_by_word() {
        let limited: &'static [(&'static str, &'static str)] = &[("x-envoy-ratelimited", "true")];
        type Given = &'static [(&'static str, &'static str)];
        let none: Given = &[];
        let cases = [
            ("5xx", 500, none, true),
            ("5xx", 499, &[], false),
            ("5xx", 503, limited, false),
            ("5xx,envoy-ratelimited", 429, limited, true),
            ("gateway-error", 502, &[], true),
            ("gateway-error", 504, &[], true),
            ("gateway-error", 500, &[], false),
            ("retriable-4xx", 409, &[], true),
            ("retriable-4xx", 404, &[], false),
            ("retriable-status-codes", 418, &[], true),
            ("retriable-status-codes", 500, &[], false),
            ("connect-failure,refused-stream,reset", 503, &[], false),
            ("cancelled", 200, &[("grpc-status", "1")], true),
            ("deadline-exceeded", 200, &[("grpc-status", "4")], true),
            ("resource-exhausted", 200, &[("grpc-status", "8")], true),
            ("internal", 200, &[("grpc-status", "13")], true),
            ("unavailable", 200, &[("grpc-status", "14")], true),
            ("unavailable", 200, &[("grpc-status", "13")], false),
            ("unavailable", 503, &[], false),
        ];
        for (words, status, given, expected) in cases {
            let map: HeaderMap =
                given.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())).collect();
            let outcome = Outcome::Response { status: StatusCode::from_u16(status).unwrap(), headers: &map };
            assert_eq!(should_retry(&policy(words), &outcome), expected, "{words} {status} {given:?}");
            assert_eq!(retry(Some(&policy(words)), &[]).unwrap().should_retry(&outcome), expected);
        }
    }

    #[test]
    fn failures_by_word() {
        let outcomes = [
            Outcome::ConnectFailure,
            Outcome::RefusedStream,
            Outcome::Reset { request_sent: true },
            Outcome::Reset { request_sent: false },
            Outcome::PerTryTimeout,
            Outcome::Overflow,
        ];
        let cases = [
            ("5xx", [true, true, true, true, true, false]),
            ("gateway-error", [true, true, true, true, true, false]),
            ("reset", [true, true, true, true, true, false]),
            ("connect-failure", [true, false, false, false, false, false]),
            ("refused-stream", [false, true, false, false, false, false]),
            ("reset-before-request", [true, false, false, true, false, false]),
            ("retriable-4xx", [false; 6]),
            ("unavailable", [false; 6]),
        ];
        for (words, expected) in cases {
            let is = outcomes.map(|outcome| should_retry(&policy(words), &outcome));
            assert_eq!(is, expected, "{words}");
        }
    }

    #[test]
    fn request_headers_add_and_override() {
        let by_header = retry(None, &[("x-envoy-retry-on", "5xx, nonsense"), ("x-envoy-max-retries", "4")]).unwrap();
        assert_eq!((by_header.retries, by_header.on.server_error), (4, true));
        assert_eq!(retry(None, &[("x-envoy-retry-on", "5xx")]).unwrap().retries, 1);
        assert!(retry(None, &[("x-envoy-max-retries", "4")]).is_none(), "a number alone asks for nothing");
        assert!(retry(Some(&policy("5xx")), &[("x-envoy-max-retries", "0")]).is_none());
        assert!(retry(Some(&policy("")), &[]).is_none());
        let both = retry(Some(&policy("reset")), &[("x-envoy-retry-grpc-on", "unavailable")]).unwrap();
        assert!(both.on.reset && both.on.unavailable && both.retries == 2);
        let codes = retry(Some(&policy("retriable-status-codes")), &[("x-envoy-retriable-status-codes", "404,405")]).unwrap();
        let outcome = Outcome::Response { status: StatusCode::NOT_FOUND, headers: &HeaderMap::new() };
        assert!(codes.should_retry(&outcome));
    }

    #[test]
    fn unknown_words_are_told() {
        let (on, unknown) = parse_retry_on("5xx,  teapot,503");
        assert!(on.server_error);
        assert_eq!(unknown, ["teapot", "503"]);
    }

    proptest! {
        #[test]
        fn backoff_stays_in_its_interval(number in 1u32..80, draw in any::<u64>()) {
            let wait = backoff(Duration::from_millis(25), Duration::from_millis(250), number, draw);
            let upper = (25u64 << (number - 1).min(10)).min(250);
            prop_assert!(wait < Duration::from_millis(upper));
        }
    }
}
