//! Rules of what a route does on the way: faults, rewrites, retries, cross-origin answers.

use super::{headers::is_header, http::status};
use crate::{
    resource::virtual_service::{AbortStatus, CorsPolicy, FaultInjection, HttpRetry, PathRewrite, Rewrite},
    validate::{Checks, rules::shown},
};

/// gRPC's status names, by number.
const GRPC_STATUS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Envoy's retry conditions, for HTTP and gRPC.
const RETRY_ON: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "refused-stream",
    "retriable-4xx",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

const METHODS: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"];

pub(super) fn fault(fault: &FaultInjection, checks: &mut Checks) {
    if fault.abort.is_none() && fault.delay.is_none() {
        checks.error(None, "HTTP fault injection must have an abort and/or a delay", "add one");
    }
    if let Some(delay) = &fault.delay {
        checks.field("delay", |checks| {
            checks.fractional_percent("percentage.value", delay.percentage.as_ref().map(|percent| percent.value));
            checks.percent("percent", Some(f64::from(delay.percent)));
            checks.duration("fixedDelay", delay.fixed_delay);
            if delay.exponential_delay.is_some() {
                checks.field("exponentialDelay", |checks| {
                    checks.error(None, "exponentialDelay not supported yet", "use fixedDelay");
                });
            } else if delay.fixed_delay.is_none() {
                checks.field("fixedDelay", |checks| checks.error(None, "Required value", "say how long"));
            }
        });
    }
    if let Some(abort) = &fault.abort {
        checks.field("abort", |checks| {
            checks.fractional_percent("percentage.value", abort.percentage.as_ref().map(|percent| percent.value));
            match &abort.status {
                AbortStatus::Http(code) => status("httpStatus", *code, checks),
                AbortStatus::Grpc(name) => {
                    let number = name.parse::<usize>().is_ok_and(|number| number < GRPC_STATUS.len());
                    if !number && !GRPC_STATUS.contains(&name.as_str()) {
                        checks.field("grpcStatus", |checks| {
                            let remedy = match crate::suggest::nearest(name, GRPC_STATUS) {
                                Some(known) => format!("did you mean `{known}`?"),
                                None => "use a name such as UNAVAILABLE".to_owned(),
                            };
                            checks.error(shown(name), "gRPC status is not supported", remedy);
                        });
                    }
                }
                AbortStatus::Http2(_) => checks.field("http2Error", |checks| {
                    checks.error(None, "HTTP/2 abort fault injection not supported yet", "use httpStatus");
                }),
            }
        });
    }
}

pub(super) fn rewrite(rewrite: &Rewrite, checks: &mut Checks) {
    match &rewrite.path {
        None if rewrite.authority.is_empty() => {
            let rule = "rewrite must specify at least one of URI, UriRegexRewrite, or authority";
            checks.error(None, rule, "say what to rewrite");
        }
        Some(PathRewrite::Regex(regex)) => checks.field("uriRegexRewrite", |checks| {
            if regex.r#match.is_empty() || regex.rewrite.is_empty() {
                let rule = "UriRegexRewrite requires both Rewrite and Match fields to be specified";
                checks.error(None, rule, "set both");
            } else {
                checks.regex("match", &regex.r#match);
            }
        }),
        Some(PathRewrite::Uri(_)) | None => {}
    }
}

/// Whether a status code is registered with IANA (HTTP Status Code Registry; 306 and 418 as Go's `net/http` has them).
fn is_registered(code: u32) -> bool {
    matches!(code, 100..=103 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451 | 500..=508 | 510 | 511)
}

pub(crate) fn retries(retries: &HttpRetry, checks: &mut Checks) {
    checks.non_negative("attempts", retries.attempts);
    let policy = !retries.retry_on.is_empty() || retries.per_try_timeout.is_some() || retries.retry_remote_localities.is_some();
    if retries.attempts == 0 && policy {
        checks.field("attempts", |checks| {
            let rule = "http retry policy configured when attempts are set to 0 (disabled)";
            checks.error(shown(0), rule, "set attempts, or leave the rest out");
        });
    }
    checks.duration("perTryTimeout", retries.per_try_timeout);
    checks.duration("backoff", retries.backoff);
    if retries.retry_on.is_empty() {
        return;
    }
    for condition in retries.retry_on.split(',') {
        let code = condition.parse::<u32>().is_ok_and(is_registered);
        if !code && !RETRY_ON.contains(&condition) {
            checks.field("retryOn", |checks| {
                let remedy = match crate::suggest::nearest(condition, RETRY_ON) {
                    Some(known) => format!("did you mean `{known}`? Conditions are separated by commas, without spaces"),
                    None => format!("use status codes and {}, separated by commas, without spaces", RETRY_ON.join(", ")),
                };
                checks.error(shown(condition), format!("`{condition}` is not a valid retryOn policy"), remedy);
            });
        }
    }
}

pub(super) fn cors(cors: &CorsPolicy, checks: &mut Checks) {
    for (index, origin) in cors.allow_origins.iter().enumerate() {
        let field = format!("allowOrigins[{index}]");
        if origin.text().is_empty() {
            checks.field(&field, |checks| checks.error(None, "an empty origin matches nothing", "write an origin, or `regex: .*`"));
        } else {
            checks.string_match(&field, origin);
        }
    }
    checks.each("allowMethods", &cors.allow_methods, |checks, method| {
        if !METHODS.contains(&method.as_str()) {
            checks.error(shown(method), format!("{method:?} is not a supported HTTP method"), "use GET, POST, …");
        }
    });
    for (field, names) in [("allowHeaders", &cors.allow_headers), ("exposeHeaders", &cors.expose_headers)] {
        checks.each(field, names, |checks, name| {
            if name != "*" && !is_header(name) {
                checks.error(shown(name), "header name is not a valid header name", "use a token, such as x-user");
            }
        });
    }
    checks.duration("maxAge", cors.max_age);
    if let Some(age) = cors.max_age.filter(|age| age.get().subsec_nanos() != 0) {
        checks.field("maxAge", |checks| {
            checks.error(shown(age), "max_age duration is accurate only to seconds precision", "write whole seconds");
        });
    }
}
